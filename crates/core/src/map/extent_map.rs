//! The map of a whole image: operations on byte ranges that may span leaves.
//!
//! Owns: splitting ranges into leaves, and all-or-nothing when a leaf is not in memory. Does not own: loading and
//! storing, which the engine does around [`ExtentMap::missing`] and [`ExtentMap::take_dirty`].
use super::slots::{Slot, Slots, Snapshot, SnapshotId, State, Stored};
use super::{BlockSet, Extent, Leaf, MapError, NotLoaded, Run, Superseded, continues, fits_segment};
use crate::units::{LEAF_SPAN_BYTES, LeafNo, Loc, MAX_IMAGE_BYTES};
use std::ops::RangeInclusive;

/// The extents of an image in leaves that load on demand. `S` says where a leaf's stored copy is.
///
/// Every operation on a range fails with [`NotLoaded`] when a leaf of it is stored but not in memory, and changes
/// nothing then.
///
/// # Panics
/// The operations panic on a range beyond [`MAX_IMAGE_BYTES`], and on a location that no segment has: such a map
/// would serve wrong data. Callers check what comes from outside (`fits_segment`).
#[derive(Debug)]
pub struct ExtentMap<S> {
    pub(super) slots: Slots<S>,
    /// Below this address what is cleared stays known as zeroed (`unwritten.rs`).
    pub(super) zeroed_below: u64,
}

impl<S> Default for ExtentMap<S> {
    fn default() -> ExtentMap<S> {
        ExtentMap { slots: Slots::default(), zeroed_below: 0 }
    }
}

/// The bytes `start..start + len` of a leaf.
#[derive(Clone, Copy)]
pub(super) struct Part {
    pub(super) leaf: LeafNo,
    pub(super) start: u32,
    pub(super) len: u32,
}

impl Part {
    /// The part of the image range `offset..end` that lies in `leaf`, which it touches.
    pub(super) fn of(leaf: LeafNo, offset: u64, end: u64) -> Part {
        let start = offset.max(leaf.start());
        let end = end.min(leaf.start() + u64::from(LEAF_SPAN_BYTES));
        Part { leaf, start: (start - leaf.start()) as u32, len: (end - start) as u32 }
    }

    pub(super) fn range(&self) -> (u32, u32) {
        (self.start, self.len)
    }

    /// How far the part is into the range that begins at `offset`.
    pub(super) fn offset_in(&self, offset: u64) -> u32 {
        (self.leaf.start() + u64::from(self.start) - offset) as u32
    }
}

/// The first and the last leaf of a range, and its end; `None` for an empty range.
pub(super) fn leaves(offset: u64, len: u64) -> Option<(LeafNo, LeafNo, u64)> {
    let end = offset.checked_add(len).filter(|&end| end <= MAX_IMAGE_BYTES);
    let end = end.unwrap_or_else(|| panic!("{offset}+{len} is beyond the largest image"));
    (len > 0).then(|| (LeafNo::of(offset), LeafNo::of(end - 1), end))
}

impl<S: Clone + PartialEq> ExtentMap<S> {
    #[must_use]
    pub fn new() -> ExtentMap<S> {
        ExtentMap::default()
    }

    /// Adds leaves that a checkpoint stored, with the bytes each maps; none of them is loaded.
    pub fn load_root(&mut self, leaves: impl IntoIterator<Item = (LeafNo, S, u32)>) {
        for (leaf, at, mapped_bytes) in leaves {
            self.slots.add_stored(leaf, at, mapped_bytes);
        }
    }

    /// The leaves of the range to load before an operation on it: their numbers and stored copies.
    #[must_use]
    pub fn missing(&self, offset: u64, len: u64) -> Vec<(LeafNo, S)> {
        let Some((first, last, _)) = leaves(offset, len) else { return Vec::new() };
        let stored = |slot: &Slot<S>| slot.stored.as_ref().map(|stored| stored.at.clone());
        let missing = self.slots.range(first, last).filter(|(_, slot)| slot.leaf.is_none());
        missing.filter_map(|(leaf, slot)| Some((leaf, stored(slot)?))).collect()
    }

