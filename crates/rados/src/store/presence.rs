//! Locks, watches and clients.
use super::{RadosStore, boxed};
use crate::lock::{LockDuration, LockSpec};
use bytes::Bytes;
use lsd_store::{
    LockRequest, LockState, Locker, NotifyReply, ObjectName, Presence, StoreError, StoreErrorKind, StoreFuture,
    WatchHandler, WatchId, Watcher,
};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

impl Presence for RadosStore {
    fn lock(&self, name: &ObjectName, request: LockRequest) -> StoreFuture<()> {
        let LockRequest { name: lock, cookie, mode, tag } = request;
        let (description, duration) = (String::new(), LockDuration::Unlimited);
        boxed(self.io.lock(&name.0, &LockSpec { name: lock, cookie, mode, tag, description, duration }))
    }

    fn unlock(&self, name: &ObjectName, lock: &str, cookie: &str) -> StoreFuture<()> {
        boxed(self.io.unlock(&name.0, lock, cookie))
    }

    fn lock_state(&self, name: &ObjectName, lock: &str) -> StoreFuture<LockState> {
        boxed(self.io.lock_state(&name.0, lock))
    }

    fn break_lock(&self, name: &ObjectName, lock: &str, holder: &Locker) -> StoreFuture<()> {
        boxed(self.io.break_lock(&name.0, lock, &holder.client, &holder.cookie))
    }

    fn watch(&self, name: &ObjectName, timeout: Duration, handler: Arc<dyn WatchHandler>) -> StoreFuture<WatchId> {
        let registered = self.io.watch(&name.0, timeout, handler, &self.runtime);
        let watches = Arc::clone(&self.watches);
        boxed(async move {
            let watch = registered.await?;
            let id = watch.id();
            watches.lock().unwrap_or_else(PoisonError::into_inner).insert(id, watch);
            Ok(id)
        })
    }

    fn unwatch(&self, watch: WatchId) -> StoreFuture<()> {
        let known = self.watches().remove(&watch);
        match known {
            Some(watch) => boxed(watch.close()),
            None => {
                let error = StoreError::new(StoreErrorKind::NotFound, "unwatch", format!("watch {}", watch.0));
                Box::pin(async move { Err(error) })
            }
        }
    }

    fn notify(&self, name: &ObjectName, payload: Bytes, timeout: Duration) -> StoreFuture<NotifyReply> {
        boxed(self.io.notify(&name.0, &payload, timeout))
    }

    fn watchers(&self, name: &ObjectName) -> StoreFuture<Vec<Watcher>> {
        let name = name.0.clone();
        self.blocking("watchers", move |io| io.list_watchers(&name))
    }

    fn identity(&self) -> (String, String) {
        self.identity.clone()
    }

    fn blocklist(&self, addr: &str, duration: Duration) -> StoreFuture<()> {
        let addr = addr.to_owned();
        self.blocking("blocklist", move |io| io.cluster().blocklist(&addr, duration))
    }
}
