//! What ends a sealed segment: the checksums of its blocks, so that a part of it can be read safely, and the summary, every
//! batch's records again, so that replay need not read data.
use super::batch::{Batch, BatchPlace, MAX_BATCH_RECORDS, sequences_fit};
use super::block_sums::{block_table_len, decode_block_table, encode_block_table};
use super::codec::{Put, Take, crc32c, crc32c_with_hole};
use super::record::{RECORD_BYTES, Record};
use super::share::Steps;
use super::{FormatError, FormatResult, ImageUuid, Refusal};
use crate::units::{BLOCK_BYTES, Epoch, MAX_READ_SEGMENT_BYTES, MAX_SEGMENT_BYTES, SegmentNo, Seq};
use std::borrow::Borrow;
use std::ops::RangeInclusive;

const WHAT: &str = "segment summary";
/// "LSDS"
pub const SUMMARY_MAGIC: u32 = u32::from_le_bytes(*b"LSDS");
pub const SUMMARY_VERSION: u16 = 1;
/// The version of a summary that has a share of a group in it.
pub const SUMMARY_SHARES_VERSION: u16 = 2;
/// Bytes before the entries of a part.
pub(super) const HEADER_BYTES: usize = 64;
const BATCH_ENTRY_BYTES: usize = 32;
const CRC_AT: usize = 8;
/// Most records of one segment; a segment that reaches it is sealed.
pub const MAX_SEGMENT_RECORDS: usize = 65_536;

/// Which segment a reader expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentIdentity {
    pub image: ImageUuid,
    pub epoch: Epoch,
    pub segment: SegmentNo,
}

impl SegmentIdentity {
    pub fn place(&self, offset: u32) -> BatchPlace {
        BatchPlace { image: self.image, epoch: self.epoch, segment: self.segment, offset }
    }
}

/// Bytes of the sealing part of a segment with these many blocks of data, batches and records, without padding.
pub fn seal_len(blocks: usize, batches: usize, records: usize) -> usize {
    block_table_len(blocks) + summary_len(batches, records)
}

/// Bytes of a segment that ends after `len` bytes of batches, with what seals it. What every bound on segments counts with.
pub fn sealed_len(len: u64, batches: usize, records: usize, alignment: u32) -> u64 {
    let blocks = (len / u64::from(BLOCK_BYTES)) as usize;
    len + (seal_len(blocks, batches, records) as u64).next_multiple_of(alignment.max(1).into())
}

/// Encodes what seals a segment whose data has these block sums, padded with zeroes to a multiple of `alignment`. `durable`: what its
/// writer knows to be durable, as in [`Batch::durable`].
pub fn encode_seal<B: Borrow<Batch>>(
    identity: &SegmentIdentity,
    sums: &[u32],
    batches: &[B],
    durable: Seq,
    alignment: u32,
) -> Vec<u8> {
    let mut out = encode_block_table(identity, sums);
    out.extend_from_slice(&encode_summary(identity, batches, durable, 1));
    out.resize(out.len().next_multiple_of(alignment.max(1) as usize), 0);
    out
}

/// What a sealing part says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seal {
    /// One for each block before the sealing part.
    pub sums: Vec<u32>,
    pub summary: Summary,
}

/// What a summary says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub batches: Vec<Batch>,
    /// Everything up to and including it was durable when the segment was sealed, as far as its writer knew. 0: not said.
    pub durable: Seq,
}

/// Decodes a sealing part (with its padding) and checks that it is this segment's.
pub fn decode_seal(identity: &SegmentIdentity, bytes: &[u8]) -> FormatResult<Seal> {
    let (sums, len) = decode_block_table(identity, bytes)?;
    Ok(Seal { sums, summary: decode_summary(identity, &bytes[len..])? })
}

/// Bytes of the summary of a segment with these many batches and records, without padding.
pub fn summary_len(batches: usize, records: usize) -> usize {
    HEADER_BYTES + batches * BATCH_ENTRY_BYTES + records * RECORD_BYTES
}

/// Encodes the summary of `batches`, padded with zeroes to a multiple of `alignment`.
pub fn encode_summary<B: Borrow<Batch>>(
    identity: &SegmentIdentity,
    batches: &[B],
    durable: Seq,
    alignment: u32,
) -> Vec<u8> {
    let records: usize = batches.iter().map(|batch| batch.borrow().records.len()).sum();
    let len = summary_len(batches.len(), records);
    let mut out = Vec::with_capacity(len.next_multiple_of(alignment.max(1) as usize));
    let has_shares = batches.iter().any(|batch| batch.borrow().share.is_some());
    let version = if has_shares { SUMMARY_SHARES_VERSION } else { SUMMARY_VERSION };
    begin_part(&mut out, SUMMARY_MAGIC, version, len, identity);
    out.put_u32(batches.len() as u32);
    out.put_u32(records as u32);
    out.put_u64(durable.0);
    for batch in batches.iter().map(Borrow::borrow) {
        out.put_u32(batch.place.offset);
        out.put_u32(batch.total_len);
        out.put_u64(batch.first_seq.0);
        out.put_u64(batch.timestamp_ns);
        out.put_u32(batch.records.len() as u32);
        out.put_u32(batch.stored_group_records());
    }
    for batch in batches.iter().map(Borrow::borrow) {
        batch.encode_records(0..batch.records.len(), &mut out);
    }
    close_part(&mut out);
    out.resize(len.next_multiple_of(alignment.max(1) as usize), 0);
    out
}

