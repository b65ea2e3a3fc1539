//! Clones, and images that are migrated: of the kind of what they are made of.
//!
//! Owns: that a clone and its parent are of one kind, for now, and that a stock image may become one of lsd's by a migration. Does not own: the making.
use crate::api::{clone, migration, unsupported};
use crate::face::formats::{Format, asked_for, may_make, of_new, said_of_new};
use crate::face::names::is_stock;
use crate::ffi::caller::string;
use crate::ffi::ctypes::{rados_ioctx_t, rbd_image_options_t};
use crate::ffi::errno::{Errno, Outcome};
use crate::ffi::panic::guard;
use crate::handles::options::{ImageOptions, options_of};
use crate::handles::pool::Pool;
use crate::runtime::process::core;
use crate::stock::functions;
use crate::stock::options::StockOptions;
use std::ffi::{c_char, c_int};

/// An image by its pool and name, as a caller has it.
type Named = (rados_ioctx_t, *const c_char);

/// The kind of the source, and so of what is made of it. EOPNOTSUPP: the options ask for the other. EEXIST: an image of the other
/// kind has the name.
///
/// # Safety
/// Live io contexts and strings, by the contract of librbd.h.
unsafe fn kind(source: Named, made: Named, options: Option<&ImageOptions>) -> Outcome<Format> {
    // SAFETY: the same contract.
    let (from, pool) = unsafe { (string(source.1)?, Pool::adopt(source.0)?) };
    let format = Format::of_kind(is_stock(&pool, &from)?);
    if asked_for(options)?.is_some_and(|asked| asked != format) {
        return Err(Errno::EOPNOTSUPP);
    }
    // SAFETY: the same contract.
    let (name, pool) = unsafe { (string(made.1)?, Pool::adopt(made.0)?) };
    may_make(&pool, &name, format)?;
    Ok(format)
}

