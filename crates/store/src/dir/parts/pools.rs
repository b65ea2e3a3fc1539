//! A directory as a pool: the only one.
use crate::dir::{DIR_MAX_WRITE, DirStore, NO_OBJECT, refused};
use crate::{ObjectName, ObjectStore, PoolId, PoolUse, Pools, StoreErrorKind, StoreFuture, StoreLimits, StoreRoom};
use std::sync::Arc;

impl Pools for DirStore {
    fn limits(&self) -> StoreLimits {
        StoreLimits { append_alignment: 1, max_write: DIR_MAX_WRITE, atomic_appends: false, keyed_objects: true }
    }

    fn pool_id(&self) -> PoolId {
        PoolId(-1)
    }

    fn pool_name(&self) -> String {
        self.shared.root.path().display().to_string()
    }

    fn room(&self) -> Option<StoreRoom> {
        self.shared.root.room.known()
    }

    fn used(&self) -> StoreFuture<PoolUse> {
        self.read_side("used", &ObjectName::from(NO_OBJECT), |shared, _| shared.root.room.used())
    }

    fn open_pool(&self, pool: PoolId) -> StoreFuture<Arc<dyn ObjectStore>> {
        refused(StoreErrorKind::Unsupported, "open_pool", &format!("pool {}", pool.0))
    }

    fn list(&self, prefix: &str) -> StoreFuture<Vec<ObjectName>> {
        let prefix = prefix.to_owned();
        self.read_side("list", &ObjectName::from(NO_OBJECT), move |shared, _| {
            Ok(shared.root.list(&prefix)?.into_iter().map(ObjectName).collect())
        })
    }
}
