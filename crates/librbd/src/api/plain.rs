//! Questions about snapshots, parents, children and groups, answered for images that have none: all images, as yet.
//! What would make one (rbd_snap_create, rbd_clone, ...) is in module `unsupported`.
use crate::ffi::caller::{clear, duplicate, fetch, put, put_sized_text, release, string};
use crate::ffi::ctypes::{rbd_group_info_t, rbd_image_t, rbd_linked_image_spec_t, rbd_snap_info_t, rbd_snap_spec_t};
use crate::ffi::errno::{CReturn, Errno};
use crate::ffi::panic::guard;
use crate::handles::entry::with_image;
use std::ffi::{c_char, c_int, c_void};

/// librbd's number of "no snapshot": the present state of the image.
const NO_SNAPSHOT: u64 = u64::MAX - 1;
/// librbd's "no limit" of rbd_snap_get_limit.
const NO_LIMIT: u64 = u64::MAX;

/// Needs one place for the terminating entry: else ERANGE, with the places needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_snap_list(
    image: rbd_image_t,
    snaps: *mut rbd_snap_info_t,
    max_snaps: *mut c_int,
) -> c_int {
    with_image(image, |_| {
        // SAFETY: a number by the contract of librbd.h.
        let places = unsafe { fetch(max_snaps) }?;
        if places < 1 {
            // SAFETY: `fetch` found it not null.
            unsafe { max_snaps.write(1) };
            return Err(Errno::ERANGE);
        }
        // SAFETY: at least one place by the check above, so many by the contract of librbd.h.
        unsafe {
            put(snaps, rbd_snap_info_t { id: 0, size: 0, name: std::ptr::null() })?;
            clear(snaps, places as usize);
        }
        Ok(0)
    })
}

/// The list owns nothing that is to be freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_snap_list_end(_snaps: *mut rbd_snap_info_t) {}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_snap_exists(image: rbd_image_t, snapname: *const c_char, exists: *mut bool) -> c_int {
    with_image(image, |_| {
        // SAFETY: a string and a place by the contract of librbd.h.
        unsafe {
            string(snapname)?;
            put(exists, false)
        }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_snap_get_limit(image: rbd_image_t, limit: *mut u64) -> c_int {
    // SAFETY: a place by the contract of librbd.h.
    with_image(image, |_| unsafe { put(limit, NO_LIMIT) })
}

/// Null or "" is the present state; anything else names no snapshot.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_snap_set(image: rbd_image_t, snapname: *const c_char) -> c_int {
    // SAFETY: null or a string by the contract of librbd.h.
    with_image(image, |_| match unsafe { crate::ffi::caller::optional_string(snapname) }? {
        None => Ok(0),
        Some(_) => Err(Errno::ENOENT),
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_snap_set_by_id(image: rbd_image_t, snap_id: u64) -> c_int {
    with_image(image, |_| if snap_id == NO_SNAPSHOT { Ok(0) } else { Err(Errno::ENOENT) })
}

fn not_found<R: CReturn>(image: rbd_image_t) -> R {
    with_image(image, |_| Err(Errno::ENOENT))
}

/// Functions that look up something that no image has.
macro_rules! not_found {
    ($($name:ident($($type:ty),*);)*) => {$(
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(image: rbd_image_t, $(_: $type),*) -> c_int {
            not_found(image)
        }
    )*};
}

not_found! {
    rbd_snap_is_protected(*const c_char, *mut c_int);
    rbd_snap_get_timestamp(u64, *mut nix::libc::timespec);
    rbd_snap_get_namespace_type(u64, *mut c_int);
}

/// No snapshot has this name: ENOENT, with librbd's number of none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_snap_get_id(image: rbd_image_t, snapname: *const c_char, snap_id: *mut u64) -> c_int {
    with_image(image, |_| {
        // SAFETY: a string and a place by the contract of librbd.h.
        unsafe {
            string(snapname)?;
            put(snap_id, NO_SNAPSHOT)?;
        }
        Err(Errno::ENOENT)
    })
}

/// No snapshot has this number: ENOENT, with an empty name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_snap_get_name(
    image: rbd_image_t,
    _snap_id: u64,
    snapname: *mut c_char,
    name_len: *mut usize,
) -> c_int {
    with_image(image, |_| {
        // SAFETY: a buffer of that size by the contract of librbd.h.
        unsafe { put_sized_text(snapname, name_len, "") }?;
        Err(Errno::ENOENT)
    })
}

/// No parent: ENOENT. Both places are cleared first, since callers clean them up whatever this gives.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_get_parent(
    image: rbd_image_t,
    parent_image: *mut rbd_linked_image_spec_t,
    parent_snap: *mut rbd_snap_spec_t,
) -> c_int {
    // SAFETY: null or a place by the contract of librbd.h; zeroes are a spec of nothing.
    unsafe {
        clear(parent_image, 1);
        clear(parent_snap, 1);
    }
    not_found(image)
}

/// No parent: ENOENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_get_parent_info(
    image: rbd_image_t,
    _parent_poolname: *mut c_char,
    _ppoolnamelen: usize,
    _parent_name: *mut c_char,
    _pnamelen: usize,
    _parent_snapname: *mut c_char,
    _psnapnamelen: usize,
) -> c_int {
    not_found(image)
}

