//! Groups of both kinds: a group is of the kind of its images.
//!
//! Owns: which library has a group, and that a name is one group's. Does not own: what is done to a group of a name
//! (`pool_table.rs`).
use crate::api::groups::{self, groups_of};
use crate::face::formats::{Format, default_format};
use crate::face::merge::{all_texts, give_names};
use crate::face::names::{self, stock_lists};
use crate::face::passing::is_there_to_reach;
use crate::ffi::caller::string;
use crate::ffi::ctypes::rados_ioctx_t;
use crate::ffi::errno::{Errno, Outcome};
use crate::ffi::panic::guard;
use crate::handles::pool::Pool;
use crate::runtime::process::core;
use crate::stock::functions;
use lsd_engine::ErrorKind;
use std::ffi::{c_char, c_int};

/// RBD's list of groups of a pool.
const DIRECTORY_OBJECT: &str = "rbd_group_directory";

/// # Safety
/// A live io context.
unsafe fn ours_has(io: rados_ioctx_t, name: &str) -> Outcome<bool> {
    // SAFETY: the same contract.
    let groups = unsafe { groups_of(io) }?;
    match core()?.block_on(groups.id_of(name)) {
        Ok(_) => Ok(true),
        Err(error) if error.kind == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Those of the stock library.
///
/// # Safety
/// A live io context.
unsafe fn stock_groups(io: rados_ioctx_t) -> Outcome<Vec<String>> {
    // SAFETY: the same contract.
    let pool = unsafe { Pool::adopt(io) }?;
    if !stock_lists(&pool, DIRECTORY_OBJECT)? {
        return Ok(Vec::new());
    }
    // SAFETY: a live io context, and a buffer of that size.
    all_texts(|names, size| unsafe { functions::rbd_group_list(io, names, size) })
}

/// Whether a name means a group of the stock library.
///
/// # Safety
/// A live io context and a string, by the contract of librbd.h.
pub unsafe fn stock_has(io: rados_ioctx_t, name: *const c_char) -> Outcome<bool> {
    // SAFETY: the same contract.
    let name = unsafe { string(name) }?;
    // SAFETY: the same contract.
    Ok(unsafe { !ours_has(io, &name)? && stock_groups(io)?.contains(&name) })
}

/// EEXIST: a group of the other kind has the name.
///
/// # Safety
/// A live io context and a string, by the contract of librbd.h.
unsafe fn free_in_other(io: rados_ioctx_t, name: *const c_char, format: Format) -> Outcome<()> {
    // SAFETY: the same contract.
    let name = unsafe { string(name) }?;
    // SAFETY: the same contract.
    let taken = unsafe {
        match format {
            Format::Lsd => stock_groups(io)?.contains(&name),
            Format::Rbd => ours_has(io, &name)?,
        }
    };
    if taken { Err(Errno::EEXIST) } else { Ok(()) }
}

/// Of the kind that a new image gets, for its images are to be of that kind.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_group_create(p: rados_ioctx_t, name: *const c_char) -> c_int {
    guard(|| {
        // SAFETY: the contract of librbd.h.
        let pool = unsafe { Pool::adopt(p) }?;
        let format = core()?.block_on(default_format(&pool))?;
        if format == Format::Rbd && !is_there_to_reach(&pool, "a new group") {
            return Err(Errno::EOPNOTSUPP);
        }
        // SAFETY: the same contract.
        unsafe { free_in_other(p, name, format) }?;
        let create = if format == Format::Rbd { functions::rbd_group_create } else { groups::rbd_group_create };
        // SAFETY: the same contract.
        Ok(unsafe { create(p, name) })
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_group_list(p: rados_ioctx_t, names: *mut c_char, size: *mut usize) -> c_int {
    guard(|| {
        // SAFETY: the contract of librbd.h.
        let theirs = unsafe { stock_groups(p) }?;
        if theirs.is_empty() {
            // SAFETY: the same contract.
            return Ok(unsafe { groups::rbd_group_list(p, names, size) });
        }
        // SAFETY: a live io context, and a buffer of that size.
        let ours = all_texts(|names, size| unsafe { groups::rbd_group_list(p, names, size) })?;
        // SAFETY: the same contract.
        unsafe { give_names(ours, theirs, names, size) }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_group_rename(
    p: rados_ioctx_t,
    src_name: *const c_char,
    dest_name: *const c_char,
) -> c_int {
    guard(|| {
        // SAFETY: the contract of librbd.h.
        let stock = unsafe { stock_has(p, src_name) }?;
        // SAFETY: the same contract.
        unsafe { free_in_other(p, dest_name, Format::of_kind(stock)) }?;
        let rename = if stock { functions::rbd_group_rename } else { groups::rbd_group_rename };
        // SAFETY: the same contract.
        Ok(unsafe { rename(p, src_name, dest_name) })
    })
}

/// EOPNOTSUPP: the image is of the other kind than the group.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_group_image_add(
    group_p: rados_ioctx_t,
    group_name: *const c_char,
    image_p: rados_ioctx_t,
    image_name: *const c_char,
) -> c_int {
    guard(|| {
        // SAFETY: the contract of librbd.h.
        let (stock, pool, image) =
            unsafe { (stock_has(group_p, group_name)?, Pool::adopt(image_p)?, string(image_name)?) };
        let owners = core()?.block_on(names::owners(&pool, &image))?;
        let other = if stock { owners.ours } else { !owners.ours && owners.stock };
        if other {
            return Err(Errno::EOPNOTSUPP);
        }
        let add = if stock { functions::rbd_group_image_add } else { groups::rbd_group_image_add };
        // SAFETY: the same contract.
        Ok(unsafe { add(group_p, group_name, image_p, image_name) })
    })
}
