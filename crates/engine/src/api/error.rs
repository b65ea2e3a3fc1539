//! The engine's error, and the one mapping from it to an errno.
use lsd_core::units::MAX_IMAGE_BYTES;
use lsd_state::Fault;
use lsd_store::{StoreError, StoreErrorKind};
use nix::libc;
use std::fmt;
use std::sync::Arc;

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
    /// The image is in a group.
    InGroup,
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

/// What failed and why; cheap to clone because one failure can answer many callers.
#[derive(Clone, Debug)]
pub struct Error {
    pub kind: ErrorKind,
    parts: Arc<Parts>,
}

#[derive(Clone, Debug, Default)]
struct Parts {
    op: &'static str,
    object: Option<String>,
    why: String,
    /// The store's own error, which says all of that itself.
    source: Option<StoreError>,
}

impl Error {
    /// `why`: a text for people.
    pub fn new(kind: ErrorKind, why: impl Into<String>) -> Self {
        Self { kind, parts: Arc::new(Parts { why: why.into(), ..Parts::default() }) }
    }

    /// What was tried; empty where nobody said so.
    pub fn op(&self) -> &'static str {
        match &self.parts.source {
            Some(source) => source.operation,
            None => self.parts.op,
        }
    }

    /// The object of the store that it is about, if it is about one.
    pub fn object(&self) -> Option<&str> {
        match &self.parts.source {
            Some(source) => Some(&source.object),
            None => self.parts.object.as_deref(),
        }
    }

    /// The same error about this object.
    #[must_use]
    pub(crate) fn of(self, object: &dyn fmt::Display) -> Self {
        self.changed(|parts| parts.object = Some(object.to_string()))
    }

    /// The same error of this operation, unless it is known to be of one, which then is a part of this.
    #[must_use]
    pub(crate) fn during(self, op: &'static str) -> Self {
        if self.op().is_empty() { self.changed(|parts| parts.op = op) } else { self }
    }

    /// What happened means something else to the caller.
    #[must_use]
    pub(crate) fn with_kind(self, kind: ErrorKind) -> Self {
        Self { kind, ..self }
    }

    fn changed(self, change: impl FnOnce(&mut Parts)) -> Self {
        let mut parts = Arc::unwrap_or_clone(self.parts);
        change(&mut parts);
        Self { parts: Arc::new(parts), ..self }
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
            ErrorKind::InGroup => libc::EMLINK,
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
        let Parts { object, why, source, .. } = &*self.parts;
        match (source, object) {
            // Which says what was tried on which object itself.
            (Some(source), _) => source.fmt(f),
            (None, Some(object)) => write!(f, "{object}: {why}"),
            (None, None) => f.write_str(why),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.parts.source.as_ref().map(|source| source as _)
    }
}

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
        Self { kind, parts: Arc::new(Parts { source: Some(error), ..Parts::default() }) }
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
    Error::new(ErrorKind::Corrupt, why.to_string()).of(object)
}

/// Beyond the largest image.
pub(crate) fn too_large(size: u64) -> Error {
    invalid(format!("an image has at most {} PiB, and {size} bytes are more", MAX_IMAGE_BYTES >> 50))
}

/// Arguments that can never work.
pub(crate) fn invalid(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, why)
}
