//! Ids and units as types, and the limits that follow from their widths.
use std::fmt;

/// Size of an aligned block, bytes: the granule of dense leaves and of data alignment in segments.
pub const BLOCK_BYTES: u32 = 4096;
/// LBA span of one map leaf, bytes.
pub const LEAF_SPAN_BYTES: u32 = 16 << 20;
/// Offsets within a segment fit 24 bits, so no segment exceeds this.
pub const MAX_SEGMENT_BYTES: u32 = 1 << 24;
/// The longest segment that is read. Until November 2026 a segment of large writes that ended with small ones could get longer than
/// [`MAX_SEGMENT_BYTES`]: records behind the data, checksums and summary lay beyond it, data never did. Nobody writes such now.
pub const MAX_READ_SEGMENT_BYTES: u32 = MAX_SEGMENT_BYTES + (2 << 20);
/// Segment numbers fit 40 bits: an image can write 2^40 segments (4 EiB in 4 MiB segments) in its life;
/// beyond that creating a segment is an error.
pub const MAX_SEGMENT_NO: u64 = (1 << 40) - 1;
/// The largest image, bytes: leaf numbers fit 32 bits (64 PiB). Larger sizes are refused with `Invalid`.
pub const MAX_IMAGE_BYTES: u64 = (u32::MAX as u64 + 1) * LEAF_SPAN_BYTES as u64;

/// Write sequence number: the position of a record in the order of writes. The first record is 1; 0 means none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

impl Seq {
    #[must_use]
    pub fn next(self) -> Seq {
        Seq(self.0 + 1)
    }
}

/// Counts takeovers of an image; the first writer has epoch 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

/// Number of a segment within an image's life, ascending from 1. 0 means none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentNo(pub u64);

impl SegmentNo {
    #[must_use]
    pub fn next(self) -> SegmentNo {
        SegmentNo(self.0 + 1)
    }
}

/// Where a byte of the image lives: a segment and an offset in it, packed as `segment << 24 | offset`.
/// There is no segment 0: 0 means nowhere, 1 that the byte is a zero which nobody stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Loc(pub u64);

impl Loc {
    /// Never written.
    pub const NOWHERE: Loc = Loc(0);
    /// Discarded, or written as zeroes, where that is told apart from never written: in an image with a base.
    pub const ZEROED: Loc = Loc(1);

    /// `segment` up to [`MAX_SEGMENT_NO`], `offset` below [`MAX_SEGMENT_BYTES`].
    pub fn new(segment: SegmentNo, offset: u32) -> Loc {
        debug_assert!(segment.0 <= MAX_SEGMENT_NO && offset < MAX_SEGMENT_BYTES);
        Loc(segment.0 << 24 | u64::from(offset))
    }

    pub fn segment(self) -> SegmentNo {
        SegmentNo(self.0 >> 24)
    }

    /// Bytes from the start of the segment.
    pub fn offset(self) -> u32 {
        (self.0 & 0x00ff_ffff) as u32
    }

    /// Data: in a segment.
    pub fn is_data(self) -> bool {
        self.segment() != SegmentNo(0)
    }

    /// The location `bytes` further in the same segment; what is in none is everywhere the same.
    #[must_use]
    pub fn advance(self, bytes: u32) -> Loc {
        debug_assert!(!self.is_data() || u64::from(self.offset()) + u64::from(bytes) <= u64::from(MAX_SEGMENT_BYTES));
        Loc(self.0 + if self.is_data() { u64::from(bytes) } else { 0 })
    }
}

/// Number of a map leaf: LBA bytes / [`LEAF_SPAN_BYTES`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeafNo(pub u32);

impl LeafNo {
    /// The leaf that covers a byte address below [`MAX_IMAGE_BYTES`].
    pub fn of(offset: u64) -> LeafNo {
        LeafNo((offset / u64::from(LEAF_SPAN_BYTES)) as u32)
    }

    /// First byte address of the leaf.
    pub fn start(self) -> u64 {
        u64::from(self.0) * u64::from(LEAF_SPAN_BYTES)
    }

    /// Bytes of it that lie in an image of `size` bytes.
    pub fn len_in(self, size: u64) -> u64 {
        u64::from(LEAF_SPAN_BYTES).min(size.saturating_sub(self.start()))
    }
}

/// Names one checkpoint of an image: the epoch that wrote it and a number within the epoch, so that no two
/// writers ever write the same map page object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckpointId {
    pub epoch: u32,
    pub number: u32,
}

impl fmt::Display for CheckpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}{:08x}", self.epoch, self.number)
    }
}

/// Names a snapshot within its image, ascending from 1; never used twice. 0 means none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapId(pub u64);

impl SnapId {
    #[must_use]
    pub fn next(self) -> SnapId {
        SnapId(self.0.saturating_add(1))
    }
}

macro_rules! display_number {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    )*};
}
display_number!(Seq, Epoch, SegmentNo, LeafNo, SnapId);

impl fmt::Display for Loc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}", self.segment(), self.offset())
    }
}
