//! The guard around every entry: a panic never crosses into C.
use crate::ffi::errno::{CReturn, Errno, Outcome};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs an entry that has no image. A panic gives EIO.
pub fn guard<R: CReturn>(entry: impl FnOnce() -> Outcome<R>) -> R {
    match catch_unwind(AssertUnwindSafe(entry)) {
        Ok(Ok(value)) => value,
        Ok(Err(errno)) => R::from_errno(errno),
        Err(_) => R::from_errno(Errno::EIO),
    }
}
