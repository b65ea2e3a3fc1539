//! Snapshots that were removed, and are kept out of sight for their clones: what they were called.
use crate::api::snapshots::find_by_id;
use crate::ffi::caller::{duplicate, put, put_text, release};
use crate::ffi::ctypes::{rbd_image_t, rbd_snap_trash_namespace_t};
use crate::ffi::errno::{Errno, Outcome};
use crate::ffi::panic::guard;
use crate::handles::entry::with_image;
use crate::handles::image::OpenImage;
use lsd_engine::SnapNamespace;
use std::ffi::{c_char, c_int};

/// `RBD_SNAP_NAMESPACE_TYPE_USER`: only users' snapshots are kept like this.
const ORIGINAL_TYPE: c_int = 0;

/// ENOENT; EINVAL: it was not removed.
fn original_name(image: &OpenImage, id: u64) -> Outcome<String> {
    match find_by_id(image, id)?.namespace {
        SnapNamespace::Trash { name } => Ok(name),
        _ => Err(Errno::EINVAL),
    }
}

/// ERANGE if it does not fit.
pub unsafe extern "C" fn rbd_snap_get_trash_namespace(
    image: rbd_image_t,
    snap_id: u64,
    original: *mut c_char,
    max_length: usize,
) -> c_int {
    with_image(image, |image| {
        let name = original_name(image, snap_id)?;
        // SAFETY: so many bytes by the contract of librbd.h.
        unsafe { put_text(original, max_length, &name) }?;
        Ok(0)
    })
}

/// ERANGE for a struct of another size.
pub unsafe extern "C" fn rbd_snap_get_trash_namespace2(
    image: rbd_image_t,
    snap_id: u64,
    trash_snap: *mut rbd_snap_trash_namespace_t,
    trash_snap_size: usize,
) -> c_int {
    with_image(image, |image| {
        if trash_snap_size != size_of::<rbd_snap_trash_namespace_t>() {
            return Err(Errno::ERANGE);
        }
        let name = original_name(image, snap_id)?;
        if trash_snap.is_null() {
            return Err(Errno::EINVAL);
        }
        let told =
            rbd_snap_trash_namespace_t { original_namespace_type: ORIGINAL_TYPE, original_name: duplicate(&name) };
        // SAFETY: a place by the check above and the contract of librbd.h.
        unsafe { put(trash_snap, told) }
    })
}

pub unsafe extern "C" fn rbd_snap_trash_namespace_cleanup(
    trash_snap: *mut rbd_snap_trash_namespace_t,
    trash_snap_size: usize,
) -> c_int {
    guard(|| {
        if trash_snap_size != size_of::<rbd_snap_trash_namespace_t>() {
            return Err(Errno::ERANGE);
        }
        // SAFETY: null or a filled struct by the contract of librbd.h.
        if let Some(told) = unsafe { trash_snap.as_mut() } {
            // SAFETY: it came from `duplicate`.
            unsafe { release(&mut told.original_name) };
        }
        Ok(0)
    })
}
