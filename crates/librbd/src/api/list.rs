//! Listing the images of a pool, and giving such lists back.
use crate::ffi::caller::{duplicate, fetch, put_texts, release};
use crate::ffi::ctypes::{rados_ioctx_t, rbd_image_spec_t, rbd_linked_image_spec_t, rbd_snap_spec_t};
use crate::ffi::errno::{Errno, Outcome};
use crate::ffi::panic::guard;
use crate::handles::pool::Pool;
use crate::runtime::process::core;
use lsd_engine::{Catalog, CatalogEntry};
use std::ffi::{c_char, c_int};

/// # Safety
/// `io`: a live io context.
unsafe fn images(io: rados_ioctx_t) -> Outcome<Vec<CatalogEntry>> {
    // SAFETY: the same contract.
    let pool = unsafe { Pool::adopt(io) }?;
    Ok(core()?.block_on(Catalog::new(pool.store.clone()).list())?)
}

/// Names, each with its terminating zero; gives the bytes written. ERANGE with the size needed.
pub unsafe extern "C" fn rbd_list(io: rados_ioctx_t, names: *mut c_char, size: *mut usize) -> c_int {
    guard(|| {
        // SAFETY: the contract of librbd.h.
        let images = unsafe { images(io) }?;
        // SAFETY: a buffer of that size by the contract of librbd.h.
        unsafe { put_texts(names, size, images.iter().map(|image| image.name.as_str())) }
    })
}

/// ERANGE with the number of images if there are more than `max_images`.
pub unsafe extern "C" fn rbd_list2(io: rados_ioctx_t, specs: *mut rbd_image_spec_t, max_images: *mut usize) -> c_int {
    guard(|| {
        // SAFETY: a number by the contract of librbd.h.
        let places = unsafe { fetch(max_images) }?;
        // SAFETY: the contract of librbd.h.
        let images = unsafe { images(io) }?;
        // SAFETY: `fetch` found it not null.
        unsafe { max_images.write(images.len()) };
        if images.len() > places {
            return Err(Errno::ERANGE);
        }
        if specs.is_null() && !images.is_empty() {
            return Err(Errno::EINVAL);
        }
        for (place, image) in images.iter().enumerate() {
            let spec = rbd_image_spec_t { id: duplicate(&image.id.0), name: duplicate(&image.name) };
            // SAFETY: the array has at least as many places as there are images.
            unsafe { specs.add(place).write(spec) };
        }
        Ok(0)
    })
}

pub unsafe extern "C" fn rbd_image_spec_cleanup(image: *mut rbd_image_spec_t) {
    // SAFETY: null or one filled spec by the contract of librbd.h.
    if let Some(spec) = unsafe { image.as_mut() } {
        // SAFETY: both came from `duplicate`.
        unsafe {
            release(&mut spec.id);
            release(&mut spec.name);
        }
    }
}

pub unsafe extern "C" fn rbd_image_spec_list_cleanup(images: *mut rbd_image_spec_t, num_images: usize) {
    if images.is_null() {
        return;
    }
    for place in 0..num_images {
        // SAFETY: `num_images` filled specs by the contract of librbd.h.
        unsafe { rbd_image_spec_cleanup(images.add(place)) };
    }
}

pub unsafe extern "C" fn rbd_linked_image_spec_cleanup(image: *mut rbd_linked_image_spec_t) {
    // SAFETY: null or one filled spec by the contract of librbd.h.
    if let Some(spec) = unsafe { image.as_mut() } {
        // SAFETY: all came from `duplicate`, or are null.
        unsafe {
            release(&mut spec.pool_name);
            release(&mut spec.pool_namespace);
            release(&mut spec.image_id);
            release(&mut spec.image_name);
        }
    }
}

pub unsafe extern "C" fn rbd_linked_image_spec_list_cleanup(images: *mut rbd_linked_image_spec_t, num_images: usize) {
    if images.is_null() {
        return;
    }
    for place in 0..num_images {
        // SAFETY: `num_images` filled specs by the contract of librbd.h.
        unsafe { rbd_linked_image_spec_cleanup(images.add(place)) };
    }
}

pub unsafe extern "C" fn rbd_snap_spec_cleanup(snap: *mut rbd_snap_spec_t) {
    // SAFETY: null or one filled spec by the contract of librbd.h.
    if let Some(spec) = unsafe { snap.as_mut() } {
        // SAFETY: it came from `duplicate`, or is null.
        unsafe { release(&mut spec.name) };
    }
}
