//! Declarations of `cpp/append_op.cc`, which says what they do.
use crate::{rados_completion_t, rados_ioctx_t};
use core::ffi::{c_char, c_int};

#[repr(C)]
pub struct lsd_append_op {
    _private: [u8; 0],
}

unsafe extern "C" {
    pub fn lsd_append_op_new() -> *mut lsd_append_op;
    pub fn lsd_append_op_free(op: *mut lsd_append_op);
    pub fn lsd_append_op_create(op: *mut lsd_append_op);
    pub fn lsd_append_op_lend(op: *mut lsd_append_op, data: *const c_char, len: usize);
    pub fn lsd_append_op_append(op: *mut lsd_append_op);
    pub fn lsd_append_op_write(op: *mut lsd_append_op, offset: u64);
    pub fn lsd_append_op_cmpxattr(
        op: *mut lsd_append_op,
        name: *const c_char,
        how: u8,
        data: *const c_char,
        len: usize,
    );
    pub fn lsd_append_op_setxattr(op: *mut lsd_append_op, name: *const c_char, data: *const c_char, len: usize);
    pub fn lsd_append_op_operate(
        op: *mut lsd_append_op,
        io: rados_ioctx_t,
        completion: rados_completion_t,
        object: *const c_char,
        flags: c_int,
    ) -> c_int;
    pub fn lsd_append_op_is_unused(op: *const lsd_append_op) -> bool;
}
