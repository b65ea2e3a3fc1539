//! The leaves of an image with what is loaded, stored and dirty, and the sums over them.
//!
//! Owns: the life of a leaf's slot (dirty, being stored, clean, evicted), which of its blocks may differ from what is
//! stored, the totals over all slots, and the order of eviction. Does not own: byte ranges, which [`super::ExtentMap`]
//! splits into leaves, and whether a checkpoint writes a patch (`patch.rs`).
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{BlockSet, Leaf, NotLoaded, patch};
use crate::units::LeafNo;

/// Memory of a loaded leaf besides what [`Leaf::heap_bytes`] counts: the struct and the two counts of its `Arc`.
const LEAF_BYTES: usize = size_of::<Leaf>() + 2 * size_of::<usize>();

/// A leaf of blocks takes no more than this in a page; the rare one of many more unaligned runs counts as much.
const MAX_WHOLE_BYTES: usize = 33 << 10;

/// Queue entries beyond twice the slots that are tolerated before stale ones are thrown out.
const STALE_QUEUE_ENTRIES: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Equal to the stored copy.
    Clean,
    /// Changed since the last snapshot, so a checkpoint must take it.
    Dirty,
    /// In a snapshot that is being stored, and unchanged since.
    Storing,
}

/// A durable copy of a leaf.
#[derive(Clone, Debug)]
pub(super) struct Stored<S> {
    pub(super) at: S,
    pub(super) mapped_bytes: u32,
}

/// A dirty leaf as a checkpoint takes it: later changes do not touch it.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub content: Arc<Leaf>,
    changed: Option<BlockSet>,
    /// Which of the takes it is from.
    take: u64,
}

/// Which snapshot of a leaf a checkpoint has stored: what is left to know once its content is written.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotId {
    take: u64,
    mapped_bytes: u32,
    is_empty: bool,
}

impl SnapshotId {
    /// Bytes that the snapshot maps.
    #[must_use]
    pub fn mapped_bytes(&self) -> u32 {
        self.mapped_bytes
    }
}

impl Snapshot {
    #[must_use]
    pub fn id(&self) -> SnapshotId {
        let (mapped_bytes, is_empty) = (self.content.mapped_bytes(), self.content.is_empty());
        SnapshotId { take: self.take, mapped_bytes, is_empty }
    }

    /// Memory of a copy.
    fn bytes(&self) -> usize {
        self.content.heap_bytes() + LEAF_BYTES + usize::from(self.changed.is_some()) * BlockSet::HEAP_BYTES
    }

    /// The blocks in which the leaf may differ from its stored base; `None`: in any.
    #[must_use]
    pub fn changed(&self) -> Option<&BlockSet> {
        self.changed.as_ref()
    }
}

/// What is summed over all slots.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    loaded_bytes: usize,
    mapped_bytes: u64,
    /// What storing the dirty leaves costs, about.
    dirty_bytes: usize,
    /// Of `loaded_bytes`, those of dirty leaves, and of leaves that are being stored: they cannot be evicted.
    dirty_loaded: usize,
    storing_loaded: usize,
}

impl Sums {
    /// These sums with a slot changed.
    fn with(self, before: Sums, after: Sums) -> Sums {
        Sums {
            loaded_bytes: self.loaded_bytes - before.loaded_bytes + after.loaded_bytes,
            mapped_bytes: self.mapped_bytes - before.mapped_bytes + after.mapped_bytes,
            dirty_bytes: self.dirty_bytes - before.dirty_bytes + after.dirty_bytes,
            dirty_loaded: self.dirty_loaded - before.dirty_loaded + after.dirty_loaded,
            storing_loaded: self.storing_loaded - before.storing_loaded + after.storing_loaded,
        }
    }
}

#[derive(Debug)]
pub(super) struct Slot<S> {
    /// `None` when only the stored copy exists; the slot is clean then and `stored` is there.
    pub(super) leaf: Option<Arc<Leaf>>,
    /// The newest durable copy; older than `leaf` unless the slot is clean.
    pub(super) stored: Option<Stored<S>>,
    pub(super) state: State,
    /// [`Slots::takes`] when the leaf became dirty, or when it was due to be taken: a dirty one with less than that is the
    /// business of the take that has begun.
    take: u64,
    /// All blocks in which `leaf` differs from the base of `stored`, and perhaps others; `None`: nothing is known.
    since_base: Option<BlockSet>,
    /// The same against the snapshot that is being stored, which is the next base if it is stored whole. Until then
    /// `since_base` stays as it is: the checkpoint may fail.
    since_snapshot: Option<BlockSet>,
    /// Has an entry in the eviction queue.
    queued: bool,
    /// [`Slots::tick`] at the last use. Atomic only so that a lookup can note it through a shared reference; no
    /// ordering depends on it.
    last_used: AtomicU64,
}

