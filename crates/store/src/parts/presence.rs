//! Advisory locks, watches and notifications on an object, as RADOS has them (cls_lock, watch/notify).
use crate::{ObjectName, StoreError, StoreFuture};
use bytes::Bytes;
use futures::future::BoxFuture;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Which clients there are: who holds a lock on an object, who watches it, and who may do anything at all.
///
/// An implementor holds:
/// - A client is one connection to the cluster, in all of its pools. It has a name and an address, which no other client has.
/// - Locks are advisory: they keep nobody from writing. They end with the object, or when somebody gives them back or takes them
///   away, never by time. A store that knows for certain that a client is dead may end its locks.
/// - A watch outlives its client by its time-out at most; then it is not listed any more. A client that lives and loses its watch is
///   told ([`WatchHandler::lost`]).
/// - A notification reaches every watch that is there when it arrives, those of its own client too.
/// - A watch needs the object: `NotFound`. A lock need not: a store may create what is locked.
/// - All of it works in a full pool.
pub trait Presence: Send + Sync + fmt::Debug + 'static {
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

    /// Ends a watch. `NotFound` if this client has no such watch.
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

/// Names one watch of this client (RADOS: the cookie).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WatchId(pub u64);

/// Somebody who watches an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watcher {
    /// Address of the client, as `ip:port/nonce`.
    pub addr: String,
    /// The client's number (RADOS: the global id of `client.N`).
    pub client: u64,
    pub cookie: u64,
}

/// What a watch calls. Neither method may block: they run on the store's own thread.
pub trait WatchHandler: Send + Sync + 'static {
    /// A notification arrived; it is acknowledged to the notifier with the value of the future.
    fn notified(&self, notifier: u64, payload: Bytes) -> BoxFuture<'static, Bytes>;
    /// The watch is broken and will see nothing any more; watch again.
    fn lost(&self, error: StoreError);
}

/// Who answered a notification.
#[derive(Clone, Debug, Default)]
pub struct NotifyReply {
    pub acks: Vec<(Watcher, Bytes)>,
    pub timed_out: Vec<Watcher>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockMode {
    Exclusive,
    Shared,
}

/// A lock to take: the lock `name` on an object, held as (this client, `cookie`).
#[derive(Clone, Debug)]
pub struct LockRequest {
    pub name: String,
    pub cookie: String,
    pub mode: LockMode,
    /// Holders of a shared lock must agree on the tag; empty for exclusive ones.
    pub tag: String,
}

/// One holder of a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locker {
    /// `client.N`, the holder.
    pub client: String,
    pub cookie: String,
    /// Address of the holder, as `ip:port/nonce`.
    pub addr: String,
}

/// The state of a lock; no lockers means that it is free.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockState {
    pub exclusive: bool,
    pub tag: String,
    pub lockers: Vec<Locker>,
}