    /// How much of the range, from its start, has at most so many leaves with content (at least one); an empty part of an image
    /// costs nothing to look at, however large it is.
    ///
    /// # Panics
    /// As [`Self::missing`].
    #[must_use]
    pub fn len_with_leaves(&self, offset: u64, len: u64, most: usize) -> u64 {
        let Some((first, last, _)) = leaves(offset, len) else { return len };
        self.slots.range(first, last).nth(most.max(1)).map_or(len, |(beyond, _)| beyond.start() - offset)
    }

    /// How much of the range, from its start, has leaves of at most so many bytes together, `stored_bytes` for those that are not in
    /// memory, and at most so many leaves; at least one leaf. Clearing it makes no more leaves either.
    ///
    /// # Panics
    /// As [`Self::missing`].
    #[must_use]
    pub fn len_with_bytes(
        &self,
        (offset, len): (u64, u64),
        most_leaves: usize,
        most_bytes: usize,
        stored_bytes: impl Fn(&S) -> usize,
    ) -> u64 {
        let Some((first, last, _)) = leaves(offset, len) else { return len };
        let (mut leaves, mut bytes) = (0, 0);
        for (no, slot) in self.slots.range(first, last) {
            bytes += match (&slot.leaf, &slot.stored) {
                (Some(leaf), _) => leaf.heap_bytes(),
                (None, stored) => stored.as_ref().map_or(0, |stored| stored_bytes(&stored.at)),
            };
            leaves += 1;
            if leaves > 1 && (leaves > most_leaves || bytes > most_bytes) {
                return (no.start() - offset).min(self.len_to_zero(offset, len, most_leaves));
            }
        }
        self.len_to_zero(offset, len, most_leaves)
    }

    /// False for a leaf that is stored and not in memory.
    #[must_use]
    pub fn is_loaded(&self, leaf: LeafNo) -> bool {
        self.slots.get(leaf).is_none_or(|slot| slot.leaf.is_some())
    }

    /// Puts in a leaf that was read from the stored copy `from`; `patched`: the blocks of the patch in it, if that has one.
    /// Returns whether it was: not when the leaf is loaded by now, or was since stored elsewhere, which makes what was read
    /// outdated.
    ///
    /// # Errors
    /// [`MapError::MappedBytes`] when the leaf does not map as many bytes as the root says.
    pub fn install(&mut self, no: LeafNo, from: &S, leaf: Leaf, patched: Option<BlockSet>) -> Result<bool, MapError> {
        let Some(Slot { leaf: None, stored: Some(Stored { at, mapped_bytes: expected }), .. }) = self.slots.get(no)
        else {
            return Ok(false);
        };
        if at != from {
            return Ok(false);
        }
        let (expected, found) = (*expected, leaf.mapped_bytes());
        if expected != found {
            return Err(MapError::MappedBytes { leaf: no, found, expected });
        }
        self.slots.install(no, leaf, patched);
        Ok(true)
    }

    pub(super) fn require_loaded(&self, first: LeafNo, last: LeafNo) -> Result<(), NotLoaded> {
        if first == last {
            return self.slots.get(first).map_or(Ok(()), |slot| slot.loaded(first).map(drop));
        }
        self.slots.range(first, last).try_for_each(|(leaf, slot)| slot.loaded(leaf).map(drop))
    }

    /// Maps `len` bytes from `offset` to `loc` on; what was mapped there before is appended to `superseded`.
    pub fn set(&mut self, offset: u64, len: u32, loc: Loc, superseded: &mut Superseded) -> Result<(), NotLoaded> {
        assert!(fits_segment(loc, len), "{len} bytes at {loc} are in no segment");
        let Some((first, last, end)) = leaves(offset, u64::from(len)) else { return Ok(()) };
        if first != last {
            self.require_loaded(first, last)?;
        }
        for no in first.0..=last.0 {
            let part = Part::of(LeafNo(no), offset, end);
            let loc = loc.advance(part.offset_in(offset));
            self.slots.change(part.leaf, part.range(), |leaf| leaf.set(part.start, part.len, loc, superseded))?;
        }
        Ok(())
    }

