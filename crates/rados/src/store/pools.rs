//! The pool itself, and the others of the cluster.
use super::RadosStore;
use crate::ioctx::IoCtx;
use futures::FutureExt;
use lsd_store::{ObjectName, ObjectStore, PoolId, Pools, StoreFuture, StoreLimits};
use std::sync::Arc;

impl Pools for RadosStore {
    fn limits(&self) -> StoreLimits {
        self.limits
    }

    fn pool_id(&self) -> PoolId {
        self.io.pool_id()
    }

    fn pool_name(&self) -> String {
        self.pool_name.clone()
    }

    fn namespace(&self) -> String {
        self.io.namespace().to_owned()
    }

    fn open_pool(&self, pool: PoolId) -> StoreFuture<Arc<dyn ObjectStore>> {
        self.open_namespace(pool, self.io.namespace())
    }

    fn open_namespace(&self, pool: PoolId, namespace: &str) -> StoreFuture<Arc<dyn ObjectStore>> {
        let (runtime, namespace) = (self.runtime.clone(), namespace.to_owned());
        let opened = self.blocking("open_pool", move |io| {
            let there = IoCtx::open_id(io.cluster(), pool)?.with_namespace(&namespace)?;
            RadosStore::new(there, runtime)
        });
        opened.map(|store| store.map(|store| Arc::new(store) as Arc<dyn ObjectStore>)).boxed()
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
}
