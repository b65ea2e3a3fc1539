//! Objects in memory as bytes.
use super::client::MemoryStore;
use super::state::{Object, Pool, Watch};
use super::watches;
use crate::{Blobs, ObjectName, StoreError, StoreErrorKind, StoreFuture};
use bytes::Bytes;

impl Blobs for MemoryStore {
    fn read(&self, name: &ObjectName, offset: u64, len: u64) -> StoreFuture<Bytes> {
        self.on_pool("read", name, move |pool, name| read(pool, name, offset, len))
    }

    fn put(&self, name: &ObjectName, data: Bytes) -> StoreFuture<()> {
        self.on_pool("put", name, move |pool, name| put(pool, name, &data))
    }

    fn stat(&self, name: &ObjectName) -> StoreFuture<u64> {
        self.on_pool("stat", name, |pool, name| Ok(pool.object(name)?.data.len() as u64))
    }

    fn remove(&self, name: &ObjectName) -> StoreFuture<()> {
        let ended = self.on_pool("remove", name, remove);
        watches::tell_lost(ended, StoreError::new(StoreErrorKind::NotFound, "watch", name.0.clone()))
    }
}

fn read(pool: &mut Pool, name: &str, offset: u64, len: u64) -> Result<Bytes, StoreErrorKind> {
    pool.reads.operations += 1;
    let data = &pool.object(name)?.data;
    let start = usize::try_from(offset).unwrap_or(usize::MAX).min(data.len());
    let end = start.saturating_add(usize::try_from(len).unwrap_or(usize::MAX)).min(data.len());
    let bytes = Bytes::copy_from_slice(&data[start..end]);
    pool.reads.bytes += bytes.len() as u64;
    Ok(bytes)
}

fn put(pool: &mut Pool, name: &str, data: &[u8]) -> Result<(), StoreErrorKind> {
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
fn remove(pool: &mut Pool, name: &str) -> Result<Vec<Watch>, StoreErrorKind> {
    let object = pool.objects.remove(name).ok_or(StoreErrorKind::NotFound)?;
    pool.stored_bytes -= object.data.len() as u64;
    Ok(object.watches)
}
