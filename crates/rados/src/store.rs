//! lsd's object store on RADOS.
//!
//! Owns: how the store's promises are kept by RADOS operations: which guard, which attribute, which flag; a file for each part of
//! the trait. Does not own: the operations themselves (`IoCtx`), retries, what the bytes mean.
//!
//! Calls that librados only has in a blocking form (listing, watchers, blocklisting, opening a pool) run on the
//! blocking threads of the runtime that was given at creation.
use crate::completion::wait;
use crate::error::{RadosError, RadosResult};
use crate::ioctx::IoCtx;
use crate::watch::Watch;
use crate::write_op::{OpFlags, WriteOp};
use futures::FutureExt;
use lsd_store::{PoolId, StoreError, StoreErrorKind, StoreFuture, StoreLimits, WatchId};
use nix::libc;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::runtime::Handle;

mod blobs;
mod keyed;
mod logs;
mod pools;
mod presence;

/// Largest append or put, bytes, even where the cluster's `osd_max_write_size` would allow more.
const MAX_WRITE: u32 = 64 << 20;

/// One pool and namespace of a RADOS cluster as an object store.
pub struct RadosStore {
    io: IoCtx,
    runtime: Handle,
    limits: StoreLimits,
    pool_name: String,
    identity: (String, String),
    watches: Arc<Mutex<HashMap<WatchId, Watch>>>,
}

impl fmt::Debug for RadosStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RadosStore").field("io", &self.io).field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl RadosStore {
    /// A store in this pool and namespace. Watch handlers' answers and blocking calls run on `runtime`, which must
    /// outlive the store. Blocks for one round trip to an OSD, to learn what the pool can do.
    pub fn new(io: IoCtx, runtime: Handle) -> RadosResult<Self> {
        let alignment = io.append_alignment()?;
        let append_alignment = u32::try_from(alignment)
            .map_err(|_| RadosError::new(libc::EINVAL, "pool_required_alignment", alignment.to_string()))?;
        let limits = StoreLimits {
            append_alignment,
            max_write: max_write(&io),
            atomic_appends: true,
            keyed_objects: append_alignment == 1 && has_keyed_objects(&io),
        };
        let cluster = io.cluster();
        let identity = (format!("client.{}", cluster.instance_id()), cluster.address()?);
        let pool_name = io.pool_name()?;
        Ok(Self { io, runtime, limits, pool_name, identity, watches: Arc::default() })
    }

    /// The pool and namespace it is in.
    pub fn ioctx(&self) -> &IoCtx {
        &self.io
    }

    fn watches(&self) -> MutexGuard<'_, HashMap<WatchId, Watch>> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a blocking call on the runtime's blocking threads, from now on.
    fn blocking<T: Send + 'static>(
        &self,
        operation: &'static str,
        call: impl FnOnce(&IoCtx) -> RadosResult<T> + Send + 'static,
    ) -> StoreFuture<T> {
        let io = self.io.clone();
        let task = self.runtime.spawn_blocking(move || call(&io));
        Box::pin(async move {
            match task.await {
                Ok(result) => Ok(result?),
                Err(failure) => {
                    Err(StoreError::new(StoreErrorKind::Io, operation, "").with_detail(failure.to_string()))
                }
            }
        })
    }
}

/// Largest single write in this cluster, bytes.
fn max_write(io: &IoCtx) -> u32 {
    let mebibytes = io.cluster().conf_get("osd_max_write_size").and_then(|text| text.parse::<u32>().ok());
    mebibytes
        .and_then(|size| size.checked_mul(1 << 20))
        .filter(|size| *size > 0)
        .map_or(MAX_WRITE, |size| size.min(MAX_WRITE))
}

/// Whether the pool has keys at all: an erasure-coded one with overwrites has none, though appends to it need no
/// alignment. A removal of a key says so before it looks for the object. A client that may not write is not told, and
/// need not know. A pool never changes its kind, so each is asked once.
fn has_keyed_objects(io: &IoCtx) -> bool {
    /// Nobody creates an object of this name.
    const PROBE: &str = "lsd_probe";
    static KNOWN: Mutex<BTreeMap<(String, PoolId), bool>> = Mutex::new(BTreeMap::new());

    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let pool = io.cluster().fsid().map(|cluster| (cluster, io.pool_id())).ok();
    if let Some(keyed) = pool.as_ref().and_then(|pool| known().get(pool).copied()) {
        return keyed;
    }
    let op = WriteOp::new().remove_omap([&b"none"[..]]);
    let answer = wait(io.write(PROBE, op, OpFlags::FULL_TRY, "probe"));
    let keyed = !matches!(&answer, Err(error) if error.errno == libc::EOPNOTSUPP);
    let sure = !keyed || matches!(&answer, Err(error) if error.errno == libc::ENOENT);
    if let Some(pool) = pool.filter(|_| sure) {
        known().insert(pool, keyed);
    }
    keyed
}

/// A boxed store operation.
fn boxed<T: Send + 'static>(work: impl Future<Output = RadosResult<T>> + Send + 'static) -> StoreFuture<T> {
    work.map(|result| result.map_err(StoreError::from)).boxed()
}
