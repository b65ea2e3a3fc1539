//! The pages of a checkpoint: which leaf is written whole and which as a patch, and what goes into which page.
//!
//! Owns: that choice's two outcomes laid out in pages. Does not own: when a patch is worth it (`lsd_core::map::Patch`), writing
//! the pages, the order of the steps (`checkpoint.rs`).
use crate::objects::Objects;
use bytes::Bytes;
use lsd_core::format::checkpoint::{
    LeafPlace, LeafPointer, MAX_PAGE_BYTES, PAGE_HEADER_BYTES, PageKind, PatchPointer, encode_page,
};
use lsd_core::format::root::LeafEntry;
use lsd_core::map::{Patch, Snapshot};
use lsd_core::units::{CheckpointId, LeafNo};
use std::collections::BTreeMap;

/// Leaf pages that are filled one after another.
struct Pages<'a> {
    objects: &'a Objects,
    id: CheckpointId,
    sealed: Vec<Bytes>,
    payload: Vec<u8>,
}

impl Pages<'_> {
    fn add(&mut self, encoded: &[u8]) -> LeafPointer {
        if self.payload.len() + encoded.len() > MAX_PAGE_BYTES - PAGE_HEADER_BYTES {
            self.seal();
        }
        let offset = (PAGE_HEADER_BYTES + self.payload.len()) as u32;
        self.payload.extend_from_slice(encoded);
        LeafPointer { checkpoint: self.id, page: self.sealed.len() as u32, offset, len: encoded.len() as u32 }
    }

    /// What follows goes into another page.
    fn seal(&mut self) {
        if !self.payload.is_empty() {
            let identity = self.objects.page_identity(self.id, self.sealed.len() as u32);
            self.sealed.push(Bytes::from(encode_page(&identity, PageKind::Leaves, &self.payload)));
            self.payload.clear();
        }
    }
}

/// The leaves of `dirty` in pages, and the place of each; an empty leaf gets none. `stored`: where leaves are stored now.
///
/// Patches have pages of their own: a page is kept as long as one thing in it is needed, and patches are needed until the
/// next checkpoint, bases for long.
pub(super) fn leaf_pages(
    objects: &Objects,
    id: CheckpointId,
    dirty: &[(LeafNo, Snapshot)],
    stored: &BTreeMap<LeafNo, LeafEntry>,
) -> (Vec<Bytes>, Vec<Option<LeafPlace>>) {
    let mut pages = Pages { objects, id, sealed: Vec::new(), payload: Vec::new() };
    let mut places = Vec::with_capacity(dirty.len());
    let mut patches = Vec::new();
    // A leaf's size is known once it is encoded: which of its forms is the smallest takes most of the work.
    let mut encoded = Vec::new();
    for (leaf, snapshot) in dirty {
        if snapshot.content.is_empty() {
            places.push(None);
            continue;
        }
        let before = stored.get(leaf).map(|entry| entry.at);
        let changed = before.zip(snapshot.changed());
        let patch = changed.and_then(|(at, changed)| Patch::worth_writing(&snapshot.content, changed, &at));
        if let (Some(patch), Some(before)) = (patch, before) {
            patches.push((places.len(), *leaf, patch, before));
            places.push(None);
            continue;
        }
        encoded.clear();
        snapshot.content.encode(*leaf, &mut encoded);
        places.push(Some(LeafPlace { base: pages.add(&encoded), patch: None }));
    }
    pages.seal();
    for (index, leaf, patch, LeafPlace { base, patch: before }) in patches {
        encoded.clear();
        patch.encode(leaf, &base, &mut encoded);
        let at = pages.add(&encoded);
        let spent = before.map_or(0, |before| before.spent).saturating_add(at.len);
        places[index] = Some(LeafPlace { base, patch: Some(PatchPointer { at, spent }) });
    }
    pages.seal();
    (pages.sealed, places)
}

/// The root's payload in pages of this kind, from page `first` on.
pub(super) fn root_pages(
    objects: &Objects,
    id: CheckpointId,
    first: u32,
    kind: PageKind,
    payload: &[u8],
) -> Vec<Bytes> {
    let parts = payload.chunks(MAX_PAGE_BYTES - PAGE_HEADER_BYTES);
    let encode = |(index, part)| {
        let identity = objects.page_identity(id, first + index as u32);
        Bytes::from(encode_page(&identity, kind, part))
    };
    parts.enumerate().map(encode).collect()
}
