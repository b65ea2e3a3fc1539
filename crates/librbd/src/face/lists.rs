//! Lists of the images of a pool, of both kinds.
//!
//! Owns: their sum. A name that two images have, of either kind one, is told once, and means lsd's; `rbd_list2` tells both, with
//! their ids.
use crate::api::list;
use crate::face::merge::{all, all_texts, both, give, give_names};
use crate::face::names::{DIRECTORY_OBJECT, stock_lists};
use crate::ffi::ctypes::{rados_ioctx_t, rbd_image_spec_t};
use crate::ffi::panic::guard;
use crate::handles::pool::Pool;
use crate::stock::functions;
use std::cmp::Ordering;
use std::ffi::{CStr, c_char, c_int};

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_list(io: rados_ioctx_t, names: *mut c_char, size: *mut usize) -> c_int {
    guard(|| {
        // SAFETY: the contract of librbd.h.
        let pool = unsafe { Pool::adopt(io) }?;
        if !stock_lists(&pool, DIRECTORY_OBJECT)? {
            // SAFETY: the same contract.
            return Ok(unsafe { list::rbd_list(io, names, size) });
        }
        // SAFETY: a live io context, and a buffer of that size.
        let ours = all_texts(|names, size| unsafe { list::rbd_list(io, names, size) })?;
        // SAFETY: as above.
        let theirs = all_texts(|names, size| unsafe { functions::rbd_list(io, names, size) })?;
        // SAFETY: the same contract.
        unsafe { give_names(ours, theirs, names, size) }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_list2(io: rados_ioctx_t, specs: *mut rbd_image_spec_t, max_images: *mut usize) -> c_int {
    guard(|| {
        // SAFETY: the contract of librbd.h.
        let pool = unsafe { Pool::adopt(io) }?;
        if !stock_lists(&pool, DIRECTORY_OBJECT)? {
            // SAFETY: the same contract.
            return Ok(unsafe { list::rbd_list2(io, specs, max_images) });
        }
        // SAFETY: a live io context, and an array of that length.
        let ours = all(|specs, count| unsafe { list::rbd_list2(io, specs, count) })?;
        // SAFETY: as above.
        let theirs = all(|specs, count| unsafe { functions::rbd_list2(io, specs, count) });
        // SAFETY: entries of either library are given back alike.
        let give_back = |specs, len| unsafe { list::rbd_image_spec_list_cleanup(specs, len) };
        let mut specs_of_all = both(ours, theirs, give_back)?;
        specs_of_all.sort_by(by_name);
        // SAFETY: the same contract.
        unsafe { give(specs_of_all, specs, max_images, give_back) }?;
        Ok(0)
    })
}

fn by_name(one: &rbd_image_spec_t, other: &rbd_image_spec_t) -> Ordering {
    let name = |spec: &rbd_image_spec_t| {
        // SAFETY: a string of the list, or null where memory was short.
        (!spec.name.is_null()).then(|| unsafe { CStr::from_ptr(spec.name) }.to_bytes().to_owned())
    };
    name(one).cmp(&name(other))
}
