//! The values of the image header: a keyed object that is changed only by updates guarded by the epoch.
mod ancestry;
mod base;
mod group;
mod migration;
mod snapshot;
mod tombs;
mod trash;

pub use ancestry::{Ancestor, AncestryRecord, ChildRecord, ImagePlace, MAX_ANCESTORS};
pub use base::BaseRecord;
pub use group::{GroupRef, GroupSnapRecord, GroupSnapState, MemberId, MemberRecord, MemberState};
pub use migration::{MigrationRecord, MigrationRole, MigrationState};
pub use snapshot::{SnapCounters, SnapNamespace, SnapRecord};
pub use tombs::{MAX_TOMBS, Tomb, Tombs};
pub use trash::{TrashRecord, TrashSource};

use super::codec::{Put, Take, open_envelope, seal_envelope};
use super::{FormatError, FormatResult, ImageUuid, Refusal};
use crate::units::{CheckpointId, Epoch, MAX_IMAGE_BYTES, SegmentNo, Seq};
use std::ops::RangeInclusive;

/// "LSDH"
pub const HEADER_MAGIC: u32 = u32::from_le_bytes(*b"LSDH");
pub const HEADER_VERSION: u16 = 1;
/// What a reader understands.
const HEADER_VERSIONS: RangeInclusive<u16> = 1..=HEADER_VERSION;
/// The bits of [`key::REQUIRES`] that this code understands. A feature that older code would damage, or read wrongly, sets one of its
/// own before it is used.
pub const REQUIRES_KNOWN: u64 =
    REQUIRES_SNAPSHOTS | REQUIRES_CLONES | REQUIRES_MIGRATION | REQUIRES_BASE | REQUIRES_FOREIGN;
/// The image has, or had, snapshots: segments and pages that its map does not point at may be needed.
pub const REQUIRES_SNAPSHOTS: u64 = 1;
/// The image may be a clone, or one of its snapshots may have clones: numbers may be an ancestor's, and a snapshot may be needed from
/// outside of the image.
pub const REQUIRES_CLONES: u64 = 2;
/// The image is the source or the destination of a migration: the source must not change, and the destination's map may point at what is
/// the source's.
pub const REQUIRES_MIGRATION: u64 = 4;
/// The image has, or had, a base: leaves tell zeroed from never written, and records may bring what a base has.
pub const REQUIRES_BASE: u64 = 8;
/// The image is the destination of a migration whose source is no image of lsd.
pub const REQUIRES_FOREIGN: u64 = 16;

/// Keys of the header object. `client.` is kept for journal clients.
pub mod key {
    pub const IMAGE: &str = "image";
    pub const STATE: &str = "state";
    pub const EPOCH: &str = "epoch";
    pub const LOG: &str = "log";
    pub const NAME: &str = "name";
    /// What who touches the image must understand; absent: nothing beyond the rest.
    pub const REQUIRES: &str = "requires";
    /// Present while the image is being removed: the epoch that the removal took.
    pub const REMOVING: &str = "removing";
    /// Absent until an owner wrote it.
    pub const TOMBS: &str = "tombs";
    /// Prefix of the user's metadata: `meta.<key>`.
    pub const META: &str = "meta.";
    /// Prefix of snapshots: `snap.<id %016x>`.
    pub const SNAP: &str = "snap.";
    /// Absent until there was a snapshot or a limit on them.
    pub const SNAP_COUNTERS: &str = "snaps";

    /// Of a clone only.
    pub const ANCESTRY: &str = "ancestry";
    /// Prefix of clones: `child.<snapshot id %016x>.<pool>.<image id>.<namespace>`.
    pub const CHILD: &str = "child.";

    pub fn child(child: &super::ChildRecord) -> String {
        let super::ImagePlace { pool, namespace, id } = &child.place;
        format!("{CHILD}{:016x}.{pool}.{id}.{namespace}", child.snapshot.0)
    }

    /// The group that the image is in; absent: in none.
    pub const GROUP: &str = "group";

    /// Of the source and of the destination of a migration, as long as that lasts.
    pub const MIGRATION: &str = "migration";

    /// Of an image that shows something else wherever it was never written.
    pub const BASE: &str = "base";
    /// The base that the image needs no more, until what keeps it for the image is undone.
    pub const LEFT_BASE: &str = "base-left";

    /// Of an image that came back from the trash: when it had been put there, so that a removal that began before finds another value.
    pub const RESTORED: &str = "restored";

    /// Prefix of clients that want to be quiet before snapshots: `quiesce.<client>.<number %016x>`.
    pub const QUIESCE: &str = "quiesce.";

    pub fn quiesce(client: u64, number: u64) -> String {
        format!("{QUIESCE}{client}.{number:016x}")
    }

    /// Whose key it is. `None`: it is no such key.
    pub fn quiesce_client(name: &str) -> Option<u64> {
        name.strip_prefix(QUIESCE)?.split_once('.')?.0.parse().ok()
    }

