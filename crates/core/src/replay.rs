//! What a log means: which of the batches that were found count, and in which order.
//!
//! Owns: reading an open segment's bytes batch by batch, and joining the batches of all segments into the
//! contiguous log. Does not own: fetching bytes, applying records to a map.
use crate::format::batch::{self, Batch};
use crate::format::header::EpochStart;
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
    /// In order of sequence, each starting where the one before ended.
    pub batches: Vec<Batch>,
    /// The last sequence of the log (the checkpoint's when there is nothing after it).
    pub end: Seq,
    /// Batches that do not count: beyond a gap, or of a writer that had lost the image.
    pub dropped: usize,
}

/// Joins the batches found in all segments into the contiguous log after `after`.
///
/// A batch counts if its epoch is in `epochs` and it lies before the first sequence of every later epoch, and
/// if everything between `after` and it is there. Two different batches that claim the same sequences are
/// an error: no correct writer makes them.
pub fn join(mut found: Vec<Batch>, after: Seq, epochs: &[EpochStart]) -> FormatResult<Contiguous> {
    found.retain(|batch| batch.last_seq() > after);
    let all = found.len();
    found.retain(|batch| counts(batch, epochs));
    found.sort_by_key(|batch| batch.first_seq);
    let mut log = Contiguous { end: after, ..Contiguous::default() };
    for batch in found {
        if batch.first_seq <= log.end {
            return Err(FormatError::new("log", Refusal::Value("overlapping sequences")));
        }
        if batch.first_seq != log.end.next() {
            break;
        }
        log.end = batch.last_seq();
        log.batches.push(batch);
    }
    log.dropped = all - log.batches.len();
    Ok(log)
}

fn counts(batch: &Batch, epochs: &[EpochStart]) -> bool {
    let own = batch.place.epoch;
    let Some(start) = epochs.iter().find(|start| start.epoch == own) else { return false };
    batch.first_seq >= start.first_seq
        && epochs.iter().filter(|later| later.epoch > own).all(|later| batch.last_seq() < later.first_seq)
}

#[cfg(test)]
mod tests;
