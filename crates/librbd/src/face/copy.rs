//! Copies: of the source's kind, unless the options ask for the other.
//!
//! Owns: which library copies. Does not own: a copy from one kind to the other (`cross_copy.rs`).
use crate::api::{copy, deep_copy};
use crate::face::cross_copy::{to_new, to_open};
use crate::face::formats::{Format, asked_for, may_make};
use crate::face::passing::told;
use crate::ffi::caller::string;
use crate::ffi::ctypes::{Progress, rados_ioctx_t, rbd_image_options_t, rbd_image_t};
use crate::ffi::errno::{Errno, Outcome};
use crate::ffi::panic::guard;
use crate::ffi::progress::CallerProgress;
use crate::handles::options::{ImageOptions, options_of};
use crate::handles::pool::Pool;
use crate::handles::slab::Ref;
use crate::stock::functions;
use crate::stock::images::{StockImage, find};
use crate::stock::options::StockOptions;
use std::ffi::{c_char, c_int, c_void};
use std::ptr;

/// Where a copy goes: pool, name, and the options of the call.
type Target = (rados_ioctx_t, *const c_char, Option<rbd_image_options_t>);

enum Way {
    Ours,
    Stock(Ref<StockImage>),
    /// To an image of this kind, from one of the other.
    Across(Format),
}

/// Who copies. EEXIST: an image of the other kind has the name.
///
/// # Safety
/// A live io context and a string, by the contract of librbd.h.
unsafe fn way(image: rbd_image_t, target: Target, options: Option<&ImageOptions>) -> Outcome<Way> {
    let source = find(image).transpose()?;
    let same = Format::of_kind(source.is_some());
    let format = asked_for(options)?.unwrap_or(same);
    // SAFETY: the same contract.
    let (name, pool) = unsafe { (string(target.1)?, Pool::adopt(target.0)?) };
    may_make(&pool, &name, format)?;
    Ok(match source {
        _ if format != same => Way::Across(format),
        None => Way::Ours,
        Some(source) => Way::Stock(source),
    })
}

/// `sparse_size`: 0 is the library's own.
///
/// # Safety
/// The contract of rbd_copy_with_progress4.
unsafe fn copy(image: rbd_image_t, target: Target, (cb, cbdata): (Progress, *mut c_void), sparse_size: usize) -> c_int {
    guard(|| {
        let options = target.2.map(options_of).transpose()?;
        let (io, name, opts) = target;
        // SAFETY: the same contract.
        match unsafe { way(image, target, options.as_deref()) }? {
            Way::Ours => Ok(match opts {
                // SAFETY: the same contract.
                None => unsafe { copy::rbd_copy_with_progress(image, io, name, cb, cbdata) },
                // SAFETY: the same contract.
                Some(opts) => unsafe { copy::rbd_copy_with_progress4(image, io, name, opts, cb, cbdata, sparse_size) },
            }),
            Way::Stock(source) => Ok(match options.as_deref().map(StockOptions::like).transpose()? {
                // SAFETY: the same contract, with the stock library's image.
                None => unsafe { functions::rbd_copy_with_progress(source.raw(), io, name, told(cb), cbdata) },
                // SAFETY: the same contract, with the stock library's image and options.
                Some(opts) => unsafe {
                    functions::rbd_copy_with_progress4(
                        source.raw(),
                        io,
                        name,
                        opts.raw(),
                        told(cb),
                        cbdata,
                        sparse_size,
                    )
                },
            }),
            Way::Across(format) => {
                let progress = CallerProgress::new(cb, cbdata);
                // SAFETY: the same contract.
                unsafe { to_new(image, (io, name), options.as_deref(), format, progress) }?;
                Ok(0)
            }
        }
    })
}

/// # Safety
/// The contract of rbd_copy_with_progress2.
unsafe fn copy_to_open(src: rbd_image_t, dest: rbd_image_t, (cb, cbdata): (Progress, *mut c_void)) -> c_int {
    guard(|| match (find(src).transpose()?, find(dest).transpose()?) {
        // SAFETY: the same contract.
        (None, None) => Ok(unsafe { copy::rbd_copy_with_progress2(src, dest, cb, cbdata) }),
        (Some(source), Some(target)) => {
            // SAFETY: the same contract, with the stock library's images.
            Ok(unsafe { functions::rbd_copy_with_progress2(source.raw(), target.raw(), told(cb), cbdata) })
        }
        _ => {
            // SAFETY: two images by the contract.
            unsafe { to_open(src, dest, false, CallerProgress::new(cb, cbdata)) }?;
            Ok(0)
        }
    })
}

