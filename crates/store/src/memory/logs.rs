//! Log objects in memory.
use super::client::MemoryStore;
use super::state::{LogState, Object, Pool};
use crate::{Append, LogTail, Logs, ObjectName, StoreErrorKind, StoreFuture};

impl Logs for MemoryStore {
    fn append(&self, name: &ObjectName, append: Append) -> StoreFuture<()> {
        self.on_pool("append", name, move |pool, name| self::append(pool, name, &append))
    }

    fn log_tail(&self, name: &ObjectName) -> StoreFuture<LogTail> {
        self.on_pool("log_tail", name, log_tail)
    }

    fn fence(&self, name: &ObjectName, epoch: u64) -> StoreFuture<LogTail> {
        self.on_pool("fence", name, move |pool, name| fence(pool, name, epoch))
    }
}

fn append(pool: &mut Pool, name: &str, append: &Append) -> Result<(), StoreErrorKind> {
    let len = append.len();
    let end = append.at.checked_add(len).ok_or(StoreErrorKind::Invalid)?;
    let aligned = len.is_multiple_of(u64::from(pool.limits.append_alignment));
    if !aligned || len > u64::from(pool.limits.max_write) || u64::from(append.summary_len) > end {
        return Err(StoreErrorKind::Invalid);
    }
    if !append.urgent && len > 0 {
        pool.room()?;
    }
    if append.at == 0 {
        if pool.objects.contains_key(name) {
            return Err(StoreErrorKind::Exists);
        }
        pool.objects.insert(name.to_owned(), Object::default());
    }
    let object = pool.object(name).map_err(|_| StoreErrorKind::Stale)?;
    let expected = LogTail { epoch: append.epoch, len: append.at, summary_len: 0 };
    if append.at != 0 && tail(object) != Some(expected) {
        return Err(StoreErrorKind::Stale);
    }
    for piece in &append.data {
        object.data.extend_from_slice(piece);
    }
    object.log = Some(LogState { epoch: append.epoch, summary_len: append.summary_len });
    pool.grew(len);
    Ok(())
}

fn tail(object: &Object) -> Option<LogTail> {
    let log = object.log?;
    Some(LogTail { epoch: log.epoch, len: object.data.len() as u64, summary_len: log.summary_len })
}

fn log_tail(pool: &mut Pool, name: &str) -> Result<LogTail, StoreErrorKind> {
    tail(pool.object(name)?).ok_or(StoreErrorKind::Invalid)
}

fn fence(pool: &mut Pool, name: &str, epoch: u64) -> Result<LogTail, StoreErrorKind> {
    let object = pool.object(name)?;
    let log = object.log.as_mut().ok_or(StoreErrorKind::Invalid)?;
    if log.epoch > epoch {
        return Err(StoreErrorKind::Stale);
    }
    log.epoch = epoch;
    tail(object).ok_or(StoreErrorKind::Invalid)
}
