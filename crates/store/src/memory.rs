//! The memory store: a cluster inside one process, for tests and for simulation.
//!
//! Owns: pools of objects in memory, clients with an identity of their own, so that locks, watches, fencing and
//! blocklisting between clients behave as on RADOS. Does not own: durability (there is none), time (only the length of
//! a blocklist entry and of a notification are measured, both by tokio's clock), randomness.
//!
//! Every operation takes effect inside the call and its future is ready at once, so a run is deterministic. A client
//! that is [held](MemoryStore::hold) keeps its operations back instead, which is how a test makes the packets of a
//! dead owner arrive late.
mod blobs;
mod client;
mod keyed;
mod logs;
mod pools;
mod presence;
mod state;
mod watches;

pub use client::MemoryStore;
pub use state::MemoryReads;

use crate::{PoolId, StoreLimits};
use state::State;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// Largest append or put of a memory pool, bytes; what is larger fails `Invalid`.
pub const MEMORY_MAX_WRITE: u32 = 64 << 20;

/// The pool that [`MemoryCluster::new`] starts with.
pub const MEMORY_POOL: PoolId = PoolId(1);

/// A cluster in memory. Clones are the same cluster.
#[derive(Clone)]
pub struct MemoryCluster {
    state: Arc<Mutex<State>>,
}

impl Default for MemoryCluster {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryCluster {
    /// A cluster with one pool `memory` ([`MEMORY_POOL`]): alignment 1, atomic appends, keyed objects.
    pub fn new() -> Self {
        let cluster = Self { state: Arc::new(Mutex::new(State::default())) };
        cluster.add_pool("memory", Self::replicated());
        cluster
    }

    /// The limits of a replicated pool.
    pub fn replicated() -> StoreLimits {
        StoreLimits { append_alignment: 1, max_write: MEMORY_MAX_WRITE, atomic_appends: true, keyed_objects: true }
    }

    /// The limits of an erasure-coded pool without overwrites: appends come in multiples of `alignment` bytes (not 0)
    /// and there are no keyed objects.
    pub fn erasure_coded(alignment: u32) -> StoreLimits {
        StoreLimits { append_alignment: alignment.max(1), keyed_objects: false, ..Self::replicated() }
    }

    /// Adds a pool; its number is one more than the last one's.
    pub fn add_pool(&self, name: &str, limits: StoreLimits) -> PoolId {
        self.lock().add_pool(name, limits)
    }

    /// A new client of the first pool.
    pub fn client(&self) -> MemoryStore {
        let number = self.lock().add_client();
        MemoryStore::new(self.clone(), number, MEMORY_POOL)
    }

    /// Fills a pool up (every operation that needs space fails `Full`) or empties it again.
    pub fn set_full(&self, pool: PoolId, full: bool) {
        if let Some(pool) = self.lock().pools.get_mut(&pool) {
            pool.full = full;
        }
    }

    /// From now on the pool says how much of so many bytes is used.
    pub fn set_capacity(&self, pool: PoolId, bytes: u64) {
        if let Some(pool) = self.lock().pools.get_mut(&pool) {
            pool.capacity = Some(bytes);
        }
    }

    /// What was read of a pool so far.
    pub fn reads(&self, pool: PoolId) -> MemoryReads {
        self.lock().pools.get(&pool).map(|pool| pool.reads).unwrap_or_default()
    }

    /// Data bytes of all objects of a pool.
    pub fn stored_bytes(&self, pool: PoolId) -> u64 {
        self.lock().pools.get(&pool).map_or(0, |pool| pool.stored_bytes)
    }

    /// The most data bytes that a pool held at any moment since this was last asked.
    pub fn take_peak_bytes(&self, pool: PoolId) -> u64 {
        let mut state = self.lock();
        let Some(pool) = state.pools.get_mut(&pool) else { return 0 };
        std::mem::replace(&mut pool.peak_bytes, pool.stored_bytes)
    }

    /// Data bytes that were appended and put to a pool so far.
    pub fn written_bytes(&self, pool: PoolId) -> u64 {
        self.lock().pools.get(&pool).map_or(0, |pool| pool.written_bytes)
    }

    /// From now on no client may blocklist another (`Permission`), as without the capability.
    pub fn forbid_blocklist(&self) {
        self.lock().blocklist_forbidden = true;
    }

    /// Forgets a client's watches without telling it: to the others it looks dead, while it may go on.
    pub fn expire(&self, client: &MemoryStore) {
        let number = client.number();
        drop(self.lock().take_watches(|watcher| watcher.client == number));
    }

    /// Writes over the bytes of an object as a failing disk would, past every guard. False if there is no such range.
    pub fn corrupt(&self, pool: PoolId, name: &str, offset: usize, bytes: &[u8]) -> bool {
        let mut state = self.lock();
        let object = state.pools.get_mut(&pool).and_then(|pool| pool.objects.get_mut(name));
        let range = object.and_then(|object| object.data.get_mut(offset..offset.checked_add(bytes.len())?));
        range.map(|range| range.copy_from_slice(bytes)).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic in a test that holds the state leaves every single change complete, so the state stays usable.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now() -> Instant {
        Instant::now()
    }
}

impl std::fmt::Debug for MemoryCluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryCluster").finish_non_exhaustive()
    }
}
