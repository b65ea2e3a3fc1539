//! Snapshots of groups, and what an image says of its parts in them.
//!
//! Owns: the arguments of the calls. Does not own: what such a snapshot is (the engine), its parts one by one (`group_snap_info.rs`).
use crate::api::groups::{check_size, groups_and_end, groups_of, nothing_if_missing, put_all};
use crate::api::quiesce;
use crate::ffi::caller::{clear, duplicate, fetch, put, release, string};
use crate::ffi::ctypes::{Progress, rados_ioctx_t, rbd_group_snap_info_t, rbd_image_t, rbd_snap_group_namespace_t};
use crate::ffi::errno::{Errno, Outcome};
use crate::ffi::panic::guard;
use crate::ffi::progress::CallerProgress;
use crate::handles::entry::with_image;
use crate::runtime::process::core;
use lsd_engine::GroupSnapshot;
use std::ffi::{c_char, c_int, c_void};

pub(super) fn state(snapshot: &GroupSnapshot) -> c_int {
    c_int::from(snapshot.is_complete)
}

pub unsafe extern "C" fn rbd_group_snap_create(
    group_p: rados_ioctx_t,
    group_name: *const c_char,
    snap_name: *const c_char,
) -> c_int {
    // SAFETY: the same contract.
    unsafe { rbd_group_snap_create2(group_p, group_name, snap_name, 0) }
}

/// EINVAL for a flag that is unknown, and for both at once.
pub unsafe extern "C" fn rbd_group_snap_create2(
    group_p: rados_ioctx_t,
    group_name: *const c_char,
    snap_name: *const c_char,
    flags: u32,
) -> c_int {
    guard(|| {
        // SAFETY: a live io context and strings by the contract of librbd.h.
        let ((groups, end), name, snap) =
            unsafe { (groups_and_end(group_p)?, string(group_name)?, string(snap_name)?) };
        let mode = quiesce::mode(flags)?;
        let made = core()?.block_on(groups.snap_create(&name, &snap, mode));
        drop(groups);
        core()?.block_on(end.reached());
        made?;
        Ok(0)
    })
}

pub unsafe extern "C" fn rbd_group_snap_remove(
    group_p: rados_ioctx_t,
    group_name: *const c_char,
    snap_name: *const c_char,
) -> c_int {
    guard(|| {
        // SAFETY: a live io context and strings by the contract of librbd.h.
        let ((groups, end), name, snap) =
            unsafe { (groups_and_end(group_p)?, string(group_name)?, string(snap_name)?) };
        let removed = core()?.block_on(groups.snap_remove(&name, &snap));
        drop(groups);
        core()?.block_on(end.reached());
        removed?;
        Ok(0)
    })
}

pub unsafe extern "C" fn rbd_group_snap_rename(
    group_p: rados_ioctx_t,
    group_name: *const c_char,
    old_snap_name: *const c_char,
    new_snap_name: *const c_char,
) -> c_int {
    guard(|| {
        // SAFETY: a live io context and strings by the contract of librbd.h.
        let (groups, name) = unsafe { (groups_of(group_p)?, string(group_name)?) };
        // SAFETY: the same contract.
        let (from, to) = unsafe { (string(old_snap_name)?, string(new_snap_name)?) };
        core()?.block_on(groups.snap_rename(&name, &from, &to))?;
        Ok(0)
    })
}

/// Gives the number of snapshots, of a group that is not there 0.
pub unsafe extern "C" fn rbd_group_snap_list(
    group_p: rados_ioctx_t,
    group_name: *const c_char,
    snaps: *mut rbd_group_snap_info_t,
    group_snap_info_size: usize,
    num_entries: *mut usize,
) -> c_int {
    guard(|| {
        // SAFETY: a live io context, a string and a number by the contract of librbd.h.
        let (groups, name) = unsafe { (groups_of(group_p)?, string(group_name)?) };
        // SAFETY: a number by the contract of librbd.h.
        let places = unsafe { fetch(num_entries) }?;
        // SAFETY: the same contract.
        unsafe { check_size::<rbd_group_snap_info_t>(group_snap_info_size, num_entries) }?;
        // SAFETY: null, or so many places by the contract of librbd.h. Callers give the list back whatever they get.
        unsafe { clear(snaps, places) };
        let found = nothing_if_missing(core()?.block_on(groups.snapshots(&name)))?;
        let told = |snap: &GroupSnapshot| rbd_group_snap_info_t { name: duplicate(&snap.name), state: state(snap) };
        // SAFETY: so many places by the contract of librbd.h.
        unsafe { put_all(snaps, num_entries, &found, told) }
    })
}

