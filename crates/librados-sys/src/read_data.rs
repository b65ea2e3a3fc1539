//! Declarations of `cpp/read_data.cc`, which says what they do.
use crate::{rados_completion_t, rados_ioctx_t};
use core::ffi::{c_char, c_int};

#[repr(C)]
pub struct lsd_read_data {
    _private: [u8; 0],
}

unsafe extern "C" {
    pub fn lsd_read_data_new() -> *mut lsd_read_data;
    pub fn lsd_read_data_free(data: *mut lsd_read_data);
    pub fn lsd_read_data_read(
        data: *mut lsd_read_data,
        io: rados_ioctx_t,
        completion: rados_completion_t,
        object: *const c_char,
        len: usize,
        offset: u64,
    ) -> c_int;
    pub fn lsd_read_data_get(data: *mut lsd_read_data, len: *mut usize) -> *const c_char;
}
