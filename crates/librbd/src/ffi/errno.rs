//! Errors as C callers see them. The one mapping from engine errors to numbers is [`lsd_engine::Error::errno`].
use nix::libc;
use std::ffi::{c_int, c_void};

/// A positive errno.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub c_int);

macro_rules! errnos {
    ($($name:ident)*) => {
        impl Errno { $(pub const $name: Errno = Errno(libc::$name);)* }
    };
}
errnos!(E2BIG EBADF EBUSY EDOM EEXIST EINVAL EIO ENOENT ENOMEM EOPNOTSUPP ERANGE EROFS);

impl From<lsd_engine::Error> for Errno {
    fn from(error: lsd_engine::Error) -> Self {
        crate::ffi::log::error(&error);
        Errno(error.errno())
    }
}

/// Of threads that could not be started. One that the system gave no number for is a lack of memory.
impl From<std::io::Error> for Errno {
    fn from(error: std::io::Error) -> Self {
        error.raw_os_error().map_or(Errno::ENOMEM, Errno)
    }
}

impl From<lsd_store::StoreError> for Errno {
    fn from(error: lsd_store::StoreError) -> Self {
        Errno(error.errno)
    }
}

impl From<lsd_rados::RadosError> for Errno {
    fn from(error: lsd_rados::RadosError) -> Self {
        Errno(error.errno)
    }
}

/// What an errno alone would not say.
pub fn told(error: lsd_engine::Error) -> Errno {
    crate::ffi::log::line(&error);
    error.into()
}

/// What every entry works with.
pub type Outcome<T> = Result<T, Errno>;

/// A type that a C function returns errors in: negative errno, or null.
pub trait CReturn {
    fn from_errno(errno: Errno) -> Self;
}

impl CReturn for c_int {
    fn from_errno(errno: Errno) -> Self {
        -errno.0
    }
}

impl CReturn for i64 {
    fn from_errno(errno: Errno) -> Self {
        -i64::from(errno.0)
    }
}

impl CReturn for isize {
    fn from_errno(errno: Errno) -> Self {
        -(errno.0 as isize)
    }
}

impl CReturn for () {
    fn from_errno(_: Errno) -> Self {}
}

impl CReturn for *mut c_void {
    fn from_errno(_: Errno) -> Self {
        std::ptr::null_mut()
    }
}