const NOBODY: (Progress, *mut c_void) = (None, ptr::null_mut());

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_copy(image: rbd_image_t, dest_io_ctx: rados_ioctx_t, destname: *const c_char) -> c_int {
    // SAFETY: the same contract.
    unsafe { copy(image, (dest_io_ctx, destname, None), NOBODY, 0) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_copy2(src: rbd_image_t, dest: rbd_image_t) -> c_int {
    // SAFETY: the same contract.
    unsafe { copy_to_open(src, dest, NOBODY) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_copy3(
    src: rbd_image_t,
    dest_io_ctx: rados_ioctx_t,
    destname: *const c_char,
    dest_opts: rbd_image_options_t,
) -> c_int {
    // SAFETY: the same contract.
    unsafe { copy(src, (dest_io_ctx, destname, Some(dest_opts)), NOBODY, 0) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_copy4(
    src: rbd_image_t,
    dest_io_ctx: rados_ioctx_t,
    destname: *const c_char,
    dest_opts: rbd_image_options_t,
    sparse_size: usize,
) -> c_int {
    // SAFETY: the same contract.
    unsafe { copy(src, (dest_io_ctx, destname, Some(dest_opts)), NOBODY, sparse_size) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_copy_with_progress(
    image: rbd_image_t,
    dest_p: rados_ioctx_t,
    destname: *const c_char,
    cb: Progress,
    cbdata: *mut c_void,
) -> c_int {
    // SAFETY: the same contract.
    unsafe { copy(image, (dest_p, destname, None), (cb, cbdata), 0) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_copy_with_progress2(
    src: rbd_image_t,
    dest: rbd_image_t,
    cb: Progress,
    cbdata: *mut c_void,
) -> c_int {
    // SAFETY: the same contract.
    unsafe { copy_to_open(src, dest, (cb, cbdata)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_copy_with_progress3(
    image: rbd_image_t,
    dest_p: rados_ioctx_t,
    destname: *const c_char,
    dest_opts: rbd_image_options_t,
    cb: Progress,
    cbdata: *mut c_void,
) -> c_int {
    // SAFETY: the same contract.
    unsafe { copy(image, (dest_p, destname, Some(dest_opts)), (cb, cbdata), 0) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_copy_with_progress4(
    image: rbd_image_t,
    dest_p: rados_ioctx_t,
    destname: *const c_char,
    dest_opts: rbd_image_options_t,
    cb: Progress,
    cbdata: *mut c_void,
    sparse_size: usize,
) -> c_int {
    // SAFETY: the same contract.
    unsafe { copy(image, (dest_p, destname, Some(dest_opts)), (cb, cbdata), sparse_size) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_deep_copy(
    src: rbd_image_t,
    dest_io_ctx: rados_ioctx_t,
    destname: *const c_char,
    dest_opts: rbd_image_options_t,
) -> c_int {
    // SAFETY: the same contract.
    unsafe { rbd_deep_copy_with_progress(src, dest_io_ctx, destname, dest_opts, None, ptr::null_mut()) }
}

/// EOPNOTSUPP from one kind to the other.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_deep_copy_with_progress(
    image: rbd_image_t,
    dest_io_ctx: rados_ioctx_t,
    destname: *const c_char,
    dest_opts: rbd_image_options_t,
    cb: Progress,
    cbdata: *mut c_void,
) -> c_int {
    guard(|| {
        let options = options_of(dest_opts)?;
        // SAFETY: the same contract.
        match unsafe { way(image, (dest_io_ctx, destname, Some(dest_opts)), Some(&options)) }? {
            // SAFETY: the same contract.
            Way::Ours => Ok(unsafe {
                deep_copy::rbd_deep_copy_with_progress(image, dest_io_ctx, destname, dest_opts, cb, cbdata)
            }),
            Way::Stock(source) => {
                let opts = StockOptions::like(&options)?;
                let (source, opts_of_stock) = (source.raw(), opts.raw());
                // SAFETY: the same contract, with the stock library's image and options.
                Ok(unsafe {
                    functions::rbd_deep_copy_with_progress(
                        source,
                        dest_io_ctx,
                        destname,
                        opts_of_stock,
                        told(cb),
                        cbdata,
                    )
                })
            }
            Way::Across(_) => Err(Errno::EOPNOTSUPP),
        }
    })
}
