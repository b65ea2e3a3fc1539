//! What an image is a clone of. All of it is of what the handle shows: a snapshot may be a clone where the image is none any more.
use crate::api::snapshots::namespace_number;
use crate::ffi::caller::{clear, duplicate, put, put_text};
use crate::ffi::ctypes::{rbd_image_t, rbd_linked_image_spec_t, rbd_snap_spec_t};
use crate::ffi::errno::{Errno, Outcome};
use crate::handles::entry::with_image;
use crate::handles::image::OpenImage;
use lsd_engine::Parent;
use std::ffi::{c_char, c_int};

/// ENOENT: it is no clone.
fn parent_of(image: &OpenImage) -> Outcome<Parent> {
    let shown = image.view.image()?;
    Ok(image.core.block_on(shown.parent())?)
}

fn pool_name(image: &OpenImage, parent: &Parent) -> Outcome<String> {
    image.core.block_on(image.view.pool_name(parent.pool))
}

/// 0 without a parent. ENOENT as in rbd_get_flags.
pub unsafe extern "C" fn rbd_get_overlap(image: rbd_image_t, overlap: *mut u64) -> c_int {
    with_image(image, |image| {
        let shown = image.view.image()?;
        // SAFETY: a place for the number by the contract of librbd.h.
        unsafe { put(overlap, image.core.block_on(shown.overlap())?) }
    })
}

/// Both places are cleared first, since callers clean them up whatever this gives.
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
    with_image(image, |image| {
        let parent = parent_of(image)?;
        let pool = pool_name(image, &parent)?;
        // SAFETY: null or a place by the contract of librbd.h.
        if let Some(spec) = unsafe { parent_image.as_mut() } {
            *spec = rbd_linked_image_spec_t {
                pool_id: parent.pool.0,
                pool_name: duplicate(&pool),
                pool_namespace: duplicate(&parent.namespace),
                image_id: duplicate(&parent.id.0),
                image_name: duplicate(&parent.name),
                trash: parent.trash,
            };
        }
        // SAFETY: null or a place by the contract of librbd.h.
        if let Some(spec) = unsafe { parent_snap.as_mut() } {
            *spec = rbd_snap_spec_t {
                id: parent.snapshot.id,
                namespace_type: namespace_number(&parent.snapshot.namespace),
                name: duplicate(&parent.snapshot.name),
            };
        }
        Ok(0)
    })
}

pub unsafe extern "C" fn rbd_get_parent_info(
    image: rbd_image_t,
    parent_poolname: *mut c_char,
    ppoolnamelen: usize,
    parent_name: *mut c_char,
    pnamelen: usize,
    parent_snapname: *mut c_char,
    psnapnamelen: usize,
) -> c_int {
    let (pool, name, snap) =
        ((parent_poolname, ppoolnamelen), (parent_name, pnamelen), (parent_snapname, psnapnamelen));
    // SAFETY: the same contract.
    unsafe { parent_info(image, [pool, name, (std::ptr::null_mut(), 0), snap]) }
}

pub unsafe extern "C" fn rbd_get_parent_info2(
    image: rbd_image_t,
    parent_poolname: *mut c_char,
    ppoolnamelen: usize,
    parent_name: *mut c_char,
    pnamelen: usize,
    parent_id: *mut c_char,
    pidlen: usize,
    parent_snapname: *mut c_char,
    psnapnamelen: usize,
) -> c_int {
    let (pool, name) = ((parent_poolname, ppoolnamelen), (parent_name, pnamelen));
    let (id, snap) = ((parent_id, pidlen), (parent_snapname, psnapnamelen));
    // SAFETY: the same contract.
    unsafe { parent_info(image, [pool, name, id, snap]) }
}

/// Pool, name, id and snapshot, of which a null one is not wanted. ERANGE: one does not fit; the others are given all the same.
///
/// # Safety
/// The contract of rbd_get_parent_info2.
unsafe fn parent_info(image: rbd_image_t, places: [(*mut c_char, usize); 4]) -> c_int {
    with_image(image, |image| {
        let parent = parent_of(image)?;
        let pool = pool_name(image, &parent)?;
        let mut result: Outcome<c_int> = Ok(0);
        for ((place, len), text) in places.into_iter().zip([&pool, &parent.name, &parent.id.0, &parent.snapshot.name]) {
            // SAFETY: null or so many bytes by the contract of librbd.h.
            if !place.is_null() && unsafe { put_text(place, len, text) }.is_err() {
                result = Err(Errno::ERANGE);
            }
        }
        result
    })
}
