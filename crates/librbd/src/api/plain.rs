//! Questions about parents and children, answered for images that have none: all images, as yet.
//! What would make one (rbd_clone, ...) is in module `unsupported`.
use crate::ffi::caller::{clear, fetch, put};
use crate::ffi::ctypes::{rbd_image_t, rbd_linked_image_spec_t, rbd_snap_spec_t};
use crate::ffi::errno::{CReturn, Errno};
use crate::handles::entry::with_image;
use std::ffi::{c_char, c_int, c_void};

fn not_found<R: CReturn>(image: rbd_image_t) -> R {
    with_image(image, |_| Err(Errno::ENOENT))
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
