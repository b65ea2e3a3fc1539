//! Arguments that the synchronous and the asynchronous data calls take alike.
use crate::api::data::operation::Mismatch;
use crate::ffi::errno::{Errno, Outcome};

/// Lengths that librbd takes as `int`.
pub fn within_int(len: u64) -> Outcome<u64> {
    if len > i32::MAX as u64 { Err(Errno::EINVAL) } else { Ok(len) }
}

/// EINVAL unless `len` is a multiple of a pattern that is not empty.
pub fn check_pattern(len: usize, data_len: usize) -> Outcome<u64> {
    if data_len == 0 || !len.is_multiple_of(data_len) {
        return Err(Errno::EINVAL);
    }
    within_int(len as u64)
}

/// Writes a mismatch to where the caller wants it, if anywhere.
pub fn mismatch_to(place: *mut u64) -> Mismatch {
    let place = place as usize;
    Box::new(move |offset| {
        if place != 0 {
            // SAFETY: not null; the caller keeps the place until the operation is complete.
            unsafe { (place as *mut u64).write(offset) };
        }
    })
}
