//! Checkpoint pages: leaf pages hold encoded map leaves, root pages hold where every leaf and segment is.
use super::codec::{Put, Take, open_envelope, seal_envelope};
use super::{FormatError, FormatResult, ImageUuid, Refusal};
use crate::units::{CheckpointId, LeafNo, MAX_SEGMENT_BYTES, SegmentNo};

/// "LSDM"
pub const PAGE_MAGIC: u32 = u32::from_le_bytes(*b"LSDM");
pub const PAGE_VERSION: u16 = 1;
/// Bytes that a page object is filled up to; more leaves or a larger root take more pages.
pub const MAX_PAGE_BYTES: usize = 4 << 20;
/// A leaf of very many tiny extents gets a page of its own, up to this size (OSDs refuse writes beyond 90 MB). A larger
/// leaf, which takes extents of less than 4 bytes on average, cannot be stored.
pub const MAX_LEAF_BYTES: usize = 64 << 20;
/// Bytes of a page before its payload: envelope, image, checkpoint, page number.
pub const PAGE_HEADER_BYTES: usize = super::codec::ENVELOPE_BYTES + 16 + 8 + 4;

const LEAF_ENTRY_BYTES: usize = 28;
const SEGMENT_ENTRY_BYTES: usize = 24;

/// What a page holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageKind {
    Leaves,
    Root,
}

impl PageKind {
    fn number(self) -> u16 {
        match self {
            PageKind::Leaves => 1,
            PageKind::Root => 2,
        }
    }
}

/// Which page a reader expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageIdentity {
    pub image: ImageUuid,
    pub checkpoint: CheckpointId,
    pub page: u32,
}

pub fn encode_page(identity: &PageIdentity, kind: PageKind, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(28 + payload.len());
    out.extend_from_slice(&identity.image.0);
    out.put_u32(identity.checkpoint.epoch);
    out.put_u32(identity.checkpoint.number);
    out.put_u32(identity.page);
    out.extend_from_slice(payload);
    seal_envelope(PAGE_MAGIC, PAGE_VERSION, kind.number(), &out)
}

/// Checks a whole page object and returns its payload.
pub fn decode_page<'a>(identity: &PageIdentity, kind: PageKind, bytes: &'a [u8]) -> FormatResult<&'a [u8]> {
    const WHAT: &str = "checkpoint page";
    let mut take = Take::new(WHAT, open_envelope(WHAT, PAGE_MAGIC, PAGE_VERSION, kind.number(), bytes)?);
    let found = PageIdentity {
        image: ImageUuid(take.array()?),
        checkpoint: CheckpointId { epoch: take.u32()?, number: take.u32()? },
        page: take.u32()?,
    };
    if found != *identity {
        return Err(FormatError::new(WHAT, Refusal::Foreign("page identity")));
    }
    let len = take.remaining();
    take.bytes(len)
}

/// Where an encoded leaf lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeafPointer {
    pub checkpoint: CheckpointId,
    pub page: u32,
    /// Bytes from the start of the page object.
    pub offset: u32,
    pub len: u32,
}

/// A leaf in the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeafEntry {
    pub leaf: LeafNo,
    /// Bytes of the leaf's span that have content.
    pub mapped: u32,
    pub at: LeafPointer,
}

/// A segment in the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentEntry {
    pub segment: SegmentNo,
    /// Bytes of the object.
    pub len: u32,
    /// Bytes that the map points at.
    pub live: u32,
    /// When it was written, nanoseconds since 1970.
    pub timestamp_ns: u64,
}

/// Everything a checkpoint's root says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Root {
    pub leaves: Vec<LeafEntry>,
    pub segments: Vec<SegmentEntry>,
}

impl Root {
    /// The payload, to be cut into root pages.
    pub fn encode(&self) -> Vec<u8> {
        let len = 8 + self.leaves.len() * LEAF_ENTRY_BYTES + self.segments.len() * SEGMENT_ENTRY_BYTES;
        let mut out = Vec::with_capacity(len);
        out.put_u32(self.leaves.len() as u32);
        out.put_u32(self.segments.len() as u32);
        for entry in &self.leaves {
            out.put_u32(entry.leaf.0);
            out.put_u32(entry.mapped);
            out.put_u32(entry.at.checkpoint.epoch);
            out.put_u32(entry.at.checkpoint.number);
            out.put_u32(entry.at.page);
            out.put_u32(entry.at.offset);
            out.put_u32(entry.at.len);
        }
        for entry in &self.segments {
            out.put_u64(entry.segment.0);
            out.put_u32(entry.len);
            out.put_u32(entry.live);
            out.put_u64(entry.timestamp_ns);
        }
        out
    }

    /// Decodes the joined payload of all root pages. Leaves and segments must ascend.
    pub fn decode(bytes: &[u8]) -> FormatResult<Self> {
        const WHAT: &str = "checkpoint root";
        let refuse = |field| Err(FormatError::new(WHAT, Refusal::Value(field)));
        let mut take = Take::new(WHAT, bytes);
        let leaf_count = take.u32()? as usize;
        let segment_count = take.u32()? as usize;
        if leaf_count * LEAF_ENTRY_BYTES + segment_count * SEGMENT_ENTRY_BYTES != take.remaining() {
            return refuse("counts");
        }
        let mut root = Root { leaves: Vec::with_capacity(leaf_count), segments: Vec::with_capacity(segment_count) };
        for _ in 0..leaf_count {
            let entry = LeafEntry {
                leaf: LeafNo(take.u32()?),
                mapped: take.u32()?,
                at: LeafPointer {
                    checkpoint: CheckpointId { epoch: take.u32()?, number: take.u32()? },
                    page: take.u32()?,
                    offset: take.u32()?,
                    len: take.u32()?,
                },
            };
            if root.leaves.last().is_some_and(|last| last.leaf >= entry.leaf) {
                return refuse("leaf order");
            }
            if u64::from(entry.at.offset) + u64::from(entry.at.len) > (MAX_PAGE_BYTES + MAX_LEAF_BYTES) as u64 {
                return refuse("leaf pointer");
            }
            root.leaves.push(entry);
        }
        for _ in 0..segment_count {
            let entry = SegmentEntry {
                segment: SegmentNo(take.u64()?),
                len: take.u32()?,
                live: take.u32()?,
                timestamp_ns: take.u64()?,
            };
            let ascends = root.segments.last().is_none_or(|last| last.segment < entry.segment);
            if !ascends || entry.segment.0 == 0 || entry.len > MAX_SEGMENT_BYTES || entry.live > entry.len {
                return refuse("segment entry");
            }
            root.segments.push(entry);
        }
        take.end()?;
        Ok(root)
    }
}
