//! What each segment of the image holds and how much of it the map still needs.
use lsd_core::format::root::SegmentEntry;
use lsd_core::gc::{Candidate, Space};
use lsd_core::units::{Loc, MAX_SEGMENT_BYTES, SegmentNo};
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SegmentUse {
    /// Bytes of the object, as far as they were planned.
    pub(crate) len: u32,
    /// Bytes that the map points at.
    pub(crate) live: u32,
    pub(crate) timestamp_ns: u64,
}

/// Live bytes by segment, and the sums over them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Segments {
    table: BTreeMap<SegmentNo, SegmentUse>,
    space: Space,
}

impl Segments {
    pub(crate) fn from_entries(entries: &[SegmentEntry]) -> Self {
        let mut segments = Self::default();
        for entry in entries {
            let used = SegmentUse {
                len: entry.len.min(MAX_SEGMENT_BYTES),
                live: entry.live,
                timestamp_ns: entry.timestamp_ns,
            };
            segments.change(entry.segment, |found| *found = used);
        }
        segments
    }

    pub(crate) fn entries(&self) -> Vec<SegmentEntry> {
        let one = |(segment, used): (&SegmentNo, &SegmentUse)| SegmentEntry {
            segment: *segment,
            len: used.len,
            live: used.live,
            timestamp_ns: used.timestamp_ns,
        };
        self.table.iter().map(one).collect()
    }

    /// The segments before `end` that something lives in.
    pub(crate) fn candidates_before(&self, end: SegmentNo) -> Vec<Candidate> {
        let one = |(segment, used): (&SegmentNo, &SegmentUse)| Candidate {
            segment: *segment,
            len: used.len,
            live: used.live,
            timestamp_ns: used.timestamp_ns,
        };
        self.table.range(..end).filter(|(_, used)| used.live > 0).map(one).collect()
    }

    /// The sums over all segments, as far as they were planned.
    pub(crate) fn space(&self) -> Space {
        self.space
    }

    /// The segment has grown to `len` bytes. Those of a segment that was written too long (`MAX_READ_SEGMENT_BYTES`) and hold no data
    /// are not counted, so that the next root is in the format again.
    pub(crate) fn grow(&mut self, segment: SegmentNo, len: u32, timestamp_ns: u64) {
        self.change(segment, |used| {
            used.len = used.len.max(len.min(MAX_SEGMENT_BYTES));
            used.timestamp_ns = used.timestamp_ns.max(timestamp_ns);
        });
    }

    pub(crate) fn add_live(&mut self, loc: Loc, bytes: u32) {
        self.change(loc.segment(), |used| used.live += bytes);
    }

    /// The map does not point at these any more.
    pub(crate) fn supersede(&mut self, superseded: &[(Loc, u32)]) {
        for (loc, bytes) in superseded {
            if self.table.contains_key(&loc.segment()) {
                self.change(loc.segment(), |used| used.live = used.live.saturating_sub(*bytes));
            }
        }
    }

    /// The highest segment number in the table.
    pub(crate) fn last(&self) -> Option<SegmentNo> {
        self.table.keys().next_back().copied()
    }

    pub(crate) fn forget(&mut self, segment: SegmentNo) {
        if let Some(used) = self.table.remove(&segment) {
            self.space = without(self.space, &used);
        }
    }

    fn change(&mut self, segment: SegmentNo, change: impl FnOnce(&mut SegmentUse)) {
        let used = self.table.entry(segment).or_default();
        let before = without(self.space, used);
        change(used);
        self.space = Space {
            live: before.live + u64::from(used.live),
            stored: before.stored + u64::from(used.len),
            dead: before.dead + if used.live == 0 { u64::from(used.len) } else { 0 },
        };
    }
}

fn without(space: Space, used: &SegmentUse) -> Space {
    Space {
        live: space.live - u64::from(used.live),
        stored: space.stored - u64::from(used.len),
        dead: space.dead - if used.live == 0 { u64::from(used.len) } else { 0 },
    }
}
