//! What each segment of the image holds and how much of it the map still needs.
use lsd_core::format::checkpoint::SegmentEntry;
use lsd_core::units::{Loc, SegmentNo};
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SegmentUse {
    /// Bytes of the object, as far as they were planned.
    pub(crate) len: u32,
    /// Bytes that the map points at.
    pub(crate) live: u32,
    pub(crate) timestamp_ns: u64,
}

/// Live bytes by segment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Segments {
    table: BTreeMap<SegmentNo, SegmentUse>,
}

impl Segments {
    pub(crate) fn from_entries(entries: &[SegmentEntry]) -> Self {
        let one = |entry: &SegmentEntry| {
            (entry.segment, SegmentUse { len: entry.len, live: entry.live, timestamp_ns: entry.timestamp_ns })
        };
        Self { table: entries.iter().map(one).collect() }
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

    /// The segment has grown to `len` bytes.
    pub(crate) fn grow(&mut self, segment: SegmentNo, len: u32, timestamp_ns: u64) {
        let used = self.table.entry(segment).or_default();
        used.len = used.len.max(len);
        used.timestamp_ns = used.timestamp_ns.max(timestamp_ns);
    }

    pub(crate) fn add_live(&mut self, loc: Loc, bytes: u32) {
        self.table.entry(loc.segment()).or_default().live += bytes;
    }

    /// The map does not point at these any more.
    pub(crate) fn supersede(&mut self, superseded: &[(Loc, u32)]) {
        for (loc, bytes) in superseded {
            if let Some(used) = self.table.get_mut(&loc.segment()) {
                used.live = used.live.saturating_sub(*bytes);
            }
        }
    }

    /// The highest segment number in the table.
    pub(crate) fn last(&self) -> Option<SegmentNo> {
        self.table.keys().next_back().copied()
    }

    pub(crate) fn forget(&mut self, segment: SegmentNo) {
        self.table.remove(&segment);
    }
}
