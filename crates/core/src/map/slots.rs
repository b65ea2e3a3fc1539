//! The leaves of an image with what is loaded, stored and dirty, and the sums over them.
//!
//! Owns: the life of a leaf's slot (dirty, being stored, clean, evicted), memory and mapped-byte totals, and the order
//! of eviction. Does not own: byte ranges, which [`super::ExtentMap`] splits into leaves.
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Leaf, NotLoaded};
use crate::units::LeafNo;

/// Memory of a loaded leaf besides what [`Leaf::heap_bytes`] counts: the struct and the two counts of its `Arc`.
const LEAF_BYTES: usize = size_of::<Leaf>() + 2 * size_of::<usize>();

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

#[derive(Debug)]
pub(super) struct Slot<S> {
    /// `None` when only the stored copy exists; the slot is clean then and `stored` is there.
    pub(super) leaf: Option<Arc<Leaf>>,
    /// The newest durable copy; older than `leaf` unless the slot is clean.
    pub(super) stored: Option<Stored<S>>,
    pub(super) state: State,
    /// Has an entry in the eviction queue.
    queued: bool,
    /// [`Slots::tick`] at the last use. Atomic only so that a lookup can note it through a shared reference; no
    /// ordering depends on it.
    last_used: AtomicU64,
}

impl<S> Slot<S> {
    fn new(leaf: Option<Arc<Leaf>>, stored: Option<Stored<S>>) -> Slot<S> {
        Slot { leaf, stored, state: State::Clean, queued: false, last_used: AtomicU64::new(0) }
    }

    fn mapped_bytes(&self) -> u32 {
        match (&self.leaf, &self.stored) {
            (Some(leaf), _) => leaf.mapped_bytes(),
            (None, stored) => stored.as_ref().map_or(0, |stored| stored.mapped_bytes),
        }
    }

    fn loaded_bytes(&self) -> usize {
        self.leaf.as_ref().map_or(0, |leaf| leaf.heap_bytes() + LEAF_BYTES)
    }

    fn is_evictable(&self) -> bool {
        self.state == State::Clean && self.stored.is_some() && self.leaf.is_some()
    }

    pub(super) fn loaded(&self, leaf: LeafNo) -> Result<&Leaf, NotLoaded> {
        self.leaf.as_deref().ok_or(NotLoaded(leaf))
    }
}

#[derive(Debug)]
pub(super) struct Slots<S> {
    by_leaf: BTreeMap<LeafNo, Slot<S>>,
    /// The leaves in state [`State::Dirty`], each once.
    dirty: Vec<LeafNo>,
    /// Candidates for eviction and their last use when they were queued, oldest first. A leaf used since gets another
    /// round; one no longer evictable is dropped when its turn comes.
    queue: VecDeque<(LeafNo, u64)>,
    /// Advances with every leaf installed: uses between two of them count as the same age.
    tick: u64,
    loaded_bytes: usize,
    mapped_bytes: u64,
}

impl<S> Default for Slots<S> {
    fn default() -> Slots<S> {
        let (by_leaf, dirty, queue) = (BTreeMap::new(), Vec::new(), VecDeque::new());
        Slots { by_leaf, dirty, queue, tick: 0, loaded_bytes: 0, mapped_bytes: 0 }
    }
}

impl<S> Slots<S> {
    pub(super) fn loaded_bytes(&self) -> usize {
        self.loaded_bytes
    }

