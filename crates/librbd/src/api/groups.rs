//! Groups of images: which there are, and which images are in each.
//!
//! Owns: the arguments of the calls, and which errors librbd keeps to itself. Does not own: what a group is (the engine's [`Groups`]),
//! its snapshots (`group_snapshots.rs`).
use crate::ffi::caller::{clear, duplicate, fetch, put, put_sized_text, put_texts, release, string};
use crate::ffi::ctypes::{rados_ioctx_t, rbd_group_image_info_t, rbd_group_info_t, rbd_image_t};
use crate::ffi::errno::{Errno, Outcome};
use crate::ffi::panic::guard;
use crate::handles::entry::with_image;
use crate::handles::pool::{Pool, PoolEnd};
use crate::runtime::process::core;
use lsd_engine::{GroupImage, Groups, ImageId, ImageRef};
use std::ffi::{c_char, c_int};

/// Of an image that is not attached to its group, or not any more.
const INCOMPLETE: c_int = 1;

/// # Safety
/// A live io context.
pub unsafe fn groups_of(io: rados_ioctx_t) -> Outcome<Groups> {
    // SAFETY: the same contract.
    let pool = unsafe { Pool::adopt(io) }?;
    Ok(Groups::new(pool.store.clone(), pool.open_options(false)?))
}

/// The same for what opens images, with the end of all use of the pool: callers shut their cluster handle down after such a call.
///
/// # Safety
/// A live io context.
pub(super) unsafe fn groups_and_end(io: rados_ioctx_t) -> Outcome<(Groups, PoolEnd)> {
    // SAFETY: the same contract.
    let pool = unsafe { Pool::adopt(io) }?;
    let end = pool.end();
    Ok((Groups::new(pool.store.clone(), pool.open_options(false)?), end))
}

/// What is listed of a group that is not there is nothing, as in librbd.
pub(super) fn nothing_if_missing<T>(listed: lsd_engine::Result<Vec<T>>) -> Outcome<Vec<T>> {
    match listed {
        Err(error) if error.kind == lsd_engine::ErrorKind::NotFound => Ok(Vec::new()),
        listed => Ok(listed?),
    }
}

/// Fills an array; gives the number of entries, or ERANGE with the number of places needed.
///
/// # Safety
/// `places`: an initialised number; `entries`: null, or so many places.
pub(super) unsafe fn put_all<S, T>(
    entries: *mut T,
    places: *mut usize,
    found: &[S],
    told: impl Fn(&S) -> T,
) -> Outcome<c_int> {
    // SAFETY: a number by the contract.
    let had = unsafe { fetch(places) }?;
    // SAFETY: `fetch` found it not null.
    unsafe { places.write(found.len()) };
    if found.len() > had {
        return Err(Errno::ERANGE);
    }
    if entries.is_null() && !found.is_empty() {
        return Err(Errno::EINVAL);
    }
    for (place, entry) in found.iter().enumerate() {
        // SAFETY: there are at least as many places as entries.
        unsafe { entries.add(place).write(told(entry)) };
    }
    c_int::try_from(found.len()).map_err(|_| Errno::ERANGE)
}

/// A caller that knows another layout of a struct: ERANGE, with 0 places.
///
/// # Safety
/// `places`: null, or a number.
pub(super) unsafe fn check_size<T>(size: usize, places: *mut usize) -> Outcome<()> {
    if size == size_of::<T>() {
        return Ok(());
    }
    // SAFETY: the same contract.
    unsafe { put(places, 0) }?;
    Err(Errno::ERANGE)
}

pub unsafe extern "C" fn rbd_group_create(p: rados_ioctx_t, name: *const c_char) -> c_int {
    guard(|| {
        // SAFETY: a live io context and a string by the contract of librbd.h.
        let (groups, name) = unsafe { (groups_of(p)?, string(name)?) };
        core()?.block_on(groups.create(&name))?;
        Ok(0)
    })
}

