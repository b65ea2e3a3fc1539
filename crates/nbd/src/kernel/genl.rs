//! As much of generic netlink as talking to one family takes: messages, attributes, one request at a time.
//!
//! Netlink is in host byte order. Owns: encoding, decoding, the socket. Does not own: what a family's numbers mean.
use super::{KernelError, Result};
use bytes::{Buf, BufMut, BytesMut};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send, setsockopt, socket,
    sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLA_F_NESTED: u16 = 1 << 15;
const NLA_TYPE_MASK: u16 = !(3 << 14);
const MESSAGE_HEADER: usize = 16;
const GENL_HEADER: usize = 4;
const ATTRIBUTE_HEADER: usize = 4;
/// The controller's fixed type, and what asking it for a family takes.
const GENL_ID_CTRL: u16 = 16;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;

/// Largest answer that is read, bytes; the nbd family's are far smaller. A longer one is cut and does not parse.
const MAX_ANSWER_BYTES: usize = 64 << 10;
/// Messages looked at while waiting for the acknowledgement. Beyond it the answer counts as broken.
const MAX_MESSAGES: usize = 64;
/// How long the kernel may take for one request, seconds: disconnecting waits for requests in flight.
const ANSWER_TIMEOUT_S: i64 = 120;

/// Attributes being written.
#[derive(Default)]
pub(super) struct Attributes(BytesMut);

impl Attributes {
    pub fn bytes(&mut self, kind: u16, value: &[u8]) {
        self.0.put_u16_ne((ATTRIBUTE_HEADER + value.len()) as u16);
        self.0.put_u16_ne(kind);
        self.0.put_slice(value);
        self.0.put_bytes(0, padding(value.len()));
    }

    pub fn u32(&mut self, kind: u16, value: u32) {
        let mut bytes = BytesMut::new();
        bytes.put_u32_ne(value);
        self.bytes(kind, &bytes);
    }

    pub fn u64(&mut self, kind: u16, value: u64) {
        let mut bytes = BytesMut::new();
        bytes.put_u64_ne(value);
        self.bytes(kind, &bytes);
    }

    /// NUL-terminated.
    pub fn text(&mut self, kind: u16, value: &str) {
        self.bytes(kind, &[value.as_bytes(), b"\0"].concat());
    }

    pub fn nested(&mut self, kind: u16, inner: &Attributes) {
        self.bytes(kind | NLA_F_NESTED, &inner.0);
    }
}

fn padding(len: usize) -> usize {
    len.next_multiple_of(4) - len
}

/// The attributes of a message or of a nested attribute: (kind, value). Ends at the first that does not parse.
pub(super) fn attributes(mut data: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let mut header = data.get(..ATTRIBUTE_HEADER)?;
        let len = usize::from(header.get_u16_ne());
        let kind = header.get_u16_ne() & NLA_TYPE_MASK;
        let value = data.get(ATTRIBUTE_HEADER..len)?;
        data = data.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

pub(super) fn get_u32(mut value: &[u8]) -> Option<u32> {
    (value.len() == 4).then(|| value.get_u32_ne())
}

fn get_u16(mut value: &[u8]) -> Option<u16> {
    (value.len() == 2).then(|| value.get_u16_ne())
}

/// One message out of a datagram.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// The end of a request: 0 or a positive errno.
    Ack { sequence: u32, errno: i32 },
    /// What follows the generic header.
    Data { sequence: u32, attributes: Vec<u8> },
}

