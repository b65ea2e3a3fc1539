//! What is told of mirroring, which is not there: no pool and no image is mirrored. Clients such as `rbd info` ask before anything else.
//!
//! Owns: these answers. Does not own: what would mirror something, which is in `unsupported.rs`.
use crate::ffi::caller::{duplicate, put, release};
use crate::ffi::ctypes::{rados_ioctx_t, rbd_completion_t, rbd_image_t, rbd_mirror_image_info_t};
use crate::ffi::errno::{Errno, Outcome};
use crate::ffi::panic::guard;
use crate::handles::completion::arm;
use crate::handles::done::Done;
use crate::handles::entry::with_image;
use crate::handles::pool::Pool;
use std::ffi::c_int;

/// `RBD_MIRROR_MODE_DISABLED`.
const MODE_DISABLED: c_int = 0;
/// `RBD_MIRROR_IMAGE_DISABLED`.
const IMAGE_DISABLED: c_int = 2;

/// # Safety
/// `place`: null, or a place for a struct of `size` bytes.
unsafe fn put_info(place: *mut rbd_mirror_image_info_t, size: usize) -> Outcome<c_int> {
    if size != size_of::<rbd_mirror_image_info_t>() {
        return Err(Errno::ERANGE);
    }
    if place.is_null() {
        return Err(Errno::EINVAL);
    }
    let info = rbd_mirror_image_info_t { global_id: duplicate(""), state: IMAGE_DISABLED, primary: false };
    // SAFETY: a place by the check above and the contract.
    unsafe { put(place, info) }
}

/// Always disabled.
pub unsafe extern "C" fn rbd_mirror_mode_get(io_ctx: rados_ioctx_t, mirror_mode: *mut c_int) -> c_int {
    guard(|| {
        // SAFETY: a live io context by the contract of librbd.h.
        unsafe { Pool::adopt(io_ctx) }?;
        // SAFETY: a place by the contract of librbd.h.
        unsafe { put(mirror_mode, MODE_DISABLED) }
    })
}

/// Always disabled, with an empty id. ERANGE for a struct of another size.
pub unsafe extern "C" fn rbd_mirror_image_get_info(
    image: rbd_image_t,
    mirror_image_info: *mut rbd_mirror_image_info_t,
    info_size: usize,
) -> c_int {
    // SAFETY: the same contract.
    with_image(image, |_| unsafe { put_info(mirror_image_info, info_size) })
}

pub unsafe extern "C" fn rbd_aio_mirror_image_get_info(
    image: rbd_image_t,
    mirror_image_info: *mut rbd_mirror_image_info_t,
    info_size: usize,
    c: rbd_completion_t,
) -> c_int {
    with_image(image, |image| {
        let completion = arm(c)?;
        // SAFETY: the same contract.
        let told = unsafe { put_info(mirror_image_info, info_size) };
        let result = told.err().map_or(0, |errno| -i64::from(errno.0));
        Done { completion, image: None, result }.send(image.core);
        Ok(0)
    })
}

pub unsafe extern "C" fn rbd_mirror_image_get_info_cleanup(mirror_image_info: *mut rbd_mirror_image_info_t) {
    // SAFETY: null or a filled struct by the contract of librbd.h.
    if let Some(info) = unsafe { mirror_image_info.as_mut() } {
        // SAFETY: it came from `duplicate`.
        unsafe { release(&mut info.global_id) };
    }
}