/// Its snapshots go with it. One that is not there is no error, as in librbd.
pub unsafe extern "C" fn rbd_group_remove(p: rados_ioctx_t, name: *const c_char) -> c_int {
    guard(|| {
        // SAFETY: a live io context and a string by the contract of librbd.h.
        let (groups, name) = unsafe { (groups_of(p)?, string(name)?) };
        match core()?.block_on(groups.remove(&name)) {
            Err(error) if error.kind == lsd_engine::ErrorKind::NotFound => Ok(0),
            removed => removed.map(|()| 0).map_err(Errno::from),
        }
    })
}

/// Names, each with its terminating zero; gives the bytes written. ERANGE with the size needed.
pub unsafe extern "C" fn rbd_group_list(p: rados_ioctx_t, names: *mut c_char, size: *mut usize) -> c_int {
    guard(|| {
        // SAFETY: a live io context by the contract of librbd.h.
        let groups = unsafe { groups_of(p) }?;
        let found = core()?.block_on(groups.list())?;
        // SAFETY: a buffer of that size by the contract of librbd.h.
        unsafe { put_texts(names, size, found.iter().map(String::as_str)) }
    })
}

pub unsafe extern "C" fn rbd_group_rename(
    p: rados_ioctx_t,
    src_name: *const c_char,
    dest_name: *const c_char,
) -> c_int {
    guard(|| {
        // SAFETY: a live io context and strings by the contract of librbd.h.
        let (groups, from, to) = unsafe { (groups_of(p)?, string(src_name)?, string(dest_name)?) };
        core()?.block_on(groups.rename(&from, &to))?;
        Ok(0)
    })
}

pub unsafe extern "C" fn rbd_group_get_id(
    p: rados_ioctx_t,
    group_name: *const c_char,
    group_id: *mut c_char,
    size: *mut usize,
) -> c_int {
    guard(|| {
        // SAFETY: a live io context and a string by the contract of librbd.h.
        let (groups, name) = unsafe { (groups_of(p)?, string(group_name)?) };
        let id = core()?.block_on(groups.id_of(&name))?;
        // SAFETY: a buffer of that size by the contract of librbd.h.
        unsafe { put_sized_text(group_id, size, &id) }
    })
}

/// A group and the pool of an image, which are in one namespace: else EINVAL.
///
/// # Safety
/// Live io contexts.
unsafe fn both(group_p: rados_ioctx_t, image_p: rados_ioctx_t) -> Outcome<(Groups, Pool)> {
    // SAFETY: the same contract.
    let (group_pool, image_pool) = unsafe { (Pool::adopt(group_p)?, Pool::adopt(image_p)?) };
    if group_pool.store.namespace() != image_pool.store.namespace() {
        return Err(Errno::EINVAL);
    }
    Ok((Groups::new(group_pool.store.clone(), group_pool.open_options(false)?), image_pool))
}

/// One that is in the group already stays. EEXIST: it is in another.
pub unsafe extern "C" fn rbd_group_image_add(
    group_p: rados_ioctx_t,
    group_name: *const c_char,
    image_p: rados_ioctx_t,
    image_name: *const c_char,
) -> c_int {
    guard(|| {
        // SAFETY: live io contexts and strings by the contract of librbd.h.
        let (name, image) = unsafe { (string(group_name)?, string(image_name)?) };
        // SAFETY: the same contract.
        let (groups, pool) = unsafe { both(group_p, image_p) }?;
        core()?.block_on(groups.add_image(&name, &pool.store, &ImageRef::Name(image)))?;
        Ok(0)
    })
}

/// EBADF: it is in another group.
pub unsafe extern "C" fn rbd_group_image_remove(
    group_p: rados_ioctx_t,
    group_name: *const c_char,
    image_p: rados_ioctx_t,
    image_name: *const c_char,
) -> c_int {
    // SAFETY: the same contract.
    guard(|| unsafe { remove_image(group_p, group_name, image_p, ImageRef::Name(string(image_name)?)) })
}