    /// Unmaps `len` bytes from `offset`; what was mapped there is appended to `superseded`. The cost is that of the
    /// leaves that exist in the range, and of all that are to tell that they are zeroed.
    pub fn clear(&mut self, offset: u64, len: u64, superseded: &mut Superseded) -> Result<(), NotLoaded> {
        let Some((first, last, end)) = leaves(offset, len) else { return Ok(()) };
        self.require_loaded(first, last)?;
        let offset = self.zero(offset, end, superseded)?;
        if offset >= end {
            return Ok(());
        }
        let first = LeafNo::of(offset);
        let is_mapped = |&(no, slot): &(LeafNo, &Slot<S>)| {
            let part = Part::of(no, offset, end);
            let mut mapped = false;
            slot.leaf.as_ref().is_some_and(|leaf| {
                leaf.visit(part.start, part.len, &mut |_| mapped = true);
                mapped
            })
        };
        let mapped: Vec<LeafNo> = self.slots.range(first, last).filter(is_mapped).map(|(no, _)| no).collect();
        for no in mapped {
            let part = Part::of(no, offset, end);
            self.slots.change(no, part.range(), |leaf| leaf.clear(part.start, part.len, superseded))?;
        }
        Ok(())
    }

    /// Unmaps everything at and beyond `size` bytes; as [`ExtentMap::clear`].
    pub fn truncate(&mut self, size: u64, superseded: &mut Superseded) -> Result<(), NotLoaded> {
        self.clear(size, MAX_IMAGE_BYTES.saturating_sub(size), superseded)
    }

    /// Relocation: the bytes of the range that still live at `from` on now live at `to` on, as [`Leaf::replace_if`].
    /// What moved is appended to `superseded`, an entry per range moved. Returns the bytes moved.
    pub fn replace_if(
        &mut self,
        (offset, len): (u64, u32),
        from: Loc,
        to: Loc,
        superseded: &mut Superseded,
    ) -> Result<u32, NotLoaded> {
        assert!(fits_segment(from, len) && fits_segment(to, len), "{len} bytes at {from}, {to} are in no segment");
        let Some((first, last, end)) = leaves(offset, u64::from(len)) else { return Ok(0) };
        self.require_loaded(first, last)?;
        let mut moved_bytes = 0;
        for no in first.0..=last.0 {
            let part = Part::of(LeafNo(no), offset, end);
            let (from, to) = (from.advance(part.offset_in(offset)), to.advance(part.offset_in(offset)));
            let Some(Slot { leaf: Some(leaf), .. }) = self.slots.get(part.leaf) else { continue };
            if leaf.points_at(part.start, part.len, from) {
                moved_bytes += self.slots.change(part.leaf, part.range(), |leaf| {
                    leaf.replace_if(part.start, part.len, from, to, superseded)
                })?;
            }
        }
        Ok(moved_bytes)
    }

    /// True when [`ExtentMap::replace_if`] would move something.
    pub fn points_at(&self, (offset, len): (u64, u32), from: Loc) -> Result<bool, NotLoaded> {
        let Some((first, last, end)) = leaves(offset, u64::from(len)) else { return Ok(false) };
        self.require_loaded(first, last)?;
        Ok(self.slots.range(first, last).any(|(no, slot)| {
            let part = Part::of(no, offset, end);
            let from = from.advance(part.offset_in(offset));
            slot.leaf.as_ref().is_some_and(|leaf| leaf.points_at(part.start, part.len, from))
        }))
    }

