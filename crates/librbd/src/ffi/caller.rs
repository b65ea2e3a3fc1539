//! The caller's memory: strings, result places, and the buffers and iovecs of data operations behind C pointers.
//!
//! Every function here checks for null and for sizes; what it cannot check (that a pointer is valid for the
//! length that came with it) is the contract of librbd.h.
mod memory;
mod target;

pub use memory::CallerMemory;

use crate::ffi::errno::{Errno, Outcome};
use nix::libc;
use std::ffi::{CStr, c_char, c_int};

/// A string argument; EINVAL if null, not UTF-8 or longer than any name can be.
///
/// # Safety
/// Null, or a zero-terminated string.
pub unsafe fn string(text: *const c_char) -> Outcome<String> {
    if text.is_null() {
        return Err(Errno::EINVAL);
    }
    // SAFETY: not null, and zero-terminated by the caller's contract.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map(str::to_owned).map_err(|_| Errno::EINVAL)
}

/// A string argument that may be missing: null and "" are both `None`.
///
/// # Safety
/// As [`string`].
pub unsafe fn optional_string(text: *const c_char) -> Outcome<Option<String>> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: the same contract.
    let text = unsafe { string(text) }?;
    Ok((!text.is_empty()).then_some(text))
}

/// Writes a result; EINVAL for a null place.
///
/// # Safety
/// Null, or a place for a `T`.
pub unsafe fn put<T>(place: *mut T, value: T) -> Outcome<c_int> {
    if place.is_null() {
        return Err(Errno::EINVAL);
    }
    // SAFETY: not null, and a place for a T by the caller's contract.
    unsafe { place.write(value) };
    Ok(0)
}

/// Makes results zeroes, where there are places for them: callers clean up whatever an operation gives.
///
/// # Safety
/// Null, or places for `count` of `T`, of which all zeroes are a value.
pub unsafe fn clear<T>(places: *mut T, count: usize) {
    if !places.is_null() {
        // SAFETY: not null, and so many places by the caller's contract.
        unsafe { places.write_bytes(0, count) };
    }
}

/// Reads an in-out size; EINVAL for a null place.
///
/// # Safety
/// Null, or an initialised `T`.
pub unsafe fn fetch<T: Copy>(place: *const T) -> Outcome<T> {
    if place.is_null() {
        return Err(Errno::EINVAL);
    }
    // SAFETY: not null, and initialised by the caller's contract.
    Ok(unsafe { place.read() })
}

/// Copies text and its terminating zero into a buffer of `size` bytes; ERANGE if it does not fit.
///
/// # Safety
/// `buffer`: null, or `size` bytes.
pub unsafe fn put_text(buffer: *mut c_char, size: usize, text: &str) -> Outcome<()> {
    if text.len() >= size {
        return Err(Errno::ERANGE);
    }
    if buffer.is_null() {
        return Err(Errno::EINVAL);
    }
    // SAFETY: `size` bytes are the caller's to write and the text with its zero is no longer.
    unsafe {
        buffer.cast::<u8>().copy_from_nonoverlapping(text.as_ptr(), text.len());
        buffer.add(text.len()).write(0);
    }
    Ok(())
}

/// As [`put_text`] with an in-out size: it is set to what is needed, also with ERANGE.
///
/// # Safety
/// `size`: null, or the initialised size of `buffer`.
pub unsafe fn put_sized_text(buffer: *mut c_char, size: *mut usize, text: &str) -> Outcome<c_int> {
    // SAFETY: the same contract.
    let had = unsafe { fetch(size) }?;
    // SAFETY: `fetch` found it not null.
    unsafe { size.write(text.len() + 1) };
    // SAFETY: `had` is the size of the buffer by the caller's contract.
    unsafe { put_text(buffer, had, text) }?;
    Ok(0)
}

/// Many texts one after another, each with its terminating zero; the size as in [`put_sized_text`]. Gives the bytes
/// written.
///
/// # Safety
/// As [`put_sized_text`].
pub unsafe fn put_texts<'a>(
    buffer: *mut c_char,
    size: *mut usize,
    texts: impl Iterator<Item = &'a str> + Clone,
) -> Outcome<c_int> {
    let needed: usize = texts.clone().map(|text| text.len() + 1).sum();
    // SAFETY: the caller's contract.
    let had = unsafe { fetch(size) }?;
    // SAFETY: `fetch` found it not null.
    unsafe { size.write(needed) };
    if had < needed {
        return Err(Errno::ERANGE);
    }
    if buffer.is_null() {
        return Err(Errno::EINVAL);
    }
    let mut at = 0;
    for text in texts {
        // SAFETY: the sum of all lengths fits the buffer.
        unsafe { put_text(buffer.add(at), had - at, text) }?;
        at += text.len() + 1;
    }
    c_int::try_from(needed).map_err(|_| Errno::ERANGE)
}

/// A copy of text in memory that C's free() takes back; null when memory is short. Text after a zero byte is cut off.
pub fn duplicate(text: &str) -> *mut c_char {
    let text = text.split('\0').next().unwrap_or_default();
    // SAFETY: malloc may be called with any size; the result is checked.
    let copy = unsafe { libc::malloc(text.len() + 1) }.cast::<c_char>();
    if !copy.is_null() {
        // SAFETY: `copy` has a place for the text and its zero.
        let _ = unsafe { put_text(copy, text.len() + 1, text) };
    }
    copy
}

/// Gives back what [`duplicate`] gave and clears the place, so that a second clean-up does no harm.
///
/// # Safety
/// Null or a result of [`duplicate`].
pub unsafe fn release(text: &mut *mut c_char) {
    // SAFETY: from malloc, or null, which free() ignores.
    unsafe { libc::free(text.cast()) };
    *text = std::ptr::null_mut();
}

#[cfg(test)]
mod tests;
