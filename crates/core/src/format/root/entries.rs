//! The entries of a root's tables.
use super::refuse;
use crate::format::FormatResult;
use crate::format::checkpoint::{LeafPlace, LeafPointer, MAX_LEAF_BYTES, MAX_PAGE_BYTES, PageKind};
use crate::format::codec::{Put, Take};
use crate::units::{CheckpointId, LeafNo, MAX_READ_SEGMENT_BYTES, SegmentNo, Seq};

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
    /// Bytes that the map or a snapshot points at are no more than this.
    pub kept: u32,
    /// Snapshots whose maps point at it.
    pub pins: u32,
    /// The last sequence in which something in it was first written. `None`: not known.
    pub newest: Option<Seq>,
}

/// A page that snapshots need, or that was let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PinnedPage {
    pub checkpoint: CheckpointId,
    pub page: u32,
    /// Snapshots that need it. 0: this checkpoint lets it go, so it may still be there where its writer did not live to delete it.
    pub pins: u32,
}

impl LeafEntry {
    pub(super) const BYTES: usize = 28;
    pub(super) const PATCH_BYTES: usize = 28;

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

    pub(super) fn take(take: &mut Take<'_>) -> FormatResult<Self> {
        let (leaf, mapped) = (LeafNo(take.u32()?), take.u32()?);
        Ok(Self { leaf, mapped, at: LeafPlace { base: take_pointer(take)?, patch: None } })
    }
}

/// A sequence that is not known; no record has it.
const UNKNOWN_SEQ: u64 = u64::MAX;

impl SegmentEntry {
    /// One of which nothing is known.
    pub fn unknown(segment: SegmentNo) -> Self {
        Self { segment, len: 0, live: 0, timestamp_ns: 0, kept: 0, pins: 0, newest: None }
    }

    pub(super) fn bytes_in(kind: PageKind) -> usize {
        if kind == PageKind::MomentRoot { 40 } else { 24 }
    }

    /// Appends the entry in the table of segments.
    pub fn put(&self, out: &mut Vec<u8>) {
        out.put_u64(self.segment.0);
        out.put_u32(self.len);
        out.put_u32(self.live);
        out.put_u64(self.timestamp_ns);
        out.put_u32(self.kept);
        out.put_u32(self.pins);
        out.put_u64(self.newest.map_or(UNKNOWN_SEQ, |seq| seq.0));
    }

    pub(super) fn take(kind: PageKind, take: &mut Take<'_>) -> FormatResult<Self> {
        let (segment, len, live) = (SegmentNo(take.u64()?), take.u32()?, take.u32()?);
        let timestamp_ns = take.u64()?;
        let mut entry = Self { segment, len, live, timestamp_ns, kept: live, pins: 0, newest: None };
        if kind == PageKind::MomentRoot {
            (entry.kept, entry.pins) = (take.u32()?, take.u32()?);
            entry.newest = Some(take.u64()?).filter(|seq| *seq != UNKNOWN_SEQ).map(Seq);
        }
        let fits = entry.live <= entry.kept && entry.kept <= len && len <= MAX_READ_SEGMENT_BYTES;
        // What nothing points at but the map is what the map points at.
        if segment.0 == 0 || !fits || (entry.pins == 0 && entry.kept != live) {
            return refuse("segment entry");
        }
        Ok(entry)
    }
}

impl PinnedPage {
    pub(super) const BYTES: usize = 16;

    pub fn key(&self) -> (CheckpointId, u32) {
        (self.checkpoint, self.page)
    }

    pub fn put(&self, out: &mut Vec<u8>) {
        for field in [self.checkpoint.epoch, self.checkpoint.number, self.page, self.pins] {
            out.put_u32(field);
        }
    }

    pub(super) fn take(take: &mut Take<'_>) -> FormatResult<Self> {
        let checkpoint = CheckpointId { epoch: take.u32()?, number: take.u32()? };
        Ok(Self { checkpoint, page: take.u32()?, pins: take.u32()? })
    }
}

fn put_pointer(out: &mut Vec<u8>, at: &LeafPointer) {
    for field in [at.checkpoint.epoch, at.checkpoint.number, at.page, at.offset, at.len] {
        out.put_u32(field);
    }
}

pub(super) fn take_pointer(take: &mut Take<'_>) -> FormatResult<LeafPointer> {
    let checkpoint = CheckpointId { epoch: take.u32()?, number: take.u32()? };
    let at = LeafPointer { checkpoint, page: take.u32()?, offset: take.u32()?, len: take.u32()? };
    if u64::from(at.offset) + u64::from(at.len) > (MAX_PAGE_BYTES + MAX_LEAF_BYTES) as u64 {
        return refuse("leaf pointer");
    }
    Ok(at)
}