impl<S> Slot<S> {
    fn new(leaf: Option<Arc<Leaf>>, stored: Option<Stored<S>>) -> Slot<S> {
        let (since_base, since_snapshot, last_used) = (None, None, AtomicU64::new(0));
        Slot { leaf, stored, state: State::Clean, take: 0, since_base, since_snapshot, queued: false, last_used }
    }

    fn sums(&self) -> Sums {
        let mapped_bytes = u64::from(self.mapped_bytes());
        let loaded_bytes = self.loaded_bytes();
        let (dirty_bytes, dirty_loaded, storing_loaded) = match self.state {
            State::Clean => (0, 0, 0),
            State::Dirty => (self.storing_bytes(), loaded_bytes, 0),
            State::Storing => (0, 0, loaded_bytes),
        };
        Sums { loaded_bytes, mapped_bytes, dirty_bytes, dirty_loaded, storing_loaded }
    }

    /// What storing the leaf costs, about. All patches of a base cost no more together than a base, so one costs at most
    /// twice its bytes with its share of the base that follows.
    fn storing_bytes(&self) -> usize {
        let whole = self.leaf.as_ref().map_or(0, |leaf| leaf.heap_bytes().min(MAX_WHOLE_BYTES));
        let changed = self.since_base.as_ref().map(|changed| 2 * patch::likely_bytes(changed.count()));
        changed.map_or(whole, |patch| patch.min(whole))
    }

    fn mark(&mut self, start: u32, len: u32) {
        if self.leaf.as_ref().is_some_and(|leaf| leaf.is_empty()) {
            // It is left out of the next checkpoint, or written whole if it is filled again: no patch follows, and of many
            // that were emptied little may stay in memory.
            self.leaf = Some(Arc::default());
            (self.since_base, self.since_snapshot) = (None, None);
            return;
        }
        if !patch::may_tell(start, len) {
            // So the next checkpoint writes the whole leaf, and that is what it will cost.
            (self.since_base, self.since_snapshot) = (None, None);
            return;
        }
        for changed in [&mut self.since_base, &mut self.since_snapshot].into_iter().flatten() {
            changed.insert(start, len);
        }
    }

    fn mapped_bytes(&self) -> u32 {
        match (&self.leaf, &self.stored) {
            (Some(leaf), _) => leaf.mapped_bytes(),
            (None, stored) => stored.as_ref().map_or(0, |stored| stored.mapped_bytes),
        }
    }

    fn loaded_bytes(&self) -> usize {
        let sets = usize::from(self.since_base.is_some()) + usize::from(self.since_snapshot.is_some());
        self.leaf.as_ref().map_or(0, |leaf| leaf.heap_bytes() + LEAF_BYTES) + sets * BlockSet::HEAP_BYTES
    }

    fn is_evictable(&self) -> bool {
        self.state == State::Clean && self.stored.is_some() && self.leaf.is_some()
    }

    /// Hands the leaf, which is dirty, out to the take that has begun.
    fn take(&mut self, take: u64) -> Option<Snapshot> {
        let content = Arc::clone(self.leaf.as_ref()?);
        (self.state, self.take) = (State::Storing, take);
        self.since_snapshot = patch::may_follow(&content).then(BlockSet::default);
        Some(Snapshot { content, changed: self.since_base.clone(), take })
    }

    pub(super) fn loaded(&self, leaf: LeafNo) -> Result<&Leaf, NotLoaded> {
        self.leaf.as_deref().ok_or(NotLoaded(leaf))
    }
}

#[derive(Debug)]
pub(super) struct Slots<S> {
    by_leaf: BTreeMap<LeafNo, Slot<S>>,
    /// The leaves in state [`State::Dirty`] that no take has begun with, each once.
    dirty: Vec<LeafNo>,
    /// Snapshots of leaves that changed after a take had begun and before it came to them.
    early: BTreeMap<LeafNo, Snapshot>,
    /// Memory of those.
    early_bytes: usize,
    /// Candidates for eviction and their last use when they were queued, oldest first. A leaf used since gets another
    /// round; one no longer evictable is dropped when its turn comes.
    queue: VecDeque<(LeafNo, u64)>,
    /// Advances with every leaf installed: uses between two of them count as the same age.
    tick: u64,
    /// How often snapshots were taken.
    takes: u64,
    sums: Sums,
}

impl<S> Default for Slots<S> {
    fn default() -> Slots<S> {
        let (by_leaf, dirty, queue) = (BTreeMap::new(), Vec::new(), VecDeque::new());
        let (early, early_bytes) = (BTreeMap::new(), 0);
        Slots { by_leaf, dirty, early, early_bytes, queue, tick: 0, takes: 0, sums: Sums::default() }
    }
}

