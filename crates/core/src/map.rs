//! The extent map: which byte of the image lives where in the log.
//!
//! Owns: the leaves (byte-exact extents of a fixed span), their bytes and those of their patches in a checkpoint, and the
//! image-wide map of leaves with what is dirty, loaded and stored. Does not own: reading and writing leaves (the engine loads what
//! [`ExtentMap::missing`] names), liveness (callers get what each change superseded), the order of changes.
mod blocks;
mod codec;
mod dense;
mod extent_map;
mod leaf;
mod packed;
mod patch;
mod runs;
mod slots;
mod unwritten;

pub use blocks::BlockSet;
pub use codec::{LEAF_FORMAT_VERSION, LEAF_HEADER_BYTES, LEAF_MAGIC, LEAF_ZEROED_VERSION};
pub use extent_map::ExtentMap;
pub use leaf::Leaf;
pub use patch::{LEAST_PATCHED_BYTES, PATCH_FORMAT_VERSION, PATCH_MAGIC, PATCH_ZEROED_VERSION, Patch};
pub use slots::{Snapshot, SnapshotId};

use crate::units::{BLOCK_BYTES, LeafNo, Loc, MAX_SEGMENT_BYTES, SegmentNo};

/// Locations that a change replaced, and bytes there. The same location counts again when the change put it back.
pub type Superseded = Vec<(Loc, u32)>;

/// Bytes of a leaf that lie in a segment, or are zeroed; `start` and `len` in bytes from the start of the leaf.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Run {
    pub start: u32,
    pub len: u32,
    pub loc: Loc,
}

impl Run {
    fn end(&self) -> u32 {
        self.start + self.len
    }

    /// True when `next` is the same bytes of the same segment read on.
    fn continues_into(&self, next: &Run) -> bool {
        self.end() == next.start && continues(self.loc, u64::from(self.len), next.loc)
    }

    /// The part of the run within `start..end`, which it overlaps.
    fn clip(&self, start: u32, end: u32) -> Run {
        let from = start.max(self.start);
        Run { start: from, len: end.min(self.end()) - from, loc: self.loc.advance(from - self.start) }
    }
}

/// A part of a looked-up range of a leaf; `None` is a hole, zeroed or never written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    pub start: u32,
    pub len: u32,
    pub loc: Option<Loc>,
}

/// A part of a looked-up range of the image, bytes; `None` is a hole, zeroed or never written. Mapped extents stay within one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    pub offset: u64,
    pub len: u64,
    pub loc: Option<Loc>,
}

/// The operation needs a leaf that is stored but not in memory. Nothing was changed: load it, install it, try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("map leaf {0} is not loaded")]
pub struct NotLoaded(pub LeafNo);

/// Why bytes are not the leaf they should be. All of these mean a damaged or foreign object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MapError {
    #[error("map leaf {leaf}: {found} bytes, expected {expected}")]
    Length { leaf: LeafNo, found: usize, expected: u64 },
    #[error("map leaf {leaf}: magic {found:#010x} is not that of a leaf")]
    Magic { leaf: LeafNo, found: u32 },
    #[error("map leaf {leaf}: format version {found} is not known")]
    Version { leaf: LeafNo, found: u16 },
    #[error("map leaf {leaf}: checksum {found:#010x}, computed {computed:#010x}")]
    Checksum { leaf: LeafNo, found: u32, computed: u32 },
    #[error("map leaf {leaf}: form {found} is not known")]
    Form { leaf: LeafNo, found: u16 },
    #[error("map leaf {leaf}: the bytes are those of leaf {found}")]
    OtherLeaf { leaf: LeafNo, found: LeafNo },
    #[error("map leaf {leaf}: the patch is for another copy of the leaf")]
    OtherBase { leaf: LeafNo },
    #[error("map leaf {leaf}: entry {index} is not valid")]
    Entry { leaf: LeafNo, index: u32 },
    #[error("map leaf {leaf}: maps {found} bytes, the root says {expected}")]
    MappedBytes { leaf: LeafNo, found: u32, expected: u32 },
}

/// True when `len` bytes at `loc` exist in a segment: there is one, and they end within [`MAX_SEGMENT_BYTES`].
#[must_use]
pub fn fits_segment(loc: Loc, len: u32) -> bool {
    loc.segment() != SegmentNo(0) && u64::from(loc.offset()) + u64::from(len) <= u64::from(MAX_SEGMENT_BYTES)
}

/// True when the bytes at `next` follow `len` bytes at `loc` in the same segment, or both are zeroed. The end of a full segment
/// equals the packed start of the next, so the numbers alone do not say it.
fn continues(loc: Loc, len: u64, next: Loc) -> bool {
    (loc.0 + len == next.0 && loc.segment() == next.segment()) || (loc == Loc::ZEROED && next == Loc::ZEROED)
}

fn is_block_aligned(run: &Run) -> bool {
    (run.start | run.len).is_multiple_of(BLOCK_BYTES)
}

/// Appends to `superseded`, extending the last entry when the location reads on. Returns the bytes of data: none where nothing is stored.
fn supersede(superseded: &mut Superseded, loc: Loc, len: u32) -> u32 {
    if !loc.is_data() {
        return 0;
    }
    match superseded.last_mut() {
        Some((last, bytes)) if continues(*last, u64::from(*bytes), loc) => *bytes += len,
        _ => superseded.push((loc, len)),
    }
    len
}

/// What an entry of a stored leaf may say; `zeroed`: its version tells zeroed ranges.
fn is_valid(loc: Loc, len: u32, zeroed: bool) -> bool {
    fits_segment(loc, len) || (zeroed && loc == Loc::ZEROED)
}
