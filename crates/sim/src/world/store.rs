//! The store as one client of the simulation sees it: every operation goes through the network.
use crate::world::net::Net;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use lsd_core::format::batch::{BATCH_MAGIC, BATCH_SHARE_VERSION};
use lsd_core::format::checkpoint::PAGE_HEADER_BYTES;
use lsd_core::map::PATCH_MAGIC;
use lsd_store::{
    Append, Blobs, Keyed, KvMap, KvUpdate, LockRequest, LockState, Locker, LogTail, Logs, MemoryStore, NotifyReply,
    ObjectName, ObjectStore, PoolId, Pools, Presence, StoreError, StoreFuture, StoreLimits, WatchHandler, WatchId,
    Watcher,
};
use std::sync::Arc;
use std::time::Duration;

/// Longest time until a blocklist entry is known everywhere, milliseconds.
const BLOCKLIST_LAG_MS: u64 = 30_000;

pub struct SimStore {
    net: Arc<Net>,
    client: usize,
    /// The client's view of one pool: the truth.
    truth: Arc<dyn ObjectStore>,
    /// A blocklist entry takes a while until it is known everywhere.
    blocklist_lags: bool,
}

impl SimStore {
    /// A pool of the cluster as `client` of the run sees it.
    pub async fn open(
        net: &Arc<Net>,
        client: usize,
        memory: &MemoryStore,
        pool: PoolId,
        blocklist_lags: bool,
    ) -> Arc<dyn ObjectStore> {
        let truth = memory.open_pool(pool).await.expect("the run made this pool itself");
        Self::of(net.clone(), client, truth, blocklist_lags)
    }

    fn of(net: Arc<Net>, client: usize, truth: Arc<dyn ObjectStore>, blocklist_lags: bool) -> Arc<dyn ObjectStore> {
        Arc::new(Self { net, client, truth, blocklist_lags })
    }

    fn run<T: Send + 'static>(
        &self,
        what: &'static str,
        object: &str,
        operation: impl FnOnce(&Arc<dyn ObjectStore>) -> StoreFuture<T> + Send + 'static,
    ) -> StoreFuture<T> {
        let truth = self.truth.clone();
        self.net.submit(self.client, what, object, move || operation(&truth), None)
    }
}

impl std::fmt::Debug for SimStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SimStore(client {})", self.client)
    }
}

impl Pools for SimStore {
    fn limits(&self) -> StoreLimits {
        self.truth.limits()
    }

    fn pool_id(&self) -> PoolId {
        self.truth.pool_id()
    }

    fn pool_name(&self) -> String {
        self.truth.pool_name()
    }

    fn open_pool(&self, pool: PoolId) -> StoreFuture<Arc<dyn ObjectStore>> {
        let (net, client, lags) = (self.net.clone(), self.client, self.blocklist_lags);
        let opening = self.run("open_pool", &format!("pool {}", pool.0), move |truth| truth.open_pool(pool));
        async move { Ok(SimStore::of(net, client, opening.await?, lags)) }.boxed()
    }

    fn list(&self, prefix: &str) -> StoreFuture<Vec<ObjectName>> {
        let from = prefix.to_owned();
        self.run("list", prefix, move |truth| truth.list(&from))
    }
}

impl Blobs for SimStore {
    fn read(&self, name: &ObjectName, offset: u64, len: u64) -> StoreFuture<Bytes> {
        let object = name.clone();
        self.run("read", &name.0, move |truth| truth.read(&object, offset, len))
    }

    fn put(&self, name: &ObjectName, data: Bytes) -> StoreFuture<()> {
        let object = name.clone();
        if data.get(PAGE_HEADER_BYTES..).is_some_and(|payload| payload.starts_with(&PATCH_MAGIC.to_le_bytes())) {
            self.net.count(|coverage| coverage.patch_pages += 1);
        }
        self.run("put", &name.0, move |truth| truth.put(&object, data))
    }

    fn stat(&self, name: &ObjectName) -> StoreFuture<u64> {
        let object = name.clone();
        self.run("stat", &name.0, move |truth| truth.stat(&object))
    }

    fn remove(&self, name: &ObjectName) -> StoreFuture<()> {
        let object = name.clone();
        self.run("remove", &name.0, move |truth| truth.remove(&object))
    }
}

impl Logs for SimStore {
    fn append(&self, name: &ObjectName, append: Append) -> StoreFuture<()> {
        if append.data.first().is_some_and(|head| is_share(head)) {
            self.net.count(|coverage| coverage.shares += 1);
        }
        let torn = (!self.limits().atomic_appends).then(|| {
            let (truth, name, part) = (self.truth.clone(), name.clone(), torn(&append, self.net.lot(append.len() + 1)));
            // Nobody is told what becomes of it.
            Box::new(move || drop(truth.append(&name, part))) as Box<dyn FnOnce() + Send>
        });
        let (truth, object) = (self.truth.clone(), name.clone());
        self.net.submit(self.client, "append", &name.0, move || truth.append(&object, append), torn)
    }

