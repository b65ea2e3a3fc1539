//! Preparing a pool, and its statistics.
use crate::ffi::caller::put;
use crate::ffi::ctypes::{rados_ioctx_t, rbd_pool_stats_t};
use crate::ffi::panic::guard;
use crate::handles::pool::Pool;
use std::ffi::c_int;

/// The application name that librbd gives to pools; monitors warn about pools without one.
const APPLICATION: &str = "rbd";

/// Names the pool's application; EPERM if it is another's, unless forced. A pool needs nothing else.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_pool_init(io: rados_ioctx_t, force: bool) -> c_int {
    guard(|| {
        // SAFETY: the same contract.
        let pool = unsafe { Pool::adopt(io) }?;
        pool.enable_application(APPLICATION, force)?;
        Ok(0)
    })
}

/// Pool statistics are not supported yet: the handle is null and rbd_pool_stats_get says so.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_pool_stats_create(stats: *mut rbd_pool_stats_t) {
    // SAFETY: null or a place by the contract of librbd.h.
    guard(|| unsafe { put(stats, std::ptr::null_mut()) }.map(drop));
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_pool_stats_destroy(_stats: rbd_pool_stats_t) {}
