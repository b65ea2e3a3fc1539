//! Making images from nothing, of the kind that is wanted, and renaming them.
//!
//! Owns: which kind, and that no other image has the name. Does not own: the making.
use crate::api;
use crate::face::formats::{Format, may_make, of_new};
use crate::face::names::is_stock;
use crate::ffi::caller::string;
use crate::ffi::ctypes::{rados_ioctx_t, rbd_image_options_t};
use crate::ffi::errno::{Errno, Outcome};
use crate::ffi::panic::guard;
use crate::handles::options::options_of;
use crate::handles::pool::Pool;
use crate::stock::functions;
use crate::stock::options::StockOptions;
use std::ffi::{c_char, c_int};

/// # Safety
/// A live io context and a string, by the contract of librbd.h.
unsafe fn format(io: rados_ioctx_t, image_name: *const c_char) -> Outcome<Format> {
    // SAFETY: the same contract.
    let (name, pool) = unsafe { (string(image_name)?, Pool::adopt(io)?) };
    of_new(&pool, &name, None)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_create(
    io: rados_ioctx_t,
    image_name: *const c_char,
    size: u64,
    order: *mut c_int,
) -> c_int {
    // SAFETY: the same contract.
    guard(|| match unsafe { format(io, image_name) }? {
        // SAFETY: the same contract.
        Format::Lsd => Ok(unsafe { api::create::rbd_create(io, image_name, size, order) }),
        Format::Rbd if order.is_null() => Err(Errno::EINVAL),
        // SAFETY: the same contract.
        Format::Rbd => Ok(unsafe { functions::rbd_create(io, image_name, size, order) }),
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_create2(
    io: rados_ioctx_t,
    image_name: *const c_char,
    size: u64,
    features: u64,
    order: *mut c_int,
) -> c_int {
    // SAFETY: the same contract.
    guard(|| match unsafe { format(io, image_name) }? {
        // SAFETY: the same contract.
        Format::Lsd => Ok(unsafe { api::create::rbd_create2(io, image_name, size, features, order) }),
        Format::Rbd if order.is_null() => Err(Errno::EINVAL),
        // SAFETY: the same contract.
        Format::Rbd => Ok(unsafe { functions::rbd_create2(io, image_name, size, features, order) }),
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_create3(
    io: rados_ioctx_t,
    image_name: *const c_char,
    size: u64,
    features: u64,
    order: *mut c_int,
    stripe_unit: u64,
    stripe_count: u64,
) -> c_int {
    // SAFETY: the same contract.
    guard(|| match unsafe { format(io, image_name) }? {
        Format::Lsd => {
            // SAFETY: the same contract.
            Ok(unsafe { api::create::rbd_create3(io, image_name, size, features, order, stripe_unit, stripe_count) })
        }
        Format::Rbd if order.is_null() => Err(Errno::EINVAL),
        Format::Rbd => {
            // SAFETY: the same contract.
            Ok(unsafe { functions::rbd_create3(io, image_name, size, features, order, stripe_unit, stripe_count) })
        }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_create4(
    io: rados_ioctx_t,
    image_name: *const c_char,
    size: u64,
    opts: rbd_image_options_t,
) -> c_int {
    guard(|| {
        let options = options_of(opts)?;
        // SAFETY: the same contract.
        let (name, pool) = unsafe { (string(image_name)?, Pool::adopt(io)?) };
        match of_new(&pool, &name, Some(&options))? {
            // SAFETY: the same contract.
            Format::Lsd => Ok(unsafe { api::create::rbd_create4(io, image_name, size, opts) }),
            Format::Rbd => {
                let stock = StockOptions::like(&options)?;
                // SAFETY: the same contract, with options of the stock library.
                let code = unsafe { functions::rbd_create4(io, image_name, size, stock.raw()) };
                if code >= 0 {
                    stock.tell(&options);
                }
                Ok(code)
            }
        }
    })
}

/// EEXIST if an image of either kind has the new name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_rename(
    src_io_ctx: rados_ioctx_t,
    srcname: *const c_char,
    destname: *const c_char,
) -> c_int {
    guard(|| {
        // SAFETY: the same contract.
        let (from, to, pool) = unsafe { (string(srcname)?, string(destname)?, Pool::adopt(src_io_ctx)?) };
        let stock = is_stock(&pool, &from)?;
        may_make(&pool, &to, Format::of_kind(stock))?;
        let rename = if stock { functions::rbd_rename } else { api::create::rbd_rename };
        // SAFETY: the same contract.
        Ok(unsafe { rename(src_io_ctx, srcname, destname) })
    })
}
