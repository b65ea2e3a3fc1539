//! The snapshots of an image, and which of them a handle shows.
//!
//! Owns: the arguments of the calls, and what librbd checks in which order. Does not own: what a snapshot is (engine), which
//! image a call goes to (`handles/view.rs`).
use crate::api::info::time;
use crate::api::quiesce;
use crate::ffi::caller::{clear, duplicate, fetch, optional_string, put, put_sized_text, release, string};
use crate::ffi::ctypes::{Progress, rbd_image_t, rbd_snap_info_t};
use crate::ffi::errno::{Errno, Outcome};
use crate::ffi::progress::CallerProgress;
use crate::handles::entry::with_image;
use crate::handles::image::OpenImage;
use crate::handles::slab::Ref;
use lsd_engine::{SnapInfo, SnapNamespace, SnapRef};
use nix::libc::timespec;
use std::ffi::{c_char, c_int, c_void};

/// librbd's number of "no snapshot": the present state of the image.
const NO_SNAPSHOT: u64 = u64::MAX - 1;
/// librbd's "no limit".
const NO_LIMIT: u64 = u64::MAX;

/// `RBD_SNAP_REMOVE_UNPROTECT`, `RBD_SNAP_REMOVE_FLATTEN`.
const REMOVE_UNPROTECT: u32 = 1 << 0;
const REMOVE_FLATTEN: u32 = 1 << 1;

fn find(image: &OpenImage, name: &str) -> Outcome<SnapInfo> {
    Ok(image.core.block_on(image.view.head().snapshots().get(name))?)
}

pub fn find_by_id(image: &OpenImage, id: u64) -> Outcome<SnapInfo> {
    Ok(image.core.block_on(image.view.head().snapshots().get_by_id(id))?)
}

/// Gives the number of snapshots, and needs a place more than that for the end of the list: else ERANGE, with the places needed.
pub unsafe extern "C" fn rbd_snap_list(
    image: rbd_image_t,
    snaps: *mut rbd_snap_info_t,
    max_snaps: *mut c_int,
) -> c_int {
    with_image(image, |image| {
        // SAFETY: a number by the contract of librbd.h.
        let places = usize::try_from(unsafe { fetch(max_snaps) }?).unwrap_or(0);
        // SAFETY: null, or so many places by the contract of librbd.h. Callers give the list back whatever they get.
        unsafe { clear(snaps, places) };
        let found = image.core.block_on(image.view.head().snapshots().list())?;
        if places <= found.len() {
            // SAFETY: `fetch` found it not null.
            unsafe { max_snaps.write(c_int::try_from(found.len() + 1).unwrap_or(c_int::MAX)) };
            return Err(Errno::ERANGE);
        }
        if snaps.is_null() {
            return Err(Errno::EINVAL);
        }
        for (place, snap) in found.iter().enumerate() {
            let told = rbd_snap_info_t { id: snap.id, size: snap.size, name: duplicate(&snap.name) };
            // SAFETY: there are more places than snapshots.
            unsafe { snaps.add(place).write(told) };
        }
        Ok(found.len() as c_int)
    })
}

/// Gives back the names of a list, up to its end. The list itself is the caller's.
pub unsafe extern "C" fn rbd_snap_list_end(mut snaps: *mut rbd_snap_info_t) {
    // SAFETY: null, or a list that ends with an entry without a name, by the contract of librbd.h.
    while let Some(snap) = unsafe { snaps.as_mut() }.filter(|snap| !snap.name.is_null()) {
        let mut name = snap.name.cast_mut();
        snap.name = std::ptr::null();
        // SAFETY: it came from `duplicate`; the end of the list is behind it.
        unsafe {
            release(&mut name);
            snaps = snaps.add(1);
        }
    }
}

pub unsafe extern "C" fn rbd_snap_exists(image: rbd_image_t, snapname: *const c_char, exists: *mut bool) -> c_int {
    with_image(image, |image| {
        // SAFETY: a string by the contract of librbd.h.
        let found = match find(image, &unsafe { string(snapname) }?) {
            Err(errno) if errno != Errno::ENOENT => return Err(errno),
            found => found.is_ok(),
        };
        // SAFETY: a place by the contract of librbd.h.
        unsafe { put(exists, found) }
    })
}

/// Whether clients that want to be quiet are waited for is as `rbd_default_snapshot_quiesce_mode` has it.
pub unsafe extern "C" fn rbd_snap_create(image: rbd_image_t, snapname: *const c_char) -> c_int {
    with_image(image, |image| {
        // SAFETY: a string by the contract of librbd.h.
        let name = unsafe { string(snapname) }?;
        image.core.block_on(image.view.changeable()?.snapshots().create(&name))?;
        Ok(0)
    })
}