    pub fn snap(id: crate::units::SnapId) -> String {
        format!("{SNAP}{:016x}", id.0)
    }
}

mod kind {
    pub const IMAGE: u16 = 1;
    pub const STATE: u16 = 2;
    pub const EPOCH: u16 = 3;
    pub const LOG: u16 = 4;
    pub const TEXT: u16 = 5;
    pub const REQUIRES: u16 = 7;
    pub const TOMBS: u16 = 8;
    pub const SNAPSHOT: u16 = 9;
    pub const SNAP_COUNTERS: u16 = 10;
    pub const TRASH: u16 = 11;
    pub const ANCESTRY: u16 = 12;
    pub const CHILD: u16 = 13;
    pub const GROUP_REF: u16 = 20;
    pub const GROUP_MEMBER: u16 = 21;
    pub const GROUP_SNAPSHOT: u16 = 22;
    pub const MIGRATION: u16 = 23;
    pub const BASE: u16 = 24;
    pub const QUIESCE: u16 = 25;
}

fn seal(kind: u16, payload: &[u8]) -> Vec<u8> {
    seal_envelope(HEADER_MAGIC, HEADER_VERSION, kind, payload)
}

fn open<'a>(what: &'static str, kind: u16, bytes: &'a [u8]) -> FormatResult<&'a [u8]> {
    open_envelope(what, HEADER_MAGIC, HEADER_VERSIONS, kind, bytes)
}

/// What never changes after creation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageRecord {
    pub uuid: ImageUuid,
    pub id: String,
    /// log2 of the client-visible object size.
    pub order: u8,
    /// Bytes.
    pub stripe_unit: u64,
    pub stripe_count: u64,
    /// Pool of the segments; -1 where the store has no pools.
    pub data_pool: i64,
    pub create_ns: u64,
}

impl ImageRecord {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(&self.uuid.0);
        out.put_text(&self.id);
        out.put_u8(self.order);
        out.put_u64(self.stripe_unit);
        out.put_u64(self.stripe_count);
        out.put_u64(self.data_pool.cast_unsigned());
        out.put_u64(self.create_ns);
        seal(kind::IMAGE, &out)
    }

    pub fn decode(bytes: &[u8]) -> FormatResult<Self> {
        const WHAT: &str = "header image record";
        let mut take = Take::new(WHAT, open(WHAT, kind::IMAGE, bytes)?);
        let record = Self {
            uuid: ImageUuid(take.array()?),
            id: take.text()?,
            order: take.u8()?,
            stripe_unit: take.u64()?,
            stripe_count: take.u64()?,
            data_pool: take.u64()?.cast_signed(),
            create_ns: take.u64()?,
        };
        take.end()?;
        if !(12..=25).contains(&record.order) {
            return Err(FormatError::new(WHAT, Refusal::Value("order")));
        }
        Ok(record)
    }
}

/// What maintenance changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateRecord {
    /// Bytes.
    pub size: u64,
    pub features: u64,
    pub op_features: u64,
    pub flags: u64,
    pub access_ns: u64,
    pub modify_ns: u64,
}

impl StateRecord {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for value in [self.size, self.features, self.op_features, self.flags, self.access_ns, self.modify_ns] {
            out.put_u64(value);
        }
        seal(kind::STATE, &out)
    }

    pub fn decode(bytes: &[u8]) -> FormatResult<Self> {
        const WHAT: &str = "header state record";
        let mut take = Take::new(WHAT, open(WHAT, kind::STATE, bytes)?);
        let record = Self {
            size: take.u64()?,
            features: take.u64()?,
            op_features: take.u64()?,
            flags: take.u64()?,
            access_ns: take.u64()?,
            modify_ns: take.u64()?,
        };
        take.end()?;
        if record.size > MAX_IMAGE_BYTES {
            return Err(FormatError::new(WHAT, Refusal::Value("size")));
        }
        Ok(record)
    }
}

/// A client that wants to be quiet before snapshots, and the watch by which it is told. Nobody reads it: whoever finds that there is no
/// such client any more takes away exactly what it saw.
pub fn encode_quiesce(watch: u64) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_u64(watch);
    seal(kind::QUIESCE, &out)
}

/// The epoch of the present owner; every header update of an owner is guarded by this value.
pub fn encode_epoch(epoch: Epoch) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_u64(epoch.0);
    seal(kind::EPOCH, &out)
}

pub fn decode_epoch(bytes: &[u8]) -> FormatResult<Epoch> {
    const WHAT: &str = "header epoch";
    let mut take = Take::new(WHAT, open(WHAT, kind::EPOCH, bytes)?);
    let epoch = Epoch(take.u64()?);
    take.end()?;
    // Checkpoint names hold 32 bits of it: after 2^32 takeovers an image has to be copied.
    if epoch.0 > u64::from(u32::MAX) {
        return Err(FormatError::new(WHAT, Refusal::Value("epoch")));
    }
    Ok(epoch)
}

