//! What is known of each segment, in parts that copies of the table share until one of them changes.
//!
//! Owns: that a copy, as a checkpoint takes one under the image's lock, costs next to nothing for millions of segments.
use super::SegmentUse;
use lsd_core::units::SegmentNo;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Segment numbers of one part: what a change after a copy has to copy first (20 KiB).
const PART_NUMBERS: u64 = 512;

type Part = Vec<(SegmentNo, SegmentUse)>;

/// Segments in order of their numbers, of which most follow one another.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    parts: BTreeMap<u64, Arc<Part>>,
}

fn find(part: &Part, segment: SegmentNo) -> Result<usize, usize> {
    part.binary_search_by_key(&segment, |(found, _)| *found)
}

impl Table {
    pub(super) fn get(&self, segment: SegmentNo) -> Option<&SegmentUse> {
        let part = self.parts.get(&(segment.0 / PART_NUMBERS))?;
        find(part, segment).ok().map(|index| &part[index].1)
    }

    pub(super) fn get_mut(&mut self, segment: SegmentNo) -> Option<&mut SegmentUse> {
        let part = self.parts.get_mut(&(segment.0 / PART_NUMBERS))?;
        let index = find(part, segment).ok()?;
        Some(&mut Arc::make_mut(part)[index].1)
    }

    /// A new one is as [`SegmentUse::default`] has it.
    pub(super) fn get_or_add(&mut self, segment: SegmentNo) -> &mut SegmentUse {
        let part = Arc::make_mut(self.parts.entry(segment.0 / PART_NUMBERS).or_default());
        let index = find(part, segment).unwrap_or_else(|index| {
            part.insert(index, (segment, SegmentUse::default()));
            index
        });
        &mut part[index].1
    }

    pub(super) fn remove(&mut self, segment: SegmentNo) -> Option<SegmentUse> {
        let key = segment.0 / PART_NUMBERS;
        let part = self.parts.get_mut(&key)?;
        let index = find(part, segment).ok()?;
        let (_, used) = Arc::make_mut(part).remove(index);
        if part.is_empty() {
            self.parts.remove(&key);
        }
        Some(used)
    }

    pub(super) fn len(&self) -> usize {
        self.parts.values().map(|part| part.len()).sum()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (SegmentNo, SegmentUse)> + '_ {
        self.parts.values().flat_map(|part| part.iter().copied())
    }

    pub(super) fn last(&self) -> Option<SegmentNo> {
        self.parts.values().next_back()?.last().map(|(segment, _)| *segment)
    }
}
