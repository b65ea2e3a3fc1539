//! What the server needs of a block device.
use crate::proto::Piece;
use bytes::Bytes;
use std::fmt;

pub use futures::future::BoxFuture;

/// A failed device operation: a positive errno of this host and a text for a human.
#[derive(Clone, Debug)]
pub struct DeviceError {
    pub errno: i32,
    pub message: String,
}

impl DeviceError {
    pub fn new(errno: i32, message: impl Into<String>) -> Self {
        Self { errno, message: message.into() }
    }
}

impl fmt::Display for DeviceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for DeviceError {}

impl From<std::io::Error> for DeviceError {
    fn from(error: std::io::Error) -> Self {
        Self::new(error.raw_os_error().unwrap_or(nix::libc::EIO), error.to_string())
    }
}

/// A run of one allocation status, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    pub len: u64,
    /// False: reads as zeroes and takes no space.
    pub data: bool,
}

/// A device that is served. Operations run concurrently and complete in any order; the server calls them only with
/// ranges inside the size it saw. All offsets and lengths are bytes.
pub trait Device: Send + Sync + 'static {
    /// The present size; may change between calls.
    fn size(&self) -> u64;

    fn read_only(&self) -> bool;

    /// Consecutive pieces that cover the range exactly.
    fn read(&self, offset: u64, len: u32) -> BoxFuture<'_, Result<Vec<Piece>, DeviceError>>;

    /// With `fua` the data is durable when it returns.
    fn write(&self, offset: u64, data: Bytes, fua: bool) -> BoxFuture<'_, Result<(), DeviceError>>;

    /// Every write that returned before the call, through whatever connection, is durable when it returns.
    fn flush(&self) -> BoxFuture<'_, Result<(), DeviceError>>;

    /// The content of the range does not matter any more.
    fn trim(&self, offset: u64, len: u32, fua: bool) -> BoxFuture<'_, Result<(), DeviceError>>;

    /// The range reads as zeroes. Without `no_hole` it has to be faster than writing zeroes would be.
    fn write_zeroes(&self, offset: u64, len: u32, no_hole: bool, fua: bool) -> BoxFuture<'_, Result<(), DeviceError>>;

    /// Consecutive extents from `offset` that cover the range exactly.
    fn extents(&self, offset: u64, len: u32) -> BoxFuture<'_, Result<Vec<Extent>, DeviceError>>;
}
