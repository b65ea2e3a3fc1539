//! Metadata of a pool, of which each library keeps its own: what is set is set for both, where RBD has been in the pool.
//!
//! Owns: that both have it. Overrides of options that only one of them knows are kept by that one. What stock tools set before is
//! read where lsd has nothing of that name.
use crate::api::metadata;
use crate::face::merge::pairs;
use crate::face::names::{DIRECTORY_OBJECT, stock_lists};
use crate::ffi::caller::{optional_string, string};
use crate::ffi::ctypes::rados_ioctx_t;
use crate::ffi::errno::{Errno, Outcome};
use crate::ffi::panic::guard;
use crate::handles::pool::Pool;
use crate::stock::context::Context;
use crate::stock::functions;
use std::collections::BTreeMap;
use std::ffi::{c_char, c_int};

/// RBD's object with a pool's metadata.
const INFO_OBJECT: &str = "rbd_info";
/// Overrides of lsd's own options.
const OWN_OVERRIDE: &str = "conf_lsd_";

/// The pool's default namespace, where RBD keeps its metadata; `None`: RBD has not been there, or there is no stock library.
///
/// # Safety
/// A live io context.
unsafe fn stock_root(io: rados_ioctx_t) -> Outcome<Option<Context>> {
    // SAFETY: the same contract, and a string.
    let root = unsafe { Context::in_namespace(io, c"") }?;
    // SAFETY: a live io context.
    let pool = unsafe { Pool::adopt(root.raw()) }?;
    let there = stock_lists(&pool, INFO_OBJECT)? || stock_lists(&pool, DIRECTORY_OBJECT)?;
    Ok(there.then_some(root))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_pool_metadata_get(
    io_ctx: rados_ioctx_t,
    key: *const c_char,
    value: *mut c_char,
    val_len: *mut usize,
) -> c_int {
    guard(|| {
        // SAFETY: the same contract.
        let code = unsafe { metadata::rbd_pool_metadata_get(io_ctx, key, value, val_len) };
        if code != -Errno::ENOENT.0 {
            return Ok(code);
        }
        // SAFETY: the same contract.
        let Some(root) = unsafe { stock_root(io_ctx) }? else { return Ok(code) };
        // SAFETY: the same contract.
        Ok(unsafe { functions::rbd_pool_metadata_get(root.raw(), key, value, val_len) })
    })
}

/// EINVAL as lsd has it; an override that RBD does not know is lsd's alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_pool_metadata_set(
    io_ctx: rados_ioctx_t,
    key: *const c_char,
    value: *const c_char,
) -> c_int {
    guard(|| {
        // SAFETY: the same contract.
        let code = unsafe { metadata::rbd_pool_metadata_set(io_ctx, key, value) };
        // SAFETY: the same contract.
        if code < 0 || unsafe { string(key) }?.starts_with(OWN_OVERRIDE) {
            return Ok(code);
        }
        // SAFETY: the same contract.
        let Some(root) = unsafe { stock_root(io_ctx) }? else { return Ok(code) };
        // SAFETY: the same contract.
        match unsafe { functions::rbd_pool_metadata_set(root.raw(), key, value) } {
            stock if stock == -Errno::EINVAL.0 || stock == -Errno::EOPNOTSUPP.0 => Ok(code),
            stock => Ok(stock),
        }
    })
}

/// ENOENT if neither has it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_pool_metadata_remove(io_ctx: rados_ioctx_t, key: *const c_char) -> c_int {
    guard(|| {
        // SAFETY: the same contract.
        let code = unsafe { metadata::rbd_pool_metadata_remove(io_ctx, key) };
        if code < 0 && code != -Errno::ENOENT.0 {
            return Ok(code);
        }
        // SAFETY: the same contract.
        let Some(root) = unsafe { stock_root(io_ctx) }? else { return Ok(code) };
        // SAFETY: the same contract.
        match unsafe { functions::rbd_pool_metadata_remove(root.raw(), key) } {
            stock if stock == -Errno::ENOENT.0 || stock == -Errno::EOPNOTSUPP.0 => Ok(code),
            stock => Ok(stock),
        }
    })
}

/// Sorted by key; lsd's value counts where both have one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_pool_metadata_list(
    io_ctx: rados_ioctx_t,
    start: *const c_char,
    max: u64,
    keys: *mut c_char,
    key_len: *mut usize,
    values: *mut c_char,
    vals_len: *mut usize,
) -> c_int {
    guard(|| {
        // SAFETY: the same contract.
        let Some(root) = unsafe { stock_root(io_ctx) }? else {
            // SAFETY: the same contract.
            return Ok(unsafe {
                metadata::rbd_pool_metadata_list(io_ctx, start, max, keys, key_len, values, vals_len)
            });
        };
        let all = || {
            let io = root.raw();
            let mut all: BTreeMap<String, String> = pairs(|keys, key_len, values, vals_len| {
                // SAFETY: a live io context, and buffers of those sizes.
                unsafe { functions::rbd_pool_metadata_list(io, c"".as_ptr(), 0, keys, key_len, values, vals_len) }
            })?
            .into_iter()
            .collect();
            all.extend(pairs(|keys, key_len, values, vals_len| {
                // SAFETY: as above.
                unsafe { metadata::rbd_pool_metadata_list(io, c"".as_ptr(), 0, keys, key_len, values, vals_len) }
            })?);
            Ok(all)
        };
        // SAFETY: a string or null by the contract of librbd.h.
        unsafe { optional_string(start) }?;
        // SAFETY: the same contract.
        unsafe { metadata::put_page(all, start, max, (keys, key_len), (values, vals_len)) }
    })
}