/// EINVAL for a flag that is unknown, and for both at once. `cb` is told how often clients were asked that want to be quiet, where there
/// are any.
pub unsafe extern "C" fn rbd_snap_create2(
    image: rbd_image_t,
    snap_name: *const c_char,
    flags: u32,
    cb: Progress,
    cbdata: *mut c_void,
) -> c_int {
    with_image(image, |image| {
        // SAFETY: a string by the contract of librbd.h.
        let name = unsafe { string(snap_name) }?;
        let mode = quiesce::mode(flags)?;
        let progress = CallerProgress::new(cb, cbdata);
        let report = |done, total| progress.report(done, total);
        image.core.block_on(image.view.changeable()?.snapshots().create_with(&name, mode, &report))?;
        Ok(0)
    })
}

pub unsafe extern "C" fn rbd_snap_remove(image: rbd_image_t, snapname: *const c_char) -> c_int {
    // SAFETY: the same contract.
    unsafe { rbd_snap_remove2(image, snapname, 0, None, std::ptr::null_mut()) }
}

/// Flags that librbd does not know it ignores. `cb` is told how many clones were flattened.
pub unsafe extern "C" fn rbd_snap_remove2(
    image: rbd_image_t,
    snap_name: *const c_char,
    flags: u32,
    cb: Progress,
    cbdata: *mut c_void,
) -> c_int {
    with_image(image, |image| {
        // SAFETY: a string by the contract of librbd.h.
        let name = unsafe { string(snap_name) }?;
        let found = find(image, &name)?;
        let progress = CallerProgress::new(cb, cbdata);
        let report = |done, total| progress.report(done, total);
        let snapshots = image.view.changeable()?.snapshots();
        image.core.block_on(async {
            if flags & REMOVE_FLATTEN != 0 {
                snapshots.flatten_children(&name, image.view.options(), &report).await?;
            }
            if found.is_protected && flags & REMOVE_UNPROTECT != 0 {
                snapshots.unprotect(&name).await?;
            }
            snapshots.remove(&name).await
        })?;
        Ok(0)
    })
}

pub unsafe extern "C" fn rbd_snap_remove_by_id(image: rbd_image_t, snap_id: u64) -> c_int {
    with_image(image, |image| {
        find_by_id(image, snap_id)?;
        image.core.block_on(image.view.changeable()?.snapshots().remove_by_id(snap_id))?;
        Ok(0)
    })
}

pub unsafe extern "C" fn rbd_snap_rename(
    image: rbd_image_t,
    snapname: *const c_char,
    dstsnapsname: *const c_char,
) -> c_int {
    with_image(image, |image| {
        // SAFETY: strings by the contract of librbd.h.
        let (from, to) = unsafe { (string(snapname)?, string(dstsnapsname)?) };
        image.core.block_on(image.view.changeable()?.snapshots().rename(&from, &to))?;
        Ok(0)
    })
}

pub unsafe extern "C" fn rbd_snap_protect(image: rbd_image_t, snap_name: *const c_char) -> c_int {
    with_image(image, |image| {
        // SAFETY: a string by the contract of librbd.h.
        let name = unsafe { string(snap_name) }?;
        image.core.block_on(image.view.changeable()?.snapshots().protect(&name))?;
        Ok(0)
    })
}

pub unsafe extern "C" fn rbd_snap_unprotect(image: rbd_image_t, snap_name: *const c_char) -> c_int {
    with_image(image, |image| {
        // SAFETY: a string by the contract of librbd.h.
        let name = unsafe { string(snap_name) }?;
        image.core.block_on(image.view.changeable()?.snapshots().unprotect(&name))?;
        Ok(0)
    })
}

pub unsafe extern "C" fn rbd_snap_is_protected(
    image: rbd_image_t,
    snap_name: *const c_char,
    is_protected: *mut c_int,
) -> c_int {
    with_image(image, |image| {
        // SAFETY: a string and a place by the contract of librbd.h.
        unsafe { put(is_protected, c_int::from(find(image, &string(snap_name)?)?.is_protected)) }
    })
}

pub unsafe extern "C" fn rbd_snap_rollback(image: rbd_image_t, snapname: *const c_char) -> c_int {
    // SAFETY: the same contract.
    unsafe { rbd_snap_rollback_with_progress(image, snapname, None, std::ptr::null_mut()) }
}

