//! The driver's generic netlink family: connect, connect again, disconnect, resize, status.
use super::genl::{Attributes, Genl, attributes, get_u32};
use super::{DeviceIndex, KernelError, Params, Result};
use std::os::fd::{AsRawFd, BorrowedFd};

const FAMILY: &str = "nbd";

/// Numbers of linux/nbd-netlink.h.
mod command {
    pub const CONNECT: u8 = 1;
    pub const DISCONNECT: u8 = 2;
    pub const RECONFIGURE: u8 = 3;
    pub const STATUS: u8 = 5;
}

mod attribute {
    pub const INDEX: u16 = 1;
    pub const SIZE_BYTES: u16 = 2;
    pub const BLOCK_SIZE_BYTES: u16 = 3;
    pub const TIMEOUT: u16 = 4;
    pub const SERVER_FLAGS: u16 = 5;
    pub const SOCKETS: u16 = 7;
    pub const DEAD_CONN_TIMEOUT: u16 = 8;
    pub const DEVICE_LIST: u16 = 9;
    pub const BACKEND_IDENTIFIER: u16 = 10;
    pub const SOCKET_ITEM: u16 = 1;
    pub const SOCKET_FD: u16 = 1;
    pub const DEVICE_ITEM: u16 = 1;
    pub const DEVICE_INDEX: u16 = 1;
    pub const DEVICE_CONNECTED: u16 = 2;
}

/// A device as the driver's status tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    pub index: DeviceIndex,
    pub connected: bool,
}

/// The driver's netlink interface. Changes need CAP_SYS_ADMIN (EPERM).
pub struct Netlink {
    genl: Genl,
    family: u16,
}

impl Netlink {
    /// `Unavailable` if the driver is not loaded or has no netlink (before Linux 4.12).
    pub fn open() -> Result<Self> {
        let mut genl = Genl::open()?;
        let family = genl.family(FAMILY)?.ok_or(KernelError::Unavailable("the nbd netlink interface"))?;
        Ok(Self { genl, family })
    }

    /// Gives the driver connected sockets, which it keeps for itself. Without an index it takes a free device or makes
    /// one. EBUSY: the device is in use.
    pub fn connect(
        &mut self,
        index: Option<DeviceIndex>,
        params: &Params,
        sockets: &[BorrowedFd<'_>],
    ) -> Result<DeviceIndex> {
        let mut request = describe(index, params);
        request.u64(attribute::SERVER_FLAGS, params.flags.into());
        give(&mut request, sockets);
        let answers = self.call("connect", command::CONNECT, &request)?;
        let mut found = answers.iter().flat_map(|answer| attributes(answer));
        let index = found.find(|(kind, _)| *kind == attribute::INDEX).and_then(|(_, value)| get_u32(value));
        index.map(DeviceIndex).ok_or(KernelError::BadAnswer("nbd: connected, but the answer names no device"))
    }

    /// Gives a device new sockets for those whose other end is gone; what was sent over those is sent again. The driver leaves
    /// sockets that it does not need, without a word. EINVAL: the device is not in use, or has another cookie.
    ///
    /// Nothing else of the device changes: the driver would take size and time-outs over for one that somebody else serves.
    pub fn reconnect(&mut self, index: DeviceIndex, params: &Params, sockets: &[BorrowedFd<'_>]) -> Result<()> {
        let mut request = Attributes::default();
        request.u32(attribute::INDEX, index.0);
        if let Some(cookie) = &params.cookie {
            request.text(attribute::BACKEND_IDENTIFIER, cookie);
        }
        give(&mut request, sockets);
        self.call("reconnect", command::RECONFIGURE, &request).map(drop)
    }

    /// Size and time-outs of a device that this process serves.
    pub fn describe_again(&mut self, index: DeviceIndex, params: &Params) -> Result<()> {
        self.call("describe", command::RECONFIGURE, &describe(Some(index), params)).map(drop)
    }

    /// Ends a device; the server gets a disconnect request. ENODEV or EINVAL where there is none.
    pub fn disconnect(&mut self, index: DeviceIndex) -> Result<()> {
        let mut request = Attributes::default();
        request.u32(attribute::INDEX, index.0);
        self.call("disconnect", command::DISCONNECT, &request).map(drop)
    }

    /// Changes the size of a device in use, bytes. EINVAL unless `cookie` is what it was connected with.
    pub fn resize(&mut self, index: DeviceIndex, size: u64, cookie: Option<&str>) -> Result<()> {
        let mut request = Attributes::default();
        request.u32(attribute::INDEX, index.0);
        request.u64(attribute::SIZE_BYTES, size);
        if let Some(cookie) = cookie {
            request.text(attribute::BACKEND_IDENTIFIER, cookie);
        }
        self.call("resize", command::RECONFIGURE, &request).map(drop)
    }

    /// One device, or all that exist.
    pub fn status(&mut self, index: Option<DeviceIndex>) -> Result<Vec<Status>> {
        let mut request = Attributes::default();
        if let Some(index) = index {
            request.u32(attribute::INDEX, index.0);
        }
        let answers = self.call("status", command::STATUS, &request)?;
        let lists = answers.iter().flat_map(|answer| attributes(answer));
        let items = lists.filter(|(kind, _)| *kind == attribute::DEVICE_LIST).flat_map(|(_, list)| attributes(list));
        Ok(items
            .filter(|(kind, _)| *kind == attribute::DEVICE_ITEM)
            .filter_map(|(_, item)| parse_status(item))
            .collect())
    }

    fn call(&mut self, what: &str, command: u8, request: &Attributes) -> Result<Vec<Vec<u8>>> {
        self.genl.call(self.family, command, request).map_err(|error| match error {
            KernelError::Failed { error, .. } => KernelError::Failed { what: format!("nbd {what}"), error },
            error => error,
        })
    }
}

/// What a device is to be, for connecting and connecting again.
fn describe(index: Option<DeviceIndex>, params: &Params) -> Attributes {
    let mut request = Attributes::default();
    if let Some(index) = index {
        request.u32(attribute::INDEX, index.0);
    }
    request.u64(attribute::SIZE_BYTES, params.size);
    request.u64(attribute::BLOCK_SIZE_BYTES, params.block_size.into());
    if let Some(timeout) = params.timeout_s {
        request.u64(attribute::TIMEOUT, timeout);
    }
    if let Some(timeout) = params.dead_connection_timeout_s {
        request.u64(attribute::DEAD_CONN_TIMEOUT, timeout);
    }
    if let Some(cookie) = &params.cookie {
        request.text(attribute::BACKEND_IDENTIFIER, cookie);
    }
    request
}

fn give(request: &mut Attributes, sockets: &[BorrowedFd<'_>]) {
    let mut list = Attributes::default();
    for socket in sockets {
        let mut fd = Attributes::default();
        fd.u32(attribute::SOCKET_FD, socket.as_raw_fd() as u32);
        list.nested(attribute::SOCKET_ITEM, &fd);
    }
    request.nested(attribute::SOCKETS, &list);
}

fn parse_status(item: &[u8]) -> Option<Status> {
    let field = |wanted| attributes(item).find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
    let index = get_u32(field(attribute::DEVICE_INDEX)?)?;
    let connected = field(attribute::DEVICE_CONNECTED)?.first()? != &0;
    Some(Status { index: DeviceIndex(index), connected })
}
