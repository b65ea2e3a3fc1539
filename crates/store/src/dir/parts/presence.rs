//! Locks, watches and clients of a directory.
use crate::dir::{DirStore, NO_OBJECT, advisory, answered, clients, refused};
use crate::{
    LockRequest, LockState, Locker, NotifyReply, ObjectName, Presence, StoreErrorKind, StoreFuture, WatchHandler,
    WatchId, Watcher,
};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

impl Presence for DirStore {
    fn lock(&self, name: &ObjectName, request: LockRequest) -> StoreFuture<()> {
        self.write("lock", name, move |shared, name| {
            let clients = &shared.root.clients;
            advisory::modify(&shared.root, name, |state| {
                state.locks.acquire(&request, &clients.name(), &clients.addr())
            })
        })
    }

    fn unlock(&self, name: &ObjectName, lock: &str, cookie: &str) -> StoreFuture<()> {
        let (lock, cookie) = (lock.to_owned(), cookie.to_owned());
        self.write("unlock", name, move |shared, name| {
            let client = shared.root.clients.name();
            advisory::modify(&shared.root, name, |state| state.locks.release(&lock, &client, &cookie))
        })
    }

    fn lock_state(&self, name: &ObjectName, lock: &str) -> StoreFuture<LockState> {
        let lock = lock.to_owned();
        self.read_side("lock_state", name, move |shared, name| {
            Ok(advisory::load(&shared.root, name)?.locks.state(&lock))
        })
    }

    fn break_lock(&self, name: &ObjectName, lock: &str, holder: &Locker) -> StoreFuture<()> {
        let (lock, holder) = (lock.to_owned(), holder.clone());
        self.write("break_lock", name, move |shared, name| {
            advisory::modify(&shared.root, name, |state| state.locks.release(&lock, &holder.client, &holder.cookie))
        })
    }

    fn watch(&self, name: &ObjectName, timeout: Duration, handler: Arc<dyn WatchHandler>) -> StoreFuture<WatchId> {
        let runtime = tokio::runtime::Handle::try_current().ok();
        self.write("watch", name, move |shared, name| shared.watching.watch(name, timeout, handler, runtime))
    }

    fn unwatch(&self, watch: WatchId) -> StoreFuture<()> {
        let Some(object) = self.shared.watching.object(watch) else {
            return refused(StoreErrorKind::NotFound, "unwatch", &format!("watch {}", watch.0));
        };
        self.write("unwatch", &ObjectName(object), move |shared, name| shared.watching.unwatch(name, watch))
    }

    fn notify(&self, name: &ObjectName, payload: Bytes, timeout: Duration) -> StoreFuture<NotifyReply> {
        let (reply, answer) = oneshot::channel();
        let (shared, object) = (self.shared.clone(), name.0.clone());
        self.strands.read(&name.0, Box::new(move || shared.watching.notify(&object, payload, timeout, reply)));
        answered(answer, "notify", name)
    }

    fn watchers(&self, name: &ObjectName) -> StoreFuture<Vec<Watcher>> {
        self.read_side("watchers", name, |shared, name| Ok(advisory::load(&shared.root, name)?.watchers))
    }

    fn identity(&self) -> (String, String) {
        (self.shared.root.clients.name(), self.shared.root.clients.addr())
    }

    /// For ever, whatever the duration: the client's number is not used again.
    fn blocklist(&self, addr: &str, _duration: Duration) -> StoreFuture<()> {
        let Some(client) = clients::client_at(addr) else {
            return refused(StoreErrorKind::Invalid, "blocklist", addr);
        };
        self.write("blocklist", &ObjectName::from(NO_OBJECT), move |shared, _| shared.root.clients.fence(client))
    }
}