/// The map is exchanged in one step, however large the image is: `cb` is told of its beginning, and can still cancel it then.
pub unsafe extern "C" fn rbd_snap_rollback_with_progress(
    image: rbd_image_t,
    snapname: *const c_char,
    cb: Progress,
    cbdata: *mut c_void,
) -> c_int {
    with_image(image, |image| {
        // SAFETY: a string by the contract of librbd.h.
        let name = unsafe { string(snapname) }?;
        image.view.snapshot()?;
        image.view.writable()?;
        let found = find(image, &name)?;
        let objects = found.size.div_ceil(image.layout.object_size);
        if objects > 0 {
            CallerProgress::new(cb, cbdata).report(0, objects)?;
        }
        image.core.block_on(image.view.head().snapshots().rollback(&name))?;
        Ok(0)
    })
}

pub unsafe extern "C" fn rbd_snap_get_limit(image: rbd_image_t, limit: *mut u64) -> c_int {
    with_image(image, |image| {
        let found = image.core.block_on(image.view.head().snapshots().limit())?;
        // SAFETY: a place by the contract of librbd.h.
        unsafe { put(limit, found.unwrap_or(NO_LIMIT)) }
    })
}

pub unsafe extern "C" fn rbd_snap_set_limit(image: rbd_image_t, limit: u64) -> c_int {
    with_image(image, |image| {
        let limit = (limit != NO_LIMIT).then_some(limit);
        image.core.block_on(image.view.changeable()?.snapshots().set_limit(limit))?;
        Ok(0)
    })
}

/// Null or "" is the present state.
pub unsafe extern "C" fn rbd_snap_set(image: rbd_image_t, snapname: *const c_char) -> c_int {
    with_image(image, |image| {
        // SAFETY: null or a string by the contract of librbd.h.
        let name = unsafe { optional_string(snapname) }?;
        show(image, name.map(SnapRef::Name))
    })
}

pub unsafe extern "C" fn rbd_snap_set_by_id(image: rbd_image_t, snap_id: u64) -> c_int {
    with_image(image, |image| show(image, (snap_id != NO_SNAPSHOT).then_some(SnapRef::Id(snap_id))))
}

fn show(image: &Ref<OpenImage>, snapshot: Option<SnapRef>) -> Outcome<c_int> {
    image.core.block_on(image.view.set(snapshot))?;
    Ok(0)
}

/// ENOENT comes with librbd's number of none.
pub unsafe extern "C" fn rbd_snap_get_id(image: rbd_image_t, snapname: *const c_char, snap_id: *mut u64) -> c_int {
    with_image(image, |image| {
        // SAFETY: a string by the contract of librbd.h.
        let found = find(image, &unsafe { string(snapname) }?);
        // SAFETY: a place by the contract of librbd.h.
        unsafe { put(snap_id, found.as_ref().map_or(NO_SNAPSHOT, |snap| snap.id)) }?;
        found.map(|_| 0)
    })
}

/// ENOENT comes with an empty name.
pub unsafe extern "C" fn rbd_snap_get_name(
    image: rbd_image_t,
    snap_id: u64,
    snapname: *mut c_char,
    name_len: *mut usize,
) -> c_int {
    with_image(image, |image| {
        let found = find_by_id(image, snap_id);
        let name = found.as_ref().map_or("", |snap| &snap.name);
        // SAFETY: a buffer of that size by the contract of librbd.h.
        unsafe { put_sized_text(snapname, name_len, name) }?;
        found.map(|_| 0)
    })
}

pub unsafe extern "C" fn rbd_snap_get_timestamp(image: rbd_image_t, snap_id: u64, timestamp: *mut timespec) -> c_int {
    with_image(image, |image| {
        let found = find_by_id(image, snap_id)?;
        // SAFETY: a place by the contract of librbd.h.
        unsafe { put(timestamp, time(found.create_ns)) }
    })
}

/// `rbd_snap_namespace_type_t`.
pub fn namespace_number(namespace: &SnapNamespace) -> c_int {
    match namespace {
        SnapNamespace::User => 0,
        SnapNamespace::Group { .. } => 1,
        SnapNamespace::Trash { .. } => 2,
    }
}

pub unsafe extern "C" fn rbd_snap_get_namespace_type(
    image: rbd_image_t,
    snap_id: u64,
    namespace_type: *mut c_int,
) -> c_int {
    with_image(image, |image| {
        let number = namespace_number(&find_by_id(image, snap_id)?.namespace);
        // SAFETY: a place by the contract of librbd.h.
        unsafe { put(namespace_type, number) }
    })
}