    pub(super) fn mapped_bytes(&self) -> u64 {
        self.mapped_bytes
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

    /// Changes the leaf, which becomes dirty; one that has no slot begins empty. A snapshot keeps what it has: the
    /// leaf is copied first then.
    #[inline]
    pub(super) fn change<R>(&mut self, no: LeafNo, change: impl FnOnce(&mut Leaf) -> R) -> Result<R, NotLoaded> {
        let slot = self.by_leaf.entry(no).or_insert_with(|| {
            self.loaded_bytes += LEAF_BYTES;
            Slot::new(Some(Arc::default()), None)
        });
        let leaf = slot.leaf.as_mut().ok_or(NotLoaded(no))?;
        // Before the copy for a snapshot, which has less slack than the original.
        let before = (leaf.heap_bytes(), leaf.mapped_bytes());
        let leaf = Arc::make_mut(leaf);
        let result = change(leaf);
        self.loaded_bytes = self.loaded_bytes - before.0 + leaf.heap_bytes();
        self.mapped_bytes = self.mapped_bytes - u64::from(before.1) + u64::from(leaf.mapped_bytes());
        slot.last_used.store(self.tick, Ordering::Relaxed);
        if slot.state != State::Dirty {
            slot.state = State::Dirty;
            self.dirty.push(no);
        }
        Ok(result)
    }

    /// Adds a leaf that exists only in its stored copy. One that has a slot keeps it.
    pub(super) fn add_stored(&mut self, leaf: LeafNo, at: S, mapped_bytes: u32) {
        self.by_leaf.entry(leaf).or_insert_with(|| {
            self.mapped_bytes += u64::from(mapped_bytes);
            Slot::new(None, Some(Stored { at, mapped_bytes }))
        });
    }

    /// Puts the stored copy of a leaf into its slot, which has none loaded and agrees on the mapped bytes.
    pub(super) fn install(&mut self, no: LeafNo, leaf: Leaf) {
        self.tick += 1;
        let Some(slot) = self.by_leaf.get_mut(&no) else { return };
        debug_assert!(slot.leaf.is_none() && slot.mapped_bytes() == leaf.mapped_bytes());
        slot.leaf = Some(Arc::new(leaf));
        slot.last_used.store(self.tick, Ordering::Relaxed);
        self.loaded_bytes += slot.loaded_bytes();
        self.enqueue(no);
    }

    /// Hands out all dirty leaves in order; they count as being stored from here on.
    pub(super) fn take_dirty(&mut self) -> Vec<(LeafNo, Arc<Leaf>)> {
        let mut taken = std::mem::take(&mut self.dirty);
        taken.sort_unstable();
        let snapshot = |no| {
            let slot = self.by_leaf.get_mut(&no)?;
            slot.state = State::Storing;
            Some((no, Arc::clone(slot.leaf.as_ref()?)))
        };
        taken.into_iter().filter_map(snapshot).collect()
    }

    /// The snapshot of a leaf is durable: at `stored`, or, when it was empty, by not being there.
    pub(super) fn commit(&mut self, no: LeafNo, stored: Option<S>, snapshot: &Arc<Leaf>) {
        let Some(slot) = self.by_leaf.get_mut(&no) else { return };
        if slot.state == State::Clean {
            return;
        }
        let mapped_bytes = snapshot.mapped_bytes();
        let stored = stored.filter(|_| mapped_bytes > 0).map(|at| Stored { at, mapped_bytes });
        if stored.is_none() && mapped_bytes > 0 {
            return self.fail(no);
        }
        slot.stored = stored;
        let is_unchanged = slot.leaf.as_ref().is_some_and(|leaf| Arc::ptr_eq(leaf, snapshot));
        if slot.state != State::Storing || !is_unchanged {
            return;
        }
        slot.state = State::Clean;
        if slot.stored.is_some() {
            self.enqueue(no);
        } else {
            self.loaded_bytes -= slot.loaded_bytes();
            self.by_leaf.remove(&no);
        }
    }

    /// The snapshot of a leaf could not be stored: the next one must have it again.
    pub(super) fn fail(&mut self, no: LeafNo) {
        if let Some(slot) = self.by_leaf.get_mut(&no)
            && slot.state == State::Storing
        {
            slot.state = State::Dirty;
            self.dirty.push(no);
        }
    }

    /// Drops loaded leaves that equal their stored copy, the longest unused first, until `target_bytes` are loaded
    /// or no such leaf is left.
    pub(super) fn evict(&mut self, target_bytes: usize) {
        // Twice the queue: the first round may find every leaf used since it was queued, the second finds none.
        for _ in 0..2 * self.queue.len() {
            if self.loaded_bytes <= target_bytes {
                return;
            }
            let Some((no, queued_use)) = self.queue.pop_front() else { return };
            let Some(slot) = self.by_leaf.get_mut(&no) else { continue };
            let last_use = *slot.last_used.get_mut();
            if !slot.is_evictable() {
                slot.queued = false;
            } else if last_use != queued_use {
                self.queue.push_back((no, last_use));
            } else {
                self.loaded_bytes -= slot.loaded_bytes();
                slot.leaf = None;
                slot.queued = false;
            }
        }
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
