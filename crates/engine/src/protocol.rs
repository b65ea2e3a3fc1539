//! Every ordering rule that protects data, with its reason. Other modules ask here and nowhere else.
//!
//! 1. *Log order = map order = acknowledgement order*: sequence, location and map change happen in one critical section
//!    (`state.rs`), so replay of the log gives the map that readers saw.
//! 2. *Flush waits for the frontier*, not for single batches: [`is_durable`].
//! 3. *A segment number is created only within a window*: [`may_create`].
//! 4. *A checkpoint covers exactly a durable prefix*: [`may_commit_checkpoint`].
//! 5. *A segment is deleted only after a committed checkpoint without it, and when nothing else pins it*: [`Committed::pin`].
//! 6. *A takeover raises the epoch, then reads the header, then fences, then reads the log, then commits its start, and only then
//!    writes* (`takeover.rs`): a header from before could be that of a checkpoint which the old owner has replaced since, and
//!    reading the log before fencing could miss a record that the old owner still acknowledges.
//! 7. *Every name that the old epoch could still create is taken by a tombstone* ([`tombstone_range`]), those that it left out so
//!    far as well as the next ones, so that the old owner cannot extend its log by what the takeover did not see, even where
//!    it is not blocklisted. Tombstones stay until the image is removed: nobody knows when a client that was cut off comes back, and
//!    where a name is free again it would be told that its log goes on (`recovery.rs`, `check/orphans.rs`).
//! 8. *A hand-over stops accepting, then waits for the log, then writes the clean checkpoint, and only then gives the lock back*
//!    (`handover.rs`): a clean checkpoint says that nothing follows it in the log, so after it this owner never writes
//!    again; and a lock given back earlier would let the next owner drop what the log does not have yet.
//! 9. *A copy moves only what still lives at its source* (`state/relocation.rs`, `ExtentMap::replace_if`): in the running image and in
//!    replay, so a copy that comes late never brings old data back. Nothing is copied into the log after the last checkpoint of a writer
//!    was captured ([`may_copy`]).
//! 10. *A segment that is missing after an error is created again only by who still owned the image after the look* (`appender.rs`,
//!     [`may_create_again`]): an owner of a later epoch deletes segments that this one has created, and then the name is free.
use crate::limits::CREATE_WINDOW;
use lsd_core::format::checkpoint::SegmentEntry;
use lsd_core::format::header::LogRecord;
use lsd_core::units::{Epoch, SegmentNo, Seq};

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

/// What keeps a segment in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pin {
    /// The committed map points into it: until the header names a checkpoint that does not, a crash brings back a map that does.
    Map,
    /// It lies at or beyond the committed replay point, so replay reads its records.
    Replay,
}

/// A checkpoint that the header names: the only source of pins today. Whatever else may pin a segment (a snapshot's map, a
/// clone, the retention window, a journal client) becomes a part of this type and a variant of [`Pin`]; nobody can then
/// ask without it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Committed {
    replay_from: SegmentNo,
}

impl Committed {
    /// `log`: as the last successful header update has it.
    pub(crate) fn new(log: &LogRecord) -> Self {
        Self { replay_from: log.replay_from }
    }

    /// Rule 5. What keeps the segment; `None`: it may be deleted. `entry`: as the committed root has it.
    pub(crate) fn pin(&self, entry: &SegmentEntry) -> Option<Pin> {
        if entry.segment >= self.replay_from {
            return Some(Pin::Replay);
        }
        (entry.live > 0).then_some(Pin::Map)
    }
}

/// Rule 10. `header`: the epoch in the header, read after the segment was seen to be missing. Epochs only rise, so nobody else had deleted
/// it by then; and whoever takes over from then on takes the name (rule 7).
pub(crate) fn may_create_again(own: Epoch, header: Epoch) -> bool {
    own == header
}

/// Rule 9. After the capture of a clean end the header will say that nothing follows in the log.
pub(crate) fn may_copy(is_closing: bool) -> bool {
    !is_closing
}

/// Rule 7. The numbers that the old owner could still create: of those from `first` on, where replay begins, the ones that are not
/// there (they may be created out of order), and a window beyond `last_seen`: it knows at most that one to exist (rule 3).
pub(crate) fn tombstone_range(first: SegmentNo, last_seen: SegmentNo) -> std::ops::RangeInclusive<u64> {
    first.0..=last_seen.0 + CREATE_WINDOW
}

#[cfg(test)]
mod tests;
