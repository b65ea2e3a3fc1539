//! Every ordering rule that protects data, with its reason. Other modules ask here and nowhere else.
//!
//! 1. *Log order = map order = acknowledgement order*: sequence, location and map change happen in one critical section
//!    (`state.rs`), so replay of the log gives the map that readers saw.
//! 2. *Flush waits for the frontier*, not for single batches: [`is_durable`].
//! 3. *A segment number is created only within a window*: [`may_create`].
//! 4. *A checkpoint covers exactly a durable prefix*: [`may_commit_checkpoint`].
//! 5. *A segment is deleted only after a committed checkpoint without it*: [`may_delete`].
//! 6. *A takeover raises the epoch, then reads the header, then fences, then reads the log, then commits its start, and only then
//!    writes* (`takeover.rs`): a header from before could be that of a checkpoint which the old owner has replaced since, and
//!    reading the log before fencing could miss a record that the old owner still acknowledges.
//! 7. *Every name that the old epoch could still create is taken by a tombstone* ([`tombstone_range`]), those that it left out so
//!    far as well as the next ones, so that the old owner cannot extend its log by what the takeover did not see, even where
//!    it is not blocklisted.
//! 8. *A hand-over stops accepting, then waits for the log, then writes the clean checkpoint, and only then gives the lock back*
//!    (`handover.rs`): a clean checkpoint says that nothing follows it in the log, so after it this owner never writes
//!    again; and a lock given back earlier would let the next owner drop what the log does not have yet.
use crate::limits::CREATE_WINDOW;
use lsd_core::units::{SegmentNo, Seq};

/// Rule 2. A record is durable when everything up to it is: a later batch may land before an earlier one, and recovery
/// drops what lies beyond a gap.
pub(crate) fn is_durable(record: Seq, frontier: Seq) -> bool {
    record <= frontier
}

/// Rule 3. Recovery stops after `CREATE_WINDOW` missing numbers; a segment beyond such a hole would be lost.
/// `oldest_uncreated`: the lowest number that is not known to exist in the store.
pub(crate) fn may_create(segment: SegmentNo, oldest_uncreated: SegmentNo) -> bool {
    segment.0 < oldest_uncreated.0 + CREATE_WINDOW
}

/// Rule 4. A checkpoint that names locations which never became durable would turn a crash into corruption.
pub(crate) fn may_commit_checkpoint(covers: Seq, frontier: Seq) -> bool {
    is_durable(covers, frontier)
}

/// Rule 5. Until the header points at a checkpoint that does not need the segment, a crash brings back a map that does;
/// and whatever lies at or beyond `replay_from` is read again by replay.
pub(crate) fn may_delete(segment: SegmentNo, live_in_committed: u32, replay_from: SegmentNo) -> bool {
    live_in_committed == 0 && segment < replay_from
}

/// Rule 7. The numbers that the old owner could still create: of those from `first` on, where replay begins, the ones that are not
/// there (they may be created out of order), and a window beyond `last_seen`: it knows at most that one to exist (rule 3).
pub(crate) fn tombstone_range(first: SegmentNo, last_seen: SegmentNo) -> std::ops::RangeInclusive<u64> {
    first.0..=last_seen.0 + CREATE_WINDOW
}

#[cfg(test)]
mod tests;
