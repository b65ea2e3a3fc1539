//! Log objects and whole objects in memory.
use super::state::{LogState, Object, Pool, Watch};
use crate::{Append, LogTail, ObjectName, StoreErrorKind};
use bytes::Bytes;

pub(super) fn append(pool: &mut Pool, name: &str, append: &Append) -> Result<(), StoreErrorKind> {
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

pub(super) fn log_tail(pool: &mut Pool, name: &str) -> Result<LogTail, StoreErrorKind> {
    tail(pool.object(name)?).ok_or(StoreErrorKind::Invalid)
}

pub(super) fn fence(pool: &mut Pool, name: &str, epoch: u64) -> Result<LogTail, StoreErrorKind> {
    let object = pool.object(name)?;
    let log = object.log.as_mut().ok_or(StoreErrorKind::Invalid)?;
    if log.epoch > epoch {
        return Err(StoreErrorKind::Stale);
    }
    log.epoch = epoch;
    tail(object).ok_or(StoreErrorKind::Invalid)
}

pub(super) fn read(pool: &mut Pool, name: &str, offset: u64, len: u64) -> Result<Bytes, StoreErrorKind> {
    pool.reads.operations += 1;
    let data = &pool.object(name)?.data;
    let start = usize::try_from(offset).unwrap_or(usize::MAX).min(data.len());
    let end = start.saturating_add(usize::try_from(len).unwrap_or(usize::MAX)).min(data.len());
    let bytes = Bytes::copy_from_slice(&data[start..end]);
    pool.reads.bytes += bytes.len() as u64;
    Ok(bytes)
}

pub(super) fn put(pool: &mut Pool, name: &str, data: &[u8]) -> Result<(), StoreErrorKind> {
    if data.len() as u64 > u64::from(pool.limits.max_write) {
        return Err(StoreErrorKind::Invalid);
    }
    if pool.objects.contains_key(name) {
        return Err(StoreErrorKind::Exists);
    }
    pool.objects.insert(name.to_owned(), Object { data: data.to_vec(), ..Object::default() });
    pool.grew(data.len() as u64);
    Ok(())
}

/// Removes an object and returns the watches that ended with it.
pub(super) fn remove(pool: &mut Pool, name: &str) -> Result<Vec<Watch>, StoreErrorKind> {
    let object = pool.objects.remove(name).ok_or(StoreErrorKind::NotFound)?;
    pool.stored_bytes -= object.data.len() as u64;
    Ok(object.watches)
}

pub(super) fn list(pool: &Pool, prefix: &str) -> Vec<ObjectName> {
    let from = pool.objects.range(prefix.to_owned()..);
    from.take_while(|(name, _)| name.starts_with(prefix)).map(|(name, _)| ObjectName(name.clone())).collect()
}
