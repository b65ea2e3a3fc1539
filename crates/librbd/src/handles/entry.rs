//! The guard around every entry with an image: a panic never crosses into C, and poisons that image only.
use crate::ffi::errno::{CReturn, Errno, Outcome};
use crate::handles::image::{OpenImage, image_of};
use crate::handles::slab::Ref;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};

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
