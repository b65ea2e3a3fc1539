//! The root of a checkpoint: where every leaf of the map is stored, and what is known of every segment.
//!
//! Owns: the payload, and joining it from its pages. Does not own: the pages around it (`checkpoint.rs`), leaves.
//!
//! A root in which no leaf has a patch is written in the first version, which has no count and no table of patches.
use super::checkpoint::{
    LeafPlace, LeafPointer, MAX_LEAF_BYTES, MAX_PAGE_BYTES, PageIdentity, PageKind, PatchPointer, decode_page,
};
use super::codec::{Put, Take};
use super::{FormatError, FormatResult, Refusal};
use crate::units::{CheckpointId, LeafNo, MAX_READ_SEGMENT_BYTES, SegmentNo};

const WHAT: &str = "checkpoint root";
const LEAF_ENTRY_BYTES: usize = 28;
const SEGMENT_ENTRY_BYTES: usize = 24;
const PATCH_ENTRY_BYTES: usize = 28;

/// A leaf in the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeafEntry {
    pub leaf: LeafNo,
    /// Bytes of the leaf's span that have content, with its patch.
    pub mapped: u32,
    pub at: LeafPlace,
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

impl LeafEntry {
    /// Appends the entry in the table of leaves.
    pub fn put(&self, out: &mut Vec<u8>) {
        out.put_u32(self.leaf.0);
        out.put_u32(self.mapped);
        put_pointer(out, &self.at.base);
    }

    /// Appends the entry in the table of patches, if it has one.
    pub fn put_patch(&self, out: &mut Vec<u8>) {
        let Some(patch) = self.at.patch else { return };
        out.put_u32(self.leaf.0);
        out.put_u32(patch.spent);
        put_pointer(out, &patch.at);
    }
}

impl SegmentEntry {
    /// Appends the entry in the table of segments.
    pub fn put(&self, out: &mut Vec<u8>) {
        out.put_u64(self.segment.0);
        out.put_u32(self.len);
        out.put_u32(self.live);
        out.put_u64(self.timestamp_ns);
    }
}

/// How long the tables of a root are. Its payload is that, the leaves, the segments, and the patches, each in order, so it
/// can be written piece by piece.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RootCounts {
    pub leaves: usize,
    pub segments: usize,
    /// Leaves that have a patch.
    pub patches: usize,
}

impl RootCounts {
    /// What the pages of the root are.
    pub fn kind(&self) -> PageKind {
        if self.patches > 0 { PageKind::PatchedRoot } else { PageKind::Root }
    }

    pub fn payload_bytes(&self) -> usize {
        let count = if self.patches > 0 { 12 } else { 8 };
        count + self.leaves * LEAF_ENTRY_BYTES + self.segments * SEGMENT_ENTRY_BYTES + self.patches * PATCH_ENTRY_BYTES
    }

    /// Appends the beginning of the payload.
    pub fn put(&self, out: &mut Vec<u8>) {
        out.put_u32(self.leaves as u32);
        out.put_u32(self.segments as u32);
        if self.patches > 0 {
            out.put_u32(self.patches as u32);
        }
    }
}

/// Everything a checkpoint's root says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Root {
    pub leaves: Vec<LeafEntry>,
    pub segments: Vec<SegmentEntry>,
}

/// The pages of a root, joined one after another.
#[derive(Debug, Default)]
pub struct RootPages {
    kind: Option<PageKind>,
    payload: Vec<u8>,
}

impl RootPages {
    /// Checks the next page and takes it in.
    pub fn add(&mut self, identity: &PageIdentity, page: &[u8]) -> FormatResult<()> {
        let kind = self.kind.unwrap_or_else(|| PageKind::of_root(page));
        self.payload.extend_from_slice(decode_page(identity, kind, page)?);
        self.kind = Some(kind);
        Ok(())
    }

    /// Bytes of the payload.
    pub fn len(&self) -> usize {
        self.payload.len()
    }

    pub fn is_empty(&self) -> bool {
        self.payload.is_empty()
    }

    pub fn decode(&self) -> FormatResult<Root> {
        Root::decode(self.kind.unwrap_or(PageKind::Root), &self.payload)
    }
}

