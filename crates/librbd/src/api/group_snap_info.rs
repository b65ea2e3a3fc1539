//! Snapshots of groups with their parts: the calls of Ceph 20.
//!
//! Owns: the arguments of the calls, and memory for the parts. Does not own: what such a snapshot is (the engine's [`Groups`]).
use crate::api::group_snapshots::state;
use crate::api::groups::{groups_of, put_all};
use crate::ffi::caller::{duplicate, put, release, string};
use crate::ffi::ctypes::{rados_ioctx_t, rbd_group_image_snap_info_t, rbd_group_snap_info2_t};
use crate::ffi::errno::Errno;
use crate::ffi::panic::guard;
use crate::runtime::process::core;
use lsd_engine::{GroupSnapshot, Groups};
use nix::libc;
use std::ffi::{c_char, c_int};

/// Snapshots with the names of their images; one that is gone, or in the trash, has none.
async fn with_names(
    groups: &Groups,
    snapshots: Vec<GroupSnapshot>,
) -> lsd_engine::Result<Vec<(GroupSnapshot, Vec<String>)>> {
    let mut all = Vec::new();
    for snapshot in snapshots {
        let mut names = Vec::new();
        for part in &snapshot.parts {
            names.push(groups.image_name(part.pool, &part.image).await?.unwrap_or_default());
        }
        all.push((snapshot, names));
    }
    Ok(all)
}

fn info2((snapshot, names): &(GroupSnapshot, Vec<String>)) -> rbd_group_snap_info2_t {
    let count = snapshot.parts.len();
    // SAFETY: calloc may be called with any size; the result is checked.
    let parts = unsafe { libc::calloc(count.max(1), size_of::<rbd_group_image_snap_info_t>()) };
    let parts = parts.cast::<rbd_group_image_snap_info_t>();
    let count = if parts.is_null() { 0 } else { count };
    for (place, (part, name)) in snapshot.parts.iter().zip(names).take(count).enumerate() {
        let told =
            rbd_group_image_snap_info_t { image_name: duplicate(name), pool_id: part.pool, snap_id: part.snapshot };
        // SAFETY: there are `count` places.
        unsafe { parts.add(place).write(told) };
    }
    rbd_group_snap_info2_t {
        id: duplicate(&snapshot.id),
        name: duplicate(&snapshot.name),
        image_snap_name: duplicate(if snapshot.parts.is_empty() { "" } else { &snapshot.part_name }),
        state: state(snapshot),
        // Made by a user: there are no others.
        namespace_type: 0,
        image_snaps_count: count,
        image_snaps: parts,
    }
}

/// Gives 0, and the number of snapshots in `num_entries`; ENOENT for a group that is not there.
pub unsafe extern "C" fn rbd_group_snap_list2(
    group_p: rados_ioctx_t,
    group_name: *const c_char,
    snaps: *mut rbd_group_snap_info2_t,
    num_entries: *mut usize,
) -> c_int {
    guard(|| {
        // SAFETY: a live io context, a string and a number by the contract of librbd.h.
        let (groups, name) = unsafe { (groups_of(group_p)?, string(group_name)?) };
        let found = core()?.block_on(async { with_names(&groups, groups.snapshots(&name).await?).await })?;
        // SAFETY: so many places by the contract of librbd.h.
        unsafe { put_all(snaps, num_entries, &found, info2) }?;
        Ok(0)
    })
}

pub unsafe extern "C" fn rbd_group_snap_list2_cleanup(snaps: *mut rbd_group_snap_info2_t, num_entries: usize) {
    for place in (0..num_entries).filter(|_| !snaps.is_null()) {
        // SAFETY: `num_entries` filled entries by the contract of librbd.h.
        unsafe { rbd_group_snap_get_info_cleanup(snaps.add(place)) };
    }
}

pub unsafe extern "C" fn rbd_group_snap_get_info(
    group_p: rados_ioctx_t,
    group_name: *const c_char,
    snap_name: *const c_char,
    group_snap: *mut rbd_group_snap_info2_t,
) -> c_int {
    guard(|| {
        // SAFETY: a live io context and strings by the contract of librbd.h.
        let (groups, name, snap) = unsafe { (groups_of(group_p)?, string(group_name)?, string(snap_name)?) };
        let found = core()?.block_on(async {
            let found = groups.snapshot(&name, &snap).await?;
            with_names(&groups, vec![found]).await
        })?;
        if group_snap.is_null() {
            return Err(Errno::EINVAL);
        }
        // SAFETY: a place by the contract of librbd.h.
        found.first().map_or(Err(Errno::ENOENT), |found| unsafe { put(group_snap, info2(found)) })
    })
}

pub unsafe extern "C" fn rbd_group_snap_get_info_cleanup(group_snap: *mut rbd_group_snap_info2_t) {
    // SAFETY: null or a filled struct by the contract of librbd.h.
    let Some(info) = (unsafe { group_snap.as_mut() }) else { return };
    for place in 0..info.image_snaps_count {
        // SAFETY: so many entries, whose names came from `duplicate`.
        unsafe { release(&mut (*info.image_snaps.add(place)).image_name) };
    }
    // SAFETY: the array came from calloc, the texts from `duplicate`.
    unsafe {
        libc::free(info.image_snaps.cast());
        release(&mut info.id);
        release(&mut info.name);
        release(&mut info.image_snap_name);
    }
    info.image_snaps = std::ptr::null_mut();
    info.image_snaps_count = 0;
}
