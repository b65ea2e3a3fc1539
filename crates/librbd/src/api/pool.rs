//! Preparing a pool, and its statistics.
use crate::ffi::caller::put;
use crate::ffi::ctypes::{rados_ioctx_t, rbd_pool_stats_t};
use crate::ffi::errno::{Errno, Outcome};
use crate::ffi::panic::guard;
use crate::handles::pool::Pool;
use crate::handles::slab::{Handled, Slab};
use crate::runtime::process::core;
use lsd_engine::PoolStats;
use std::collections::BTreeMap;
use std::ffi::c_int;
use std::sync::{Mutex, PoisonError};

/// The application name that librbd gives to pools; monitors warn about pools without one.
const APPLICATION: &str = "rbd";

/// Names the pool's application; EPERM if it is another's, unless forced. A pool needs nothing else.
pub unsafe extern "C" fn rbd_pool_init(io: rados_ioctx_t, force: bool) -> c_int {
    guard(|| {
        // SAFETY: the same contract.
        let pool = unsafe { Pool::adopt(io) }?;
        pool.enable_application(APPLICATION, force)?;
        Ok(0)
    })
}

/// How many statistics there are.
pub const STATS: usize = 8;

/// The statistics that a caller wants, and where to put each.
pub struct WantedStats(Mutex<BTreeMap<c_int, Place>>);

/// A caller's number.
struct Place(*mut u64);

// SAFETY: it is written only within rbd_pool_stats_get, by the thread that called it.
unsafe impl Send for Place {}

static STATISTICS: Slab<WantedStats> = Slab::new();

impl Handled for WantedStats {
    const TAG: u64 = 0xa;
    fn slab() -> &'static Slab<Self> {
        &STATISTICS
    }
}

pub unsafe extern "C" fn rbd_pool_stats_create(stats: *mut rbd_pool_stats_t) {
    guard(|| {
        if stats.is_null() {
            return Err(Errno::EINVAL);
        }
        let wanted = STATISTICS.insert(WantedStats(Mutex::default()))?;
        // SAFETY: a place by the contract of librbd.h.
        unsafe { put(stats, wanted.handle()) }.map(drop)
    });
}

pub unsafe extern "C" fn rbd_pool_stats_destroy(stats: rbd_pool_stats_t) {
    guard(|| STATISTICS.remove(stats).map(drop));
}

/// ENOENT for a statistic that there is not. The first place counts.
pub unsafe extern "C" fn rbd_pool_stats_option_add_uint64(
    stats: rbd_pool_stats_t,
    stat_option: c_int,
    stat_val: *mut u64,
) -> c_int {
    guard(|| {
        let wanted = STATISTICS.get(stats)?;
        if stat_val.is_null() {
            return Err(Errno::EINVAL);
        }
        if number(&PoolStats::default(), stat_option).is_none() {
            return Err(Errno::ENOENT);
        }
        let mut wanted = wanted.0.lock().unwrap_or_else(PoisonError::into_inner);
        wanted.entry(stat_option).or_insert(Place(stat_val));
        Ok(0)
    })
}

/// Gives what the caller wants of lsd's images and of `more`, which has as many numbers, by librbd.h's.
///
/// # Safety
/// The contract of rbd_pool_stats_get.
pub unsafe fn give_stats(io: rados_ioctx_t, stats: rbd_pool_stats_t, more: &[u64; STATS]) -> Outcome<c_int> {
    let wanted = STATISTICS.get(stats)?;
    // SAFETY: a live io context by the contract of librbd.h.
    let pool = unsafe { Pool::adopt(io) }?;
    let found = core()?.block_on(PoolStats::of(&pool.store))?;
    for (option, place) in &*wanted.0.lock().unwrap_or_else(PoisonError::into_inner) {
        let more = usize::try_from(*option).ok().and_then(|option| more.get(option)).copied().unwrap_or_default();
        let sum = number(&found, *option).unwrap_or_default().saturating_add(more);
        // SAFETY: the caller keeps the place until it destroys the handle, by the contract of librbd.h.
        unsafe { place.0.write(sum) };
    }
    Ok(0)
}

/// By librbd.h's `rbd_pool_stat_option_t`.
fn number(stats: &PoolStats, option: c_int) -> Option<u64> {
    Some(match option {
        0 => stats.images.images,
        1 => stats.images.provisioned_bytes,
        2 => stats.images.max_provisioned_bytes,
        3 => stats.images.snapshots,
        4 => stats.trash.images,
        5 => stats.trash.provisioned_bytes,
        6 => stats.trash.max_provisioned_bytes,
        7 => stats.trash.snapshots,
        _ => return None,
    })
}