fn refuse<T>(field: &'static str) -> FormatResult<T> {
    Err(FormatError::new(WHAT, Refusal::Value(field)))
}

fn put_pointer(out: &mut Vec<u8>, at: &LeafPointer) {
    for field in [at.checkpoint.epoch, at.checkpoint.number, at.page, at.offset, at.len] {
        out.put_u32(field);
    }
}

fn take_pointer(take: &mut Take<'_>) -> FormatResult<LeafPointer> {
    let checkpoint = CheckpointId { epoch: take.u32()?, number: take.u32()? };
    let at = LeafPointer { checkpoint, page: take.u32()?, offset: take.u32()?, len: take.u32()? };
    if u64::from(at.offset) + u64::from(at.len) > (MAX_PAGE_BYTES + MAX_LEAF_BYTES) as u64 {
        return refuse("leaf pointer");
    }
    Ok(at)
}

impl Root {
    /// What its pages are.
    pub fn kind(&self) -> PageKind {
        let is_patched = self.leaves.iter().any(|entry| entry.at.patch.is_some());
        if is_patched { PageKind::PatchedRoot } else { PageKind::Root }
    }

    /// The payload, to be cut into pages of [`Root::kind`].
    pub fn encode(&self) -> Vec<u8> {
        let patches = self.leaves.iter().filter(|entry| entry.at.patch.is_some());
        let counts =
            RootCounts { leaves: self.leaves.len(), segments: self.segments.len(), patches: patches.clone().count() };
        let mut out = Vec::with_capacity(counts.payload_bytes());
        counts.put(&mut out);
        self.leaves.iter().for_each(|entry| entry.put(&mut out));
        self.segments.iter().for_each(|entry| entry.put(&mut out));
        patches.for_each(|entry| entry.put_patch(&mut out));
        out
    }

    /// Decodes the joined payload of all root pages, which are of `kind`. Leaves, segments and patches must ascend.
    pub fn decode(kind: PageKind, bytes: &[u8]) -> FormatResult<Self> {
        let mut take = Take::new(WHAT, bytes);
        let leaf_count = take.u32()? as usize;
        let segment_count = take.u32()? as usize;
        let patch_count = if kind == PageKind::PatchedRoot { take.u32()? as usize } else { 0 };
        let tables = leaf_count * LEAF_ENTRY_BYTES + segment_count * SEGMENT_ENTRY_BYTES;
        if tables + patch_count * PATCH_ENTRY_BYTES != take.remaining() {
            return refuse("counts");
        }
        let mut root = Root { leaves: Vec::with_capacity(leaf_count), segments: Vec::with_capacity(segment_count) };
        for _ in 0..leaf_count {
            let (leaf, mapped) = (LeafNo(take.u32()?), take.u32()?);
            let at = LeafPlace { base: take_pointer(&mut take)?, patch: None };
            if root.leaves.last().is_some_and(|last| last.leaf >= leaf) {
                return refuse("leaf order");
            }
            root.leaves.push(LeafEntry { leaf, mapped, at });
        }
        for _ in 0..segment_count {
            let entry = SegmentEntry {
                segment: SegmentNo(take.u64()?),
                len: take.u32()?,
                live: take.u32()?,
                timestamp_ns: take.u64()?,
            };
            let ascends = root.segments.last().is_none_or(|last| last.segment < entry.segment);
            if !ascends || entry.segment.0 == 0 || entry.len > MAX_READ_SEGMENT_BYTES || entry.live > entry.len {
                return refuse("segment entry");
            }
            root.segments.push(entry);
        }
        let mut leaves = root.leaves.iter_mut();
        for _ in 0..patch_count {
            let (leaf, spent) = (LeafNo(take.u32()?), take.u32()?);
            let at = take_pointer(&mut take)?;
            // The iterator does not go back, so this finds patches in ascending order only.
            let Some(entry) = leaves.find(|entry| entry.leaf == leaf) else { return refuse("patch order") };
            entry.at.patch = Some(PatchPointer { at, spent });
        }
        take.end()?;
        if kind != root.kind() {
            return refuse("patches");
        }
        Ok(root)
    }
}
