//! One client of a memory cluster: the trait, its identity, its place behind a blocklist or a hold.
use super::state::State;
use super::{MemoryCluster, blobs, keyed, watches};
use crate::{
    Append, KvMap, KvUpdate, LockRequest, LockState, Locker, LogTail, NotifyReply, ObjectName, ObjectStore, PoolId,
    StoreError, StoreErrorKind, StoreFuture, StoreLimits, WatchHandler, WatchId, Watcher,
};
use bytes::Bytes;
use futures::FutureExt;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

type Held = Box<dyn FnOnce() + Send>;

/// One client of a [`MemoryCluster`], looking at one pool.
#[derive(Clone)]
pub struct MemoryStore {
    cluster: MemoryCluster,
    client: u64,
    pool: PoolId,
    /// Operations that wait while the client is held; shared by its views of all pools.
    held: Arc<Mutex<Option<VecDeque<Held>>>>,
}

impl MemoryStore {
    pub(super) fn new(cluster: MemoryCluster, client: u64, pool: PoolId) -> Self {
        Self { cluster, client, pool, held: Arc::default() }
    }

    /// The cluster this client talks to.
    pub fn cluster(&self) -> &MemoryCluster {
        &self.cluster
    }

    /// From now on this client's operations wait, as if its packets were under way.
    pub fn hold(&self) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default();
    }

    /// Lets the waiting operations arrive, in the order of their calls, and ends the hold.
    pub fn release(&self) {
        let waiting = self.held.lock().unwrap_or_else(PoisonError::into_inner).take();
        waiting.into_iter().flatten().for_each(|operation| operation());
    }

    pub(super) fn number(&self) -> u64 {
        self.client
    }

    fn addr(&self) -> String {
        format!("127.0.0.1:0/{}", self.client)
    }

    fn name(&self) -> String {
        format!("client.{}", self.client)
    }

    /// Runs `operation` now, or when the client is released.
    fn run<T: Send + 'static>(
        &self,
        what: &'static str,
        name: &str,
        operation: impl FnOnce(&mut State) -> Result<T, StoreErrorKind> + Send + 'static,
    ) -> StoreFuture<T> {
        let (name, cluster, addr) = (name.to_owned(), self.cluster.clone(), self.addr());
        let work = move || {
            let mut state = cluster.lock();
            let blocked = state.is_blocked(&addr, MemoryCluster::now());
            let result = if blocked { Err(StoreErrorKind::Fenced) } else { operation(&mut state) };
            result.map_err(|kind| StoreError::new(kind, what, name))
        };
        if let Some(held) = self.held.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            let (sender, receiver) = oneshot::channel();
            // The caller may have dropped its future: the operation takes effect all the same.
            held.push_back(Box::new(move || drop(sender.send(work()))));
            let lost = StoreError::new(StoreErrorKind::TimedOut, what, "a held client that was dropped");
            return receiver.map(|answer| answer.unwrap_or(Err(lost))).boxed();
        }
        let result = work();
        async move { result }.boxed()
    }

    /// [`Self::run`] on this client's pool.
    fn on_pool<T: Send + 'static>(
        &self,
        what: &'static str,
        name: &ObjectName,
        operation: impl FnOnce(&mut super::state::Pool, &str) -> Result<T, StoreErrorKind> + Send + 'static,
    ) -> StoreFuture<T> {
        let (pool, object) = (self.pool, name.0.clone());
        self.run(what, &name.0, move |state| operation(state.pool(pool)?, &object))
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryStore({} in pool {})", self.name(), self.pool.0)
    }
}

impl ObjectStore for MemoryStore {
    fn limits(&self) -> StoreLimits {
        self.cluster.lock().pool(self.pool).map_or_else(|_| MemoryCluster::replicated(), |pool| pool.limits)
    }

    fn pool_id(&self) -> PoolId {
        self.pool
    }

    fn pool_name(&self) -> String {
        self.cluster.lock().pool(self.pool).map(|pool| pool.name.clone()).unwrap_or_default()
    }

    fn open_pool(&self, pool: PoolId) -> StoreFuture<Arc<dyn ObjectStore>> {
        let view = Self { pool, ..self.clone() };
        self.run("open_pool", &format!("pool {}", pool.0), move |state| {
            state.pool(pool)?;
            Ok(Arc::new(view) as Arc<dyn ObjectStore>)
        })
    }

    fn append(&self, name: &ObjectName, append: Append) -> StoreFuture<()> {
        self.on_pool("append", name, move |pool, name| blobs::append(pool, name, &append))
    }

    fn log_tail(&self, name: &ObjectName) -> StoreFuture<LogTail> {
        self.on_pool("log_tail", name, blobs::log_tail)
    }

    fn fence(&self, name: &ObjectName, epoch: u64) -> StoreFuture<LogTail> {
        self.on_pool("fence", name, move |pool, name| blobs::fence(pool, name, epoch))
    }

    fn read(&self, name: &ObjectName, offset: u64, len: u64) -> StoreFuture<Bytes> {
        self.on_pool("read", name, move |pool, name| blobs::read(pool, name, offset, len))
    }

    fn put(&self, name: &ObjectName, data: Bytes) -> StoreFuture<()> {
        self.on_pool("put", name, move |pool, name| blobs::put(pool, name, &data))
    }

    fn stat(&self, name: &ObjectName) -> StoreFuture<u64> {
        self.on_pool("stat", name, |pool, name| Ok(pool.object(name)?.data.len() as u64))
    }

    fn remove(&self, name: &ObjectName) -> StoreFuture<()> {
        let ended = self.on_pool("remove", name, blobs::remove);
        watches::tell_lost(ended, StoreError::new(StoreErrorKind::NotFound, "watch", name.0.clone()))
    }

    fn list(&self, prefix: &str) -> StoreFuture<Vec<ObjectName>> {
        self.on_pool("list", &ObjectName::from(prefix), |pool, prefix| Ok(blobs::list(pool, prefix)))
    }

    fn kv_get(&self, name: &ObjectName, prefix: &str) -> StoreFuture<KvMap> {
        let prefix = prefix.to_owned();
        self.on_pool("kv_get", name, move |pool, name| keyed::get(pool, name, &prefix))
    }

    fn kv_update(&self, name: &ObjectName, update: KvUpdate) -> StoreFuture<()> {
        self.on_pool("kv_update", name, move |pool, name| keyed::update(pool, name, &update))
    }

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
