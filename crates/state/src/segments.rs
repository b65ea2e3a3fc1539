//! What each segment of the image holds and how much of it the map still needs.
mod table;

use lsd_core::format::root::SegmentEntry;
use lsd_core::gc::{Candidate, Space};
use lsd_core::units::{Loc, MAX_SEGMENT_BYTES, SegmentNo};
use table::Table;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SegmentUse {
    /// Bytes of the object, as far as they were planned.
    pub len: u32,
    /// Bytes that the map points at.
    pub live: u32,
    pub timestamp_ns: u64,
}

/// Live bytes by segment, and the sums over them. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Segments {
    table: Table,
    space: Space,
}

impl Segments {
    pub fn from_entries(entries: &[SegmentEntry]) -> Self {
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

    /// Segments in the table.
    pub fn count(&self) -> usize {
        self.table.len()
    }

    pub fn entries(&self) -> impl Iterator<Item = SegmentEntry> + '_ {
        let one = |(segment, used): (SegmentNo, SegmentUse)| SegmentEntry {
            segment,
            len: used.len,
            live: used.live,
            timestamp_ns: used.timestamp_ns,
        };
        self.table.iter().map(one)
    }

    /// The segments before `end` that something lives in.
    pub fn candidates_before(&self, end: SegmentNo) -> Vec<Candidate> {
        let one = |(segment, used): (SegmentNo, SegmentUse)| Candidate {
            segment,
            len: used.len,
            live: used.live,
            timestamp_ns: used.timestamp_ns,
        };
        let before = self.table.iter().take_while(|(segment, _)| *segment < end);
        before.filter(|(_, used)| used.live > 0).map(one).collect()
    }

    /// The sums over all segments, as far as they were planned.
    pub fn space(&self) -> Space {
        self.space
    }

    /// The segment has grown to `len` bytes. Those of a segment that was written too long (`MAX_READ_SEGMENT_BYTES`) and hold no data
    /// are not counted, so that the next root is in the format again.
    pub fn grow(&mut self, segment: SegmentNo, len: u32, timestamp_ns: u64) {
        self.change(segment, |used| {
            used.len = used.len.max(len.min(MAX_SEGMENT_BYTES));
            used.timestamp_ns = used.timestamp_ns.max(timestamp_ns);
        });
    }

    pub fn add_live(&mut self, loc: Loc, bytes: u32) {
        self.change(loc.segment(), |used| used.live += bytes);
    }

    /// The map does not point at these any more.
    pub fn supersede(&mut self, superseded: &[(Loc, u32)]) {
        for (loc, bytes) in superseded {
            if let Some(used) = self.table.get_mut(loc.segment()) {
                change(&mut self.space, used, |used| used.live = used.live.saturating_sub(*bytes));
            }
        }
    }

    /// The highest segment number in the table.
    pub fn last(&self) -> Option<SegmentNo> {
        self.table.last()
    }

    /// When the last batch of all was sealed, as far as segments are left that say so.
    pub fn newest_ns(&self) -> u64 {
        self.table.iter().map(|(_, used)| used.timestamp_ns).max().unwrap_or_default()
    }

    pub fn forget(&mut self, segment: SegmentNo) {
        if let Some(used) = self.table.remove(segment) {
            self.space = without(self.space, &used);
        }
    }

    fn change(&mut self, segment: SegmentNo, how: impl FnOnce(&mut SegmentUse)) {
        change(&mut self.space, self.table.get_or_add(segment), how);
    }
}

/// Changes a segment, and the sums with it.
fn change(space: &mut Space, used: &mut SegmentUse, how: impl FnOnce(&mut SegmentUse)) {
    let before = without(*space, used);
    how(used);
    *space = Space {
        live: before.live + u64::from(used.live),
        stored: before.stored + u64::from(used.len),
        dead: before.dead + if used.live == 0 { u64::from(used.len) } else { 0 },
    };
}

fn without(space: Space, used: &SegmentUse) -> Space {
    Space {
        live: space.live - u64::from(used.live),
        stored: space.stored - u64::from(used.len),
        dead: space.dead - if used.live == 0 { u64::from(used.len) } else { 0 },
    }
}
