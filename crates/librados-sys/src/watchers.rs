//! Who watches an object: what `cpp/watchers.cc` exports.
use crate::rados_ioctx_t;
use core::ffi::{c_char, c_int};

#[repr(C)]
pub struct lsd_watchers {
    _private: [u8; 0],
}

unsafe extern "C" {
    pub fn lsd_watchers_new() -> *mut lsd_watchers;
    pub fn lsd_watchers_free(watchers: *mut lsd_watchers);
    /// Blocks. 0 or a negative errno.
    pub fn lsd_watchers_read(watchers: *mut lsd_watchers, io: rados_ioctx_t, object: *const c_char) -> c_int;
    /// False: there are no more. `addr` gets text of at most `size` bytes with the zero at its end.
    pub fn lsd_watchers_take(
        watchers: *mut lsd_watchers,
        addr: *mut c_char,
        size: usize,
        client: *mut u64,
        cookie: *mut u64,
    ) -> bool;
}
