//! A batch: one header page, the data of its records, and the records that did not fit the header page. Alone, or as the
//! share of a group of batches that count together or not at all (`share.rs`).
use super::codec::{Put, Take, crc32c, crc32c_with_hole};
use super::record::{RECORD_BYTES, Record};
use super::share::{Share, Steps};
use super::{FormatError, FormatResult, ImageUuid, Refusal};
use crate::units::{BLOCK_BYTES, Epoch, Loc, MAX_READ_SEGMENT_BYTES, MAX_SEGMENT_BYTES, SegmentNo, Seq};
use std::ops::{Range, RangeInclusive};

const WHAT: &str = "batch";
/// "LSDB"
pub const BATCH_MAGIC: u32 = u32::from_le_bytes(*b"LSDB");
pub const BATCH_VERSION: u16 = 1;
/// The version of a batch that is a share of a group.
pub const BATCH_SHARE_VERSION: u16 = 2;
/// What a reader understands.
const BATCH_VERSIONS: RangeInclusive<u16> = BATCH_VERSION..=BATCH_SHARE_VERSION;
/// Bytes of the header page; the data follows it, so 4 KiB data stays aligned.
pub const BATCH_HEADER_BYTES: usize = 4096;
const FIXED_BYTES: usize = 128;
/// Records inside the header page.
pub const INLINE_RECORDS: usize = (BATCH_HEADER_BYTES - FIXED_BYTES) / RECORD_BYTES;
/// Most records of one batch: bounds its header memory and the summary; a fuller batch is sealed.
pub const MAX_BATCH_RECORDS: usize = 4096;
/// Most data bytes of one batch; a fuller one is sealed.
pub const MAX_BATCH_DATA_BYTES: u32 = 4 << 20;

const CRC_AT: usize = 8;

/// Where a batch is, which every decoder checks, so that bytes from elsewhere are never taken for ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchPlace {
    pub image: ImageUuid,
    pub epoch: Epoch,
    pub segment: SegmentNo,
    /// Bytes from the start of the segment.
    pub offset: u32,
}

impl BatchPlace {
    /// Where the data of a record of the batch lives.
    pub fn loc(&self, data_offset: u32) -> Loc {
        Loc::new(self.segment, self.offset + data_offset)
    }
}

/// A batch without its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    pub place: BatchPlace,
    /// Of the group, where the batch is a share of one.
    pub first_seq: Seq,
    /// Wall clock of the writer when the batch was sealed, nanoseconds since 1970.
    pub timestamp_ns: u64,
    /// Everything up to and including it was durable when the batch was sealed, as far as its writer knew: a log that ends before
    /// it has lost something. 0: not said, as in a batch that was read from a summary.
    pub durable: Seq,
    /// Bytes in the segment: header page, data, further records, padding.
    pub total_len: u32,
    pub records: Vec<Record>,
    /// `None`: the batch is a group by itself, and its records follow each other.
    pub share: Option<Share>,
}

impl Batch {
    /// The last sequence number, of the group where the batch is a share of one; there is at least one record.
    pub fn last_seq(&self) -> Seq {
        let records = self.share.as_ref().map_or(self.records.len(), |share| share.group_records as usize);
        Seq(self.first_seq.0 + records as u64 - 1)
    }

    /// Whether a summary's entry says the same; it does not say what was durable.
    pub fn matches_entry(&self, entry: &Batch) -> bool {
        *entry == Batch { durable: Seq(0), ..self.clone() }
    }

    /// The records with their sequence numbers, ascending.
    pub fn numbered(&self) -> impl Iterator<Item = (Seq, &Record)> {
        let step = |index: usize| self.share.as_ref().map_or(index as u32, |share| share.steps[index]);
        self.records
            .iter()
            .enumerate()
            .map(move |(index, record)| (Seq(self.first_seq.0 + u64::from(step(index))), record))
    }

    /// The group's records where the batch is a share of one, as it is stored; 0 otherwise.
    pub(super) fn stored_group_records(&self) -> u32 {
        self.share.as_ref().map_or(0, |share| share.group_records)
    }

    /// Appends some of the records, with their steps.
    pub(super) fn encode_records(&self, some: Range<usize>, out: &mut Vec<u8>) {
        for index in some {
            let step = self.share.as_ref().map_or(0, |share| share.steps[index]);
            self.records[index].encode(step, out);
        }
    }

    /// Where the data of a record lives.
    pub fn loc(&self, data_offset: u32) -> Loc {
        self.place.loc(data_offset)
    }
}

