//! What a log means: which of the batches that were found count, and in which order.
//!
//! Owns: reading an open segment's bytes batch by batch, and joining the batches of all segments into the
//! contiguous log. Does not own: fetching bytes, applying records to a map.
use crate::format::batch::{self, Batch};
use crate::format::header::EpochStart;
use crate::format::record::Record;
use crate::format::segment::SegmentIdentity;
use crate::format::{FormatError, FormatResult, Refusal};
use crate::units::{BLOCK_BYTES, Epoch, Seq};
use std::collections::BTreeMap;

/// What may follow the last good batch of an open segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TailRule {
    /// The store appends atomically: anything that does not decode is corruption.
    Whole,
    /// The last append may be torn by a power cut: bytes that do not decode end the segment.
    MayBeTorn,
}

/// What an open segment's bytes hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scanned {
    pub batches: Vec<Batch>,
    /// Where bytes begin that do not decode, if there are any.
    pub torn_at: Option<u32>,
    /// The highest frontier that a batch says, those behind bytes that do not decode included.
    pub durable: Seq,
}

/// Reads the batches of an open segment from its bytes, data checksums included.
///
/// Errors: the first batch that does not decode under [`TailRule::Whole`].
pub fn scan_segment(identity: &SegmentIdentity, bytes: &[u8], rule: TailRule) -> FormatResult<Scanned> {
    scan_from(identity, 0, bytes, rule)
}

/// The same for what an open segment has from `start` on, where a batch begins.
pub fn scan_from(identity: &SegmentIdentity, start: u32, bytes: &[u8], rule: TailRule) -> FormatResult<Scanned> {
    let mut scanned = Scanned::default();
    let mut offset = 0usize;
    while offset < bytes.len() {
        match batch::decode(&identity.place(start + offset as u32), &bytes[offset..], true) {
            Ok(found) => {
                offset += found.total_len as usize;
                scanned.durable = scanned.durable.max(found.durable);
                scanned.batches.push(found);
            }
            Err(_) if rule == TailRule::MayBeTorn => {
                scanned.torn_at = Some(start + offset as u32);
                scanned.durable = scanned.durable.max(said_from(identity, start, bytes, offset));
                break;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(scanned)
}

/// The highest frontier that a whole header page from `offset` on says: what is behind bytes that do not decode does not
/// count, and still tells whether they are damage.
pub fn said_behind(identity: &SegmentIdentity, bytes: &[u8], offset: usize) -> Seq {
    said_from(identity, 0, bytes, offset)
}

/// The same where the bytes are those of the segment from `start` on.
fn said_from(identity: &SegmentIdentity, start: u32, bytes: &[u8], offset: usize) -> Seq {
    let pages = (offset..bytes.len()).step_by(BLOCK_BYTES as usize);
    let said = |at: usize| batch::durable_before(&identity.place(start + at as u32), &bytes[at..]);
    pages.filter_map(said).max().unwrap_or_default()
}

/// What the writers of a log said was durable: each epoch's highest frontier. A log that ends below it has lost something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Promises(BTreeMap<Epoch, Seq>);

impl Promises {
    /// `durable`: 0 if nothing was said.
    pub fn add(&mut self, epoch: Epoch, durable: Seq) {
        let said = self.0.entry(epoch).or_default();
        *said = durable.max(*said);
    }

    /// How far the log must reach. What an epoch said beyond the start of a later one was given up there, by a repair; an epoch
    /// that the header does not know counts for nothing.
    pub fn reach(&self, epochs: &[EpochStart]) -> Seq {
        let said = |(index, start): (usize, &EpochStart)| {
            let said = self.0.get(&start.epoch).copied().unwrap_or_default();
            let next = epochs.get(index + 1).map_or(said, |next| Seq(next.first_seq.0.saturating_sub(1)));
            said.min(next)
        };
        epochs.iter().enumerate().map(said).max().unwrap_or_default()
    }
}

/// The contiguous log after a checkpoint.
#[derive(Debug, Default)]
pub struct Contiguous {
    /// Groups in order of sequence, each starting where the one before ended; the batches of a group are side by side.
    pub batches: Vec<Batch>,
    /// The last sequence of the log (the checkpoint's when there is nothing after it).
    pub end: Seq,
    /// Batches that do not count: beyond a gap, of a group that is not all there, or of a writer that had lost the image.
    pub dropped: usize,
    /// Those of them that would count if what is missing before them came: of the first two kinds.
    pub ahead: Vec<Batch>,
}

/// Joins the batches found in all segments into the contiguous log after `after`.
///
/// A batch counts if its epoch is in `epochs` and it lies before the first sequence of every later epoch, if everything
/// between `after` and it is there, and if its group is complete. Two different batches that claim the same sequences
/// are an error: no correct writer makes them.
pub fn join(mut found: Vec<Batch>, after: Seq, epochs: &[EpochStart]) -> FormatResult<Contiguous> {
    found.retain(|batch| batch.last_seq() > after);
    let all = found.len();
    found.retain(|batch| counts(batch, epochs));
    found.sort_by_key(|batch| batch.first_seq);
    let (mut end, mut counted) = (after, 0);
    for group in found.chunk_by(same_group) {
        let first = group[0].first_seq;
        if first <= end || has_sequence_twice(group) {
            return Err(FormatError::new("log", Refusal::Value("overlapping sequences")));
        }
        if first != end.next() || !is_complete(group) {
            break;
        }
        end = group[0].last_seq();
        counted += group.len();
    }
    let ahead = found.split_off(counted);
    Ok(Contiguous { batches: found, end, dropped: all - counted, ahead })
}

impl Contiguous {
    /// The groups in order of sequence.
    pub fn groups(&self) -> impl Iterator<Item = &[Batch]> {
        self.batches.chunk_by(same_group)
    }
}

/// The records of a group in order of sequence, each with its number and the batch that has it.
pub fn in_order(group: &[Batch]) -> Vec<(Seq, &Batch, &Record)> {
    let numbered = |batch| Batch::numbered(batch).map(move |(seq, record)| (seq, batch, record));
    let mut records: Vec<_> = group.iter().flat_map(numbered).collect();
    // Those of one batch are in order.
    if group.len() > 1 {
        records.sort_by_key(|(seq, ..)| *seq);
    }
    records
}

fn same_group(one: &Batch, other: &Batch) -> bool {
    one.first_seq == other.first_seq
}

/// Every sequence of the group has its record, since none has two.
fn is_complete(group: &[Batch]) -> bool {
    let last = group[0].last_seq();
    let records: u64 = group.iter().map(|batch| batch.records.len() as u64).sum();
    records == last.0 - group[0].first_seq.0 + 1 && group.iter().all(|batch| batch.last_seq() == last)
}

fn has_sequence_twice(group: &[Batch]) -> bool {
    group.len() > 1 && in_order(group).array_windows().any(|[one, next]| one.0 == next.0)
}

fn counts(batch: &Batch, epochs: &[EpochStart]) -> bool {
    let own = batch.place.epoch;
    let Some(start) = epochs.iter().find(|start| start.epoch == own) else { return false };
    batch.first_seq >= start.first_seq
        && epochs.iter().filter(|later| later.epoch > own).all(|later| batch.last_seq() < later.first_seq)
}

#[cfg(test)]
mod tests;
