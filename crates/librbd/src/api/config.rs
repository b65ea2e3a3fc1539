//! What holds for a pool and for an image: every option, its text, and who says so.
use crate::ffi::caller::{duplicate, fetch, release};
use crate::ffi::ctypes::{rados_ioctx_t, rbd_config_option_t, rbd_image_t};
use crate::ffi::errno::{Errno, Outcome};
use crate::ffi::panic::guard;
use crate::handles::entry::with_image;
use crate::handles::pool::Pool;
use crate::runtime::process::core;
use lsd_engine::{ConfigOption, ConfigSource, pool_config};
use std::ffi::c_int;

/// Sets the number of options. ERANGE, and nothing else is written, if there are more than `max_options`.
///
/// # Safety
/// A number, and an array with so many places.
unsafe fn put(found: &[ConfigOption], options: *mut rbd_config_option_t, max_options: *mut c_int) -> Outcome<c_int> {
    // SAFETY: the same contract.
    let places = unsafe { fetch(max_options) }?;
    let count = c_int::try_from(found.len()).map_err(|_| Errno::ERANGE)?;
    // SAFETY: `fetch` found it not null.
    unsafe { max_options.write(count) };
    if count > places {
        return Err(Errno::ERANGE);
    }
    if options.is_null() {
        return Err(Errno::EINVAL);
    }
    for (place, option) in found.iter().enumerate() {
        let source = match option.source {
            ConfigSource::Config => 0,
            ConfigSource::Pool => 1,
            ConfigSource::Image => 2,
        };
        let entry = rbd_config_option_t { name: duplicate(option.name), value: duplicate(&option.value), source };
        // SAFETY: the array has at least as many places as there are options.
        unsafe { options.add(place).write(entry) };
    }
    Ok(0)
}

/// Gives back what a list took.
///
/// # Safety
/// Null, or that many entries of a list.
unsafe fn clean_up(options: *mut rbd_config_option_t, max_options: c_int) {
    if options.is_null() {
        return;
    }
    for place in 0..usize::try_from(max_options).unwrap_or(0) {
        // SAFETY: so many entries by the caller's contract.
        let option = unsafe { &mut *options.add(place) };
        // SAFETY: both came from `duplicate`.
        unsafe {
            release(&mut option.name);
            release(&mut option.value);
        }
    }
}

pub unsafe extern "C" fn rbd_config_pool_list(
    io_ctx: rados_ioctx_t,
    options: *mut rbd_config_option_t,
    max_options: *mut c_int,
) -> c_int {
    guard(|| {
        // SAFETY: a live io context by the contract of librbd.h.
        let pool = unsafe { Pool::adopt(io_ctx) }?;
        let metadata = core()?.block_on(pool.metadata()?.list())?;
        // SAFETY: the same contract.
        unsafe { put(&pool_config(&|key| pool.setting(key), &metadata), options, max_options) }
    })
}

pub unsafe extern "C" fn rbd_config_pool_list_cleanup(options: *mut rbd_config_option_t, max_options: c_int) {
    // SAFETY: the same contract.
    unsafe { clean_up(options, max_options) }
}

pub unsafe extern "C" fn rbd_config_image_list(
    image: rbd_image_t,
    options: *mut rbd_config_option_t,
    max_options: *mut c_int,
) -> c_int {
    with_image(image, |image| {
        let config = |key: &str| image.config.get(key).cloned();
        let found = image.core.block_on(image.view.head().config(&config))?;
        // SAFETY: the same contract.
        unsafe { put(&found, options, max_options) }
    })
}

pub unsafe extern "C" fn rbd_config_image_list_cleanup(options: *mut rbd_config_option_t, max_options: c_int) {
    // SAFETY: the same contract.
    unsafe { clean_up(options, max_options) }
}
