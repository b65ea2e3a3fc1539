//! The trash of a pool: images without a name that can be brought back.
//!
//! What may be done when is the engine's ([`Trash`]); here are its C functions.
use crate::ffi::caller::{duplicate, fetch, optional_string, put, release, string};
use crate::ffi::ctypes::{librbd_progress_fn_t, rados_ioctx_t, rbd_trash_image_info_t};
use crate::ffi::errno::{Errno, Outcome};
use crate::ffi::panic::guard;
use crate::ffi::progress::CallerProgress;
use crate::handles::pool::Pool;
use crate::runtime::process::core;
use lsd_engine::{ImageId, Trash, TrashEntry, TrashSource};
use nix::libc::time_t;
use std::ffi::{c_char, c_int, c_void};
use std::time::Duration;

const NS_PER_SECOND: u64 = 1_000_000_000;

/// # Safety
/// A live io context.
unsafe fn trash_of(io: rados_ioctx_t) -> Outcome<Trash> {
    // SAFETY: the same contract.
    let pool = unsafe { Pool::adopt(io) }?;
    Ok(Trash::new(pool.store.clone()).with_bases(pool.bases()))
}

fn info(entry: &TrashEntry) -> rbd_trash_image_info_t {
    let seconds = |ns: u64| (ns / NS_PER_SECOND) as time_t;
    rbd_trash_image_info_t {
        id: duplicate(&entry.id.0),
        name: duplicate(&entry.name),
        source: match entry.source {
            TrashSource::User => 0,
            TrashSource::Mirroring => 1,
            TrashSource::Migration => 2,
            TrashSource::Removing => 3,
            TrashSource::UserParent => 4,
        },
        deletion_time: seconds(entry.deleted_ns),
        deferment_end_time: seconds(entry.deferred_until_ns),
    }
}

/// `delay`: seconds. EBUSY while somebody has the image open.
pub unsafe extern "C" fn rbd_trash_move(io: rados_ioctx_t, name: *const c_char, delay: u64) -> c_int {
    guard(|| {
        // SAFETY: a live io context and a string by the contract of librbd.h.
        let (trash, name) = unsafe { (trash_of(io)?, string(name)?) };
        core()?.block_on(trash.put(&name, Duration::from_secs(delay)))?;
        Ok(0)
    })
}

pub unsafe extern "C" fn rbd_trash_get(
    io: rados_ioctx_t,
    id: *const c_char,
    info_to_fill: *mut rbd_trash_image_info_t,
) -> c_int {
    guard(|| {
        // SAFETY: a live io context and a string by the contract of librbd.h.
        let (trash, id) = unsafe { (trash_of(io)?, string(id)?) };
        let entry = core()?.block_on(trash.get(&ImageId(id)))?;
        if info_to_fill.is_null() {
            return Err(Errno::EINVAL);
        }
        // SAFETY: a place by the contract of librbd.h.
        unsafe { put(info_to_fill, info(&entry)) }
    })
}

pub unsafe extern "C" fn rbd_trash_get_cleanup(info: *mut rbd_trash_image_info_t) {
    // SAFETY: null or one filled entry by the contract of librbd.h.
    if let Some(info) = unsafe { info.as_mut() } {
        // SAFETY: both came from `duplicate`.
        unsafe {
            release(&mut info.id);
            release(&mut info.name);
        }
    }
}

/// Gives the number of entries; ERANGE with that number if there are more than `num_entries`.
pub unsafe extern "C" fn rbd_trash_list(
    io: rados_ioctx_t,
    entries: *mut rbd_trash_image_info_t,
    num_entries: *mut usize,
) -> c_int {
    guard(|| {
        // SAFETY: a number by the contract of librbd.h.
        let places = unsafe { fetch(num_entries) }?;
        // SAFETY: a live io context by the contract of librbd.h.
        let trash = unsafe { trash_of(io) }?;
        let mut found = core()?.block_on(trash.list())?;
        // Of an image that is being removed users see nothing.
        found.retain(|entry| entry.source != TrashSource::Removing);
        // SAFETY: `fetch` found it not null.
        unsafe { num_entries.write(found.len()) };
        if found.len() > places {
            return Err(Errno::ERANGE);
        }
        if entries.is_null() && !found.is_empty() {
            return Err(Errno::EINVAL);
        }
        for (place, entry) in found.iter().enumerate() {
            // SAFETY: the array has at least as many places as there are entries.
            unsafe { entries.add(place).write(info(entry)) };
        }
        c_int::try_from(found.len()).map_err(|_| Errno::ERANGE)
    })
}

pub unsafe extern "C" fn rbd_trash_list_cleanup(entries: *mut rbd_trash_image_info_t, num_entries: usize) {
    if entries.is_null() {
        return;
    }
    for place in 0..num_entries {
        // SAFETY: `num_entries` filled entries by the contract of librbd.h.
        unsafe { rbd_trash_get_cleanup(entries.add(place)) };
    }
}

/// `expire_ts`: seconds since 1970; 0: now. `threshold`: the part of a pool that may be used, -1: whatever is used. EINVAL outside
/// 0 to 1. True: something went to make room.
///
/// # Safety
/// A live io context by the contract of librbd.h.
pub unsafe fn purge(
    io: rados_ioctx_t,
    expire_ts: time_t,
    threshold: f32,
    (cb, cbdata): (Option<librbd_progress_fn_t>, *mut c_void),
) -> Outcome<bool> {
    // SAFETY: the same contract.
    let trash = unsafe { trash_of(io) }?;
    if threshold != -1.0 && !(0.0..=1.0).contains(&threshold) {
        return Err(Errno::EINVAL);
    }
    let progress = CallerProgress::new(cb, cbdata);
    let report = |done, total| progress.report(done, total);
    let expire = u64::try_from(expire_ts).ok().filter(|seconds| *seconds > 0);
    let expire_ns = expire.map(|seconds| seconds.saturating_add(1).saturating_mul(NS_PER_SECOND) - 1);
    let purged = core()?.block_on(async {
        match threshold {
            -1.0 => trash.purge(expire_ns, &report).await.map(|()| false),
            share => trash.purge_to(share.into(), expire_ns, &report).await,
        }
    });
    Ok(purged?)
}

pub unsafe extern "C" fn rbd_trash_remove(io: rados_ioctx_t, id: *const c_char, force: bool) -> c_int {
    // SAFETY: the same contract.
    unsafe { rbd_trash_remove_with_progress(io, id, force, None, std::ptr::null_mut()) }
}

/// EPERM before its time has come, unless `force`.
pub unsafe extern "C" fn rbd_trash_remove_with_progress(
    io: rados_ioctx_t,
    id: *const c_char,
    force: bool,
    cb: Option<librbd_progress_fn_t>,
    cbdata: *mut c_void,
) -> c_int {
    guard(|| {
        // SAFETY: a live io context and a string by the contract of librbd.h.
        let (trash, id) = unsafe { (trash_of(io)?, string(id)?) };
        let progress = CallerProgress::new(cb, cbdata);
        let report = |done, total| progress.report(done, total);
        core()?.block_on(trash.remove(&ImageId(id), force, &report))?;
        Ok(0)
    })
}

/// Without a name it gets its own again.
pub unsafe extern "C" fn rbd_trash_restore(io: rados_ioctx_t, id: *const c_char, name: *const c_char) -> c_int {
    guard(|| {
        // SAFETY: a live io context and strings by the contract of librbd.h.
        let (trash, id, name) = unsafe { (trash_of(io)?, string(id)?, optional_string(name)?) };
        core()?.block_on(trash.restore(&ImageId(id), name.as_deref()))?;
        Ok(0)
    })
}