    /// Appends what the range maps to: extents that cover it exactly and in order, merged where they continue. On an
    /// error `out` is as it was.
    pub fn lookup(&self, offset: u64, len: u64, out: &mut Vec<Extent>) -> Result<(), NotLoaded> {
        let Some((first, last, end)) = leaves(offset, len) else { return Ok(()) };
        let mut extents = Extents { base: out.len(), position: offset, out };
        if first == last {
            if let Some(slot) = self.slots.get(first) {
                let part = Part::of(first, offset, end);
                self.slots.touch(slot);
                slot.loaded(first)?.visit(part.start, part.len, &mut |run| extents.push(first, run));
            }
        } else {
            self.require_loaded(first, last)?;
            for (no, slot) in self.slots.range(first, last) {
                let part = Part::of(no, offset, end);
                self.slots.touch(slot);
                slot.loaded(no)?.visit(part.start, part.len, &mut |run| extents.push(no, run));
            }
        }
        extents.hole_until(end);
        Ok(())
    }

    /// Snapshot of all dirty leaves for a checkpoint, ascending. A leaf that became empty is among them: it is to be
    /// left out of the new root. Later changes do not touch the snapshot.
    ///
    /// One checkpoint at a time: commit or fail every leaf before taking again.
    #[must_use]
    pub fn take_dirty(&mut self) -> Vec<(LeafNo, Snapshot)> {
        let mut leaves = self.begin_take();
        leaves.sort_unstable();
        self.take_some(&leaves)
    }

    /// The same in steps, for a map that must not stand still: begins a snapshot of all leaves that are dirty now, and says which
    /// these are, in no order. Takes no time, however many they are. [`Self::take_some`] hands them out.
    #[must_use]
    pub fn begin_take(&mut self) -> Vec<LeafNo> {
        self.slots.begin_take()
    }

    /// Some of the leaves of the snapshot that was begun last, as they were when it was begun.
    #[must_use]
    pub fn take_some(&mut self, leaves: &[LeafNo]) -> Vec<(LeafNo, Snapshot)> {
        leaves.iter().filter_map(|&leaf| Some((leaf, self.slots.take(leaf)?))).collect()
    }

    /// A checkpoint that holds all of the snapshot at `stored` is committed; `None` for an empty leaf, which no checkpoint
    /// stores. The leaf is clean if it was not changed since the snapshot.
    pub fn commit_stored(&mut self, leaf: LeafNo, stored: Option<S>, snapshot: SnapshotId) {
        self.slots.commit(leaf, stored, false, snapshot);
    }

    /// The same for a checkpoint that holds the snapshot as a patch: `stored` has the base that it had before.
    pub fn commit_patched(&mut self, leaf: LeafNo, stored: S, snapshot: SnapshotId) {
        self.slots.commit(leaf, Some(stored), true, snapshot);
    }

    /// The checkpoint that took these leaves, or began to, failed: they are dirty again.
    pub fn fail_dirty(&mut self, leaves: impl IntoIterator<Item = LeafNo>) {
        leaves.into_iter().for_each(|leaf| self.slots.fail(leaf));
    }

    /// Where leaves are stored as of the last checkpoint, and the bytes that each stored copy maps; ascending. What
    /// became dirty since differs from its copy.
    pub fn stored_leaves(&self) -> impl Iterator<Item = (LeafNo, &S, u32)> {
        self.stored_leaves_from(LeafNo(0))
    }

    /// The same from a leaf on.
    pub fn stored_leaves_from(&self, first: LeafNo) -> impl Iterator<Item = (LeafNo, &S, u32)> {
        let all = self.slots.range(first, LeafNo(u32::MAX));
        all.filter_map(|(leaf, slot)| slot.stored.as_ref().map(|stored| (leaf, &stored.at, stored.mapped_bytes)))
    }

    /// Where a leaf is stored as of the last checkpoint.
    #[must_use]
    pub fn stored(&self, leaf: LeafNo) -> Option<&S> {
        self.slots.get(leaf)?.stored.as_ref().map(|stored| &stored.at)
    }