/// The start of both parts of what seals a segment, up to the fields that differ; the checksum is for [`close_part`].
pub(super) fn begin_part(out: &mut Vec<u8>, magic: u32, version: u16, len: usize, identity: &SegmentIdentity) {
    out.put_u32(magic);
    out.put_u16(version);
    out.put_u16(0);
    out.put_u32(0);
    out.put_u32(len as u32);
    out.extend_from_slice(&identity.image.0);
    out.put_u64(identity.epoch.0);
    out.put_u64(identity.segment.0);
}

/// Puts the checksum over all of `out` into it.
pub(super) fn close_part(out: &mut [u8]) {
    let crc = crc32c(out);
    out[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
}

/// Reads what [`begin_part`] wrote at the start of `bytes` (which may go on), checks it and the checksum, and that the part is
/// this segment's. Gives the rest of the fields, the version and the part's length.
pub(super) fn open_part<'a>(
    what: &'static str,
    magic: u32,
    versions: RangeInclusive<u16>,
    identity: &SegmentIdentity,
    bytes: &'a [u8],
) -> FormatResult<(Take<'a>, u16, usize)> {
    let refuse = |why| Err(FormatError::new(what, why));
    let mut take = Take::new(what, bytes);
    if take.u32()? != magic {
        return refuse(Refusal::Magic);
    }
    let version = take.u16()?;
    take.u16()?;
    let crc = take.u32()?;
    let len = take.u32()? as usize;
    if len < HEADER_BYTES || len > bytes.len() {
        return refuse(Refusal::Truncated);
    }
    if crc32c_with_hole(&bytes[..len], CRC_AT) != crc {
        return refuse(Refusal::Checksum);
    }
    if !versions.contains(&version) {
        return refuse(Refusal::Version(version));
    }
    let image = ImageUuid(take.array()?);
    let found = SegmentIdentity { image, epoch: Epoch(take.u64()?), segment: SegmentNo(take.u64()?) };
    if found != *identity {
        return refuse(Refusal::Foreign("segment identity"));
    }
    Ok((take, version, len))
}

/// Decodes a summary (with its padding) and checks that it is this segment's.
pub fn decode_summary(identity: &SegmentIdentity, bytes: &[u8]) -> FormatResult<Summary> {
    let refuse = |why| Err(FormatError::new(WHAT, why));
    let versions = SUMMARY_VERSION..=SUMMARY_SHARES_VERSION;
    let (mut take, version, len) = open_part(WHAT, SUMMARY_MAGIC, versions, identity, bytes)?;
    let batch_count = take.u32()? as usize;
    let record_count = take.u32()? as usize;
    let durable = Seq(take.u64()?);
    let entries = len - HEADER_BYTES;
    if record_count > entries / RECORD_BYTES || len != summary_len(batch_count, record_count) {
        return refuse(Refusal::Value("counts"));
    }
    let mut entry = Take::new(WHAT, &bytes[HEADER_BYTES..HEADER_BYTES + batch_count * BATCH_ENTRY_BYTES]);
    let mut record = Take::new(WHAT, &bytes[HEADER_BYTES + batch_count * BATCH_ENTRY_BYTES..len]);
    let mut batches = Vec::with_capacity(batch_count);
    for _ in 0..batch_count {
        batches.push(decode_entry(identity, &mut entry, &mut record)?);
    }
    record.end()?;
    if batches.iter().any(|batch| batch.share.is_some()) != (version == SUMMARY_SHARES_VERSION) {
        return refuse(Refusal::Value("shares"));
    }
    Ok(Summary { batches, durable })
}

fn decode_entry(identity: &SegmentIdentity, entry: &mut Take<'_>, record: &mut Take<'_>) -> FormatResult<Batch> {
    let offset = entry.u32()?;
    let total_len = entry.u32()?;
    let first_seq = Seq(entry.u64()?);
    let timestamp_ns = entry.u64()?;
    let count = entry.u32()? as usize;
    let group_records = entry.u32()?;
    let fits = u64::from(offset) + u64::from(total_len) <= u64::from(MAX_READ_SEGMENT_BYTES);
    if count == 0 || count > MAX_BATCH_RECORDS || !fits || !sequences_fit(first_seq, count, group_records) {
        return Err(FormatError::new(WHAT, Refusal::Value("batch entry")));
    }
    let mut records = Vec::with_capacity(count);
    let mut steps = Steps::new(group_records, count);
    for _ in 0..count {
        let next = steps.accept(Record::decode(record)?)?;
        let data_end = next.data().map_or(0, |data| u64::from(data.offset) + u64::from(data.len));
        let in_segment = u64::from(offset) + data_end <= u64::from(MAX_SEGMENT_BYTES);
        if data_end > u64::from(total_len) || !in_segment {
            return Err(FormatError::new(WHAT, Refusal::Value("data offset")));
        }
        records.push(next);
    }
    let (place, durable) = (identity.place(offset), Seq(0));
    Ok(Batch { place, first_seq, timestamp_ns, durable, total_len, records, share: steps.finish()? })
}
