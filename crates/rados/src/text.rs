//! Text and buffers that librados hands out.
use crate::error::{RadosResult, check};
use lsd_librados_sys as sys;
use std::ffi::{CStr, c_char, c_int};

/// First try for a text of unknown length, bytes.
const FIRST_TRY: usize = 256;
/// No name or setting of librados is longer, bytes; beyond it the call's own error is reported.
const LONGEST: usize = 1 << 20;

/// Calls `get` with larger and larger buffers while it fails with one of the errnos that mean "too small".
pub(crate) fn grown_text(
    too_small: &[c_int],
    get: impl Fn(*mut c_char, usize) -> c_int,
    operation: &'static str,
    object: &str,
) -> RadosResult<String> {
    let mut buffer = vec![0u8; FIRST_TRY];
    loop {
        // One byte stays zero whatever the call writes.
        let code = get(buffer.as_mut_ptr().cast(), buffer.len() - 1);
        if code < 0 && too_small.contains(&-code) && buffer.len() < LONGEST {
            buffer.resize(buffer.len() * 4, 0);
            continue;
        }
        check(code, operation, object)?;
        let end = buffer.iter().position(|byte| *byte == 0).unwrap_or(buffer.len());
        return Ok(String::from_utf8_lossy(&buffer[..end]).into_owned());
    }
}

/// Copies and frees a buffer that librados allocated for its caller.
///
/// # Safety
/// `buffer` is null, or `len` bytes to be freed with `rados_buffer_free`.
pub(crate) unsafe fn owned_buffer(buffer: *mut c_char, len: usize) -> Vec<u8> {
    if buffer.is_null() {
        return Vec::new();
    }
    // SAFETY: `len` readable bytes, by the contract.
    let copy = unsafe { std::slice::from_raw_parts(buffer.cast::<u8>(), len) }.to_vec();
    // SAFETY: ours to free, by the contract, and not used any more.
    unsafe { sys::rados_buffer_free(buffer) };
    copy
}

/// Copies and frees a C string that librados allocated for its caller.
///
/// # Safety
/// `text` is null, or a C string to be freed with `rados_buffer_free`.
pub(crate) unsafe fn owned_c_string(text: *mut c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: a C string, by the contract.
    let copy = unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned();
    // SAFETY: ours to free, by the contract, and not used any more.
    unsafe { sys::rados_buffer_free(text) };
    copy
}
