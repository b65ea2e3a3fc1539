//! What keeps a segment or a map page in the store (rule 5 of [`crate::protocol`]).
//!
//! Owns: the answer for both, from what is committed. Does not own: deleting, and which of them are worth asking about.
//!
//! A committed checkpoint is the only source of pins today. Whatever else may need a segment or a page (a snapshot's map, a clone, a
//! window of the past, a client of the log) becomes a part of [`Pins`] and a variant of [`Pin`]; nobody can then ask without it.
use lsd_core::format::checkpoint::LeafPlace;
use lsd_core::format::header::LogRecord;
use lsd_core::format::root::SegmentEntry;
use lsd_core::units::{CheckpointId, SegmentNo};
use std::collections::BTreeSet;

/// A map page: its checkpoint and its number there.
pub type PageKey = (CheckpointId, u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pin {
    /// The committed map needs it: until the header names a checkpoint that does not, a crash brings back a map that does.
    Map,
    /// It lies at or beyond the committed replay point, so replay reads its records.
    Replay,
    /// What the committed map needs was not looked at.
    Unknown,
}

#[derive(Clone, Debug)]
pub struct Pins {
    replay_from: SegmentNo,
    /// Pages that the committed map needs, its root's included. `None`: not known.
    pages: Option<BTreeSet<PageKey>>,
}

impl Pins {
    /// Of the log that the last successful update of the header has, for segments; every page is pinned.
    pub fn of_log(log: &LogRecord) -> Self {
        Self { replay_from: log.replay_from, pages: None }
    }

    /// The same for pages, too. `leaves`: where the leaves of the committed root are.
    pub fn new(log: &LogRecord, leaves: BTreeSet<PageKey>) -> Self {
        let mut pages = leaves;
        pages.extend(root_pages(log));
        Self { pages: Some(pages), ..Self::of_log(log) }
    }

    /// What keeps the segment; `None`: it may be deleted. `entry`: as the committed root has it.
    pub fn segment(&self, entry: &SegmentEntry) -> Option<Pin> {
        if entry.segment >= self.replay_from {
            return Some(Pin::Replay);
        }
        (entry.live > 0).then_some(Pin::Map)
    }

    /// What keeps the page; `None`: it may be deleted.
    pub fn page(&self, page: PageKey) -> Option<Pin> {
        match &self.pages {
            Some(pages) => pages.contains(&page).then_some(Pin::Map),
            None => Some(Pin::Unknown),
        }
    }
}

/// The pages of the root that the log names.
pub fn root_pages(log: &LogRecord) -> impl Iterator<Item = PageKey> + '_ {
    let root = log.checkpoint.iter();
    root.flat_map(|root| (0..root.root_pages).map(|index| (root.id, root.first_root_page + index)))
}

/// The pages that have a leaf.
pub fn leaf_pages(place: &LeafPlace) -> impl Iterator<Item = PageKey> + use<> {
    place.pointers().map(|at| (at.checkpoint, at.page))
}

#[cfg(test)]
mod tests;
