//! The trait itself.
use crate::{
    Append, KvMap, KvUpdate, LockRequest, LockState, Locker, LogTail, NotifyReply, StoreError, WatchHandler, WatchId,
    Watcher,
};
use bytes::Bytes;
use futures::future::{BoxFuture, try_join_all};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What every store operation returns. It owns its arguments, so dropping it is always safe; the operation may still
/// take effect.
pub type StoreFuture<T> = BoxFuture<'static, Result<T, StoreError>>;

/// The name of an object in a pool (and namespace).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectName(pub String);

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<String> for ObjectName {
    fn from(name: String) -> Self {
        Self(name)
    }
}

impl From<&str> for ObjectName {
    fn from(name: &str) -> Self {
        Self(name.to_owned())
    }
}

/// A pool by its immutable number; -1 where the store has no pools.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PoolId(pub i64);

/// What a caller must respect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreLimits {
    /// Appends to log objects come in multiples of this many bytes (EC pools: the stripe width; else 1).
    pub append_alignment: u32,
    /// Largest single append or put, bytes.
    pub max_write: u32,
    /// True if an append is all there or not at all, even after a power cut. Where it is false, the last append
    /// of an open log object may be torn, and only its checksum tells.
    pub atomic_appends: bool,
    /// True if the pool has keyed objects (omap): an erasure-coded pool has none and can hold data only.
    pub keyed_objects: bool,
}

/// The room in a store that knows how much it has, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreRoom {
    /// For ordinary appends.
    pub ordinary: u64,
    /// For all urgent operations together. One of them may take half of it at most.
    pub urgent: u64,
    /// What ordinary appends leave for urgent operations.
    pub reserve: u64,
}

/// An object store: one pool (and namespace) of RADOS, a directory, or memory.
///
/// Success means durable. Operations of one client on one object take effect in the order of the calls
/// (the order in which the methods were called, not in which the futures were polled), so an implementation starts the
/// operation in the call itself. That goes for writes, and for `log_tail`, `fence` and `kv_get` behind them; what else is read need not
/// have a write whose answer has not come yet: where the order matters, its caller waits for the answer.
pub trait ObjectStore: Send + Sync + fmt::Debug + 'static {
    fn limits(&self) -> StoreLimits;

    /// This pool's number.
    fn pool_id(&self) -> PoolId;

    /// This pool's name, for messages; a directory's path.
    fn pool_name(&self) -> String;

    /// What room there is, as far as the store knows without asking anybody; `None` if it does not know. Others may take it
    /// first. Cheap enough to be asked for every write.
    fn room(&self) -> Option<StoreRoom> {
        None
    }

    /// Another pool of the same cluster, in the same namespace. `NotFound`, or `Unsupported` where there are no pools.
    fn open_pool(&self, pool: PoolId) -> StoreFuture<Arc<dyn ObjectStore>>;

    /// Guarded append to a log object: see [`Append`]. `Full` when the pool is full: never blocks for space.
    fn append(&self, name: &ObjectName, append: Append) -> StoreFuture<()>;

    /// The tail of a log object. `NotFound`.
    fn log_tail(&self, name: &ObjectName) -> StoreFuture<LogTail>;

    /// Raises the object's epoch to `epoch`, so that every later append of an older epoch fails, and returns the tail
    /// at that moment (with the new epoch). `NotFound`; `Stale` if its epoch is already higher.
    fn fence(&self, name: &ObjectName, epoch: u64) -> StoreFuture<LogTail>;

    /// Up to `len` bytes from `offset`; shorter at the end of the object, empty beyond it. `NotFound`.
    fn read(&self, name: &ObjectName, offset: u64, len: u64) -> StoreFuture<Bytes>;

    /// Several reads of one object, each as [`read`](Self::read) does it: (offset, len), results in the same order. One operation
    /// where the store has such.
    fn read_many(&self, name: &ObjectName, ranges: &[(u64, u64)]) -> StoreFuture<Vec<Bytes>> {
        let reads: Vec<_> = ranges.iter().map(|(offset, len)| self.read(name, *offset, *len)).collect();
        Box::pin(try_join_all(reads))
    }

    /// Creates a whole immutable object. `Exists`. It passes in a full pool: the map is what space is freed by.
    fn put(&self, name: &ObjectName, data: Bytes) -> StoreFuture<()>;

    /// Size of an object in bytes. `NotFound`.
    fn stat(&self, name: &ObjectName) -> StoreFuture<u64>;

    /// Removes an object of any kind; works in a full pool. `NotFound`.
    fn remove(&self, name: &ObjectName) -> StoreFuture<()>;

    /// Every object whose name starts with `prefix`, sorted. Costs a walk over the whole pool.
    fn list(&self, prefix: &str) -> StoreFuture<Vec<ObjectName>>;

    /// All keys and values of a keyed object that start with `prefix`. `NotFound`.
    fn kv_get(&self, name: &ObjectName, prefix: &str) -> StoreFuture<KvMap>;

    /// One atomic compare-then-write: see [`KvUpdate`]. Works in a full pool when it only removes keys, or the object must exist;
    /// `Full` otherwise.
    fn kv_update(&self, name: &ObjectName, update: KvUpdate) -> StoreFuture<()>;

    /// Takes an advisory lock. `Busy` when somebody else (another client or cookie) holds it, `Exists` when this
    /// client and cookie already do.
    fn lock(&self, name: &ObjectName, request: LockRequest) -> StoreFuture<()>;

    /// Gives a lock of this client back. `NotFound`.
    fn unlock(&self, name: &ObjectName, lock: &str, cookie: &str) -> StoreFuture<()>;

    /// Who holds a lock; an object without it gives no lockers.
    fn lock_state(&self, name: &ObjectName, lock: &str) -> StoreFuture<LockState>;

    /// Takes a lock away from its holder. `NotFound` if that holder does not hold it any more.
    fn break_lock(&self, name: &ObjectName, lock: &str, holder: &Locker) -> StoreFuture<()>;

    /// Watches an object; the store keeps the watch alive. `timeout`: how long the store keeps a silent watcher.
    fn watch(&self, name: &ObjectName, timeout: Duration, handler: Arc<dyn WatchHandler>) -> StoreFuture<WatchId>;

    /// Ends a watch.
    fn unwatch(&self, watch: WatchId) -> StoreFuture<()>;

    /// Tells every watcher and collects their acknowledgements for at most `timeout`. A time-out is not an error:
    /// the reply says who did not answer.
    fn notify(&self, name: &ObjectName, payload: Bytes, timeout: Duration) -> StoreFuture<NotifyReply>;

    /// Who watches an object. `NotFound`.
    fn watchers(&self, name: &ObjectName) -> StoreFuture<Vec<Watcher>>;

    /// This client as lock holders and watchers show it: (`client.N`, address).
    fn identity(&self) -> (String, String);

    /// Fences a client off the whole cluster for `duration` (zero: for ever); waits until this client knows the
    /// new map. `Unsupported` where there is nothing to fence, `Permission` without the capability.
    fn blocklist(&self, addr: &str, duration: Duration) -> StoreFuture<()>;
}
