//! The guard around every entry: a panic never crosses into C.
use crate::ffi::errno::{CReturn, Errno, Outcome};
use crate::handles::image::{OpenImage, image_of};
use crate::handles::slab::Ref;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs an entry that has no image. A panic gives EIO.
pub fn guard<R: CReturn>(entry: impl FnOnce() -> Outcome<R>) -> R {
    match catch_unwind(AssertUnwindSafe(entry)) {
        Ok(Ok(value)) => value,
        Ok(Err(errno)) => R::from_errno(errno),
        Err(_) => R::from_errno(Errno::EIO),
    }
}

/// Runs an entry on an open image. A panic gives EIO and poisons the image: every later call on it gives EIO, because
/// its state in memory cannot be trusted; what was durable stays durable.
pub fn with_image<R: CReturn>(handle: *mut c_void, entry: impl FnOnce(&Ref<OpenImage>) -> Outcome<R>) -> R {
    let image = match image_of(handle) {
        Ok(image) => image,
        Err(errno) => return R::from_errno(errno),
    };
    match catch_unwind(AssertUnwindSafe(|| entry(&image))) {
        Ok(Ok(value)) => value,
        Ok(Err(errno)) => R::from_errno(errno),
        Err(_) => {
            image.poison();
            R::from_errno(Errno::EIO)
        }
    }
}

#[cfg(test)]
mod tests;
