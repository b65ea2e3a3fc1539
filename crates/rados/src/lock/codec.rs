//! Requests and answers of the object class `lock`, in Ceph's encoding.
//!
//! A structure is: version, oldest compatible version, length of the rest (u32); then its fields, little-endian; a
//! string is its length (u32) and its bytes. A decoder skips what a newer version put at a structure's end.
use super::{LockDuration, LockSpec};
use lsd_store::{LockMode, LockState, Locker};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Lock modes as `cls_lock` numbers them.
const NONE: u8 = 0;
const EXCLUSIVE: u8 = 1;
const SHARED: u8 = 2;

/// The type "client" among the names of entities.
const ENTITY_CLIENT: u8 = 8;

/// Address families as Linux numbers them.
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// A structure of version 1 around its fields.
fn structure(fields: &[u8]) -> Vec<u8> {
    let len = u32::try_from(fields.len()).unwrap_or(u32::MAX);
    [&[1, 1][..], &len.to_le_bytes(), fields].concat()
}

fn put_string(out: &mut Vec<u8>, text: &str) {
    // Requests are far below 4 GiB: names and cookies are limited by what an OSD accepts in one message.
    out.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend(text.as_bytes());
}

pub(super) fn lock(spec: &LockSpec) -> Vec<u8> {
    let mut out = Vec::new();
    put_string(&mut out, &spec.name);
    out.push(match spec.mode {
        LockMode::Exclusive => EXCLUSIVE,
        LockMode::Shared => SHARED,
    });
    put_string(&mut out, &spec.cookie);
    put_string(&mut out, &spec.tag);
    put_string(&mut out, &spec.description);
    let (seconds, nanoseconds) = match spec.duration {
        LockDuration::Unlimited => (0, 0),
        LockDuration::Limited(time) => (u32::try_from(time.as_secs()).unwrap_or(u32::MAX), time.subsec_nanos()),
    };
    out.extend(seconds.to_le_bytes());
    out.extend(nanoseconds.to_le_bytes());
    // Flags: no renewal.
    out.push(0);
    structure(&out)
}

pub(super) fn unlock(name: &str, cookie: &str) -> Vec<u8> {
    let mut out = Vec::new();
    put_string(&mut out, name);
    put_string(&mut out, cookie);
    structure(&out)
}

/// `None` if `client` is not `client.N`.
pub(super) fn break_lock(name: &str, client: &str, cookie: &str) -> Option<Vec<u8>> {
    let number: i64 = client.strip_prefix("client.")?.parse().ok()?;
    let mut out = Vec::new();
    put_string(&mut out, name);
    out.push(ENTITY_CLIENT);
    out.extend(number.to_le_bytes());
    put_string(&mut out, cookie);
    Some(structure(&out))
}

pub(super) fn get_info(name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    put_string(&mut out, name);
    structure(&out)
}

/// `None` if the bytes are not such an answer.
pub(super) fn lock_state(answer: &[u8]) -> Option<LockState> {
    let mut fields = Reader(answer).structure()?;
    let count = fields.u32()?;
    let mut lockers = Vec::new();
    for _ in 0..count {
        let mut id = fields.structure()?;
        let (kind, number) = (id.u8()?, id.u64()?);
        let cookie = id.string()?;
        let mut info = fields.structure()?;
        // When it expires, in seconds and nanoseconds.
        info.take(8)?;
        let addr = info.address()?;
        let kind = if kind == ENTITY_CLIENT { "client" } else { "unknown" };
        lockers.push(Locker { client: format!("{kind}.{number}"), cookie, addr });
    }
    let mode = fields.u8()?;
    let tag = fields.string()?;
    // The mode stays when the last holder is gone.
    let exclusive = mode != NONE && mode != SHARED && !lockers.is_empty();
    Some(LockState { exclusive, tag: if lockers.is_empty() { String::new() } else { tag }, lockers })
}

/// What is left of an answer.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes(self.take(2)?.try_into().ok()?))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn string(&mut self) -> Option<String> {
        let len = usize::try_from(self.u32()?).ok()?;
        Some(String::from_utf8_lossy(self.take(len)?).into_owned())
    }

    /// The fields of a structure.
    fn structure(&mut self) -> Option<Reader<'a>> {
        self.take(2)?;
        let len = usize::try_from(self.u32()?).ok()?;
        Some(Reader(self.take(len)?))
    }

    /// An address as `ip:port/nonce`: a one and a structure since Ceph 10, a fixed form before that.
    fn address(&mut self) -> Option<String> {
        match self.u8()? {
            1 => {
                let mut fields = self.structure()?;
                // Its kind: of the old or the new protocol.
                fields.u32()?;
                let nonce = fields.u32()?;
                let len = usize::try_from(fields.u32()?).ok()?;
                let mut socket = Reader(fields.take(len)?);
                Some(format!("{}/{nonce}", socket.socket_address()?))
            }
            0 => {
                // The marker is the first byte of a u32 that is zero; then the nonce, then a sockaddr_storage.
                self.take(3)?;
                let nonce = self.u32()?;
                let mut socket = Reader(self.take(128)?);
                // There the family is big-endian.
                let family = socket.take(2)?;
                let family = u16::from_le_bytes([family[1], family[0]]);
                Some(format!("{}/{nonce}", socket.socket_of(family)?))
            }
            _ => None,
        }
    }

    fn socket_address(&mut self) -> Option<String> {
        if self.0.is_empty() {
            return Some(":0".to_owned());
        }
        let family = self.u16()?;
        self.socket_of(family)
    }

    fn socket_of(&mut self, family: u16) -> Option<String> {
        let port = self.take(2)?;
        // The network's byte order.
        let port = u16::from_le_bytes([port[1], port[0]]);
        match family {
            AF_INET => {
                let octets: [u8; 4] = self.take(4)?.try_into().ok()?;
                Some(format!("{}:{port}", Ipv4Addr::from(octets)))
            }
            AF_INET6 => {
                self.take(4)?;
                let octets: [u8; 16] = self.take(16)?.try_into().ok()?;
                Some(format!("[{}]:{port}", Ipv6Addr::from(octets)))
            }
            _ => Some(format!("-:{port}")),
        }
    }
}

#[cfg(test)]
mod tests;
