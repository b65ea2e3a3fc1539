//! The bag of options for creating and copying images: which there are, setting and getting them.
use crate::ffi::caller::{put, put_text, string};
use crate::ffi::ctypes::rbd_image_options_t;
use crate::ffi::errno::{Errno, Outcome};
use crate::ffi::panic::guard;
use crate::handles::options::{ImageOptions, Value, name, options_of, take_options};
use std::ffi::{c_char, c_int};

/// Whether an option is text; EINVAL for an unknown one.
fn is_text(option: c_int) -> Outcome<bool> {
    match option {
        name::JOURNAL_POOL | name::DATA_POOL | name::LSD_FORMAT => Ok(true),
        name::FORMAT..=name::MIRROR_IMAGE_MODE => Ok(false),
        _ => Err(Errno::EINVAL),
    }
}

fn expect_text(option: c_int, text: bool) -> Outcome<()> {
    if is_text(option)? == text { Ok(()) } else { Err(Errno::EINVAL) }
}

pub unsafe extern "C" fn rbd_image_options_create(opts: *mut rbd_image_options_t) {
    guard(|| {
        // SAFETY: a place for a handle by the contract of librbd.h.
        unsafe { put(opts, ImageOptions::register()?.handle()) }.map(drop)
    });
}

pub unsafe extern "C" fn rbd_image_options_destroy(opts: rbd_image_options_t) {
    guard(|| take_options(opts).map(drop));
}

pub unsafe extern "C" fn rbd_image_options_set_string(
    opts: rbd_image_options_t,
    optname: c_int,
    optval: *const c_char,
) -> c_int {
    guard(|| {
        let options = options_of(opts)?;
        expect_text(optname, true)?;
        // SAFETY: a string by the contract of librbd.h.
        options.values().insert(optname, Value::Text(unsafe { string(optval) }?));
        Ok(0)
    })
}

pub unsafe extern "C" fn rbd_image_options_set_uint64(opts: rbd_image_options_t, optname: c_int, optval: u64) -> c_int {
    guard(|| {
        let options = options_of(opts)?;
        expect_text(optname, false)?;
        options.set_number(optname, optval);
        Ok(0)
    })
}

/// ENOENT if it is not set, E2BIG if it does not fit.
pub unsafe extern "C" fn rbd_image_options_get_string(
    opts: rbd_image_options_t,
    optname: c_int,
    optval: *mut c_char,
    maxlen: usize,
) -> c_int {
    guard(|| {
        let options = options_of(opts)?;
        expect_text(optname, true)?;
        let text = options.text(optname).ok_or(Errno::ENOENT)?;
        // SAFETY: `maxlen` bytes by the contract of librbd.h.
        unsafe { put_text(optval, maxlen, &text) }
            .map_err(|errno| if errno == Errno::ERANGE { Errno::E2BIG } else { errno })?;
        Ok(0)
    })
}

/// ENOENT if it is not set.
pub unsafe extern "C" fn rbd_image_options_get_uint64(
    opts: rbd_image_options_t,
    optname: c_int,
    optval: *mut u64,
) -> c_int {
    guard(|| {
        let options = options_of(opts)?;
        expect_text(optname, false)?;
        // SAFETY: a place for a number by the contract of librbd.h.
        unsafe { put(optval, options.number(optname).ok_or(Errno::ENOENT)?) }
    })
}

pub unsafe extern "C" fn rbd_image_options_is_set(
    opts: rbd_image_options_t,
    optname: c_int,
    is_set: *mut bool,
) -> c_int {
    guard(|| {
        let options = options_of(opts)?;
        is_text(optname)?;
        // SAFETY: a place for a bool by the contract of librbd.h.
        unsafe { put(is_set, options.values().contains_key(&optname)) }
    })
}

/// ENOENT if it is not set.
pub unsafe extern "C" fn rbd_image_options_unset(opts: rbd_image_options_t, optname: c_int) -> c_int {
    guard(|| {
        let options = options_of(opts)?;
        is_text(optname)?;
        options.values().remove(&optname).map(|_| 0).ok_or(Errno::ENOENT)
    })
}

pub unsafe extern "C" fn rbd_image_options_clear(opts: rbd_image_options_t) {
    guard(|| options_of(opts).map(|options| options.values().clear()));
}

/// 1 if nothing is set.
pub unsafe extern "C" fn rbd_image_options_is_empty(opts: rbd_image_options_t) -> c_int {
    guard(|| Ok(c_int::from(options_of(opts)?.values().is_empty())))
}
