//! Clones in the header: of whom an image is a clone, and which clones a snapshot has.
//!
//! Owns: the bytes of both values. Does not own: whose a segment number or a map page is (the state's `lineage`), in which order the
//! two headers change (the state's `protocol`).
use super::{EpochStart, kind, open, put_epochs, seal, take_epochs};
use crate::format::codec::{Put, Take};
use crate::format::{FormatError, FormatResult, ImageUuid, Refusal};
use crate::units::{CheckpointId, MAX_IMAGE_BYTES, SegmentNo, SnapId};

/// How many generations an image may have above it. One more clone is refused with `EINVAL`.
pub const MAX_ANCESTORS: usize = 512;

/// Where an image is: what leads to its header from anywhere in the cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImagePlace {
    /// Pool of the header; -1 where the store has no pools.
    pub pool: i64,
    /// Empty: the default one.
    pub namespace: String,
    pub id: String,
}

impl ImagePlace {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.put_u64(self.pool.cast_unsigned());
        out.put_text(&self.namespace);
        out.put_text(&self.id);
    }

    pub(super) fn take(take: &mut Take<'_>) -> FormatResult<Self> {
        Ok(Self { pool: take.u64()?.cast_signed(), namespace: take.text()?, id: take.text()? })
    }
}

/// An image whose segments and map pages an image uses as it does its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ancestor {
    pub place: ImagePlace,
    pub uuid: ImageUuid,
    /// Pool of its segments; -1 where the store has no pools.
    pub data_pool: i64,
    /// Its are the segment numbers behind the last ancestor's, up to this one.
    pub last_segment: SegmentNo,
    /// Its are the pages of the checkpoints behind the last ancestor's, up to this one.
    pub last_checkpoint: CheckpointId,
    /// Who wrote its segments.
    pub epochs: Vec<EpochStart>,
}

impl Ancestor {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        self.place.put(out);
        out.extend_from_slice(&self.uuid.0);
        out.put_u64(self.data_pool.cast_unsigned());
        out.put_u64(self.last_segment.0);
        out.put_u32(self.last_checkpoint.epoch);
        out.put_u32(self.last_checkpoint.number);
        put_epochs(out, &self.epochs);
    }

    pub(super) fn take(take: &mut Take<'_>, what: &'static str) -> FormatResult<Self> {
        Ok(Self {
            place: ImagePlace::take(take)?,
            uuid: ImageUuid(take.array()?),
            data_pool: take.u64()?.cast_signed(),
            last_segment: SegmentNo(take.u64()?),
            last_checkpoint: CheckpointId { epoch: take.u32()?, number: take.u32()? },
            epochs: take_epochs(take, what)?,
        })
    }
}

/// Of whom an image is a clone. It is there as long as the image, or a snapshot of it, needs something of an ancestor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AncestryRecord {
    /// The snapshot of the last ancestor that it is a clone of.
    pub snapshot: SnapId,
    /// Up to where the image may show what its parent has, bytes. `None`: it has been flattened.
    pub overlap: Option<u64>,
    /// The oldest first; the last is the parent.
    pub ancestors: Vec<Ancestor>,
}

impl AncestryRecord {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_u64(self.snapshot.0);
        put_overlap(&mut out, self.overlap);
        out.put_u32(self.ancestors.len() as u32);
        for ancestor in &self.ancestors {
            ancestor.put(&mut out);
        }
        seal(kind::ANCESTRY, &out)
    }

    pub fn decode(bytes: &[u8]) -> FormatResult<Self> {
        const WHAT: &str = "header ancestry";
        let mut take = Take::new(WHAT, open(WHAT, kind::ANCESTRY, bytes)?);
        let (snapshot, overlap) = (SnapId(take.u64()?), take_overlap(&mut take, WHAT)?);
        let count = take.u32()? as usize;
        if count == 0 || count > MAX_ANCESTORS {
            return Err(FormatError::new(WHAT, Refusal::Value("ancestors")));
        }
        let mut ancestors: Vec<Ancestor> = Vec::with_capacity(count);
        for _ in 0..count {
            let next = Ancestor::take(&mut take, WHAT)?;
            let follows =
                |last: &Ancestor| last.last_segment <= next.last_segment && last.last_checkpoint < next.last_checkpoint;
            if !ancestors.last().is_none_or(follows) {
                return Err(FormatError::new(WHAT, Refusal::Value("order of ancestors")));
            }
            ancestors.push(next);
        }
        take.end()?;
        Ok(Self { snapshot, overlap, ancestors })
    }
}

/// A clone of a snapshot, in the header of the image that has the snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildRecord {
    pub snapshot: SnapId,
    pub place: ImagePlace,
    /// librbd's clone format 1: as long as it is there the snapshot stays protected.
    pub is_strict: bool,
    /// When it was made, nanoseconds since 1970.
    pub time_ns: u64,
}

impl ChildRecord {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_u64(self.snapshot.0);
        self.place.put(&mut out);
        out.put_u8(u8::from(self.is_strict));
        out.put_u64(self.time_ns);
        seal(kind::CHILD, &out)
    }

    pub fn decode(bytes: &[u8]) -> FormatResult<Self> {
        const WHAT: &str = "header child";
        let mut take = Take::new(WHAT, open(WHAT, kind::CHILD, bytes)?);
        let (snapshot, place) = (SnapId(take.u64()?), ImagePlace::take(&mut take)?);
        let is_strict = match take.u8()? {
            0 => false,
            1 => true,
            _ => return Err(FormatError::new(WHAT, Refusal::Value("flag"))),
        };
        let time_ns = take.u64()?;
        take.end()?;
        Ok(Self { snapshot, place, is_strict, time_ns })
    }
}

pub(super) fn put_overlap(out: &mut Vec<u8>, overlap: Option<u64>) {
    out.put_u8(u8::from(overlap.is_some()));
    out.put_u64(overlap.unwrap_or_default());
}

pub(super) fn take_overlap(take: &mut Take<'_>, what: &'static str) -> FormatResult<Option<u64>> {
    let (is_some, bytes) = (take.u8()?, take.u64()?);
    match is_some {
        0 => Ok(None),
        1 if bytes <= MAX_IMAGE_BYTES => Ok(Some(bytes)),
        _ => Err(FormatError::new(what, Refusal::Value("overlap"))),
    }
}
