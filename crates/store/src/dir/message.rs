//! What clients of one directory tell each other, one datagram each. The kernel delivers a datagram whole or not at
//! all, so there is a length limit but no checksum.
use bytes::{Buf, BufMut, Bytes};

const MAGIC: &[u8; 4] = b"LSDN";
const VERSION: u16 = 1;
const HEAD_LEN: usize = 32;

/// Largest payload of a notification or of an answer, bytes. A larger notification is refused (`Invalid`), a larger
/// answer is not sent, so its watcher counts as silent.
pub(super) const PAYLOAD_MAX_BYTES: usize = 64 << 10;

/// Largest datagram, bytes.
pub(super) const MESSAGE_MAX_BYTES: usize = HEAD_LEN + PAYLOAD_MAX_BYTES;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MessageKind {
    /// To a watch: a notification.
    Notify,
    /// To a notifier: a watch's answer.
    Ack,
    /// To a notifier: that watch has ended.
    Gone,
    /// To a watch: its object was removed.
    Removed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub kind: MessageKind,
    /// The notification's number at its notifier.
    pub id: u64,
    /// Client that sent this.
    pub from: u64,
    /// The watch's number at its client.
    pub cookie: u64,
    pub payload: Bytes,
}

impl Message {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD_LEN + self.payload.len());
        out.put_slice(MAGIC);
        out.put_u16_le(VERSION);
        out.put_u16_le(match self.kind {
            MessageKind::Notify => 1,
            MessageKind::Ack => 2,
            MessageKind::Gone => 3,
            MessageKind::Removed => 4,
        });
        out.put_u64_le(self.id);
        out.put_u64_le(self.from);
        out.put_u64_le(self.cookie);
        out.put_slice(&self.payload);
        out
    }

    /// `None` for what is not a message, or one of another version: it is ignored.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (mut head, payload) = bytes.split_at_checked(HEAD_LEN)?;
        if &head[..4] != MAGIC {
            return None;
        }
        head.advance(4);
        if head.get_u16_le() != VERSION {
            return None;
        }
        let kind = match head.get_u16_le() {
            1 => MessageKind::Notify,
            2 => MessageKind::Ack,
            3 => MessageKind::Gone,
            4 => MessageKind::Removed,
            _ => return None,
        };
        let (id, from, cookie) = (head.get_u64_le(), head.get_u64_le(), head.get_u64_le());
        Some(Self { kind, id, from, cookie, payload: Bytes::copy_from_slice(payload) })
    }
}

#[cfg(test)]
mod tests;
