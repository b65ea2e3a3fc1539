//! The pool that a store is in, and the store as a whole: another pool of the cluster is a store again.
use crate::{Blobs, Keyed, Logs, ObjectName, Presence, StoreError, StoreErrorKind, StoreFuture};
use std::fmt;
use std::sync::Arc;

/// An object store: one pool (and namespace) of RADOS, a directory, or memory.
///
/// Whatever has all parts is one. What holds in every part (success, order, units, errors and their source) is said in
/// `parts/mod.rs`.
pub trait ObjectStore: Blobs + Logs + Keyed + Presence + Pools {}

impl<T: Blobs + Logs + Keyed + Presence + Pools> ObjectStore for T {}

/// The pool: what it can do, how much room it has, what is in it, and which others there are.
///
/// An implementor holds:
/// - What needs no future answers at once, from memory: nobody is asked over the network.
/// - Limits, number and name are the same as long as the store is open.
/// - A list has every object that was there before the call and is still there after it, once; of what comes or goes
///   meanwhile nothing is promised.
pub trait Pools: Send + Sync + fmt::Debug + 'static {
    /// What a caller must respect here.
    fn limits(&self) -> StoreLimits;

    /// This pool's number.
    fn pool_id(&self) -> PoolId;

    /// This pool's name, for messages; a directory's path.
    fn pool_name(&self) -> String;

    /// What room there is, bytes, as far as the store knows without asking anybody; `None` if it does not know. Others may take it
    /// first. Cheap enough to be asked for every write.
    fn room(&self) -> Option<StoreRoom> {
        None
    }

    /// The namespace of the pool that this is; empty: the default one.
    fn namespace(&self) -> String {
        String::new()
    }

    /// Another pool of the same cluster, in the same namespace, for the same client. `NotFound`, or `Unsupported` where there are no
    /// pools.
    fn open_pool(&self, pool: PoolId) -> StoreFuture<Arc<dyn ObjectStore>>;

    /// The same in a namespace of its own. `Unsupported` where there are none.
    fn open_namespace(&self, pool: PoolId, namespace: &str) -> StoreFuture<Arc<dyn ObjectStore>> {
        if namespace == self.namespace() {
            return self.open_pool(pool);
        }
        let error = StoreError::new(StoreErrorKind::Unsupported, "open_pool", format!("namespace {namespace}"));
        Box::pin(async move { Err(error) })
    }

    /// How much of the pool is used, as the cluster counts it: what it says may be some seconds old. `Unsupported` where nobody counts.
    fn used(&self) -> StoreFuture<PoolUse> {
        let error = StoreError::new(StoreErrorKind::Unsupported, "used", self.pool_name());
        Box::pin(async move { Err(error) })
    }

    /// Every object whose name starts with `prefix`, of all kinds, sorted by the bytes of the names. Costs a walk over the whole pool.
    fn list(&self, prefix: &str) -> StoreFuture<Vec<ObjectName>>;
}

/// A pool by its immutable number; -1 where the store has no pools.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PoolId(pub i64);

/// What a caller must respect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreLimits {
    /// Appends to log objects come in multiples of this many bytes (EC pools: the stripe width; else 1).
    pub append_alignment: u32,
    /// Largest single append or put, bytes.
    pub max_write: u32,
    /// True if an append is all there or not at all, even after a power cut. Where it is false, the last append
    /// of an open log object may be torn, and only its checksum tells.
    pub atomic_appends: bool,
    /// True if the pool has keyed objects (omap): an erasure-coded pool has none and can hold data only.
    pub keyed_objects: bool,
}

/// How much of a pool is used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PoolUse {
    /// 0 to 1.
    pub share: f64,
    /// Bytes that are used and that could be.
    pub total: u64,
}

/// The room in a store that knows how much it has, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreRoom {
    /// For ordinary appends.
    pub ordinary: u64,
    /// For all urgent operations together. One of them may take half of it at most.
    pub urgent: u64,
    /// What ordinary appends leave for urgent operations.
    pub reserve: u64,
}
