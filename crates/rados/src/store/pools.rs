//! The pool itself, and the others of the cluster.
use super::RadosStore;
use crate::ioctx::IoCtx;
use futures::FutureExt;
use lsd_store::{
    ObjectName, ObjectStore, PoolId, PoolUse, Pools, StoreError, StoreErrorKind, StoreFuture, StoreLimits,
};
use serde_json::Value;
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

    fn used(&self) -> StoreFuture<PoolUse> {
        let pool = self.pool_id();
        let told = self.blocking("df", |io| io.cluster().mon_command(r#"{"prefix": "df", "format": "json"}"#, b""));
        let strange = StoreError::new(StoreErrorKind::Io, "df", self.pool_name());
        Box::pin(async move { used_of(pool, &told.await?.0).ok_or(strange) })
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

/// What a cluster's answer says of a pool.
fn used_of(pool: PoolId, told: &[u8]) -> Option<PoolUse> {
    let told: Value = serde_json::from_slice(told).ok()?;
    let pool =
        told.get("pools")?.as_array()?.iter().find(|one| one.get("id").and_then(Value::as_i64) == Some(pool.0))?;
    let stats = pool.get("stats")?;
    let bytes = |name: &str| stats.get(name)?.as_u64();
    let total = bytes("max_avail")?.saturating_add(bytes("bytes_used")?);
    Some(PoolUse { share: stats.get("percent_used")?.as_f64()?, total })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_of_a_pool_is_found_in_the_answer() {
        let told = br#"{"stats":{"total_bytes":9},"pools":[
            {"name":"a","id":1,"stats":{"stored":0,"bytes_used":0,"percent_used":0,"max_avail":7}},
            {"name":"b","id":4,"stats":{"stored":1,"bytes_used":3,"percent_used":0.25,"max_avail":9}}]}"#;
        assert_eq!(used_of(PoolId(4), told), Some(PoolUse { share: 0.25, total: 12 }));
        assert_eq!(used_of(PoolId(1), told), Some(PoolUse { share: 0.0, total: 7 }));
        assert_eq!(used_of(PoolId(2), told), None);
        assert_eq!(used_of(PoolId(4), b"{}"), None);
    }
}
