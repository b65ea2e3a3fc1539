//! What was never written: told from what is zeroed, in the part of an image below which there is a base.
//!
//! Owns: which clears leave a mark, what counts as never written, and filling that. Does not own: the base, the bytes of leaves.
//!
//! Elsewhere a cleared range is a hole like one that was never written: both read as zeroes, and no leaf is made for it.
use super::extent_map::{Part, leaves};
use super::{ExtentMap, NotLoaded, Superseded, fits_segment};
use crate::units::{LEAF_SPAN_BYTES, LeafNo, Loc};

impl<S: Clone + PartialEq> ExtentMap<S> {
    /// From now on what is cleared below this address is told from what was never written. 0: nowhere.
    pub fn keep_zeroed_below(&mut self, end: u64) {
        self.zeroed_below = end;
    }

    /// Below this address it is told.
    #[must_use]
    pub fn zeroed_below(&self) -> u64 {
        self.zeroed_below
    }

    /// Clears the part of a range for which that stays known; its leaves are loaded. Returns where the part ends.
    pub(super) fn zero(&mut self, offset: u64, end: u64, superseded: &mut Superseded) -> Result<u64, NotLoaded> {
        let cut = self.zeroed_below.clamp(offset, end);
        let Some((first, last, cut)) = leaves(offset, cut - offset) else { return Ok(offset) };
        for no in first.0..=last.0 {
            let part = Part::of(LeafNo(no), offset, cut);
            let leaf = self.slots.get(part.leaf).and_then(|slot| slot.leaf.as_ref());
            if !leaf.is_some_and(|leaf| leaf.is_zeroed(part.start, part.len)) {
                self.slots.change(part.leaf, part.range(), |leaf| leaf.zero(part.start, part.len, superseded))?;
            }
        }
        Ok(cut)
    }

    /// How much of a range, from its start, clearing makes at most so many leaves of (at least one).
    pub(super) fn len_to_zero(&self, offset: u64, len: u64, most_leaves: usize) -> u64 {
        let end = offset + len;
        let leaves_end =
            (LeafNo::of(offset).start()).saturating_add(most_leaves.max(1) as u64 * u64::from(LEAF_SPAN_BYTES));
        if leaves_end < self.zeroed_below.min(end) { leaves_end - offset } else { len }
    }

    /// Appends what of the range was never written, and lies below where that is told: start and length, in order and merged.
    pub fn unwritten(&self, offset: u64, len: u64, out: &mut Vec<(u64, u64)>) -> Result<(), NotLoaded> {
        let len = len.min(self.zeroed_below.saturating_sub(offset));
        let Some((first, last, end)) = leaves(offset, len) else { return Ok(()) };
        self.require_loaded(first, last)?;
        let from = out.len();
        let mut push = |offset: u64, len: u64| match out[from..].last_mut() {
            Some((start, so_far)) if *start + *so_far == offset => *so_far += len,
            _ => out.push((offset, len)),
        };
        for no in first.0..=last.0 {
            let part = Part::of(LeafNo(no), offset, end);
            match self.slots.get(part.leaf).and_then(|slot| slot.leaf.as_ref()) {
                None => push(part.leaf.start() + u64::from(part.start), part.len.into()),
                Some(leaf) => {
                    for (start, len) in leaf.unwritten(part.start, part.len) {
                        push(part.leaf.start() + u64::from(start), len.into());
                    }
                }
            }
        }
        Ok(())
    }

    /// Maps what of the range was never written to `to` on, each byte as far behind it as behind the start of the range. Whatever
    /// was written or zeroed stays. Returns the bytes mapped.
    pub fn fill(&mut self, (offset, len): (u64, u32), to: Loc) -> Result<u32, NotLoaded> {
        assert!(fits_segment(to, len), "{len} bytes at {to} are in no segment");
        let below = u64::from(len).min(self.zeroed_below.saturating_sub(offset));
        let Some((first, last, end)) = leaves(offset, below) else { return Ok(0) };
        self.require_loaded(first, last)?;
        let mut filled = 0;
        for no in first.0..=last.0 {
            let part = Part::of(LeafNo(no), offset, end);
            let to = to.advance(part.offset_in(offset));
            let leaf = self.slots.get(part.leaf).and_then(|slot| slot.leaf.as_ref());
            if leaf.is_none_or(|leaf| !leaf.unwritten(part.start, part.len).is_empty()) {
                filled += self.slots.change(part.leaf, part.range(), |leaf| leaf.fill(part.start, part.len, to))?;
            }
        }
        Ok(filled)
    }
}