/// The two parts around a batch's data.
#[derive(Debug)]
pub struct EncodedBatch {
    /// The header page, before the data.
    pub head: Vec<u8>,
    /// Further records and padding, after the data; may be empty.
    pub tail: Vec<u8>,
    pub total_len: u32,
}

/// Where data of `len` bytes begins behind `data_len` bytes of a batch's data: whole blocks start at a block of the segment, so that
/// reading them touches no more blocks than they have.
pub fn data_start(data_len: u32, len: u32) -> u32 {
    if len >= BLOCK_BYTES { data_len.next_multiple_of(BLOCK_BYTES) } else { data_len }
}

/// Bytes of a batch with so many data bytes and records; `alignment` pads it. What every bound on segments counts with.
pub fn encoded_len(data_len: u32, records: usize, alignment: u32) -> u64 {
    let further = records.saturating_sub(INLINE_RECORDS) * RECORD_BYTES;
    (BATCH_HEADER_BYTES as u64 + u64::from(data_len) + further as u64).next_multiple_of(alignment.max(1).into())
}

/// Encodes head and tail of a batch whose data takes `data_len` bytes; `alignment` (a power of two or any divisor
/// the store asks for) pads the whole. The length in `batch` is not looked at: this gives it.
pub fn encode(batch: &Batch, data_len: u32, alignment: u32) -> EncodedBatch {
    let Batch { place, first_seq, timestamp_ns, durable, records, share, .. } = batch;
    assert!(!records.is_empty() && records.len() <= MAX_BATCH_RECORDS, "a batch has 1..=MAX_BATCH_RECORDS records");
    let inline = records.len().min(INLINE_RECORDS);
    let mut tail = Vec::new();
    batch.encode_records(inline..records.len(), &mut tail);
    let overflow_crc = crc32c(&tail);
    let total_len = encoded_len(data_len, records.len(), alignment) as u32;
    tail.resize(total_len as usize - BATCH_HEADER_BYTES - data_len as usize, 0);

    let mut head = Vec::with_capacity(BATCH_HEADER_BYTES);
    head.put_u32(BATCH_MAGIC);
    head.put_u16(if share.is_some() { BATCH_SHARE_VERSION } else { BATCH_VERSION });
    head.put_u16(0);
    head.put_u32(0);
    head.put_u32(total_len);
    head.extend_from_slice(&place.image.0);
    head.put_u64(place.epoch.0);
    head.put_u64(place.segment.0);
    head.put_u32(place.offset);
    head.put_u32(records.len() as u32);
    head.put_u64(first_seq.0);
    head.put_u64(*timestamp_ns);
    head.put_u32(data_len);
    head.put_u32(overflow_crc);
    head.put_u32(batch.stored_group_records());
    head.put_u32(0);
    head.put_u64(durable.0);
    head.resize(FIXED_BYTES, 0);
    batch.encode_records(0..inline, &mut head);
    head.resize(BATCH_HEADER_BYTES, 0);
    let crc = crc32c(&head);
    head[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
    EncodedBatch { head, tail, total_len }
}

/// The fields of a header page.
struct Head {
    total_len: u32,
    count: usize,
    first_seq: Seq,
    timestamp_ns: u64,
    data_len: u32,
    overflow_crc: u32,
    group_records: u32,
    durable: Seq,
}

/// Decodes the header page at the start of `bytes` and checks that it belongs to `place`, and its checksum.
fn decode_head(place: &BatchPlace, bytes: &[u8]) -> FormatResult<Head> {
    let refuse = |why| Err(FormatError::new(WHAT, why));
    if bytes.len() < BATCH_HEADER_BYTES {
        return refuse(Refusal::Truncated);
    }
    let page = &bytes[..BATCH_HEADER_BYTES];
    let mut take = Take::new(WHAT, page);
    if take.u32()? != BATCH_MAGIC {
        return refuse(Refusal::Magic);
    }
    let version = take.u16()?;
    take.u16()?;
    if take.u32()? != crc32c_with_hole(page, CRC_AT) {
        return refuse(Refusal::Checksum);
    }
    if !BATCH_VERSIONS.contains(&version) {
        return refuse(Refusal::Version(version));
    }
    let total_len = take.u32()?;
    let image = ImageUuid(take.array()?);
    let found = BatchPlace { image, epoch: Epoch(take.u64()?), segment: SegmentNo(take.u64()?), offset: take.u32()? };
    check_place(place, &found)?;
    let count = take.u32()? as usize;
    let first_seq = Seq(take.u64()?);
    let timestamp_ns = take.u64()?;
    let data_len = take.u32()?;
    let overflow_crc = take.u32()?;
    let group_records = take.u32()?;
    take.u32()?;
    let durable = Seq(take.u64()?);
    if (group_records > 0) != (version == BATCH_SHARE_VERSION) {
        return refuse(Refusal::Value("records of the group"));
    }
    if count == 0 || count > MAX_BATCH_RECORDS || !sequences_fit(first_seq, count, group_records) {
        return refuse(Refusal::Value("record count"));
    }
    // What was durable came before.
    if durable >= first_seq {
        return refuse(Refusal::Value("durable frontier"));
    }
    Ok(Head { total_len, count, first_seq, timestamp_ns, data_len, overflow_crc, group_records, durable })
}

/// What the batch at `place` says was durable before it, if at least its header page is whole.
pub fn durable_before(place: &BatchPlace, bytes: &[u8]) -> Option<Seq> {
    decode_head(place, bytes).ok().map(|head| head.durable)
}

/// Decodes the batch at the start of `bytes` (which may go on) and checks that it belongs to `place`, that every record's data
/// lies inside it, and the checksums of header and further records; of the data only with `check_data`.
pub fn decode(place: &BatchPlace, bytes: &[u8], check_data: bool) -> FormatResult<Batch> {
    let refuse = |why| Err(FormatError::new(WHAT, why));
    let head = decode_head(place, bytes)?;
    let Head { total_len, count, first_seq, timestamp_ns, data_len, group_records, durable, .. } = head;
    let overflow_len = count.saturating_sub(INLINE_RECORDS) * RECORD_BYTES;
    let data_end = BATCH_HEADER_BYTES as u64 + u64::from(data_len);
    let needed = data_end + overflow_len as u64;
    let end = u64::from(place.offset) + u64::from(total_len);
    let data_fits = u64::from(place.offset) + data_end <= u64::from(MAX_SEGMENT_BYTES);
    if u64::from(total_len) < needed || end > u64::from(MAX_READ_SEGMENT_BYTES) || !data_fits {
        return refuse(Refusal::Value("length"));
    }
    if bytes.len() < total_len as usize {
        return refuse(Refusal::Truncated);
    }
    let overflow = &bytes[data_end as usize..needed as usize];
    if crc32c(overflow) != head.overflow_crc {
        return refuse(Refusal::Checksum);
    }
    let mut records = Vec::with_capacity(count);
    let mut steps = Steps::new(group_records, count);
    let mut inline = Take::new(WHAT, &bytes[FIXED_BYTES..BATCH_HEADER_BYTES]);
    for _ in 0..count.min(INLINE_RECORDS) {
        records.push(steps.accept(Record::decode(&mut inline)?)?);
    }
    let mut further = Take::new(WHAT, overflow);
    while further.remaining() > 0 {
        records.push(steps.accept(Record::decode(&mut further)?)?);
    }
    for record in &records {
        check_record(record, data_end, bytes, check_data)?;
    }
    Ok(Batch { place: *place, first_seq, timestamp_ns, durable, total_len, records, share: steps.finish()? })
}

/// Whether the last sequence is a number.
pub(super) fn sequences_fit(first: Seq, records: usize, group_records: u32) -> bool {
    first.0 > 0 && first.0.checked_add((records as u64).max(u64::from(group_records))).is_some()
}

fn check_place(expected: &BatchPlace, found: &BatchPlace) -> FormatResult<()> {
    let differs = match () {
        () if expected.image != found.image => "image",
        () if expected.epoch != found.epoch => "epoch",
        () if expected.segment != found.segment => "segment",
        () if expected.offset != found.offset => "offset",
        () => return Ok(()),
    };
    Err(FormatError::new(WHAT, Refusal::Foreign(differs)))
}

fn check_record(record: &Record, data_end: u64, bytes: &[u8], check_data: bool) -> FormatResult<()> {
    let Some(data) = record.data() else { return Ok(()) };
    let end = u64::from(data.offset) + u64::from(data.len);
    if (data.offset as usize) < BATCH_HEADER_BYTES || end > data_end {
        return Err(FormatError::new(WHAT, Refusal::Value("data offset")));
    }
    if check_data && crc32c(&bytes[data.offset as usize..end as usize]) != data.crc {
        return Err(FormatError::new("batch data", Refusal::Checksum));
    }
    Ok(())
}
