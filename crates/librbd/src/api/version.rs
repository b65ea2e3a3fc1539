//! The library's version, as librbd counts it.
use crate::ffi::caller::put;
use crate::ffi::panic::guard;
use std::ffi::c_int;

/// The version of librbd whose functions are all exported here (Ceph 20.2). Clients compare it with what they need.
const VERSION: (c_int, c_int, c_int) = (1, 20, 0);

/// Null places are left out.
pub unsafe extern "C" fn rbd_version(major: *mut c_int, minor: *mut c_int, extra: *mut c_int) {
    for (place, number) in [(major, VERSION.0), (minor, VERSION.1), (extra, VERSION.2)] {
        // SAFETY: null or a place by the contract of librbd.h.
        guard(|| unsafe { put(place, number) }.map(drop));
    }
}
