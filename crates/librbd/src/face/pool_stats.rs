//! Statistics of a pool: the sum of both kinds of images.
use crate::api::pool;
use crate::face::names::{DIRECTORY_OBJECT, stock_lists};
use crate::ffi::ctypes::{rados_ioctx_t, rbd_pool_stats_t};
use crate::ffi::errno::{Errno, Outcome};
use crate::ffi::panic::guard;
use crate::handles::pool::Pool;
use crate::stock::functions;
use std::ffi::c_int;
use std::ptr;

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_pool_stats_get(io: rados_ioctx_t, stats: rbd_pool_stats_t) -> c_int {
    guard(|| {
        // SAFETY: the contract of librbd.h.
        let pool = unsafe { Pool::adopt(io) }?;
        let both = stock_lists(&pool, DIRECTORY_OBJECT)?;
        drop(pool);
        // SAFETY: the same contract.
        let more = if both { unsafe { of_stock(io) }? } else { [0; pool::STATS] };
        // SAFETY: the same contract.
        unsafe { pool::give_stats(io, stats, &more) }
    })
}

/// What the stock library counts, by its numbers.
///
/// # Safety
/// A live io context.
unsafe fn of_stock(io: rados_ioctx_t) -> Outcome<[u64; pool::STATS]> {
    let (mut stats, mut counted) = (ptr::null_mut(), [0; pool::STATS]);
    // SAFETY: a place for the handle.
    unsafe { functions::rbd_pool_stats_create(&mut stats) };
    if stats.is_null() {
        return Err(Errno::EOPNOTSUPP);
    }
    for (option, place) in counted.iter_mut().enumerate() {
        // SAFETY: a live handle, and a place that outlives it.
        unsafe { functions::rbd_pool_stats_option_add_uint64(stats, option as c_int, place) };
    }
    // SAFETY: the contract, a live handle.
    let code = unsafe { functions::rbd_pool_stats_get(io, stats) };
    // SAFETY: made above, and given back once.
    unsafe { functions::rbd_pool_stats_destroy(stats) };
    if code < 0 { Err(Errno(-code)) } else { Ok(counted) }
}
