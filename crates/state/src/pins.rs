//! What keeps a segment or a map page in the store (rule 5 of [`crate::protocol`]).
//!
//! Owns: the answer for both, from what is committed. Does not own: deleting, and which of them are worth asking about.
//!
//! A committed checkpoint and the snapshots are the sources of pins. How many snapshots need a segment is in the checkpoint's table of
//! segments, how many need a page in its table of pages; both change in the same update of the header as the snapshots do. So nobody
//! has to read the snapshots' maps to know what they need. Whatever else may need a segment or a page (a clone, a window of the past,
//! a client of the log) becomes a part of [`Pins`] and a variant of [`Pin`]; nobody can then ask without it.
use lsd_core::format::checkpoint::LeafPlace;
use lsd_core::format::header::{Ancestor, CheckpointPointer, LogRecord};
use lsd_core::format::root::{PinnedPage, SegmentEntry};
use lsd_core::units::{CheckpointId, SegmentNo, SnapId};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

/// A map page: its checkpoint and its number there.
pub type PageKey = (CheckpointId, u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pin {
    /// The committed map needs it: until the header names a checkpoint that does not, a crash brings back a map that does.
    Map,
    /// It lies at or beyond the committed replay point, so replay reads its records.
    Replay,
    /// A snapshot's map needs it.
    Snapshot,
    /// It has copies that snapshots' maps are about to point at (rule 37).
    Moving,
    /// The destination of a migration may need it (rule 38).
    Migration,
    /// What the committed map needs was not looked at.
    Unknown,
}

#[derive(Clone, Debug)]
pub struct Pins {
    replay_from: SegmentNo,
    /// Pages that the committed map needs, its root's included. `None`: not known.
    pages: Option<BTreeSet<PageKey>>,
    snapshots: SnapshotPins,
}

/// The map pages that snapshots need.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotPins {
    /// Their roots.
    roots: BTreeMap<SnapId, CheckpointPointer>,
    /// Pages with leaves, and how many snapshots need each.
    pages: BTreeMap<PageKey, u32>,
    /// Segments with copies that no map points at yet.
    moving: BTreeSet<SegmentNo>,
    /// Of the source of a migration.
    frozen: Option<Frozen>,
}

/// What the source of a migration had when that began: the numbers up to these. The destination's maps may point at any of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frozen {
    pub last_segment: SegmentNo,
    pub last_checkpoint: CheckpointId,
}

impl Frozen {
    pub fn has_page(&self, (checkpoint, _): PageKey) -> bool {
        checkpoint <= self.last_checkpoint
    }

    /// The bounds in the source's record of the migration.
    pub fn of(source: &Ancestor) -> Self {
        Self { last_segment: source.last_segment, last_checkpoint: source.last_checkpoint }
    }
}

/// How a snapshot's map is stored elsewhere from now on.
#[derive(Clone, Debug)]
pub struct Restored {
    pub id: SnapId,
    pub root: CheckpointPointer,
    /// Pages with leaves that it needs no more, and those that it needs, too.
    pub left: BTreeSet<PageKey>,
    pub entered: BTreeSet<PageKey>,
}

impl SnapshotPins {
    /// As the header and the committed root have them.
    pub fn new(roots: impl IntoIterator<Item = (SnapId, CheckpointPointer)>, pages: &[PinnedPage]) -> Self {
        let pinned = pages.iter().filter(|page| page.pins > 0);
        let pages = pinned.map(|page| (page.key(), page.pins)).collect();
        Self { roots: roots.into_iter().collect(), pages, moving: BTreeSet::new(), frozen: None }
    }

    /// The image is the source of a migration.
    #[must_use]
    pub fn with_frozen(self, frozen: Option<Frozen>) -> Self {
        Self { frozen, ..self }
    }

    /// Of these pages, those that are only kept for the destination of a migration.
    pub fn kept_frozen(&self, pages: &[PageKey]) -> Vec<PageKey> {
        let is_frozen = |page: &&PageKey| self.frozen.is_some_and(|frozen| frozen.has_page(**page));
        pages.iter().filter(is_frozen).copied().collect()
    }

    /// A snapshot with this root needs these pages with leaves, too.
    pub fn add(&mut self, id: SnapId, root: CheckpointPointer, pages: &BTreeSet<PageKey>) {
        self.roots.insert(id, root);
        self.add_pages(pages);
    }

    /// One more snapshot needs these pages with leaves.
    pub fn add_pages(&mut self, pages: &BTreeSet<PageKey>) {
        for page in pages {
            *self.pages.entry(*page).or_default() += 1;
        }
    }

    /// A snapshot does not need them any more.
    pub fn remove(&mut self, id: SnapId, pages: &BTreeSet<PageKey>) {
        self.roots.remove(&id);
        self.remove_pages(pages);
    }

    /// A snapshot's map is the same, and lies elsewhere.
    pub fn restore(&mut self, restored: &Restored) {
        self.roots.insert(restored.id, restored.root);
        self.remove_pages(&restored.left);
        self.add_pages(&restored.entered);
    }

    /// These segments stay until [`SnapshotPins::end_moving`].
    pub fn begin_moving(&mut self, segments: impl IntoIterator<Item = SegmentNo>) {
        self.moving.extend(segments);
    }

    pub fn end_moving(&mut self) {
        self.moving.clear();
    }

