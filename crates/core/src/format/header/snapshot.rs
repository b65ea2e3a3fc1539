//! A snapshot in the header: a name for one moment of the image, and where its map is.
//!
//! Owns: the bytes of both values. Does not own: what keeps a snapshot's bytes in the store (the state's `pins`).
use super::ancestry::{put_overlap, take_overlap};
use super::{CheckpointPointer, kind, open, seal};
use crate::format::codec::{Put, Take};
use crate::format::{FormatError, FormatResult, Refusal};
use crate::units::{CheckpointId, MAX_IMAGE_BYTES, SegmentNo, Seq, SnapId};

const WHAT: &str = "header snapshot";

/// What a snapshot is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapNamespace {
    User,
    /// It is one image's part of a group's snapshot.
    Group {
        /// Pool of the group; -1 where the store has no pools.
        pool: i64,
        group: String,
        group_snapshot: String,
    },
    /// It was removed while a clone needed it.
    Trash {
        /// What it was called until then.
        name: String,
    },
}

impl SnapNamespace {
    pub(in crate::format) fn put(&self, out: &mut Vec<u8>) {
        match self {
            SnapNamespace::User => out.put_u8(0),
            SnapNamespace::Group { pool, group, group_snapshot } => {
                out.put_u8(1);
                out.put_u64(pool.cast_unsigned());
                out.put_text(group);
                out.put_text(group_snapshot);
            }
            SnapNamespace::Trash { name } => {
                out.put_u8(2);
                out.put_text(name);
            }
        }
    }

    pub(in crate::format) fn take(take: &mut Take<'_>, what: &'static str) -> FormatResult<Self> {
        match take.u8()? {
            0 => Ok(SnapNamespace::User),
            1 => Ok(SnapNamespace::Group {
                pool: take.u64()?.cast_signed(),
                group: take.text()?,
                group_snapshot: take.text()?,
            }),
            2 => Ok(SnapNamespace::Trash { name: take.text()? }),
            _ => Err(FormatError::new(what, Refusal::Value("namespace"))),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapRecord {
    pub id: SnapId,
    pub namespace: SnapNamespace,
    /// Unique among those of a namespace that are not being removed.
    pub name: String,
    /// It cannot be removed.
    pub is_protected: bool,
    /// It is gone for everybody, but what it needed has not been given back yet.
    pub is_removing: bool,
    /// Bytes of the image.
    pub size: u64,
    pub features: u64,
    pub flags: u64,
    /// When it was taken, nanoseconds since 1970.
    pub time_ns: u64,
    /// Its map: a checkpoint that covers exactly what was written until then.
    pub root: CheckpointPointer,
    /// Up to where it shows what the image's parent has, bytes; `None`: the image was no clone then.
    pub overlap: Option<u64>,
    /// No segment that its map points into has a higher number; 0 where it was taken before this was told.
    pub last_segment: SegmentNo,
    /// Clones of it.
    pub children: u32,
    /// Those of them that demand that it is protected.
    pub strict_children: u32,
}

impl SnapRecord {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_u64(self.id.0);
        self.namespace.put(&mut out);
        out.put_text(&self.name);
        out.put_u8(u8::from(self.is_protected));
        out.put_u8(u8::from(self.is_removing));
        for value in [self.size, self.features, self.flags, self.time_ns] {
            out.put_u64(value);
        }
        out.put_u32(self.root.id.epoch);
        out.put_u32(self.root.id.number);
        out.put_u64(self.root.frontier.0);
        out.put_u32(self.root.first_root_page);
        out.put_u32(self.root.root_pages);
        // As it was written before there were clones: whoever expects such a record expects these bytes.
        if self.last_segment != SegmentNo(0) {
            put_overlap(&mut out, self.overlap);
            out.put_u64(self.last_segment.0);
            out.put_u32(self.children);
            out.put_u32(self.strict_children);
        }
        seal(kind::SNAPSHOT, &out)
    }

    pub fn decode(bytes: &[u8]) -> FormatResult<Self> {
        let mut take = Take::new(WHAT, open(WHAT, kind::SNAPSHOT, bytes)?);
        let id = SnapId(take.u64()?);
        let namespace = SnapNamespace::take(&mut take, WHAT)?;
        let mut record = Self {
            id,
            namespace,
            name: take.text()?,
            is_protected: take_flag(&mut take)?,
            is_removing: take_flag(&mut take)?,
            size: take.u64()?,
            features: take.u64()?,
            flags: take.u64()?,
            time_ns: take.u64()?,
            root: CheckpointPointer {
                id: CheckpointId { epoch: take.u32()?, number: take.u32()? },
                frontier: Seq(take.u64()?),
                first_root_page: take.u32()?,
                root_pages: take.u32()?,
            },
            overlap: None,
            last_segment: SegmentNo(0),
            children: 0,
            strict_children: 0,
        };
        // Before there were clones it ended here.
        if take.remaining() > 0 {
            record.overlap = take_overlap(&mut take, WHAT)?;
            record.last_segment = SegmentNo(take.u64()?);
            (record.children, record.strict_children) = (take.u32()?, take.u32()?);
        }
        take.end()?;
        if record.strict_children > record.children || (record.children > 0 && record.last_segment.0 == 0) {
            return refuse("children");
        }
        if record.id.0 == 0 || record.name.is_empty() || record.root.root_pages == 0 {
            return refuse("snapshot");
        }
        if record.size > MAX_IMAGE_BYTES {
            return refuse("size");
        }
        Ok(record)
    }
}

/// What is known of an image's snapshots together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SnapCounters {
    /// The last id that was given out.
    pub last: SnapId,
    /// How many the image may have; `None`: as many as it likes.
    pub limit: Option<u64>,
    /// The last id that was given out when the image was last rolled back; 0: never. What is younger is in one line of history.
    pub rolled_back: SnapId,
}

/// No limit.
const NO_LIMIT: u64 = u64::MAX;

impl SnapCounters {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_u64(self.last.0);
        out.put_u64(self.limit.unwrap_or(NO_LIMIT));
        out.put_u64(self.rolled_back.0);
        seal(kind::SNAP_COUNTERS, &out)
    }

    pub fn decode(bytes: &[u8]) -> FormatResult<Self> {
        const WHAT: &str = "header snapshot counters";
        let mut take = Take::new(WHAT, open(WHAT, kind::SNAP_COUNTERS, bytes)?);
        let (last, limit, rolled_back) = (SnapId(take.u64()?), take.u64()?, SnapId(take.u64()?));
        take.end()?;
        Ok(Self { last, limit: Some(limit).filter(|limit| *limit != NO_LIMIT), rolled_back })
    }
}

fn take_flag(take: &mut Take<'_>) -> FormatResult<bool> {
    match take.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => refuse("flag"),
    }
}

fn refuse<T>(field: &'static str) -> FormatResult<T> {
    Err(FormatError::new(WHAT, Refusal::Value(field)))
}
