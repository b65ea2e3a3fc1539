//! The pools of a memory cluster.
use super::MemoryCluster;
use super::client::MemoryStore;
use super::state::Pool;
use crate::{ObjectName, ObjectStore, PoolId, PoolUse, Pools, StoreErrorKind, StoreFuture, StoreLimits};
use std::sync::Arc;

impl Pools for MemoryStore {
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
        let view = self.in_pool(pool);
        self.run("open_pool", &format!("pool {}", pool.0), move |state| {
            state.pool(pool)?;
            Ok(Arc::new(view) as Arc<dyn ObjectStore>)
        })
    }

    fn used(&self) -> StoreFuture<PoolUse> {
        self.on_pool("used", &ObjectName::from(""), |pool, _| match pool.capacity {
            Some(total) => Ok(PoolUse { share: pool.stored_bytes as f64 / total as f64, total }),
            None => Err(StoreErrorKind::Unsupported),
        })
    }

    fn list(&self, prefix: &str) -> StoreFuture<Vec<ObjectName>> {
        self.on_pool("list", &ObjectName::from(prefix), |pool, prefix| Ok(list(pool, prefix)))
    }
}

fn list(pool: &Pool, prefix: &str) -> Vec<ObjectName> {
    let from = pool.objects.range(prefix.to_owned()..);
    from.take_while(|(name, _)| name.starts_with(prefix)).map(|(name, _)| ObjectName(name.clone())).collect()
}
