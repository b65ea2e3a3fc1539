//! The engine's error, and the one mapping from it to an errno.
use lsd_state::Fault;
use lsd_store::{StoreError, StoreErrorKind};
use nix::libc;
use std::fmt;

pub type Result<T> = std::result::Result<T, Error>;

/// What the caller can do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// No such image, snapshot, metadata key or pool.
    NotFound,
    Exists,
    /// Written through a read-only handle.
    ReadOnly,
    /// Outside the image, or otherwise wrong arguments.
    Invalid,
    NameTooLong,
    /// A number outside its domain (order outside 12..=25).
    Domain,
    /// Locked by a live client, or watched.
    Busy,
    NotEmpty,
    NoSpace,
    /// Another client took the image over; nothing can be done with this handle any more.
    Fenced,
    /// Stored bytes do not verify.
    Corrupt,
    /// What a reader that holds its moment would show is not there any more.
    Outdated,
    /// compare-and-write: the data differs, first at this offset from the start of the compared range, bytes.
    Mismatch {
        offset: u64,
    },
    Unsupported,
    /// Features that nothing implements.
    Unimplemented,
    Permission,
    TimedOut,
    /// The handle was closed.
    Closed,
    Canceled,
    /// The store failed; `errno` is its own.
    Io {
        errno: i32,
    },
}

/// An error with its context, cheap to clone because one failure can answer many callers.
#[derive(Clone, Debug)]
pub struct Error {
    pub kind: ErrorKind,
    context: std::sync::Arc<str>,
}

impl Error {
    pub fn new(kind: ErrorKind, context: impl Into<String>) -> Self {
        Self { kind, context: context.into().into() }
    }

    /// What another client gave as an errno, of those that a request can end with.
    pub(crate) fn from_errno(errno: i32, context: impl Into<String>) -> Self {
        let kind = match errno {
            libc::ENOENT => ErrorKind::NotFound,
            libc::EEXIST => ErrorKind::Exists,
            libc::EROFS => ErrorKind::ReadOnly,
            libc::EINVAL => ErrorKind::Invalid,
            libc::EBUSY => ErrorKind::Busy,
            libc::ENOSPC => ErrorKind::NoSpace,
            libc::EOPNOTSUPP => ErrorKind::Unsupported,
            libc::EPERM => ErrorKind::Permission,
            libc::ETIMEDOUT => ErrorKind::TimedOut,
            libc::ECANCELED => ErrorKind::Canceled,
            errno => ErrorKind::Io { errno },
        };
        Self::new(kind, context)
    }

    /// The positive errno that librbd would give for it.
    pub fn errno(&self) -> i32 {
        match self.kind {
            ErrorKind::NotFound => libc::ENOENT,
            ErrorKind::Exists => libc::EEXIST,
            ErrorKind::ReadOnly => libc::EROFS,
            ErrorKind::Invalid => libc::EINVAL,
            ErrorKind::NameTooLong => libc::ENAMETOOLONG,
            ErrorKind::Domain => libc::EDOM,
            ErrorKind::Busy => libc::EBUSY,
            ErrorKind::NotEmpty => libc::ENOTEMPTY,
            ErrorKind::NoSpace => libc::ENOSPC,
            ErrorKind::Fenced | ErrorKind::Closed => libc::ESHUTDOWN,
            ErrorKind::Corrupt => libc::EIO,
            ErrorKind::Outdated => libc::ESTALE,
            ErrorKind::Mismatch { .. } => libc::EILSEQ,
            ErrorKind::Unsupported => libc::EOPNOTSUPP,
            ErrorKind::Unimplemented => libc::ENOSYS,
            ErrorKind::Permission => libc::EPERM,
            ErrorKind::TimedOut => libc::ETIMEDOUT,
            ErrorKind::Canceled => libc::ECANCELED,
            ErrorKind::Io { errno } => errno,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.context)
    }
}

impl std::error::Error for Error {}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        let kind = match error.kind {
            StoreErrorKind::NotFound => ErrorKind::NotFound,
            StoreErrorKind::Exists => ErrorKind::Exists,
            StoreErrorKind::Full => ErrorKind::NoSpace,
            StoreErrorKind::Fenced | StoreErrorKind::Stale => ErrorKind::Fenced,
            StoreErrorKind::Permission => ErrorKind::Permission,
            StoreErrorKind::Busy => ErrorKind::Busy,
            StoreErrorKind::TimedOut => ErrorKind::TimedOut,
            StoreErrorKind::Unsupported => ErrorKind::Unsupported,
            StoreErrorKind::Invalid => ErrorKind::Invalid,
            StoreErrorKind::Io => ErrorKind::Io { errno: error.errno },
        };
        Self::new(kind, error.to_string())
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        let kind = match fault {
            Fault::Outside { .. } => ErrorKind::Invalid,
            Fault::NotOwner => ErrorKind::ReadOnly,
            Fault::Closing => ErrorKind::Closed,
            Fault::NoRoom { .. } => ErrorKind::Io { errno: libc::EFBIG },
            Fault::Failed | Fault::NotLoaded(_) => ErrorKind::Io { errno: libc::EIO },
        };
        Self::new(kind, fault.to_string())
    }
}

/// Stored bytes that do not verify: which object, and what is wrong with it.
pub(crate) fn corrupt(object: &dyn fmt::Display, why: impl fmt::Display) -> Error {
    Error::new(ErrorKind::Corrupt, format!("{object}: {why}"))
}

/// Arguments that can never work.
pub(crate) fn invalid(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, why)
}
