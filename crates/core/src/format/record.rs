//! One record of the log, 32 bytes.
use super::codec::{Put, Take};
use super::{FormatError, FormatResult, Refusal};
use crate::map::fits_segment;
use crate::units::Loc;

/// Bytes of an encoded record.
pub const RECORD_BYTES: usize = 32;
/// Most data bytes of one record; longer writes become several records.
pub const MAX_RECORD_BYTES: u32 = 1 << 20;

/// What a record does to the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// `len` bytes of data at `data_offset` from the start of the batch, with checksum `data_crc`.
    Write { len: u32, data_offset: u32, data_crc: u32 },
    /// The range has no content any more and reads as zeroes.
    Discard { len: u64 },
    /// The range reads as zeroes (kept apart from a discard for those who replay the log elsewhere).
    WriteZeroes { len: u64 },
    /// The image has this size from here on: everything at and beyond `offset` is gone.
    Resize { size: u64 },
    /// Garbage collection copied `len` bytes here, described as a write's: those bytes of the range that still live at
    /// `from` on live here from now on. Content never changes; whatever superseded `from` before this record wins.
    /// [`Loc::NOWHERE`]: they are the base's, for those bytes of the range that were never written.
    Relocate { len: u32, data_offset: u32, data_crc: u32, from: Loc },
}

/// The data that a record brings: part of its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordData {
    pub len: u32,
    /// Bytes from the start of the batch.
    pub offset: u32,
    pub crc: u32,
}

/// A record. The batch says which sequence number it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Byte address in the image.
    pub offset: u64,
    pub kind: RecordKind,
}

const STEP_BYTES: usize = 3;
const KIND_WRITE: u8 = 1;
const KIND_DISCARD: u8 = 2;
const KIND_WRITE_ZEROES: u8 = 3;
const KIND_RESIZE: u8 = 4;
const KIND_RELOCATE: u8 = 5;
// 6 is kept for named points in the log (snapshots).
const KIND_BRING: u8 = 7;
// A decoder that does not know a kind refuses the batch.

impl Record {
    /// `step`: its sequence minus the group's first, below 2^24; 0 in a batch that is no part of a group.
    pub fn encode(&self, step: u32, out: &mut Vec<u8>) {
        let (kind, arg, len, data_offset, data_crc) = match self.kind {
            RecordKind::Write { len, data_offset, data_crc } => (KIND_WRITE, 0, len, data_offset, data_crc),
            RecordKind::Discard { len } => (KIND_DISCARD, len, 0, 0, 0),
            RecordKind::WriteZeroes { len } => (KIND_WRITE_ZEROES, len, 0, 0, 0),
            RecordKind::Resize { size } => (KIND_RESIZE, size, 0, 0, 0),
            RecordKind::Relocate { len, data_offset, data_crc, from: Loc::NOWHERE } => {
                (KIND_BRING, 0, len, data_offset, data_crc)
            }
            RecordKind::Relocate { len, data_offset, data_crc, from } => {
                (KIND_RELOCATE, from.0, len, data_offset, data_crc)
            }
        };
        out.put_u64(self.offset);
        out.put_u64(arg);
        out.put_u32(len);
        out.put_u32(data_offset);
        out.put_u32(data_crc);
        out.put_u8(kind);
        out.extend_from_slice(&step.to_le_bytes()[..STEP_BYTES]);
    }

    /// A record and its step.
    pub fn decode(take: &mut Take<'_>) -> FormatResult<(Record, u32)> {
        let refuse = |field| Err(FormatError::new("record", Refusal::Value(field)));
        let offset = take.u64()?;
        let arg = take.u64()?;
        let len = take.u32()?;
        let data_offset = take.u32()?;
        let data_crc = take.u32()?;
        let kind = take.u8()?;
        let [low, middle, high] = take.array::<STEP_BYTES>()?;
        let step = u32::from_le_bytes([low, middle, high, 0]);
        let plain = len == 0 && data_offset == 0 && data_crc == 0;
        let kind = match kind {
            KIND_WRITE if arg == 0 => RecordKind::Write { len, data_offset, data_crc },
            KIND_DISCARD if plain => RecordKind::Discard { len: arg },
            KIND_WRITE_ZEROES if plain => RecordKind::WriteZeroes { len: arg },
            KIND_RESIZE if plain => RecordKind::Resize { size: arg },
            KIND_BRING if arg == 0 => RecordKind::Relocate { len, data_offset, data_crc, from: Loc::NOWHERE },
            KIND_RELOCATE if fits_segment(Loc(arg), len) => {
                RecordKind::Relocate { len, data_offset, data_crc, from: Loc(arg) }
            }
            _ => return refuse("kind"),
        };
        let record = Record { offset, kind };
        let (len, limit) = (record.len(), crate::units::MAX_IMAGE_BYTES);
        let is_resize = matches!(kind, RecordKind::Resize { .. });
        if offset > limit || len > limit - offset || (len == 0 && !is_resize) {
            return refuse("range");
        }
        if record.data().is_some_and(|data| data.len > MAX_RECORD_BYTES) {
            return refuse("length");
        }
        if matches!(kind, RecordKind::Resize { size } if size > limit) {
            return refuse("size");
        }
        Ok((record, step))
    }

    /// Bytes of the image that the record changes; 0 for a resize.
    pub fn len(&self) -> u64 {
        match self.kind {
            RecordKind::Write { len, .. } | RecordKind::Relocate { len, .. } => u64::from(len),
            RecordKind::Discard { len } | RecordKind::WriteZeroes { len } => len,
            RecordKind::Resize { .. } => 0,
        }
    }

    /// The data of a write or a relocation.
    pub fn data(&self) -> Option<RecordData> {
        match self.kind {
            RecordKind::Write { len, data_offset, data_crc }
            | RecordKind::Relocate { len, data_offset, data_crc, .. } => {
                Some(RecordData { len, offset: data_offset, crc: data_crc })
            }
            RecordKind::Discard { .. } | RecordKind::WriteZeroes { .. } | RecordKind::Resize { .. } => None,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
