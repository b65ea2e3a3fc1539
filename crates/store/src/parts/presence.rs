//! Advisory locks, watches and notifications on an object, as RADOS has them (cls_lock, watch/notify).
use crate::StoreError;
use bytes::Bytes;
use futures::future::BoxFuture;

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