pub unsafe extern "C" fn rbd_group_image_remove_by_id(
    group_p: rados_ioctx_t,
    group_name: *const c_char,
    image_p: rados_ioctx_t,
    image_id: *const c_char,
) -> c_int {
    // SAFETY: the same contract.
    guard(|| unsafe { remove_image(group_p, group_name, image_p, ImageRef::Id(ImageId(string(image_id)?))) })
}

/// # Safety
/// Live io contexts and a string.
unsafe fn remove_image(
    group_p: rados_ioctx_t,
    group_name: *const c_char,
    image_p: rados_ioctx_t,
    image: ImageRef,
) -> Outcome<c_int> {
    // SAFETY: the same contract.
    let (name, (groups, pool)) = unsafe { (string(group_name)?, both(group_p, image_p)?) };
    core()?.block_on(groups.remove_image(&name, &pool.store, &image))?;
    Ok(0)
}

/// Gives the number of images, of a group that is not there 0.
pub unsafe extern "C" fn rbd_group_image_list(
    group_p: rados_ioctx_t,
    group_name: *const c_char,
    images: *mut rbd_group_image_info_t,
    group_image_info_size: usize,
    num_entries: *mut usize,
) -> c_int {
    guard(|| {
        // SAFETY: a live io context, a string and a number by the contract of librbd.h.
        let (groups, name) = unsafe { (groups_of(group_p)?, string(group_name)?) };
        // SAFETY: a number by the contract of librbd.h.
        let places = unsafe { fetch(num_entries) }?;
        // SAFETY: the same contract.
        unsafe { check_size::<rbd_group_image_info_t>(group_image_info_size, num_entries) }?;
        // SAFETY: null, or so many places by the contract of librbd.h. Callers give the list back whatever they get.
        unsafe { clear(images, places) };
        let found = nothing_if_missing(core()?.block_on(groups.images(&name)))?;
        let told = |image: &GroupImage| rbd_group_image_info_t {
            name: duplicate(&image.name),
            pool: image.pool,
            state: if image.is_attached { 0 } else { INCOMPLETE },
        };
        // SAFETY: so many places by the contract of librbd.h.
        unsafe { put_all(images, num_entries, &found, told) }
    })
}

pub unsafe extern "C" fn rbd_group_image_list_cleanup(
    images: *mut rbd_group_image_info_t,
    group_image_info_size: usize,
    num_entries: usize,
) -> c_int {
    guard(|| {
        if group_image_info_size != size_of::<rbd_group_image_info_t>() {
            return Err(Errno::ERANGE);
        }
        for place in (0..num_entries).filter(|_| !images.is_null()) {
            // SAFETY: `num_entries` filled or cleared entries by the contract of librbd.h; the names came from `duplicate`.
            unsafe { release(&mut (*images.add(place)).name) };
        }
        Ok(0)
    })
}

/// An image in no group: an empty name and pool -1, as librbd. ERANGE for a struct of another size.
pub unsafe extern "C" fn rbd_get_group(
    image: rbd_image_t,
    group_info: *mut rbd_group_info_t,
    group_info_size: usize,
) -> c_int {
    with_image(image, |image| {
        if group_info_size != size_of::<rbd_group_info_t>() {
            return Err(Errno::ERANGE);
        }
        if group_info.is_null() {
            return Err(Errno::EINVAL);
        }
        let told = match image.core.block_on(image.view.head().group())? {
            Some(group) => rbd_group_info_t { name: duplicate(&group.name), pool: group.pool },
            None => rbd_group_info_t { name: duplicate(""), pool: -1 },
        };
        // SAFETY: a place by the check above and the contract of librbd.h.
        unsafe { put(group_info, told) }
    })
}

pub unsafe extern "C" fn rbd_group_info_cleanup(group_info: *mut rbd_group_info_t, group_info_size: usize) -> c_int {
    guard(|| {
        if group_info_size != size_of::<rbd_group_info_t>() {
            return Err(Errno::ERANGE);
        }
        // SAFETY: null or a filled struct by the contract of librbd.h.
        if let Some(info) = unsafe { group_info.as_mut() } {
            // SAFETY: it came from `duplicate`.
            unsafe { release(&mut info.name) };
        }
        Ok(0)
    })
}
