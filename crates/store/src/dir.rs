//! The directory store: objects as files of a directory on a local file system, for one host, without any daemon.
//!
//! Owns: the trait's promises on files. An operation that succeeded survives a power cut; operations on one object take
//! effect in the order of the calls; several processes may use one directory at the same time, and what one of them
//! fences or locks is kept from all others. Does not own: network file systems (their locks and flushes promise less).
//!
//! Where it differs from RADOS: appends are not atomic under a power cut (the last append of an open log object may be
//! torn); a killed process can do nothing any more, so its locks and watches end with it; a blocklisted client can still
//! read; what passes in a full pool has a reserve here, which can be used up; a read may see an append of another process
//! that is not durable yet, a tail never does.
//!
//! docs/FORMAT-dir-store.md describes the files, docs/adr/0002-directory-store.md why they are as they are.
mod advisory;
mod clients;
mod fault;
mod files;
mod format;
mod heart;
mod hub;
mod keyed_object;
mod log_object;
mod message;
mod names;
mod object_file;
mod parts;
mod presence;
mod rescue;
mod room;
mod root;
mod strands;
mod watching;

use crate::{Append, ObjectName, StoreError, StoreErrorKind, StoreFuture};
use fault::{Fault, Outcome};
use futures::FutureExt;
use object_file::OpenFiles;
use root::Root;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use strands::Strands;
use tokio::sync::oneshot;
use watching::Watching;

/// Largest append or put, bytes; what is larger fails `Invalid`.
pub const DIR_MAX_WRITE: u32 = 64 << 20;

/// Threads that wait for the disk; so many objects can be flushed or read at the same time.
const IO_THREADS: usize = 8;

/// The strand of operations that belong to no object. No object can have this name.
const NO_OBJECT: &str = "";

type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// A directory as an object store. Each open one is a client of its own.
pub struct DirStore {
    strands: Strands<QueuedAppend>,
    shared: Arc<Shared>,
}

/// What the I/O threads use.
struct Shared {
    open: OpenFiles,
    watching: Watching,
    root: Arc<Root>,
}

struct QueuedAppend {
    append: Append,
    reply: Reply<()>,
}

impl DirStore {
    /// Opens a directory as a store; creates it when it is missing. Blocks for a few flushes the first time. `NotFound` if
    /// its parent is missing, `Invalid` if the directory has an `objects` in it that is not a store's, `Unsupported` if a
    /// newer version made it.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_as(path, true)
    }

    /// Opens a store that is there. Where nothing can be written (no permission, a read-only mount, no room at all), it can
    /// be read: what would change it fails with the reason. `NotFound` if the directory is no store, `Invalid` if it has
    /// the parts of one and no marker.
    pub fn open_existing(path: &Path) -> Result<Self, StoreError> {
        Self::open_as(path, false)
    }

    /// True if the directory is a store, whatever state that is in.
    pub fn is_store(path: &Path) -> bool {
        root::is_store(path)
    }

    fn open_as(path: &Path, create: bool) -> Result<Self, StoreError> {
        let named = |fault: Fault| fault.into_error("open", &path.display().to_string());
        let root = Arc::new(Root::open(path, create).map_err(named)?);
        let watching = Watching::new(root.clone()).map_err(named)?;
        let shared = Arc::new(Shared { open: OpenFiles::default(), watching, root });
        let appends = shared.clone();
        let appender = Arc::new(move |name: &str, group: Vec<QueuedAppend>| appends.append_group(name, group));
        let strands = Strands::new(IO_THREADS, appender).map_err(|error| named(error.into()))?;
        Ok(Self { strands, shared })
    }

    /// Queues work that changes an object, or must be alone on it.
    fn write<T: Send + 'static>(
        &self,
        what: &'static str,
        name: &ObjectName,
        work: impl FnOnce(&Shared, &str) -> Outcome<T> + Send + 'static,
    ) -> StoreFuture<T> {
        let (work, future) = self.job(what, name, work);
        self.strands.write(&name.0, work);
        future
    }

    /// Queues work that other reads of the object may run beside.
    fn read_side<T: Send + 'static>(
        &self,
        what: &'static str,
        name: &ObjectName,
        work: impl FnOnce(&Shared, &str) -> Outcome<T> + Send + 'static,
    ) -> StoreFuture<T> {
        let (work, future) = self.job(what, name, work);
        self.strands.read(&name.0, work);
        future
    }

    fn job<T: Send + 'static>(
        &self,
        what: &'static str,
        name: &ObjectName,
        work: impl FnOnce(&Shared, &str) -> Outcome<T> + Send + 'static,
    ) -> (strands::Work, StoreFuture<T>) {
        let (reply, answer) = oneshot::channel();
        let (shared, object) = (self.shared.clone(), name.0.clone());
        let work = move || {
            let result = work(&shared, &object).map_err(|fault| fault.into_error(what, &object));
            // The caller may have dropped its future.
            drop(reply.send(result));
        };
        (Box::new(work), answered(answer, what, name))
    }
}

/// The future of an operation that was handed to a thread.
fn answered<T: Send + 'static>(
    answer: oneshot::Receiver<Result<T, StoreError>>,
    what: &'static str,
    name: &ObjectName,
) -> StoreFuture<T> {
    let lost = StoreError::new(StoreErrorKind::Io, what, name.0.clone()).with_detail("the operation was abandoned");
    answer.map(|answer| answer.unwrap_or(Err(lost))).boxed()
}

impl Shared {
    fn append_group(&self, name: &str, group: Vec<QueuedAppend>) {
        let (appends, replies): (Vec<_>, Vec<_>) = group.into_iter().map(|one| (one.append, one.reply)).unzip();
        let results = log_object::append_group(&self.root, &self.open, name, &appends);
        for (reply, result) in replies.into_iter().zip(results) {
            drop(reply.send(result.map_err(|fault| fault.into_error("append", name))));
        }
    }
}

impl fmt::Debug for DirStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DirStore({} as {})", self.shared.root.path().display(), self.shared.root.clients.name())
    }
}

fn refused<T: Send + 'static>(kind: StoreErrorKind, what: &'static str, name: &str) -> StoreFuture<T> {
    futures::future::ready(Err(StoreError::new(kind, what, name))).boxed()
}
