//! The Linux nbd driver: giving it a socket that speaks the transmission phase, and taking devices away again.
//!
//! Owns: the driver's two interfaces (generic netlink, ioctl) and what sysfs tells of its devices. Does not own: the
//! server at the other end of the socket, what daemons are called, command lines.
mod device;
mod genl;
mod ioctl;
mod netlink;
pub mod sysfs;

#[cfg(test)]
mod tests;

pub use device::{Attached, Params, attach, attach_by_ioctl, detach, reattach};
pub use ioctl::IoctlDevice;
pub use netlink::Netlink;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// The number of a device: N in `/dev/nbdN`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceIndex(pub u32);

impl DeviceIndex {
    /// The index of a path such as `/dev/nbd3`; nothing else is one (a partition is not).
    pub fn from_path(path: &Path) -> Option<Self> {
        let digits = path.to_str()?.strip_prefix("/dev/nbd")?;
        let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| digits.parse().ok().map(Self)).flatten()
    }

    pub fn path(self) -> PathBuf {
        PathBuf::from(self.to_string())
    }
}

impl fmt::Display for DeviceIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/dev/nbd{}", self.0)
    }
}

/// Why the driver did not do something.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// The interface is not there: no driver, or one older than it.
    #[error("{0} is not available")]
    Unavailable(&'static str),
    #[error("{what}: {error}")]
    Failed { what: String, error: io::Error },
    #[error("{0}")]
    BadAnswer(&'static str),
}

impl KernelError {
    pub(crate) fn failed(what: impl Into<String>, error: impl Into<io::Error>) -> Self {
        Self::Failed { what: what.into(), error: error.into() }
    }

    /// The errno behind it, if there is one.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Failed { error, .. } => error.raw_os_error(),
            Self::Unavailable(_) => Some(nix::libc::EOPNOTSUPP),
            Self::BadAnswer(_) => None,
        }
    }
}

pub type Result<T> = std::result::Result<T, KernelError>;
