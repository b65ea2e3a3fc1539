//! One client of a memory cluster: its identity, and how its operations reach the cluster.
//!
//! Owns: its place behind a blocklist or a hold. Does not own: what the operations do (the file of each part of the trait).
use super::MemoryCluster;
use super::state::{Pool, State};
use crate::{ObjectName, PoolId, StoreError, StoreErrorKind, StoreFuture};
use futures::FutureExt;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;

type Held = Box<dyn FnOnce() + Send>;

/// One client of a [`MemoryCluster`], looking at one pool.
#[derive(Clone)]
pub struct MemoryStore {
    pub(super) cluster: MemoryCluster,
    pub(super) client: u64,
    pub(super) pool: PoolId,
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

    /// The same client's view of another pool.
    pub(super) fn in_pool(&self, pool: PoolId) -> Self {
        Self { pool, ..self.clone() }
    }

    pub(super) fn number(&self) -> u64 {
        self.client
    }

    pub(super) fn addr(&self) -> String {
        format!("127.0.0.1:0/{}", self.client)
    }

    pub(super) fn name(&self) -> String {
        format!("client.{}", self.client)
    }

    /// Runs `operation` now, or when the client is released.
    pub(super) fn run<T: Send + 'static>(
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
    pub(super) fn on_pool<T: Send + 'static>(
        &self,
        what: &'static str,
        name: &ObjectName,
        operation: impl FnOnce(&mut Pool, &str) -> Result<T, StoreErrorKind> + Send + 'static,
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