pub unsafe extern "C" fn rbd_group_snap_list_cleanup(
    snaps: *mut rbd_group_snap_info_t,
    group_snap_info_size: usize,
    num_entries: usize,
) -> c_int {
    guard(|| {
        if group_snap_info_size != size_of::<rbd_group_snap_info_t>() {
            return Err(Errno::ERANGE);
        }
        for place in (0..num_entries).filter(|_| !snaps.is_null()) {
            // SAFETY: `num_entries` filled or cleared entries by the contract of librbd.h; the names came from `duplicate`.
            unsafe { release(&mut (*snaps.add(place)).name) };
        }
        Ok(0)
    })
}

pub unsafe extern "C" fn rbd_group_snap_rollback(
    group_p: rados_ioctx_t,
    group_name: *const c_char,
    snap_name: *const c_char,
) -> c_int {
    // SAFETY: the same contract.
    unsafe { rbd_group_snap_rollback_with_progress(group_p, group_name, snap_name, None, std::ptr::null_mut()) }
}

/// `cb` is told of images, and can still cancel before the first.
pub unsafe extern "C" fn rbd_group_snap_rollback_with_progress(
    group_p: rados_ioctx_t,
    group_name: *const c_char,
    snap_name: *const c_char,
    cb: Progress,
    cbdata: *mut c_void,
) -> c_int {
    guard(|| {
        // SAFETY: a live io context and strings by the contract of librbd.h.
        let ((groups, end), name, snap) =
            unsafe { (groups_and_end(group_p)?, string(group_name)?, string(snap_name)?) };
        let progress = CallerProgress::new(cb, cbdata);
        let report = |done, total| progress.report(done, total);
        let rolled_back = core()?.block_on(groups.rollback(&name, &snap, &report));
        drop(groups);
        core()?.block_on(end.reached());
        rolled_back?;
        Ok(0)
    })
}

/// ERANGE for a struct of another size; EINVAL for a snapshot that is no part of a group's; ENOENT where one of them is gone.
pub unsafe extern "C" fn rbd_snap_get_group_namespace(
    image: rbd_image_t,
    snap_id: u64,
    group_snap: *mut rbd_snap_group_namespace_t,
    group_snap_size: usize,
) -> c_int {
    with_image(image, |image| {
        if group_snap_size != size_of::<rbd_snap_group_namespace_t>() {
            return Err(Errno::ERANGE);
        }
        if group_snap.is_null() {
            return Err(Errno::EINVAL);
        }
        let head = image.view.head();
        let (group, snapshot) = image.core.block_on(async {
            let found = head.snapshots().get_by_id(snap_id).await?;
            head.group_snapshot(&found.namespace).await
        })?;
        let told = rbd_snap_group_namespace_t {
            group_pool: group.pool,
            group_name: duplicate(&group.name),
            group_snap_name: duplicate(&snapshot),
        };
        // SAFETY: a place by the check above and the contract of librbd.h.
        unsafe { put(group_snap, told) }
    })
}

pub unsafe extern "C" fn rbd_snap_group_namespace_cleanup(
    group_snap: *mut rbd_snap_group_namespace_t,
    group_snap_size: usize,
) -> c_int {
    guard(|| -> Outcome<c_int> {
        if group_snap_size != size_of::<rbd_snap_group_namespace_t>() {
            return Err(Errno::ERANGE);
        }
        // SAFETY: null or a filled struct by the contract of librbd.h.
        if let Some(found) = unsafe { group_snap.as_mut() } {
            // SAFETY: both came from `duplicate`.
            unsafe {
                release(&mut found.group_name);
                release(&mut found.group_snap_name);
            }
        }
        Ok(0)
    })
}
