//! A pool and namespace: opening, adopting, and operations on single objects.
//!
//! Owns: the `rados_ioctx_t`, always one that was created here, so that no other code changes its state. Does not
//! own: compound operations (`WriteOp`, `ReadOp`), locks, watches.
use crate::cluster::Cluster;
use crate::error::{RadosError, RadosResult, c_string, check};
use crate::text::grown_text;
use lsd_librados_sys as sys;
use lsd_store::PoolId;
use nix::libc;
use std::ffi::CString;
use std::fmt;
use std::ptr;
use std::sync::Arc;

mod objects;

pub use objects::ObjectStat;

/// A pool and namespace. Clones share it. In a full pool its operations fail with ENOSPC or EDQUOT, unless they free
/// space or need none; they never wait for space.
#[derive(Clone)]
pub struct IoCtx {
    handle: Arc<IoHandle>,
}

/// Size and use of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolStat {
    /// Bytes as written by clients, before replication.
    pub bytes: u64,
    pub objects: u64,
}

pub(crate) struct IoHandle {
    raw: sys::rados_ioctx_t,
    pool: PoolId,
    namespace: String,
    /// Last, so that it is dropped last.
    cluster: Cluster,
}

// SAFETY: librados locks inside, and the state without locks (namespace, locator, snapshot) is set before sharing.
unsafe impl Send for IoHandle {}
// SAFETY: as above.
unsafe impl Sync for IoHandle {}

impl Drop for IoHandle {
    fn drop(&mut self) {
        // SAFETY: created here; every operation in flight holds an `IoHandle`, so none is left.
        unsafe { sys::rados_ioctx_destroy(self.raw) }
    }
}

impl fmt::Debug for IoCtx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IoCtx").field("pool", &self.handle.pool).field("namespace", &self.handle.namespace).finish()
    }
}

impl IoCtx {
    /// Opens a pool by name, in the default namespace. ENOENT. Blocks.
    pub fn open(cluster: &Cluster, pool: &str) -> RadosResult<Self> {
        let name = c_string(pool, "open_pool")?;
        let mut raw = ptr::null_mut();
        // SAFETY: a connected handle, a C string, a place for the result.
        check(unsafe { sys::rados_ioctx_create(cluster.raw(), name.as_ptr(), &mut raw) }, "open_pool", pool)?;
        // SAFETY: just created.
        let id = unsafe { sys::rados_ioctx_get_id(raw) };
        Ok(Self::from_handle(raw, PoolId(id), String::new(), cluster.clone()))
    }

    /// Opens a pool by number, in the default namespace. ENOENT. Blocks.
    pub fn open_id(cluster: &Cluster, pool: PoolId) -> RadosResult<Self> {
        let mut raw = ptr::null_mut();
        // SAFETY: a connected handle and a place for the result.
        let code = unsafe { sys::rados_ioctx_create2(cluster.raw(), pool.0, &mut raw) };
        check(code, "open_pool", &format!("pool {}", pool.0))?;
        Ok(Self::from_handle(raw, pool, String::new(), cluster.clone()))
    }

    /// A context of its own for the pool and namespace of a caller's one. It keeps working when the caller destroys
    /// its context. Locator key, read snapshot and snapshot context are not taken over. Blocks.
    ///
    /// # Safety
    /// `raw` is a live `rados_ioctx_t` of this process' librados during the call, and the `rados_t` it belongs to
    /// stays connected until this value, its clones and everything opened from them are dropped and every operation
    /// started with them is complete.
    pub unsafe fn from_raw(raw: sys::rados_ioctx_t) -> RadosResult<Self> {
        // SAFETY: a live context, by the contract; its cluster outlives us, by the contract.
        let (cluster, pool) =
            unsafe { (Cluster::from_raw(sys::rados_ioctx_get_cluster(raw)), sys::rados_ioctx_get_id(raw)) };
        let get = |buffer: *mut _, len: usize| {
            let len = u32::try_from(len).unwrap_or(u32::MAX);
            // SAFETY: a live context and a buffer of at least that length.
            unsafe { sys::rados_ioctx_get_namespace(raw, buffer, len) }
        };
        let namespace = grown_text(&[libc::ERANGE], get, "get_namespace", "")?;
        Self::open_id(&cluster, PoolId(pool))?.with_namespace(&namespace)
    }

