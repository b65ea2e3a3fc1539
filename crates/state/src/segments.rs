//! What each segment of the image holds, how much of it the map still needs, and how many snapshots do.
mod table;

use lsd_core::format::root::SegmentEntry;
use lsd_core::gc::{Candidate, Space};
use lsd_core::units::{Loc, MAX_SEGMENT_BYTES, SegmentNo, Seq};
use std::collections::BTreeMap;
use table::Table;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SegmentUse {
    /// Bytes of the object, as far as they were planned.
    pub len: u32,
    /// Bytes that the map points at.
    pub live: u32,
    /// The map and the snapshots point at no more bytes than this.
    pub kept: u32,
    /// Snapshots whose maps point at it.
    pub pins: u32,
    pub timestamp_ns: u64,
    newest: Newest,
}

/// The last sequence in which something in a segment was first written: copies count as what they are copies of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Newest(u64);

impl Newest {
    /// More than anything that is known.
    const UNKNOWN: Newest = Newest(u64::MAX);

    /// `None`: not known.
    pub fn known(self) -> Option<Seq> {
        (self != Self::UNKNOWN).then_some(Seq(self.0))
    }
}

impl From<Option<Seq>> for Newest {
    fn from(seq: Option<Seq>) -> Self {
        seq.map_or(Self::UNKNOWN, |seq| Newest(seq.0))
    }
}

impl From<Seq> for Newest {
    fn from(seq: Seq) -> Self {
        Newest(seq.0)
    }
}

impl SegmentUse {
    /// Bytes that stay in the store whatever is collected: a segment that a snapshot needs is emptied by other measures.
    fn needed(&self) -> u64 {
        if self.pins > 0 { self.len.max(self.live).into() } else { self.live.into() }
    }

    fn is_dead(&self) -> bool {
        self.live == 0 && self.pins == 0
    }

    /// The map points at more, or at less, or a snapshot came or went.
    fn count(&mut self) {
        self.kept = if self.pins == 0 { self.live } else { self.kept.max(self.live) };
    }
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
            let mut used = SegmentUse {
                len: entry.len.min(MAX_SEGMENT_BYTES),
                live: entry.live,
                kept: entry.kept,
                pins: entry.pins,
                timestamp_ns: entry.timestamp_ns,
                newest: entry.newest.into(),
            };
            // What was counted anew by a repair has a new bound.
            used.count();
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
            kept: used.kept,
            pins: used.pins,
            newest: used.newest.known(),
        };
        self.table.iter().map(one)
    }

    /// The segments before `end` that something lives in and that can be emptied: what a snapshot needs stays where it is.
    pub fn candidates_before(&self, end: SegmentNo) -> Vec<Candidate> {
        let one = |(segment, used): (SegmentNo, SegmentUse)| Candidate {
            segment,
            len: used.len,
            live: used.live,
            timestamp_ns: used.timestamp_ns,
        };
        let before = self.table.iter().take_while(|(segment, _)| *segment < end);
        before.filter(|(_, used)| used.live > 0 && used.pins == 0).map(one).collect()
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

    /// The map points at these, too. `newest`: when they were first written.
    pub fn add_live(&mut self, loc: Loc, bytes: u32, newest: Newest) {
        self.change(loc.segment(), |used| {
            used.live += bytes;
            used.newest = used.newest.max(newest);
            used.count();
        });
    }

    /// When what lies in the segment was first written, as far as that is known.
    pub fn newest(&self, segment: SegmentNo) -> Newest {
        self.table.get(segment).map_or(Newest::UNKNOWN, |used| used.newest)
    }

    /// The map does not point at these any more.
    pub fn supersede(&mut self, superseded: &[(Loc, u32)]) {
        for (loc, bytes) in superseded {
            if let Some(used) = self.table.get_mut(loc.segment()) {
                change(&mut self.space, used, |used| {
                    used.live = used.live.saturating_sub(*bytes);
                    used.count();
                });
            }
        }
    }

    /// A snapshot needs it.
    pub fn is_pinned(&self, segment: SegmentNo) -> bool {
        self.table.get(segment).is_some_and(|used| used.pins > 0)
    }

    /// What emptying segments that snapshots need could give back at most, bytes: what only snapshots point at counts as garbage.
    pub fn garbage_in_pinned(&self) -> u64 {
        let pinned = self.table.iter().filter(|(_, used)| used.pins > 0);
        pinned.map(|(_, used)| u64::from(used.len.saturating_sub(used.live))).sum()
    }

    /// What the table has of a segment.
    pub fn get(&self, segment: SegmentNo) -> Option<SegmentUse> {
        self.table.get(segment).copied()
    }

    /// The map and the snapshots point at up to so many bytes more of a segment that snapshots need.
    pub fn keep(&mut self, segment: SegmentNo, bytes: u32) {
        self.change(segment, |used| {
            if used.pins > 0 {
                used.kept = used.kept.max(used.live).saturating_add(bytes).min(used.len.max(used.live));
            }
        });
    }

    /// Those that the map points at.
    pub fn live(&self) -> Vec<SegmentNo> {
        self.table.iter().filter(|(_, used)| used.live > 0).map(|(segment, _)| segment).collect()
    }

    /// A snapshot needs these.
    pub fn pin(&mut self, segments: &[SegmentNo]) {
        for segment in segments {
            self.change(*segment, |used| used.pins += 1);
        }
    }

    /// A snapshot does not need these any more.
    pub fn unpin(&mut self, segments: &[SegmentNo]) {
        for segment in segments {
            if let Some(used) = self.table.get_mut(*segment) {
                change(&mut self.space, used, |used| {
                    used.pins = used.pins.saturating_sub(1);
                    used.count();
                });
            }
        }
    }

    /// As if the map were another one, which points at so many bytes of each: what is not among them is not pointed at.
    #[must_use]
    pub fn with_live(&self, live: &BTreeMap<SegmentNo, u32>) -> Self {
        let mut all = self.clone();
        let segments: Vec<SegmentNo> = all.table.iter().map(|(segment, _)| segment).collect();
        for segment in segments {
            let bytes = live.get(&segment).copied().unwrap_or_default();
            all.change(segment, |used| {
                used.live = bytes;
                used.count();
            });
        }
        all
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
        live: before.live + used.needed(),
        stored: before.stored + u64::from(used.len),
        dead: before.dead + if used.is_dead() { u64::from(used.len) } else { 0 },
    };
}

fn without(space: Space, used: &SegmentUse) -> Space {
    Space {
        live: space.live - used.needed(),
        stored: space.stored - u64::from(used.len),
        dead: space.dead - if used.is_dead() { u64::from(used.len) } else { 0 },
    }
}
