//! The trash of a pool, with images of both kinds in it.
//!
//! Owns: lists, purging, and that what is restored gets a name that no other image has. Does not own: what is done to one entry
//! by its id (`pool_table.rs`).
use crate::api::trash;
use crate::face::formats::{Format, may_make};
use crate::face::merge::{all, both, give};
use crate::face::names::{stock_lists_trash, stock_trash_may_have};
use crate::face::passing::told;
use crate::ffi::caller::{optional_string, string};
use crate::ffi::ctypes::{Progress, rados_ioctx_t, rbd_trash_image_info_t};
use crate::ffi::errno::{Errno, Outcome};
use crate::ffi::panic::guard;
use crate::handles::pool::Pool;
use crate::stock::functions;
use nix::libc::time_t;
use std::ffi::{c_char, c_int, c_void};
use std::mem::zeroed;

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_trash_list(
    io: rados_ioctx_t,
    entries: *mut rbd_trash_image_info_t,
    num_entries: *mut usize,
) -> c_int {
    guard(|| {
        // SAFETY: the contract of librbd.h.
        let pool = unsafe { Pool::adopt(io) }?;
        if !stock_lists_trash(&pool)? {
            // SAFETY: the same contract.
            return Ok(unsafe { trash::rbd_trash_list(io, entries, num_entries) });
        }
        // SAFETY: a live io context, and an array of that length.
        let ours = all(|entries, count| unsafe { trash::rbd_trash_list(io, entries, count) })?;
        // SAFETY: as above.
        let theirs = all(|entries, count| unsafe { functions::rbd_trash_list(io, entries, count) });
        // SAFETY: entries of either library are given back alike.
        let give_back = |entries, len| unsafe { trash::rbd_trash_list_cleanup(entries, len) };
        // SAFETY: the same contract.
        unsafe { give(both(ours, theirs, give_back)?, entries, num_entries, give_back) }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_trash_purge(io: rados_ioctx_t, expire_ts: time_t, threshold: f32) -> c_int {
    // SAFETY: the same contract.
    unsafe { rbd_trash_purge_with_progress(io, expire_ts, threshold, None, std::ptr::null_mut()) }
}

/// lsd's first. How much of the pool is used is told by the cluster long after it has changed: where something of lsd's went to make room,
/// stock librbd would make the same room once more, so it removes only what is due.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_trash_purge_with_progress(
    io: rados_ioctx_t,
    expire_ts: time_t,
    threshold: f32,
    cb: Progress,
    cbdata: *mut c_void,
) -> c_int {
    guard(|| {
        // SAFETY: the contract of librbd.h.
        let pool = unsafe { Pool::adopt(io) }?;
        let both = stock_lists_trash(&pool)?;
        drop(pool);
        // SAFETY: the same contract.
        let makes_room = unsafe { trash::purge(io, expire_ts, threshold, (cb, cbdata)) }?;
        if !both {
            return Ok(0);
        }
        let threshold = if makes_room { -1.0 } else { threshold };
        // SAFETY: the same contract.
        Ok(unsafe { functions::rbd_trash_purge_with_progress(io, expire_ts, threshold, told(cb), cbdata) })
    })
}

/// EEXIST if an image of either kind has the name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_trash_restore(io: rados_ioctx_t, id: *const c_char, name: *const c_char) -> c_int {
    guard(|| {
        // SAFETY: the same contract.
        let (stock, pool) = unsafe { (stock_trash_may_have(io, id)?, Pool::adopt(io)?) };
        // SAFETY: the same contract.
        let new_name = match unsafe { optional_string(name) }? {
            Some(name) => name,
            // SAFETY: the same contract.
            None => unsafe { name_of(io, id, stock) }?,
        };
        may_make(&pool, &new_name, Format::of_kind(stock))?;
        let restore = if stock { functions::rbd_trash_restore } else { trash::rbd_trash_restore };
        // SAFETY: the same contract.
        Ok(unsafe { restore(io, id, name) })
    })
}

/// The name that an entry had. ENOENT.
///
/// # Safety
/// A live io context and a string, by the contract of librbd.h.
unsafe fn name_of(io: rados_ioctx_t, id: *const c_char, stock: bool) -> Outcome<String> {
    // SAFETY: a structure of pointers and numbers, for which zero is a value.
    let mut entry: rbd_trash_image_info_t = unsafe { zeroed() };
    let get = if stock { functions::rbd_trash_get } else { trash::rbd_trash_get };
    // SAFETY: the same contract, and a structure to fill.
    let code = unsafe { get(io, id, &mut entry) };
    if code < 0 {
        return Err(Errno(-code));
    }
    // SAFETY: filled above.
    let name = unsafe { string(entry.name) };
    // SAFETY: filled above, and given back once.
    unsafe { trash::rbd_trash_get_cleanup(&mut entry) };
    name
}