    /// The same pool in another namespace; empty: the default one.
    pub fn with_namespace(&self, namespace: &str) -> RadosResult<Self> {
        let text = c_string(namespace, "set_namespace")?;
        let mut raw = ptr::null_mut();
        let pool = self.handle.pool;
        // SAFETY: a connected handle and a place for the result.
        let code = unsafe { sys::rados_ioctx_create2(self.handle.cluster.raw(), pool.0, &mut raw) };
        check(code, "open_pool", &format!("pool {}", pool.0))?;
        // SAFETY: a context that nobody else has yet, and a C string that is copied.
        unsafe { sys::rados_ioctx_set_namespace(raw, text.as_ptr()) };
        Ok(Self::from_handle(raw, pool, namespace.to_owned(), self.handle.cluster.clone()))
    }

    fn from_handle(raw: sys::rados_ioctx_t, pool: PoolId, namespace: String, cluster: Cluster) -> Self {
        // For what has no flags of its own, a watch above all: an image in a full pool must open, to free space.
        // SAFETY: a context that nobody else has yet.
        unsafe { sys::rados_set_pool_full_try(raw) };
        Self { handle: Arc::new(IoHandle { raw, pool, namespace, cluster }) }
    }

    pub fn cluster(&self) -> &Cluster {
        &self.handle.cluster
    }

    pub fn pool_id(&self) -> PoolId {
        self.handle.pool
    }

    /// Empty for the default namespace.
    pub fn namespace(&self) -> &str {
        &self.handle.namespace
    }

    /// The pool's present name.
    pub fn pool_name(&self) -> RadosResult<String> {
        let get = |buffer: *mut _, len: usize| {
            let len = u32::try_from(len).unwrap_or(u32::MAX);
            // SAFETY: a live context and a buffer of at least that length.
            unsafe { sys::rados_ioctx_get_pool_name(self.raw(), buffer, len) }
        };
        grown_text(&[libc::ERANGE], get, "pool_name", &format!("pool {}", self.handle.pool.0))
    }

    /// Appends must come in multiples of this many bytes; 1 unless the pool is erasure-coded without overwrites.
    pub fn append_alignment(&self) -> RadosResult<u64> {
        let mut required = 0;
        // SAFETY: a live context and a place for the result.
        let code = unsafe { sys::rados_ioctx_pool_requires_alignment2(self.raw(), &mut required) };
        check(code, "pool_requires_alignment", "")?;
        let mut alignment = 1;
        if required != 0 {
            // SAFETY: a live context and a place for the result.
            let code = unsafe { sys::rados_ioctx_pool_required_alignment2(self.raw(), &mut alignment) };
            check(code, "pool_required_alignment", "")?;
        }
        Ok(alignment.max(1))
    }

    /// Use of the pool. Blocks.
    pub fn pool_stat(&self) -> RadosResult<PoolStat> {
        // SAFETY: a structure of integers, for which zero is a value.
        let mut raw: sys::rados_pool_stat_t = unsafe { std::mem::zeroed() };
        // SAFETY: a live context and a structure to fill.
        check(unsafe { sys::rados_ioctx_pool_stat(self.raw(), &mut raw) }, "pool_stat", "")?;
        Ok(PoolStat { bytes: raw.num_bytes, objects: raw.num_objects })
    }

    /// Names the application that uses the pool, as `ceph osd pool application enable`; EPERM if another one does,
    /// unless forced. Blocks.
    pub fn application_enable(&self, application: &str, force: bool) -> RadosResult<()> {
        let name = c_string(application, "application_enable")?;
        // SAFETY: a live context and a C string.
        let code = unsafe { sys::rados_application_enable(self.raw(), name.as_ptr(), i32::from(force)) };
        check(code, "application_enable", application).map(drop)
    }

    /// The applications that use the pool. Blocks.
    pub fn applications(&self) -> RadosResult<Vec<String>> {
        let mut buffer = vec![0u8; 512];
        loop {
            let mut len = buffer.len();
            // SAFETY: a live context and a buffer of `len` bytes; librados stores the length it needs.
            let code = unsafe { sys::rados_application_list(self.raw(), buffer.as_mut_ptr().cast(), &mut len) };
            if code == -libc::ERANGE && len > buffer.len() {
                buffer.resize(len, 0);
                continue;
            }
            check(code, "application_list", "")?;
            let names = buffer[..len.min(buffer.len())].split(|byte| *byte == 0).filter(|name| !name.is_empty());
            return Ok(names.map(|name| String::from_utf8_lossy(name).into_owned()).collect());
        }
    }

    pub(crate) fn raw(&self) -> sys::rados_ioctx_t {
        self.handle.raw
    }

    pub(crate) fn handle(&self) -> &Arc<IoHandle> {
        &self.handle
    }
}

/// An object's name for librados: EINVAL if it has a NUL inside or is empty.
pub(crate) fn object_name(name: &str, operation: &'static str) -> RadosResult<CString> {
    if name.is_empty() {
        return Err(RadosError::new(libc::EINVAL, operation, name));
    }
    c_string(name, operation)
}