impl<S> Slots<S> {
    pub(super) fn loaded_bytes(&self) -> usize {
        self.sums.loaded_bytes
    }

    pub(super) fn mapped_bytes(&self) -> u64 {
        self.sums.mapped_bytes
    }

    pub(super) fn dirty_bytes(&self) -> usize {
        self.sums.dirty_bytes
    }

    pub(super) fn dirty_loaded_bytes(&self) -> usize {
        self.sums.dirty_loaded
    }

    pub(super) fn unstored_bytes(&self) -> usize {
        self.sums.dirty_loaded + self.sums.storing_loaded + self.early_bytes
    }

    pub(super) fn dirty_count(&self) -> usize {
        self.dirty.len()
    }

    pub(super) fn len(&self) -> usize {
        self.by_leaf.len()
    }

    /// Memory besides the leaves; the tree's nodes are taken as two thirds full, which is usual.
    pub(super) fn index_bytes(&self) -> usize {
        self.by_leaf.len() * size_of::<(LeafNo, Slot<S>)>() * 3 / 2
            + self.dirty.capacity() * size_of::<LeafNo>()
            + self.queue.capacity() * size_of::<(LeafNo, u64)>()
    }

    #[inline]
    pub(super) fn get(&self, leaf: LeafNo) -> Option<&Slot<S>> {
        self.by_leaf.get(&leaf)
    }

    pub(super) fn range(&self, first: LeafNo, last: LeafNo) -> impl Iterator<Item = (LeafNo, &Slot<S>)> {
        self.by_leaf.range(first..=last).map(|(&leaf, slot)| (leaf, slot))
    }

    /// Notes a use of the leaf, for eviction.
    #[inline]
    pub(super) fn touch(&self, slot: &Slot<S>) {
        if slot.last_used.load(Ordering::Relaxed) != self.tick {
            slot.last_used.store(self.tick, Ordering::Relaxed);
        }
    }

    /// Changes a slot, if there is one, and the sums with it.
    fn update<R>(&mut self, no: LeafNo, change: impl FnOnce(&mut Slot<S>) -> R) -> Option<R> {
        let slot = self.by_leaf.get_mut(&no)?;
        let before = slot.sums();
        let result = change(slot);
        self.sums = self.sums.with(before, slot.sums());
        Some(result)
    }

    /// Changes no more than `len` bytes from `start` of the leaf on; it becomes dirty. One that has no slot begins empty. A
    /// snapshot keeps what it has: the leaf is copied first then.
    #[inline]
    pub(super) fn change<R>(
        &mut self,
        no: LeafNo,
        (start, len): (u32, u32),
        change: impl FnOnce(&mut Leaf) -> R,
    ) -> Result<R, NotLoaded> {
        let slot = self.by_leaf.entry(no).or_insert_with(|| {
            let slot = Slot::new(Some(Arc::default()), None);
            self.sums = self.sums.with(Sums::default(), slot.sums());
            slot
        });
        // Before the copy for a snapshot, which has less slack than the original.
        let before = slot.sums();
        if slot.state == State::Dirty
            && slot.take < self.takes
            && let Some(snapshot) = slot.take(self.takes)
        {
            self.early_bytes += snapshot.bytes();
            self.early.insert(no, snapshot);
        }
        let leaf = slot.leaf.as_mut().ok_or(NotLoaded(no))?;
        let result = change(Arc::make_mut(leaf));
        slot.mark(start, len);
        slot.last_used.store(self.tick, Ordering::Relaxed);
        if slot.state != State::Dirty {
            (slot.state, slot.take) = (State::Dirty, self.takes);
            self.dirty.push(no);
        }
        self.sums = self.sums.with(before, slot.sums());
        Ok(result)
    }

    /// Adds a leaf that exists only in its stored copy. One that has a slot keeps it.
    pub(super) fn add_stored(&mut self, leaf: LeafNo, at: S, mapped_bytes: u32) {
        self.by_leaf.entry(leaf).or_insert_with(|| {
            let slot = Slot::new(None, Some(Stored { at, mapped_bytes }));
            self.sums = self.sums.with(Sums::default(), slot.sums());
            slot
        });
    }

    /// Puts the stored copy of a leaf into its slot, which has none loaded and agrees on the mapped bytes. `patched`: the
    /// blocks of its patch, if it has one.
    pub(super) fn install(&mut self, no: LeafNo, leaf: Leaf, patched: Option<BlockSet>) {
        self.tick += 1;
        let tick = self.tick;
        let installed = self.update(no, |slot| {
            debug_assert!(slot.leaf.is_none() && slot.mapped_bytes() == leaf.mapped_bytes());
            slot.since_base = patched.or_else(|| patch::may_follow(&leaf).then(BlockSet::default));
            slot.leaf = Some(Arc::new(leaf));
            slot.last_used.store(tick, Ordering::Relaxed);
        });
        if installed.is_some() {
            self.enqueue(no);
        }
    }

