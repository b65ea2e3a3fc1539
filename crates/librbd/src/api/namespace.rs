//! Namespaces of a pool: which there are. The images of one live in RADOS' namespace of that name.
//!
//! The list is the engine's ([`Namespaces`]); here are its C functions.
use crate::ffi::caller::{put, put_texts, string};
use crate::ffi::ctypes::rados_ioctx_t;
use crate::ffi::errno::{Errno, Outcome};
use crate::ffi::panic::guard;
use crate::handles::pool::Pool;
use crate::runtime::process::core;
use lsd_engine::{Catalog, Namespaces};
use std::ffi::{c_char, c_int};

fn namespaces(pool: &Pool) -> Outcome<Namespaces> {
    Ok(Namespaces::new(pool.in_namespace("")?))
}

/// # Safety
/// A live io context and a string, by the contract of librbd.h.
unsafe fn arguments(io: rados_ioctx_t, name: *const c_char) -> Outcome<(Pool, String)> {
    // SAFETY: the same contract.
    let (pool, name) = unsafe { (Pool::adopt(io)?, string(name)?) };
    if name.is_empty() { Err(Errno::EINVAL) } else { Ok((pool, name)) }
}

/// EEXIST if it is there, EINVAL for an empty name.
pub unsafe extern "C" fn rbd_namespace_create(io: rados_ioctx_t, namespace_name: *const c_char) -> c_int {
    guard(|| {
        // SAFETY: the same contract.
        let (pool, name) = unsafe { arguments(io, namespace_name) }?;
        core()?.block_on(namespaces(&pool)?.add(&name))?;
        Ok(0)
    })
}

/// EBUSY if it has images, ENOENT if it is not there.
pub unsafe extern "C" fn rbd_namespace_remove(io: rados_ioctx_t, namespace_name: *const c_char) -> c_int {
    guard(|| {
        // SAFETY: the same contract.
        let (pool, name) = unsafe { arguments(io, namespace_name) }?;
        let inside = Catalog::new(pool.in_namespace(&name)?);
        core()?.block_on(namespaces(&pool)?.remove(&name, &inside))?;
        Ok(0)
    })
}

/// Names, each with its terminating zero; gives the bytes written. ERANGE with the size needed.
pub unsafe extern "C" fn rbd_namespace_list(
    io: rados_ioctx_t,
    namespace_names: *mut c_char,
    size: *mut usize,
) -> c_int {
    guard(|| {
        // SAFETY: a live io context by the contract of librbd.h.
        let pool = unsafe { Pool::adopt(io) }?;
        let names = core()?.block_on(namespaces(&pool)?.list())?;
        // SAFETY: a buffer of that size by the contract of librbd.h.
        unsafe { put_texts(namespace_names, size, names.iter().map(String::as_str)) }
    })
}

pub unsafe extern "C" fn rbd_namespace_exists(
    io: rados_ioctx_t,
    namespace_name: *const c_char,
    exists: *mut bool,
) -> c_int {
    guard(|| {
        // SAFETY: the same contract.
        let (pool, name) = unsafe { arguments(io, namespace_name) }?;
        let known = core()?.block_on(namespaces(&pool)?.exists(&name))?;
        // SAFETY: a place by the contract of librbd.h.
        unsafe { put(exists, known) }
    })
}
