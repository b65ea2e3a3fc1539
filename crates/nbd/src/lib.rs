//! Network block device: protocol, server and kernel device.
//!
//! Owns: the NBD protocol without I/O ([`proto`]), a server of [`Device`]s over Unix sockets and TCP ([`server`]), the
//! connection of a device to the Linux nbd driver ([`kernel`]). Does not own: what is behind a device (the engine),
//! how an image is named (the command line).
mod device;
mod image_device;
pub mod kernel;
pub mod proto;
pub mod server;

pub use device::{BoxFuture, Device, DeviceError, Extent};
pub use image_device::ImageDevice;
pub use proto::Piece;
