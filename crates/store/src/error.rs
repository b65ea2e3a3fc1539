//! The one error type of every store, and the one mapping from an errno to it.
use std::fmt;

/// What a caller can do about a failed store operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// The object (or pool) does not exist.
    NotFound,
    /// An exclusive creation found the object there.
    Exists,
    /// A guard did not hold: somebody changed the object first (RADOS: ECANCELED).
    Stale,
    /// No space or quota (ENOSPC, EDQUOT). Nothing was written; it may be retried.
    Full,
    /// This client was fenced off (blocklisted: ESHUTDOWN). Final for this client.
    Fenced,
    /// No permission (EPERM, EACCES), or nothing can be written at all (EROFS).
    Permission,
    /// A lock is held by somebody else (EBUSY).
    Busy,
    /// The store did not answer in time (ETIMEDOUT). The operation may still take effect.
    TimedOut,
    /// The store cannot do this (EOPNOTSUPP).
    Unsupported,
    /// The request itself is wrong (EINVAL, ENAMETOOLONG, EFBIG).
    Invalid,
    /// Anything else; `errno` says what.
    Io,
}

/// A failed store operation: what was tried, on which object, and why it failed.
#[derive(Clone, Debug)]
pub struct StoreError {
    pub kind: StoreErrorKind,
    /// Positive errno as the system or RADOS gave it.
    pub errno: i32,
    pub operation: &'static str,
    pub object: String,
    /// Extra detail for a person; may be empty.
    pub detail: String,
}

impl StoreError {
    /// An error from a positive errno.
    pub fn from_errno(errno: i32, operation: &'static str, object: impl Into<String>) -> Self {
        Self { kind: kind_of(errno), errno, operation, object: object.into(), detail: String::new() }
    }

    /// An error of a known kind, with that kind's usual errno.
    pub fn new(kind: StoreErrorKind, operation: &'static str, object: impl Into<String>) -> Self {
        Self { kind, errno: errno_of(kind), operation, object: object.into(), detail: String::new() }
    }

    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }
}

fn kind_of(errno: i32) -> StoreErrorKind {
    use StoreErrorKind::*;
    match errno {
        libc_errno::ENOENT => NotFound,
        libc_errno::EEXIST => Exists,
        libc_errno::ECANCELED => Stale,
        libc_errno::ENOSPC | libc_errno::EDQUOT => Full,
        libc_errno::ESHUTDOWN => Fenced,
        libc_errno::EPERM | libc_errno::EACCES | libc_errno::EROFS => Permission,
        libc_errno::EBUSY => Busy,
        libc_errno::ETIMEDOUT => TimedOut,
        libc_errno::EOPNOTSUPP => Unsupported,
        libc_errno::EINVAL | libc_errno::ENAMETOOLONG | libc_errno::EFBIG => Invalid,
        _ => Io,
    }
}

fn errno_of(kind: StoreErrorKind) -> i32 {
    use StoreErrorKind::*;
    match kind {
        NotFound => libc_errno::ENOENT,
        Exists => libc_errno::EEXIST,
        Stale => libc_errno::ECANCELED,
        Full => libc_errno::ENOSPC,
        Fenced => libc_errno::ESHUTDOWN,
        Permission => libc_errno::EPERM,
        Busy => libc_errno::EBUSY,
        TimedOut => libc_errno::ETIMEDOUT,
        Unsupported => libc_errno::EOPNOTSUPP,
        Invalid => libc_errno::EINVAL,
        Io => libc_errno::EIO,
    }
}

/// Linux errno values (asm-generic/errno.h); RADOS sends the same numbers on the wire.
mod libc_errno {
    pub use nix::libc::{
        EACCES, EBUSY, ECANCELED, EDQUOT, EEXIST, EFBIG, EINVAL, EIO, ENAMETOOLONG, ENOENT, ENOSPC, EOPNOTSUPP, EPERM,
        EROFS, ESHUTDOWN, ETIMEDOUT,
    };
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = nix::errno::Errno::from_raw(self.errno).desc();
        write!(f, "{} of {}: {reason} ({})", self.operation, self.object, self.errno)?;
        if self.detail.is_empty() { Ok(()) } else { write!(f, ": {}", self.detail) }
    }
}

impl std::error::Error for StoreError {}
