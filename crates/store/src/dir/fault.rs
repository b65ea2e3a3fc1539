//! A failure inside the directory store, before it knows which operation on which object it belongs to.
use crate::{StoreError, StoreErrorKind};
use nix::errno::Errno;
use std::io;

#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub kind: StoreErrorKind,
    errno: i32,
    detail: String,
}

impl Fault {
    pub fn new(kind: StoreErrorKind, detail: impl Into<String>) -> Self {
        let errno = StoreError::new(kind, "", "").errno;
        Self { kind, errno, detail: detail.into() }
    }

    /// The bytes of a file are not what this store wrote.
    pub fn corrupt(detail: impl Into<String>) -> Self {
        Self::new(StoreErrorKind::Io, detail)
    }

    /// The directory does not allow what the store needs; says what was tried.
    pub fn while_doing(mut self, what: &str) -> Self {
        self.detail = if self.detail.is_empty() { what.to_owned() } else { format!("{what}: {}", self.detail) };
        self
    }

    pub fn into_error(self, operation: &'static str, object: &str) -> StoreError {
        StoreError { kind: self.kind, errno: self.errno, operation, object: object.to_owned(), detail: self.detail }
    }
}

impl From<StoreErrorKind> for Fault {
    fn from(kind: StoreErrorKind) -> Self {
        Self::new(kind, "")
    }
}

impl From<Errno> for Fault {
    fn from(errno: Errno) -> Self {
        let error = StoreError::from_errno(errno as i32, "", "");
        Self { kind: error.kind, errno: error.errno, detail: String::new() }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(errno) => Self::from(Errno::from_raw(errno)),
            None => Self::new(StoreErrorKind::Io, error.to_string()),
        }
    }
}

pub(super) type Outcome<T> = Result<T, Fault>;
