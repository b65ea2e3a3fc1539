//! Objects as bytes, whatever else they are.
use crate::{ObjectName, StoreFuture};
use bytes::Bytes;
use futures::future::try_join_all;
use std::fmt;

/// Objects as bytes: written at once, read in pieces, removed.
///
/// An implementor holds:
/// - An object that was put has all of its bytes or is not there, also after a crash. Nothing changes them but its removal.
/// - The data of a log object ([`Logs`](crate::Logs)) is read in the same way. A keyed object ([`Keyed`](crate::Keyed)) has no bytes.
/// - A name may be any text. A removed object's name is free again.
/// - Nothing here waits for space. Puts and removals pass in a full pool; where a reserve for that can be used up, a put is then `Full`.
pub trait Blobs: Send + Sync + fmt::Debug + 'static {
    /// Up to `len` bytes from `offset`; shorter at the end of the object, empty beyond it. `NotFound`.
    fn read(&self, name: &ObjectName, offset: u64, len: u64) -> StoreFuture<Bytes>;

    /// Several reads of one object, each as [`read`](Self::read) does it: (offset, len), results in the same order. One operation
    /// where the store has such.
    fn read_many(&self, name: &ObjectName, ranges: &[(u64, u64)]) -> StoreFuture<Vec<Bytes>> {
        let reads: Vec<_> = ranges.iter().map(|(offset, len)| self.read(name, *offset, *len)).collect();
        Box::pin(try_join_all(reads))
    }

    /// Creates a whole immutable object, of at most `max_write` bytes ([`StoreLimits`](crate::StoreLimits)), else `Invalid`.
    /// `Exists`, whatever kind of object is there. Passes in a full pool: the map is what space is freed by.
    fn put(&self, name: &ObjectName, data: Bytes) -> StoreFuture<()>;

    /// Size of an object in bytes; 0 of a keyed one. `NotFound`.
    fn stat(&self, name: &ObjectName) -> StoreFuture<u64>;

    /// Removes an object of any kind, with its locks and watches. `NotFound`.
    fn remove(&self, name: &ObjectName) -> StoreFuture<()>;
}
