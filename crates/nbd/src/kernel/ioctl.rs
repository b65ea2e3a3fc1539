//! The driver's older interface, for kernels or containers without its netlink family.
//!
//! The one place of this crate with `unsafe`: no crate wraps these requests, and an ioctl cannot be made without it.
use super::{DeviceIndex, KernelError, Params, Result};
use nix::errno::Errno;
use nix::libc::{self, c_ulong};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// Requests of linux/nbd.h. Each takes an integer, never an address.
#[derive(Clone, Copy)]
#[repr(u64)]
enum Request {
    SetSocket = 0xab00,
    SetBlockSize = 0xab01,
    DoIt = 0xab03,
    ClearSocket = 0xab04,
    SetSizeBlocks = 0xab07,
    Disconnect = 0xab08,
    SetTimeout = 0xab09,
    SetFlags = 0xab0a,
}

fn control(device: BorrowedFd<'_>, request: Request, argument: u64) -> nix::Result<()> {
    // SAFETY: the descriptor is open for the whole call, and every request of the enum takes an integer, so that the
    // driver neither reads nor writes memory of this process.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), request as c_ulong as _, argument as c_ulong) };
    Errno::result(result).map(drop)
}

/// An open device node, driven by ioctl.
#[derive(Debug)]
pub struct IoctlDevice {
    file: File,
    pub index: DeviceIndex,
    block_size: u32,
}

impl IoctlDevice {
    /// ENOENT, EACCES, ENXIO as of opening a file.
    pub fn open(index: DeviceIndex) -> Result<Self> {
        let file = File::options().read(true).write(true).open(index.path());
        let file = file.map_err(|error| KernelError::failed(format!("failed to open device {index}"), error))?;
        Ok(Self { file, index, block_size: 512 })
    }

    /// Gives the device connected sockets and its properties; EBUSY if it has one. [`Self::run`] starts it.
    pub fn set_up(&mut self, params: &Params, sockets: &[BorrowedFd<'_>]) -> Result<()> {
        for (index, socket) in sockets.iter().enumerate() {
            if let Err(error) = self.control("set socket", Request::SetSocket, socket.as_raw_fd() as u64) {
                if index > 0 {
                    let _ = self.clear();
                }
                return Err(error);
            }
        }
        self.block_size = params.block_size;
        let settings = [
            ("set block size", Request::SetBlockSize, Some(params.block_size.into())),
            ("set size", Request::SetSizeBlocks, Some(params.size / u64::from(params.block_size))),
            ("set flags", Request::SetFlags, Some(params.flags.into())),
            ("set timeout", Request::SetTimeout, params.timeout_s),
        ];
        for (what, request, value) in settings {
            if let Some(value) = value
                && let Err(error) = self.control(what, request, value)
            {
                // Otherwise the device would keep the socket and look busy for ever.
                let _ = self.clear();
                return Err(error);
            }
        }
        Ok(())
    }

    /// Runs the device in the calling thread until it is disconnected, by whomever.
    pub fn run(&self) -> Result<()> {
        self.control("run", Request::DoIt, 0)
    }

    pub fn disconnect(&self) -> Result<()> {
        self.control("disconnect", Request::Disconnect, 0)
    }

    /// Takes the socket off the device, after which it is free.
    pub fn clear(&self) -> Result<()> {
        self.control("clear socket", Request::ClearSocket, 0)
    }

    /// Bytes, rounded down to whole blocks.
    pub fn resize(&self, size: u64) -> Result<()> {
        self.control("set size", Request::SetSizeBlocks, size / u64::from(self.block_size))
    }

    fn control(&self, what: &str, request: Request, argument: u64) -> Result<()> {
        let failed = |error| KernelError::failed(format!("{}: {what}", self.index), error);
        control(self.file.as_fd(), request, argument).map_err(failed)
    }
}