    fn log_tail(&self, name: &ObjectName) -> StoreFuture<LogTail> {
        let object = name.clone();
        self.run("log_tail", &name.0, move |truth| truth.log_tail(&object))
    }

    fn fence(&self, name: &ObjectName, epoch: u64) -> StoreFuture<LogTail> {
        let object = name.clone();
        self.run("fence", &name.0, move |truth| truth.fence(&object, epoch))
    }
}

impl Keyed for SimStore {
    fn kv_get(&self, name: &ObjectName, prefix: &str) -> StoreFuture<KvMap> {
        let (object, prefix) = (name.clone(), prefix.to_owned());
        self.run("kv_get", &name.0, move |truth| truth.kv_get(&object, &prefix))
    }

    fn kv_update(&self, name: &ObjectName, update: KvUpdate) -> StoreFuture<()> {
        let (object, net) = (name.clone(), self.net.clone());
        if update.set.iter().any(|(key, _)| key == "log") {
            net.count(|coverage| coverage.checkpoints += 1);
        }
        self.run("kv_update", &name.0, move |truth| truth.kv_update(&object, update))
    }
}

impl Presence for SimStore {
    fn lock(&self, name: &ObjectName, request: LockRequest) -> StoreFuture<()> {
        let object = name.clone();
        self.run("lock", &name.0, move |truth| truth.lock(&object, request))
    }

    fn unlock(&self, name: &ObjectName, lock: &str, cookie: &str) -> StoreFuture<()> {
        let (object, lock, cookie) = (name.clone(), lock.to_owned(), cookie.to_owned());
        self.run("unlock", &name.0, move |truth| truth.unlock(&object, &lock, &cookie))
    }

    fn lock_state(&self, name: &ObjectName, lock: &str) -> StoreFuture<LockState> {
        let (object, lock) = (name.clone(), lock.to_owned());
        self.run("lock_state", &name.0, move |truth| truth.lock_state(&object, &lock))
    }

    fn break_lock(&self, name: &ObjectName, lock: &str, holder: &Locker) -> StoreFuture<()> {
        let (object, lock, holder) = (name.clone(), lock.to_owned(), holder.clone());
        self.run("break_lock", &name.0, move |truth| truth.break_lock(&object, &lock, &holder))
    }

    fn watch(&self, name: &ObjectName, timeout: Duration, handler: Arc<dyn WatchHandler>) -> StoreFuture<WatchId> {
        self.net.add_handler(self.client, handler.clone());
        let heard = Arc::new(Heard { net: self.net.clone(), client: self.client, handler });
        let object = name.clone();
        self.run("watch", &name.0, move |truth| truth.watch(&object, timeout, heard))
    }

    fn unwatch(&self, watch: WatchId) -> StoreFuture<()> {
        self.run("unwatch", "watch", move |truth| truth.unwatch(watch))
    }

    fn notify(&self, name: &ObjectName, payload: Bytes, timeout: Duration) -> StoreFuture<NotifyReply> {
        let object = name.clone();
        self.run("notify", &name.0, move |truth| truth.notify(&object, payload, timeout))
    }

    fn watchers(&self, name: &ObjectName) -> StoreFuture<Vec<Watcher>> {
        let object = name.clone();
        self.run("watchers", &name.0, move |truth| truth.watchers(&object))
    }

    fn identity(&self) -> (String, String) {
        self.truth.identity()
    }

    fn blocklist(&self, addr: &str, duration: Duration) -> StoreFuture<()> {
        let (net, blocked, lags) = (self.net.clone(), addr.to_owned(), self.blocklist_lags);
        self.run("blocklist", addr, move |truth| {
            if !lags {
                return truth.blocklist(&blocked, duration);
            }
            let truth = truth.clone();
            net.later(net.lot(BLOCKLIST_LAG_MS), move |_| drop(truth.blocklist(&blocked, duration)));
            std::future::ready(Ok(())).boxed()
        })
    }
}

/// A batch of the version that says so.
fn is_share(head: &[u8]) -> bool {
    head.starts_with(&BATCH_MAGIC.to_le_bytes()) && head[4..].starts_with(&BATCH_SHARE_VERSION.to_le_bytes())
}

/// The first `len` bytes of an append: what a power cut may leave of it.
fn torn(append: &Append, len: u64) -> Append {
    let mut left = len as usize;
    let mut data = Vec::new();
    for piece in &append.data {
        let part = piece.slice(..piece.len().min(left));
        left -= part.len();
        data.push(part);
    }
    Append { data, summary_len: 0, ..append.clone() }
}

/// A watch's handler, deaf while its client is.
struct Heard {
    net: Arc<Net>,
    client: usize,
    handler: Arc<dyn WatchHandler>,
}

impl WatchHandler for Heard {
    fn notified(&self, notifier: u64, payload: Bytes) -> BoxFuture<'static, Bytes> {
        if self.net.is_deaf(self.client) {
            return std::future::pending().boxed();
        }
        self.handler.notified(notifier, payload)
    }

    fn lost(&self, error: StoreError) {
        if !self.net.is_deaf(self.client) {
            self.handler.lost(error);
        }
    }
}
