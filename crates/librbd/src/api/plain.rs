//! Questions about groups, answered for images that are in none: all images, as yet.
//! What would make one (rbd_group_create, ...) is in module `unsupported`.
use crate::ffi::caller::{duplicate, put, release};
use crate::ffi::ctypes::{rbd_group_info_t, rbd_image_t};
use crate::ffi::errno::Errno;
use crate::ffi::panic::guard;
use crate::handles::entry::with_image;
use std::ffi::c_int;

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
