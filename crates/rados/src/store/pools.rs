//! The trait's methods.
use super::*;
use crate::lock::{LockDuration, LockSpec};

impl ObjectStore for RadosStore {
    fn limits(&self) -> StoreLimits {
        self.limits
    }

    fn pool_id(&self) -> PoolId {
        self.io.pool_id()
    }

    fn pool_name(&self) -> String {
        self.pool_name.clone()
    }

    fn open_pool(&self, pool: PoolId) -> StoreFuture<Arc<dyn ObjectStore>> {
        let runtime = self.runtime.clone();
        let opened = self.blocking("open_pool", move |io| {
            let there = IoCtx::open_id(io.cluster(), pool)?.with_namespace(io.namespace())?;
            RadosStore::new(there, runtime)
        });
        opened.map(|store| store.map(|store| Arc::new(store) as Arc<dyn ObjectStore>)).boxed()
    }

    fn append(&self, name: &ObjectName, append: Append) -> StoreFuture<()> {
        logs::append(&self.io, &self.limits, &name.0, &append)
    }

    fn log_tail(&self, name: &ObjectName) -> StoreFuture<LogTail> {
        logs::log_tail(&self.io, &name.0)
    }

    fn fence(&self, name: &ObjectName, epoch: u64) -> StoreFuture<LogTail> {
        logs::fence(&self.io, &name.0, epoch)
    }

    fn read(&self, name: &ObjectName, offset: u64, len: u64) -> StoreFuture<Bytes> {
        blobs::read(&self.io, &name.0, offset, len)
    }

    fn read_many(&self, name: &ObjectName, ranges: &[(u64, u64)]) -> StoreFuture<Vec<Bytes>> {
        blobs::read_many(&self.io, &name.0, ranges)
    }

    fn put(&self, name: &ObjectName, data: Bytes) -> StoreFuture<()> {
        blobs::put(&self.io, &self.limits, &name.0, &data)
    }

    fn stat(&self, name: &ObjectName) -> StoreFuture<u64> {
        blobs::stat(&self.io, &name.0)
    }

    fn remove(&self, name: &ObjectName) -> StoreFuture<()> {
        blobs::remove(&self.io, &name.0)
    }

    fn list(&self, prefix: &str) -> StoreFuture<Vec<ObjectName>> {
        let prefix = prefix.to_owned();
        self.blocking("list", move |io| {
            let mut names: Vec<ObjectName> = io.list_objects(&prefix)?.into_iter().map(ObjectName).collect();
            names.sort_unstable();
            // A placement group that splits during the walk may be seen twice.
            names.dedup();
            Ok(names)
        })
    }

    fn kv_get(&self, name: &ObjectName, prefix: &str) -> StoreFuture<KvMap> {
        keyed::kv_get(&self.io, &name.0, prefix)
    }

    fn kv_update(&self, name: &ObjectName, update: KvUpdate) -> StoreFuture<()> {
        keyed::kv_update(&self.io, &name.0, &update)
    }

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