/// A call with the caller's options, `given`; for the stock library, with options of its own that are like them.
fn with_options(
    format: Format,
    options: &ImageOptions,
    given: rbd_image_options_t,
    call: impl FnOnce(rbd_image_options_t) -> c_int,
) -> Outcome<c_int> {
    match format {
        Format::Lsd => Ok(call(given)),
        Format::Rbd => {
            let stock = StockOptions::like(options)?;
            Ok(call(stock.raw()))
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_clone(
    p_ioctx: rados_ioctx_t,
    p_name: *const c_char,
    p_snapname: *const c_char,
    c_ioctx: rados_ioctx_t,
    c_name: *const c_char,
    features: u64,
    c_order: *mut c_int,
) -> c_int {
    guard(|| {
        // SAFETY: the same contract.
        let make = match unsafe { kind((p_ioctx, p_name), (c_ioctx, c_name), None) }? {
            Format::Lsd => clone::rbd_clone,
            // Stock librbd would read it.
            Format::Rbd if c_order.is_null() => return Err(Errno::EINVAL),
            Format::Rbd => functions::rbd_clone,
        };
        // SAFETY: the same contract.
        Ok(unsafe { make(p_ioctx, p_name, p_snapname, c_ioctx, c_name, features, c_order) })
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_clone2(
    p_ioctx: rados_ioctx_t,
    p_name: *const c_char,
    p_snapname: *const c_char,
    c_ioctx: rados_ioctx_t,
    c_name: *const c_char,
    features: u64,
    c_order: *mut c_int,
    stripe_unit: u64,
    stripe_count: c_int,
) -> c_int {
    guard(|| {
        // SAFETY: the same contract.
        let make = match unsafe { kind((p_ioctx, p_name), (c_ioctx, c_name), None) }? {
            Format::Lsd => clone::rbd_clone2,
            // Stock librbd would read it.
            Format::Rbd if c_order.is_null() => return Err(Errno::EINVAL),
            Format::Rbd => functions::rbd_clone2,
        };
        // SAFETY: the same contract.
        Ok(unsafe { make(p_ioctx, p_name, p_snapname, c_ioctx, c_name, features, c_order, stripe_unit, stripe_count) })
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_clone3(
    p_ioctx: rados_ioctx_t,
    p_name: *const c_char,
    p_snapname: *const c_char,
    c_ioctx: rados_ioctx_t,
    c_name: *const c_char,
    c_opts: rbd_image_options_t,
) -> c_int {
    guard(|| {
        let options = options_of(c_opts)?;
        // SAFETY: the same contract.
        let format = unsafe { kind((p_ioctx, p_name), (c_ioctx, c_name), Some(&options)) }?;
        let make = match format {
            Format::Lsd => clone::rbd_clone3,
            Format::Rbd => functions::rbd_clone3,
        };
        // SAFETY: the same contract, with options of the library that makes it.
        with_options(format, &options, c_opts, |opts| unsafe {
            make(p_ioctx, p_name, p_snapname, c_ioctx, c_name, opts)
        })
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_clone4(
    p_ioctx: rados_ioctx_t,
    p_name: *const c_char,
    p_snap_id: u64,
    c_ioctx: rados_ioctx_t,
    c_name: *const c_char,
    c_opts: rbd_image_options_t,
) -> c_int {
    guard(|| {
        let options = options_of(c_opts)?;
        // SAFETY: the same contract.
        let format = unsafe { kind((p_ioctx, p_name), (c_ioctx, c_name), Some(&options)) }?;
        let make = match format {
            Format::Lsd => clone::rbd_clone4,
            Format::Rbd => functions::rbd_clone4,
        };
        // SAFETY: the same contract, with options of the library that makes it.
        with_options(format, &options, c_opts, |opts| unsafe {
            make(p_ioctx, p_name, p_snap_id, c_ioctx, c_name, opts)
        })
    })
}

/// The kind of what a migration makes: an image of RBD's becomes one of lsd's where the options ask for that, or else the pool or the
/// caller's settings do, which say what new images are. EOPNOTSUPP: the other way.
///
/// # Safety
/// Live io contexts and strings, by the contract of librbd.h.
unsafe fn kind_of_migrated(source: Named, made: Named, options: &ImageOptions) -> Outcome<Format> {
    // SAFETY: the same contract.
    let (from, pool) = unsafe { (string(source.1)?, Pool::adopt(source.0)?) };
    if is_stock(&pool, &from)? {
        // SAFETY: the same contract.
        let to = unsafe { Pool::adopt(made.0)? };
        let asked = match asked_for(Some(options))? {
            None => core()?.block_on(said_of_new(&to))?,
            asked => asked,
        };
        if asked == Some(Format::Lsd) {
            return Ok(Format::Lsd);
        }
    }
    // SAFETY: the same contract.
    unsafe { kind(source, made, Some(options)) }
}

/// The source's own name may be taken again: it gives it away.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_migration_prepare(
    ioctx: rados_ioctx_t,
    image_name: *const c_char,
    dest_ioctx: rados_ioctx_t,
    dest_image_name: *const c_char,
    opts: rbd_image_options_t,
) -> c_int {
    guard(|| {
        let options = options_of(opts)?;
        // SAFETY: the same contract.
        let format = unsafe { kind_of_migrated((ioctx, image_name), (dest_ioctx, dest_image_name), &options) }?;
        let prepare = match format {
            Format::Lsd => migration::rbd_migration_prepare,
            Format::Rbd => functions::rbd_migration_prepare,
        };
        // SAFETY: the same contract, with options of the library that makes it.
        with_options(format, &options, opts, |opts| unsafe {
            prepare(ioctx, image_name, dest_ioctx, dest_image_name, opts)
        })
    })
}

/// Its source is no image, so it is made as one from nothing is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_migration_prepare_import(
    source_spec: *const c_char,
    dest_ioctx: rados_ioctx_t,
    dest_image_name: *const c_char,
    opts: rbd_image_options_t,
) -> c_int {
    guard(|| {
        let options = options_of(opts)?;
        // SAFETY: the same contract.
        let (name, pool) = unsafe { (string(dest_image_name)?, Pool::adopt(dest_ioctx)?) };
        let format = of_new(&pool, &name, Some(&options))?;
        let prepare = match format {
            Format::Lsd => unsupported::rbd_migration_prepare_import,
            Format::Rbd => functions::rbd_migration_prepare_import,
        };
        // SAFETY: the same contract, with options of the library that makes it.
        with_options(format, &options, opts, |opts| unsafe { prepare(source_spec, dest_ioctx, dest_image_name, opts) })
    })
}