    /// Begins to hand out all leaves that are dirty now, in no order. It costs nothing: what changes before it is taken is
    /// copied first.
    pub(super) fn begin_take(&mut self) -> Vec<LeafNo> {
        self.takes += 1;
        std::mem::take(&mut self.dirty)
    }

    /// Hands out one of the leaves that the take began with, as it was then; it counts as being stored from here on.
    pub(super) fn take(&mut self, no: LeafNo) -> Option<Snapshot> {
        if let Some(snapshot) = self.early.remove(&no) {
            self.early_bytes -= snapshot.bytes();
            return Some(snapshot);
        }
        let take = self.takes;
        self.update(no, |slot| (slot.state == State::Dirty && slot.take < take).then(|| slot.take(take)).flatten())
            .flatten()
    }

    /// The snapshot of a leaf is durable: at `stored`, or, when it was empty, by not being there. `patch`: it was stored as
    /// a patch of the base that was stored before.
    pub(super) fn commit(&mut self, no: LeafNo, stored: Option<S>, patch: bool, snapshot: SnapshotId) {
        let mapped_bytes = snapshot.mapped_bytes;
        let is_empty = snapshot.is_empty;
        let stored = stored.filter(|_| !is_empty).map(|at| Stored { at, mapped_bytes });
        if stored.is_none() && !is_empty {
            return self.fail(no);
        }
        // What a later take has begun to note says nothing about this snapshot.
        let is_latest = snapshot.take == self.takes;
        let is_clean = self.update(no, |slot| {
            if slot.state == State::Clean {
                return false;
            }
            let since_snapshot = slot.since_snapshot.take();
            let since_base = if patch { slot.since_base.take() } else { since_snapshot };
            slot.since_base = since_base.filter(|_| is_latest && stored.is_some());
            slot.stored = stored;
            // A leaf that changed is dirty, also if another take has it by now.
            if slot.state != State::Storing || slot.take != snapshot.take {
                return false;
            }
            slot.state = State::Clean;
            true
        });
        if is_clean != Some(true) {
            return;
        }
        if !is_empty {
            self.enqueue(no);
        } else if let Some(slot) = self.by_leaf.remove(&no) {
            self.sums = self.sums.with(slot.sums(), Sums::default());
        }
    }

    /// The snapshot of a leaf could not be stored, or was not even taken: the next one must have it again.
    pub(super) fn fail(&mut self, no: LeafNo) {
        if let Some(snapshot) = self.early.remove(&no) {
            self.early_bytes -= snapshot.bytes();
        }
        let takes = self.takes;
        let is_dirty_again = self.update(no, |slot| {
            slot.since_snapshot = None;
            let was_taken = slot.state == State::Storing || (slot.state == State::Dirty && slot.take < takes);
            if was_taken {
                (slot.state, slot.take) = (State::Dirty, takes);
            }
            was_taken
        });
        if is_dirty_again == Some(true) {
            self.dirty.push(no);
        }
    }

    /// Drops loaded leaves that equal their stored copy, the longest unused first, until `target_bytes` are loaded
    /// or no such leaf is left; looks at `most` at most. Returns whether it came to an end.
    pub(super) fn evict(&mut self, target_bytes: usize, most: usize) -> bool {
        // Twice the queue: the first round may find every leaf used since it was queued, the second finds none.
        let all = 2 * self.queue.len();
        for _ in 0..all.min(most) {
            if self.sums.loaded_bytes <= target_bytes {
                return true;
            }
            let Some((no, queued_use)) = self.queue.pop_front() else { return true };
            let Some(slot) = self.by_leaf.get_mut(&no) else { continue };
            let last_use = *slot.last_used.get_mut();
            if !slot.is_evictable() {
                slot.queued = false;
            } else if last_use != queued_use {
                self.queue.push_back((no, last_use));
            } else {
                slot.queued = false;
                self.update(no, |slot| {
                    slot.leaf = None;
                    slot.since_base = None;
                });
            }
        }
        all <= most
    }

    fn enqueue(&mut self, no: LeafNo) {
        if let Some(slot) = self.by_leaf.get_mut(&no)
            && !std::mem::replace(&mut slot.queued, true)
        {
            self.queue.push_back((no, *slot.last_used.get_mut()));
        }
        // Entries of removed slots stay behind, and nobody pops them while memory is plenty.
        if self.queue.len() > 2 * self.by_leaf.len() + STALE_QUEUE_ENTRIES {
            let by_leaf = &self.by_leaf;
            self.queue.retain(|(no, _)| by_leaf.get(no).is_some_and(|slot| slot.queued));
        }
    }
}
