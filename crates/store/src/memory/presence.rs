//! Locks, watches, identity and blocklisting in memory. Delivering notifications is in `watches.rs`.
use super::client::MemoryStore;
use super::{MemoryCluster, watches};
use crate::{
    LockRequest, LockState, Locker, NotifyReply, ObjectName, Presence, StoreError, StoreErrorKind, StoreFuture,
    WatchHandler, WatchId, Watcher,
};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

impl Presence for MemoryStore {
    fn lock(&self, name: &ObjectName, request: LockRequest) -> StoreFuture<()> {
        let (client, addr) = (self.name(), self.addr());
        self.on_pool("lock", name, move |pool, name| pool.object(name)?.locks.acquire(&request, &client, &addr))
    }

    fn unlock(&self, name: &ObjectName, lock: &str, cookie: &str) -> StoreFuture<()> {
        let (client, lock, cookie) = (self.name(), lock.to_owned(), cookie.to_owned());
        self.on_pool("unlock", name, move |pool, name| pool.object(name)?.locks.release(&lock, &client, &cookie))
    }

    fn lock_state(&self, name: &ObjectName, lock: &str) -> StoreFuture<LockState> {
        let lock = lock.to_owned();
        self.on_pool("lock_state", name, move |pool, name| Ok(pool.object(name)?.locks.state(&lock)))
    }

    fn break_lock(&self, name: &ObjectName, lock: &str, holder: &Locker) -> StoreFuture<()> {
        let (lock, holder) = (lock.to_owned(), holder.clone());
        self.on_pool("break_lock", name, move |pool, name| {
            pool.object(name)?.locks.release(&lock, &holder.client, &holder.cookie)
        })
    }

    fn watch(&self, name: &ObjectName, _timeout: Duration, handler: Arc<dyn WatchHandler>) -> StoreFuture<WatchId> {
        let (pool, object, addr, client) = (self.pool, name.0.clone(), self.addr(), self.client);
        self.run("watch", &name.0, move |state| {
            let watcher = Watcher { addr, client, cookie: state.next_cookie() };
            watches::add(state.pool(pool)?.object(&object)?, watcher, handler)
        })
    }

    fn unwatch(&self, watch: WatchId) -> StoreFuture<()> {
        let client = self.client;
        self.run("unwatch", &format!("watch {}", watch.0), move |state| {
            let ended = state.take_watches(|watcher| watcher.client == client && watcher.cookie == watch.0);
            if ended.is_empty() { Err(StoreErrorKind::NotFound) } else { Ok(()) }
        })
    }

    fn notify(&self, name: &ObjectName, payload: Bytes, timeout: Duration) -> StoreFuture<NotifyReply> {
        let watches = self.on_pool("notify", name, |pool, name| Ok(pool.object(name)?.watches.clone()));
        watches::notify(watches, self.client, payload, timeout)
    }

    fn watchers(&self, name: &ObjectName) -> StoreFuture<Vec<Watcher>> {
        self.on_pool("watchers", name, |pool, name| {
            Ok(pool.object(name)?.watches.iter().map(|watch| watch.watcher.clone()).collect())
        })
    }

    fn identity(&self) -> (String, String) {
        (self.name(), self.addr())
    }

    fn blocklist(&self, addr: &str, duration: Duration) -> StoreFuture<()> {
        let blocked = addr.to_owned();
        let ended = self.run("blocklist", addr, move |state| {
            if state.blocklist_forbidden {
                return Err(StoreErrorKind::Permission);
            }
            let until = (!duration.is_zero()).then(|| MemoryCluster::now().checked_add(duration)).flatten();
            state.block(&blocked, until);
            Ok(state.take_watches(|watcher| watcher.addr == blocked))
        });
        watches::tell_lost(ended, StoreError::new(StoreErrorKind::Fenced, "watch", addr))
    }
}