/// What an image requires of who touches it ([`REQUIRES_KNOWN`]).
pub fn encode_requires(bits: u64) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_u64(bits);
    seal(kind::REQUIRES, &out)
}

pub fn decode_requires(bytes: &[u8]) -> FormatResult<u64> {
    const WHAT: &str = "header requirements";
    let mut take = Take::new(WHAT, open(WHAT, kind::REQUIRES, bytes)?);
    let bits = take.u64()?;
    take.end()?;
    Ok(bits)
}

/// A name or a metadata value.
pub fn encode_text(text: &str) -> Vec<u8> {
    seal(kind::TEXT, text.as_bytes())
}

pub fn decode_text(bytes: &[u8]) -> FormatResult<String> {
    const WHAT: &str = "header text";
    let payload = open(WHAT, kind::TEXT, bytes)?;
    String::from_utf8(payload.to_vec()).map_err(|_| FormatError::new(WHAT, Refusal::Value("text")))
}

/// Where an epoch's part of the log starts: its first segment number and its first sequence number. Batches of
/// an older epoch at or beyond that sequence were not seen by the takeover and do not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochStart {
    pub epoch: Epoch,
    pub first_segment: SegmentNo,
    pub first_seq: Seq,
}

fn put_epochs(out: &mut Vec<u8>, epochs: &[EpochStart]) {
    out.put_u32(epochs.len() as u32);
    for start in epochs {
        out.put_u64(start.epoch.0);
        out.put_u64(start.first_segment.0);
        out.put_u64(start.first_seq.0);
    }
}

fn take_epochs(take: &mut Take<'_>, what: &'static str) -> FormatResult<Vec<EpochStart>> {
    let count = take.u32()? as usize;
    let mut epochs = Vec::with_capacity(count.min(take.remaining() / 24));
    for _ in 0..count {
        let start = EpochStart {
            epoch: Epoch(take.u64()?),
            first_segment: SegmentNo(take.u64()?),
            first_seq: Seq(take.u64()?),
        };
        let ascending = epochs.last().is_none_or(|last: &EpochStart| {
            last.epoch < start.epoch && last.first_segment <= start.first_segment && last.first_seq <= start.first_seq
        });
        if !ascending {
            return Err(FormatError::new(what, Refusal::Value("epochs")));
        }
        epochs.push(start);
    }
    Ok(epochs)
}

/// Where the last checkpoint is and what it covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckpointPointer {
    pub id: CheckpointId,
    /// Every record up to and including it is in the checkpoint.
    pub frontier: Seq,
    /// The root is the pages `first_root_page .. first_root_page + root_pages`.
    pub first_root_page: u32,
    pub root_pages: u32,
}

/// The log's state: where replay starts and whose segments are whose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogRecord {
    pub checkpoint: Option<CheckpointPointer>,
    /// The lowest segment that may hold records beyond the checkpoint.
    pub replay_from: SegmentNo,
    /// Ascending in every field.
    pub epochs: Vec<EpochStart>,
    /// The last owner closed the image: nothing lies beyond the checkpoint and nothing of it is in flight.
    pub clean: bool,
}

impl LogRecord {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_u8(u8::from(self.clean));
        out.put_u64(self.replay_from.0);
        out.put_u8(u8::from(self.checkpoint.is_some()));
        if let Some(checkpoint) = &self.checkpoint {
            out.put_u32(checkpoint.id.epoch);
            out.put_u32(checkpoint.id.number);
            out.put_u64(checkpoint.frontier.0);
            out.put_u32(checkpoint.first_root_page);
            out.put_u32(checkpoint.root_pages);
        }
        put_epochs(&mut out, &self.epochs);
        seal(kind::LOG, &out)
    }

    pub fn decode(bytes: &[u8]) -> FormatResult<Self> {
        const WHAT: &str = "header log record";
        let mut take = Take::new(WHAT, open(WHAT, kind::LOG, bytes)?);
        let clean = take.u8()? != 0;
        let replay_from = SegmentNo(take.u64()?);
        let checkpoint = match take.u8()? {
            0 => None,
            _ => Some(CheckpointPointer {
                id: CheckpointId { epoch: take.u32()?, number: take.u32()? },
                frontier: Seq(take.u64()?),
                first_root_page: take.u32()?,
                root_pages: take.u32()?,
            }),
        };
        let epochs = take_epochs(&mut take, WHAT)?;
        take.end()?;
        Ok(Self { checkpoint, replay_from, epochs, clean })
    }

    /// The epoch whose writer made a segment number, if any did.
    pub fn epoch_of(&self, segment: SegmentNo) -> Option<Epoch> {
        Self::epoch_in(&self.epochs, segment)
    }

    /// The same for epochs in ascending order.
    pub fn epoch_in(epochs: &[EpochStart], segment: SegmentNo) -> Option<Epoch> {
        let after = epochs.partition_point(|start| start.first_segment <= segment);
        // Epochs that wrote nothing share their first segment with the next one: the last of them made the segment.
        after.checked_sub(1).map(|index| epochs[index].epoch)
    }
}
