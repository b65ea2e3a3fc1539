//! A pool's context that is ours to keep, for calls into the stock library that a caller's context may not outlive.
//!
//! Owns: its making, as a caller's would be: no flag of ours on it. Does not own: the pool (`handles/pool.rs`).
use crate::ffi::ctypes::rados_ioctx_t;
use crate::ffi::errno::{Errno, Outcome};
use lsd_librados_sys as sys;
use std::ffi::CStr;
use std::ptr;

/// Longest name of a namespace that is looked for, bytes.
const MAX_NAMESPACE: usize = 4096;

pub struct Context(rados_ioctx_t);

// SAFETY: librados locks inside, and nobody changes its state once it is made.
unsafe impl Send for Context {}
// SAFETY: as above.
unsafe impl Sync for Context {}

impl Context {
    /// The pool and namespace of a caller's context. Blocks.
    ///
    /// # Safety
    /// A live context, whose cluster handle outlives the new one.
    pub unsafe fn like(io: rados_ioctx_t) -> Outcome<Self> {
        let mut namespace = vec![0_u8; MAX_NAMESPACE];
        // SAFETY: a live context, and a buffer of that size.
        let len =
            unsafe { sys::rados_ioctx_get_namespace(io.cast(), namespace.as_mut_ptr().cast(), MAX_NAMESPACE as u32) };
        if len < 0 {
            return Err(Errno(-len));
        }
        let namespace = CStr::from_bytes_until_nul(&namespace).map_err(|_| Errno::ERANGE)?;
        // SAFETY: the same contract.
        unsafe { Self::in_namespace(io, namespace) }
    }

    /// The pool of a caller's context in a namespace. Blocks.
    ///
    /// # Safety
    /// As [`Context::like`].
    pub unsafe fn in_namespace(io: rados_ioctx_t, namespace: &CStr) -> Outcome<Self> {
        let mut made = ptr::null_mut();
        // SAFETY: a live context, its cluster handle, and a place for the result.
        let code = unsafe {
            let (cluster, pool) = (sys::rados_ioctx_get_cluster(io.cast()), sys::rados_ioctx_get_id(io.cast()));
            sys::rados_ioctx_create2(cluster, pool, &mut made)
        };
        if code < 0 {
            return Err(Errno(-code));
        }
        // SAFETY: just made, and a C string that is copied.
        unsafe { sys::rados_ioctx_set_namespace(made, namespace.as_ptr()) };
        Ok(Self(made.cast()))
    }

    pub fn raw(&self) -> rados_ioctx_t {
        self.0
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: made here. librbd has contexts of its own for what it opened with this one.
        unsafe { sys::rados_ioctx_destroy(self.0.cast()) };
    }
}
