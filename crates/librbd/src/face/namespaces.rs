//! Namespaces of a pool, which both kinds of images may share: one is there if either library has it in its list.
//!
//! Owns: that a new one goes into both lists, and that one is empty of both kinds before it goes.
use crate::api::namespace;
use crate::face::lists::rbd_list2;
use crate::face::merge::{all_texts, give_names};
use crate::face::names::stock_lists;
use crate::face::passing::is_there;
use crate::ffi::caller::{put, string};
use crate::ffi::ctypes::rados_ioctx_t;
use crate::ffi::errno::{Errno, Outcome};
use crate::ffi::panic::guard;
use crate::handles::pool::Pool;
use crate::stock::context::Context;
use crate::stock::functions;
use nix::libc;
use std::ffi::{CString, c_char, c_int};
use std::ptr;

/// RBD's list of the namespaces of a pool.
const LIST_OBJECT: &str = "rbd_namespace";

/// # Safety
/// A live io context.
unsafe fn stock_namespaces(io: rados_ioctx_t) -> Outcome<Vec<String>> {
    // SAFETY: the same contract, and a string.
    let root = unsafe { Context::in_namespace(io, c"") }?;
    // SAFETY: a live io context.
    let pool = unsafe { Pool::adopt(root.raw()) }?;
    if !stock_lists(&pool, LIST_OBJECT)? {
        return Ok(Vec::new());
    }
    // SAFETY: a live io context, and a buffer of that size.
    all_texts(|names, size| unsafe { functions::rbd_namespace_list(root.raw(), names, size) })
}

/// # Safety
/// A live io context.
unsafe fn ours_has(io: rados_ioctx_t, name: *const c_char) -> Outcome<bool> {
    let mut exists = false;
    // SAFETY: the same contract, and a place.
    let code = unsafe { namespace::rbd_namespace_exists(io, name, &mut exists) };
    if code < 0 { Err(Errno(-code)) } else { Ok(exists) }
}

/// EEXIST if either library has it, EINVAL for an empty name. It goes into both lists, if there is a stock library: that one makes
/// no image in a namespace that it does not know.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_namespace_create(io: rados_ioctx_t, namespace_name: *const c_char) -> c_int {
    guard(|| {
        // SAFETY: the contract of librbd.h.
        let (name, pool) = unsafe { (string(namespace_name)?, Pool::adopt(io)?) };
        // SAFETY: the same contract.
        if unsafe { stock_namespaces(io) }?.contains(&name) {
            return Err(Errno::EEXIST);
        }
        // SAFETY: the same contract.
        let made = unsafe { namespace::rbd_namespace_create(io, namespace_name) };
        if made < 0 || !is_there(&pool) {
            return Ok(made);
        }
        // SAFETY: the same contract.
        let also_made = unsafe { functions::rbd_namespace_create(io, namespace_name) };
        if also_made < 0 {
            // SAFETY: the same contract; it was made just now.
            unsafe { namespace::rbd_namespace_remove(io, namespace_name) };
        }
        Ok(also_made)
    })
}

/// EBUSY if it has images of either kind, ENOENT if it is in no list. It goes out of both.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_namespace_remove(io: rados_ioctx_t, namespace_name: *const c_char) -> c_int {
    guard(|| {
        // SAFETY: the contract of librbd.h.
        let name = unsafe { string(namespace_name) }?;
        // SAFETY: the same contract.
        let (stock, ours) = unsafe { (stock_namespaces(io)?.contains(&name), ours_has(io, namespace_name)?) };
        // SAFETY: the same contract.
        unsafe { empty(io, &name) }?;
        if stock {
            // SAFETY: the same contract.
            let code = unsafe { functions::rbd_namespace_remove(io, namespace_name) };
            if code < 0 || !ours {
                return Ok(code);
            }
        }
        // SAFETY: the same contract.
        Ok(unsafe { namespace::rbd_namespace_remove(io, namespace_name) })
    })
}

/// EBUSY: there are images in the namespace.
///
/// # Safety
/// A live io context.
unsafe fn empty(io: rados_ioctx_t, name: &str) -> Outcome<()> {
    let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
    // SAFETY: the same contract.
    let inside = unsafe { Context::in_namespace(io, &name) }?;
    let mut count = 0;
    // SAFETY: a live io context; no places, so nothing is written but the count.
    match unsafe { rbd_list2(inside.raw(), ptr::null_mut(), &mut count) } {
        code if code == -libc::ERANGE || count > 0 => Err(Errno::EBUSY),
        code if code < 0 => Err(Errno(-code)),
        _ => Ok(()),
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_namespace_list(
    io: rados_ioctx_t,
    namespace_names: *mut c_char,
    size: *mut usize,
) -> c_int {
    guard(|| {
        // SAFETY: the contract of librbd.h.
        let theirs = unsafe { stock_namespaces(io) }?;
        if theirs.is_empty() {
            // SAFETY: the same contract.
            return Ok(unsafe { namespace::rbd_namespace_list(io, namespace_names, size) });
        }
        // SAFETY: a live io context, and a buffer of that size.
        let ours = all_texts(|names, size| unsafe { namespace::rbd_namespace_list(io, names, size) })?;
        // SAFETY: the same contract.
        unsafe { give_names(ours, theirs, namespace_names, size) }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_namespace_exists(
    io: rados_ioctx_t,
    namespace_name: *const c_char,
    exists: *mut bool,
) -> c_int {
    guard(|| {
        // SAFETY: the contract of librbd.h.
        let name = unsafe { string(namespace_name) }?;
        // SAFETY: the same contract.
        let known = unsafe { ours_has(io, namespace_name)? || stock_namespaces(io)?.contains(&name) };
        // SAFETY: a place by the contract of librbd.h.
        unsafe { put(exists, known) }
    })
}
