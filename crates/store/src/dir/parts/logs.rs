//! Log objects in files.
use crate::dir::{DIR_MAX_WRITE, DirStore, QueuedAppend, answered, log_object, refused};
use crate::{Append, LogTail, Logs, ObjectName, StoreErrorKind, StoreFuture};
use tokio::sync::oneshot;

impl Logs for DirStore {
    fn append(&self, name: &ObjectName, append: Append) -> StoreFuture<()> {
        if let Err(kind) = check_append(&append) {
            return refused(kind, "append", &name.0);
        }
        let (reply, answer) = oneshot::channel();
        self.strands.append(&name.0, QueuedAppend { append, reply });
        answered(answer, "append", name)
    }

    fn log_tail(&self, name: &ObjectName) -> StoreFuture<LogTail> {
        // Alone, because its lock belongs to the open file that reads share.
        self.write("log_tail", name, |shared, name| log_object::tail(&shared.root, &shared.open, name))
    }

    fn fence(&self, name: &ObjectName, epoch: u64) -> StoreFuture<LogTail> {
        self.write("fence", name, move |shared, name| log_object::fence(&shared.root, &shared.open, name, epoch))
    }
}

/// What no object can ever hold is refused before it is queued.
fn check_append(append: &Append) -> Result<(), StoreErrorKind> {
    let end = append.at.checked_add(append.len()).ok_or(StoreErrorKind::Invalid)?;
    let fits = append.len() <= u64::from(DIR_MAX_WRITE) && u64::from(append.summary_len) <= end;
    if fits { Ok(()) } else { Err(StoreErrorKind::Invalid) }
}
