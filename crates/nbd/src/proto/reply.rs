//! Replies of the transmission phase, as lists of buffers for vectored writes: read data is not copied.
use super::wire::{self, allocation, chunk};
use super::{Cookie, NbdError};
use bytes::{BufMut, Bytes, BytesMut};

/// A consecutive piece of what was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    Data(Bytes),
    /// This many bytes that read as zeroes.
    Zero(u64),
}

impl Piece {
    /// Bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::Data(data) => data.len() as u64,
            Self::Zero(len) => *len,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One buffer to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    Bytes(Bytes),
    /// This many zero bytes, which the sender need not hold.
    Zero(u64),
}

/// The wire form of one reply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    pub parts: Vec<Part>,
}

/// A run of one allocation status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Bytes, not 0.
    pub len: u32,
    pub data: bool,
}

const SIMPLE_BYTES: usize = 16;
const CHUNK_HEADER_BYTES: usize = 20;

impl Reply {
    /// Success without data. Valid for everything but reads and block status, whatever was negotiated.
    pub fn done(cookie: Cookie) -> Self {
        let mut head = BytesMut::with_capacity(SIMPLE_BYTES);
        put_simple(&mut head, cookie, 0);
        Self { parts: vec![Part::Bytes(head.freeze())] }
    }

    /// Failure of any command. `text` reaches the client only with structured replies.
    pub fn error(cookie: Cookie, error: NbdError, text: &str, structured: bool) -> Self {
        let mut head = BytesMut::with_capacity(CHUNK_HEADER_BYTES + 6);
        if structured {
            let text = cut(text, wire::MAX_ERROR_TEXT_BYTES);
            put_chunk(&mut head, cookie, chunk::FLAG_DONE, chunk::ERROR, 6 + text.len() as u32);
            head.put_u32(error.code());
            head.put_u16(text.len() as u16);
            head.put_slice(text.as_bytes());
        } else {
            put_simple(&mut head, cookie, error.code());
        }
        Self { parts: vec![Part::Bytes(head.freeze())] }
    }

    /// A successful read without structured replies.
    pub fn simple_read(cookie: Cookie, pieces: Vec<Piece>) -> Self {
        let mut head = BytesMut::with_capacity(SIMPLE_BYTES);
        put_simple(&mut head, cookie, 0);
        let mut parts = Vec::with_capacity(1 + pieces.len());
        parts.push(Part::Bytes(head.freeze()));
        parts.extend(pieces.into_iter().filter(|piece| !piece.is_empty()).map(Part::from));
        Self { parts }
    }

    /// A successful read with structured replies: data and holes as chunks of their own, or, with `dont_fragment`,
    /// one chunk. The pieces are at most [`wire::MAX_PAYLOAD_BYTES`] in all.
    pub fn structured_read(cookie: Cookie, offset: u64, pieces: Vec<Piece>, dont_fragment: bool) -> Self {
        let chunks = plan_chunks(pieces, dont_fragment);
        let mut heads = BytesMut::with_capacity((chunks.len().max(1)) * (CHUNK_HEADER_BYTES + 12));
        if chunks.is_empty() {
            put_chunk(&mut heads, cookie, chunk::FLAG_DONE, chunk::NONE, 0);
            return Self { parts: vec![Part::Bytes(heads.freeze())] };
        }
        let mut parts = Vec::with_capacity(chunks.len() * 2);
        let mut at = offset;
        let last = chunks.len() - 1;
        for (index, chunk) in chunks.into_iter().enumerate() {
            let flags = if index == last { chunk::FLAG_DONE } else { 0 };
            let len: u64 = chunk.pieces.iter().map(Piece::len).sum();
            if chunk.hole {
                put_chunk(&mut heads, cookie, flags, chunk::OFFSET_HOLE, 12);
                heads.put_u64(at);
                heads.put_u32(len as u32);
                parts.push(Part::Bytes(heads.split().freeze()));
            } else {
                put_chunk(&mut heads, cookie, flags, chunk::OFFSET_DATA, 8 + len as u32);
                heads.put_u64(at);
                parts.push(Part::Bytes(heads.split().freeze()));
                parts.extend(chunk.pieces.into_iter().map(Part::from));
            }
            at += len;
        }
        Self { parts }
    }

    /// The allocation of a range; `descriptors` is not empty.
    pub fn block_status(cookie: Cookie, descriptors: &[Descriptor]) -> Self {
        let payload = 4 + 8 * descriptors.len();
        let mut head = BytesMut::with_capacity(CHUNK_HEADER_BYTES + payload);
        put_chunk(&mut head, cookie, chunk::FLAG_DONE, chunk::BLOCK_STATUS, payload as u32);
        head.put_u32(wire::BASE_ALLOCATION_ID);
        for descriptor in descriptors {
            head.put_u32(descriptor.len);
            head.put_u32(if descriptor.data { 0 } else { allocation::HOLE | allocation::ZERO });
        }
        Self { parts: vec![Part::Bytes(head.freeze())] }
    }

    /// Bytes on the wire.
    pub fn len(&self) -> u64 {
        self.parts.iter().map(Part::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Part {
    /// Bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Zero(len) => *len,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<Piece> for Part {
    fn from(piece: Piece) -> Self {
        match piece {
            Piece::Data(data) => Self::Bytes(data),
            Piece::Zero(len) => Self::Zero(len),
        }
    }
}

struct Chunk {
    hole: bool,
    pieces: Vec<Piece>,
}

/// Groups pieces into chunks: neighbours of one kind together, short zeroes with the data before or after them.
fn plan_chunks(pieces: Vec<Piece>, dont_fragment: bool) -> Vec<Chunk> {
    let pieces: Vec<Piece> = pieces.into_iter().filter(|piece| !piece.is_empty()).collect();
    let all_zero = pieces.iter().all(|piece| matches!(piece, Piece::Zero(_)));
    let mut chunks: Vec<Chunk> = Vec::new();
    for piece in pieces {
        let hole = match piece {
            Piece::Zero(len) => all_zero || (!dont_fragment && len >= wire::MIN_HOLE_BYTES),
            Piece::Data(_) => false,
        };
        match chunks.last_mut() {
            Some(last) if last.hole == hole => last.pieces.push(piece),
            _ => chunks.push(Chunk { hole, pieces: vec![piece] }),
        }
    }
    chunks
}

fn put_simple(head: &mut BytesMut, cookie: Cookie, error: u32) {
    head.put_u32(wire::SIMPLE_REPLY_MAGIC);
    head.put_u32(error);
    head.put_u64(cookie.0);
}

fn put_chunk(head: &mut BytesMut, cookie: Cookie, flags: u16, kind: u16, len: u32) {
    head.put_u32(wire::STRUCTURED_REPLY_MAGIC);
    head.put_u16(flags);
    head.put_u16(kind);
    head.put_u64(cookie.0);
    head.put_u32(len);
}

/// The longest prefix of whole characters within `max` bytes.
fn cut(text: &str, max: usize) -> &str {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
