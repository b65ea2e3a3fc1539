//! The protocol's error numbers and how a system's errno becomes one of them.
use nix::libc;

/// An error the protocol can carry; values are the protocol's, whatever the host's errno are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum NbdError {
    Perm = 1,
    Io = 5,
    NoMemory = 12,
    Invalid = 22,
    NoSpace = 28,
    Overflow = 75,
    NotSupported = 95,
    Shutdown = 108,
}

impl NbdError {
    pub fn code(self) -> u32 {
        self as u32
    }

    /// The nearest error to a positive errno of this host; what has none is EIO.
    pub fn from_errno(errno: i32) -> Self {
        match errno {
            libc::EPERM | libc::EACCES | libc::EROFS => Self::Perm,
            libc::ENOMEM => Self::NoMemory,
            libc::EINVAL | libc::EDOM => Self::Invalid,
            libc::ENOSPC | libc::EDQUOT | libc::EFBIG => Self::NoSpace,
            libc::EOVERFLOW => Self::Overflow,
            libc::EOPNOTSUPP => Self::NotSupported,
            libc::ESHUTDOWN => Self::Shutdown,
            _ => Self::Io,
        }
    }
}