/// The messages of a datagram; `None` where one does not parse.
pub(super) fn messages(mut datagram: &[u8]) -> Option<Vec<Message>> {
    let mut found = Vec::new();
    while !datagram.is_empty() {
        let mut header = datagram.get(..MESSAGE_HEADER)?;
        let (len, kind) = (header.get_u32_ne() as usize, header.get_u16_ne());
        header.advance(2);
        let sequence = header.get_u32_ne();
        let mut body = datagram.get(MESSAGE_HEADER..len)?;
        if kind == NLMSG_ERROR {
            let errno = body.try_get_i32_ne().ok()?.checked_neg()?;
            found.push(Message::Ack { sequence, errno });
        } else {
            found.push(Message::Data { sequence, attributes: body.get(GENL_HEADER..)?.to_vec() });
        }
        datagram = datagram.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(found)
}

pub(super) fn request(family: u16, command: u8, sequence: u32, attributes: &Attributes) -> BytesMut {
    let len = MESSAGE_HEADER + GENL_HEADER + attributes.0.len();
    let mut bytes = BytesMut::with_capacity(len);
    bytes.put_u32_ne(len as u32);
    bytes.put_u16_ne(family);
    bytes.put_u16_ne(NLM_F_REQUEST | NLM_F_ACK);
    bytes.put_u32_ne(sequence);
    // The kernel fills in the sender.
    bytes.put_u32_ne(0);
    bytes.put_u8(command);
    // The version of the controller's and of nbd's interface.
    bytes.put_u8(1);
    bytes.put_u16_ne(0);
    bytes.put_slice(&attributes.0);
    bytes
}

/// A socket to the kernel; one request is under way at a time.
pub(super) struct Genl {
    socket: OwnedFd,
    sequence: u32,
}

impl Genl {
    pub fn open() -> Result<Self> {
        let failed = |error| KernelError::failed("generic netlink", error);
        let socket =
            socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkGeneric)
                .map_err(|_| KernelError::Unavailable("generic netlink"))?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0)).map_err(failed)?;
        setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::seconds(ANSWER_TIMEOUT_S)).map_err(failed)?;
        Ok(Self { socket, sequence: 0 })
    }

    /// The number of a family; `None` if the kernel does not have it.
    pub fn family(&mut self, name: &str) -> Result<Option<u16>> {
        let mut wanted = Attributes::default();
        wanted.text(CTRL_ATTR_FAMILY_NAME, name);
        let answers = match self.call(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, &wanted) {
            Err(KernelError::Failed { error, .. }) if error.raw_os_error() == Some(nix::libc::ENOENT) => {
                return Ok(None);
            }
            answers => answers?,
        };
        let id = answers.iter().flat_map(|answer| attributes(answer)).find(|(kind, _)| *kind == CTRL_ATTR_FAMILY_ID);
        let id = id.and_then(|(_, value)| get_u16(value));
        id.map(Some).ok_or(KernelError::BadAnswer("generic netlink: the answer names no family"))
    }

    /// Sends a request and gives the attributes of its answers, once the kernel acknowledged it.
    pub fn call(&mut self, family: u16, command: u8, attributes: &Attributes) -> Result<Vec<Vec<u8>>> {
        let failed = |error| KernelError::failed("generic netlink", error);
        self.sequence += 1;
        let bytes = request(family, command, self.sequence, attributes);
        send(self.socket.as_raw_fd(), &bytes, MsgFlags::empty()).map_err(failed)?;
        let mut buffer = vec![0; MAX_ANSWER_BYTES];
        let mut answers = Vec::new();
        for _ in 0..MAX_MESSAGES {
            let len = recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::empty()).map_err(failed)?;
            let messages = messages(&buffer[..len]).ok_or(KernelError::BadAnswer("generic netlink: broken message"))?;
            for message in messages {
                match message {
                    Message::Ack { sequence, errno: 0 } if sequence == self.sequence => return Ok(answers),
                    Message::Ack { sequence, errno } if sequence == self.sequence => {
                        return Err(failed(nix::Error::from_raw(errno)));
                    }
                    Message::Data { sequence, attributes } if sequence == self.sequence => answers.push(attributes),
                    // A late answer to a request that timed out.
                    _ => {}
                }
            }
        }
        Err(KernelError::failed("generic netlink", io::Error::from(io::ErrorKind::TimedOut)))
    }
}