    /// The same, unless the leaf changed since.
    #[must_use]
    pub fn stored_unchanged(&self, leaf: LeafNo) -> Option<&S> {
        let slot = self.slots.get(leaf).filter(|slot| slot.state == State::Clean)?;
        slot.stored.as_ref().map(|stored| &stored.at)
    }

    /// The next checkpoint stores the leaf anew, though nothing of it changed.
    pub fn store_anew(&mut self, leaf: LeafNo) -> Result<(), NotLoaded> {
        self.slots.change(leaf, (0, LEAF_SPAN_BYTES), |_| ())
    }

    /// Every leaf that may have content, loaded or not; ascending.
    pub fn leaves(&self) -> impl Iterator<Item = LeafNo> {
        self.leaves_in(LeafNo(0)..=LeafNo(u32::MAX))
    }

    /// Those in a range.
    pub fn leaves_in(&self, range: RangeInclusive<LeafNo>) -> impl Iterator<Item = LeafNo> {
        self.slots.range(*range.start(), *range.end()).map(|(leaf, _)| leaf)
    }

    /// Drops clean loaded leaves, about the longest unused first, until [`ExtentMap::loaded_bytes`] is at most
    /// `target_bytes` or only leaves are left that a checkpoint must store first. Costs nothing below the target.
    pub fn evict(&mut self, target_bytes: usize) {
        self.slots.evict(target_bytes, usize::MAX);
    }

    /// The same, but looks at `most` leaves at most. Returns whether it came to an end.
    pub fn evict_some(&mut self, target_bytes: usize, most: usize) -> bool {
        self.slots.evict(target_bytes, most)
    }

    /// Memory of the loaded leaves.
    #[must_use]
    pub fn loaded_bytes(&self) -> usize {
        self.slots.loaded_bytes()
    }

    /// Memory of the map: the loaded leaves and the index of all leaves.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.slots.loaded_bytes() + self.slots.index_bytes()
    }

    /// Bytes of the image that are data, loaded or not.
    #[must_use]
    pub fn mapped_bytes(&self) -> u64 {
        self.slots.mapped_bytes()
    }

    /// Leaves that the next checkpoint will take.
    #[must_use]
    pub fn dirty_leaves(&self) -> usize {
        self.slots.dirty_count()
    }

    /// Memory of those leaves.
    #[must_use]
    pub fn dirty_loaded_bytes(&self) -> usize {
        self.slots.dirty_loaded_bytes()
    }

    /// Memory of leaves that cannot be dropped, because no checkpoint has them yet as they are.
    #[must_use]
    pub fn unstored_bytes(&self) -> usize {
        self.slots.unstored_bytes()
    }

    /// What storing these leaves costs, about, with its share of what later checkpoints must store for it.
    #[must_use]
    pub fn dirty_bytes(&self) -> usize {
        self.slots.dirty_bytes()
    }

    /// Leaves that say something, or did at the last checkpoint.
    #[must_use]
    pub fn leaf_count(&self) -> usize {
        self.slots.len()
    }
}

/// Builds the extents of a looked-up range; what lies between mapped runs is a hole.
struct Extents<'a> {
    out: &'a mut Vec<Extent>,
    /// Where this lookup's extents begin in `out`.
    base: usize,
    /// Everything before this address is covered.
    position: u64,
}

impl Extents<'_> {
    #[inline]
    fn push(&mut self, leaf: LeafNo, run: Run) {
        if !run.loc.is_data() {
            return;
        }
        let offset = leaf.start() + u64::from(run.start);
        self.hole_until(offset);
        self.position = offset + u64::from(run.len);
        match self.out[self.base..].last_mut() {
            Some(Extent { len, loc: Some(loc), .. }) if continues(*loc, *len, run.loc) => *len += u64::from(run.len),
            _ => self.out.push(Extent { offset, len: u64::from(run.len), loc: Some(run.loc) }),
        }
    }

    #[inline]
    fn hole_until(&mut self, end: u64) {
        if end > self.position {
            self.out.push(Extent { offset: self.position, len: end - self.position, loc: None });
        }
    }
}
