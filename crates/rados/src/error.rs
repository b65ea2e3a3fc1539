//! The error of a librados call, and its way into the store's error type.
use lsd_store::StoreError;
use nix::errno::Errno;
use std::ffi::{CString, c_int};

/// A failed librados call: which one, on what, and the errno that it gave.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{operation} of {object}: {} ({errno})", Errno::from_raw(*errno).desc())]
pub struct RadosError {
    /// Positive errno.
    pub errno: i32,
    pub operation: &'static str,
    /// The object, pool, option or address that was asked for; may be empty.
    pub object: String,
}

/// What librados calls return here.
pub type RadosResult<T> = Result<T, RadosError>;

impl RadosError {
    /// From a positive errno or a librados return code (its negative).
    pub fn new(errno: i32, operation: &'static str, object: impl Into<String>) -> Self {
        Self { errno: errno.saturating_abs(), operation, object: object.into() }
    }
}

impl From<RadosError> for StoreError {
    fn from(error: RadosError) -> Self {
        StoreError::from_errno(error.errno, error.operation, error.object)
    }
}

/// The value of a return code that is negative on failure.
pub(crate) fn check(code: c_int, operation: &'static str, object: &str) -> RadosResult<c_int> {
    if code < 0 { Err(RadosError::new(code, operation, object)) } else { Ok(code) }
}

/// A C string; EINVAL for text with a NUL inside, which no name in librados can have.
pub(crate) fn c_string(text: &str, operation: &'static str) -> RadosResult<CString> {
    CString::new(text).map_err(|_| RadosError::new(nix::libc::EINVAL, operation, text.escape_default().to_string()))
}
