//! What a log means: which of the batches that were found count, and in which order.
//!
//! Owns: reading an open segment's bytes batch by batch, and joining the batches of all segments into the
//! contiguous log. Does not own: fetching bytes, applying records to a map.
use crate::format::batch::{self, Batch};
use crate::format::header::EpochStart;
use crate::format::record::Record;
use crate::format::segment::SegmentIdentity;
use crate::format::{FormatError, FormatResult, Refusal};
use crate::units::Seq;

/// What may follow the last good batch of an open segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TailRule {
    /// The store appends atomically: anything that does not decode is corruption.
    Whole,
    /// The last append may be torn by a power cut: bytes that do not decode end the segment.
    MayBeTorn,
}

/// Reads the batches of an open segment from its bytes, data checksums included.
///
/// Errors: the first batch that does not decode under [`TailRule::Whole`].
pub fn scan_segment(identity: &SegmentIdentity, bytes: &[u8], rule: TailRule) -> FormatResult<Vec<Batch>> {
    let mut batches = Vec::new();
    let mut offset = 0usize;
    while offset < bytes.len() {
        match batch::decode(&identity.place(offset as u32), &bytes[offset..], true) {
            Ok(found) => {
                offset += found.total_len as usize;
                batches.push(found);
            }
            Err(_) if rule == TailRule::MayBeTorn => break,
            Err(error) => return Err(error),
        }
    }
    Ok(batches)
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
    found.truncate(counted);
    Ok(Contiguous { batches: found, end, dropped: all - counted })
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