/// No parent: ENOENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_get_parent_info2(
    image: rbd_image_t,
    _parent_poolname: *mut c_char,
    _ppoolnamelen: usize,
    _parent_name: *mut c_char,
    _pnamelen: usize,
    _parent_id: *mut c_char,
    _pidlen: usize,
    _parent_snapname: *mut c_char,
    _psnapnamelen: usize,
) -> c_int {
    not_found(image)
}

macro_rules! no_linked_images {
    ($($name:ident)*) => {$(
        /// There are no clones, so the list is empty.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(
            image: rbd_image_t,
            images: *mut rbd_linked_image_spec_t,
            max_images: *mut usize,
        ) -> c_int {
            // SAFETY: a number and so many places by the contract of librbd.h.
            with_image(image, |_| unsafe {
                clear(images, fetch(max_images)?);
                put(max_images, 0)
            })
        }
    )*};
}

no_linked_images! { rbd_list_children3 rbd_list_descendants }

/// There are no clones: no names, and nothing needed in either buffer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_list_children(
    image: rbd_image_t,
    _pools: *mut c_char,
    pools_len: *mut usize,
    _images: *mut c_char,
    images_len: *mut usize,
) -> isize {
    with_image(image, |_| {
        // SAFETY: two places by the contract of librbd.h.
        unsafe {
            put(pools_len, 0)?;
            put(images_len, 0)?;
        }
        Ok(0)
    })
}

/// `rbd_child_info_t`: three names and a flag, in four words.
type ChildInfo = [usize; 4];

/// There are no clones. The list needs one place for its end: else ERANGE, with the places needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_list_children2(
    image: rbd_image_t,
    children: *mut c_void,
    max_children: *mut c_int,
) -> c_int {
    with_image(image, |_| {
        // SAFETY: a number by the contract of librbd.h.
        let places = unsafe { fetch(max_children) }?;
        if places < 1 {
            // SAFETY: `fetch` found it not null.
            unsafe { max_children.write(1) };
            return Err(Errno::ERANGE);
        }
        // SAFETY: so many places by the contract of librbd.h.
        unsafe { clear(children.cast::<ChildInfo>(), places as usize) };
        Ok(0)
    })
}

/// An image in no group: an empty name and pool -1, as librbd. ERANGE for a struct of another size.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_get_group(
    image: rbd_image_t,
    group_info: *mut rbd_group_info_t,
    group_info_size: usize,
) -> c_int {
    with_image(image, |_| {
        if group_info_size != size_of::<rbd_group_info_t>() {
            return Err(Errno::ERANGE);
        }
        if group_info.is_null() {
            return Err(Errno::EINVAL);
        }
        // SAFETY: a place by the check above and the contract of librbd.h.
        unsafe { put(group_info, rbd_group_info_t { name: duplicate(""), pool: -1 }) }
    })
}

#[unsafe(no_mangle)]
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
