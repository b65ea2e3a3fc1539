//! Appending to log objects exactly once, guarded by the writer's epoch.
use crate::{ObjectName, StoreFuture};
use bytes::Bytes;
use std::fmt;

/// Log objects: they grow by guarded appends until they are sealed.
///
/// An implementor holds:
/// - A log object has a [`LogTail`], which changes with its bytes in one step, or not at all. Only a power cut may tear the last
///   append of an open object, and only in a store that says so ([`StoreLimits::atomic_appends`](crate::StoreLimits::atomic_appends)).
/// - Appends of one client to one object take effect in the order of the calls, also when several are in flight; after one that
///   failed all later ones fail.
/// - An append that was sent twice takes effect once: the second one finds another tail.
/// - A fence is one step, and final: the tail that it returns is all that older epochs will ever have appended.
/// - Epochs are compared as numbers. Each object has its own.
/// - Nothing here waits for space: `Full` at once. Appends that are urgent or empty pass in a full pool, and so do fences.
pub trait Logs: Send + Sync + fmt::Debug + 'static {
    /// Guarded append to a log object: see [`Append`]. `Stale`, or `Exists` at 0: it changed nothing. `Invalid` if it is longer than
    /// `max_write`, not aligned, or its summary is longer than the object. `Full` when the pool is full.
    fn append(&self, name: &ObjectName, append: Append) -> StoreFuture<()>;

    /// The tail of a log object, behind every append and fence that this client called before. `NotFound`; `Invalid` if the
    /// object is no log object.
    fn log_tail(&self, name: &ObjectName) -> StoreFuture<LogTail>;

    /// Raises the object's epoch to `epoch`, so that every later append of an older epoch fails, and returns the tail
    /// at that moment (with the new epoch). The same epoch again is no error. `NotFound`; `Stale` if its epoch is already higher;
    /// `Invalid` if it is no log object.
    fn fence(&self, name: &ObjectName, epoch: u64) -> StoreFuture<LogTail>;
}

/// The store's own record of a log object, changed atomically with each append (RADOS: the xattrs `lsd.epoch` and `lsd.tail`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogTail {
    /// Only appends of this epoch are accepted.
    pub epoch: u64,
    /// Bytes appended so far.
    pub len: u64,
    /// Bytes of the summary that ends a sealed object; 0 while it is open.
    pub summary_len: u32,
}

/// One guarded append. It takes effect only if the object's tail is exactly `{epoch, at, summary_len: 0}`
/// (for `at == 0`: the object does not exist and is created), else it fails `Stale` (or `Exists`) and
/// changes nothing. Appends of one client to one object take effect in the order they were submitted, even when several
/// are in flight, so after one failure all later ones fail as well.
#[derive(Clone, Debug)]
pub struct Append {
    pub epoch: u64,
    /// Offset where the data must land, bytes.
    pub at: u64,
    /// Pieces written one after another; their sum is a multiple of [`crate::StoreLimits::append_alignment`].
    pub data: Vec<Bytes>,
    /// Seals the object: its last `summary_len` bytes are its summary. 0: stays open.
    pub summary_len: u32,
    /// It passes in a full pool: what frees space later. So does an append without data.
    pub urgent: bool,
}

impl Append {
    /// Bytes of all pieces.
    pub fn len(&self) -> u64 {
        self.data.iter().map(|piece| piece.len() as u64).sum()
    }

    /// True if there is nothing to append.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
