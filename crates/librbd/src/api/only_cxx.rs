//! What librbd's C++ classes can do and librbd.h has no function for: for the methods in `cxx/`.
//!
//! Owns: the functions named `lsd_*`. Does not own: the classes. These are not librbd's, and no client should call them.
use crate::ffi::caller::put;
use crate::ffi::ctypes::{Progress, rbd_image_options_t, rbd_image_t};
use crate::ffi::panic::guard;
use crate::ffi::progress::CallerProgress;
use crate::handles::entry::with_image;
use crate::handles::options::options_of;
use std::ffi::{c_int, c_void};

/// Another handle of the same options, to be destroyed like the first: what is set through one is seen through the other.
///
/// # Safety
/// `shared`: null, or a place for a handle.
pub unsafe extern "C" fn lsd_image_options_share(opts: rbd_image_options_t, shared: *mut rbd_image_options_t) -> c_int {
    guard(|| {
        let options = options_of(opts)?.share()?;
        // SAFETY: the same contract.
        unsafe { put(shared, options.handle()) }
    })
}

/// EINVAL without the feature object-map; EIO: the map, or what it leads to, is damaged. Changes nothing.
///
/// # Safety
/// `cb`: null, or a function that may be called with `cbdata`.
pub unsafe extern "C" fn lsd_check_object_map(image: rbd_image_t, cb: Progress, cbdata: *mut c_void) -> c_int {
    with_image(image, |image| {
        let progress = CallerProgress::new(cb, cbdata);
        let report = |done, total| progress.report(done, total);
        image.core.block_on(image.view.head().check_object_map(&report))?;
        Ok(0)
    })
}