    fn remove_pages(&mut self, pages: &BTreeSet<PageKey>) {
        for page in pages {
            if let Entry::Occupied(mut pins) = self.pages.entry(*page) {
                *pins.get_mut() -= 1;
                if *pins.get() == 0 {
                    pins.remove();
                }
            }
        }
    }

    /// What either of two counts says, where one of them may know too little.
    #[must_use]
    pub fn with_at_least(mut self, other: &Self) -> Self {
        self.roots.extend(&other.roots);
        for (page, pins) in &other.pages {
            let own = self.pages.entry(*page).or_default();
            *own = (*own).max(*pins);
        }
        self
    }

    /// The snapshot is among those whose needs are counted.
    pub fn has_root(&self, id: SnapId) -> bool {
        self.roots.contains_key(&id)
    }

    /// Pages with leaves, in order.
    pub fn pages(&self) -> impl ExactSizeIterator<Item = PinnedPage> + '_ {
        self.pages.iter().map(|((checkpoint, page), pins)| PinnedPage {
            checkpoint: *checkpoint,
            page: *page,
            pins: *pins,
        })
    }

    /// For the root of the next checkpoint, in order. `left`: what it lets go of.
    pub fn for_root(&self, left: &BTreeSet<PageKey>) -> Vec<PinnedPage> {
        let unpinned = left.iter().filter(|page| !self.pages.contains_key(page));
        let unpinned = unpinned.map(|(checkpoint, page)| PinnedPage { checkpoint: *checkpoint, page: *page, pins: 0 });
        let mut pages: Vec<PinnedPage> = self.pages().chain(unpinned).collect();
        pages.sort_unstable_by_key(PinnedPage::key);
        pages
    }

    /// All of them.
    pub fn all_pages(&self) -> impl Iterator<Item = PageKey> + '_ {
        self.pages.keys().copied().chain(self.roots.values().flat_map(pages_of_root))
    }

    fn has(&self, page: PageKey) -> bool {
        let is_of = |root: &CheckpointPointer| {
            root.id == page.0
                && (root.first_root_page..root.first_root_page.saturating_add(root.root_pages)).contains(&page.1)
        };
        self.pages.contains_key(&page) || self.roots.values().any(is_of)
    }
}

impl Pins {
    /// Of the log that the last successful update of the header has, for segments; every page is pinned.
    pub fn of_log(log: &LogRecord) -> Self {
        Self { replay_from: log.replay_from, pages: None, snapshots: SnapshotPins::default() }
    }

    /// The same of an image that is, or may be, the source of a migration.
    #[must_use]
    pub fn with_frozen(self, frozen: Option<Frozen>) -> Self {
        Self { snapshots: self.snapshots.with_frozen(frozen), ..self }
    }

    /// Of these pages, those that are only kept for the destination of a migration.
    pub fn kept_frozen(&self, pages: &[PageKey]) -> Vec<PageKey> {
        self.snapshots.kept_frozen(pages)
    }

    /// The same for pages, too. `leaves`: where the leaves of the committed root are. `snapshots`: as the header has them by then.
    pub fn new(log: &LogRecord, leaves: BTreeSet<PageKey>, snapshots: SnapshotPins) -> Self {
        let mut pages = leaves;
        pages.extend(root_pages(log));
        Self { pages: Some(pages), snapshots, ..Self::of_log(log) }
    }

    /// What keeps the segment; `None`: it may be deleted. `entry`: as the committed root has it.
    pub fn segment(&self, entry: &SegmentEntry) -> Option<Pin> {
        if entry.segment >= self.replay_from {
            return Some(Pin::Replay);
        }
        match entry {
            SegmentEntry { live: 1.., .. } => Some(Pin::Map),
            SegmentEntry { pins: 1.., .. } => Some(Pin::Snapshot),
            _ if self.snapshots.moving.contains(&entry.segment) => Some(Pin::Moving),
            _ => {
                let is_frozen = |frozen: Frozen| entry.segment <= frozen.last_segment;
                self.snapshots.frozen.is_some_and(is_frozen).then_some(Pin::Migration)
            }
        }
    }

    /// What keeps the page; `None`: it may be deleted.
    pub fn page(&self, page: PageKey) -> Option<Pin> {
        match &self.pages {
            Some(pages) if pages.contains(&page) => Some(Pin::Map),
            Some(_) if self.snapshots.has(page) => Some(Pin::Snapshot),
            Some(_) => {
                let is_frozen = |frozen: Frozen| frozen.has_page(page);
                self.snapshots.frozen.is_some_and(is_frozen).then_some(Pin::Migration)
            }
            None => Some(Pin::Unknown),
        }
    }
}

/// The pages of the root that the log names.
pub fn root_pages(log: &LogRecord) -> impl Iterator<Item = PageKey> + '_ {
    log.checkpoint.iter().flat_map(pages_of_root)
}

/// The pages of one root.
pub fn pages_of_root(root: &CheckpointPointer) -> impl Iterator<Item = PageKey> + use<> {
    let CheckpointPointer { id, first_root_page, root_pages, .. } = *root;
    (0..root_pages).map(move |index| (id, first_root_page + index))
}

/// The pages that have a leaf.
pub fn leaf_pages(place: &LeafPlace) -> impl Iterator<Item = PageKey> + use<> {
    place.pointers().map(|at| (at.checkpoint, at.page))
}

#[cfg(test)]
mod tests;
