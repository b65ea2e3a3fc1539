//! The pages of a checkpoint: which leaf is written whole and which as a patch, what goes into which page, and writing them while the
//! next are filled, so that few are in memory.
//!
//! Owns: that choice's two outcomes laid out in pages, pages in flight. Does not own: when a patch is worth it
//! (`lsd_core::map::Patch`), what is in the root (`checkpoint/root.rs`), the order of the steps (`checkpoint/`).
use crate::Result;
use crate::api::limits::CHECKPOINT_PAGES;
use crate::objects::Objects;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use futures::{FutureExt, poll};
use lsd_core::format::checkpoint::{
    LeafPlace, LeafPointer, MAX_PAGE_BYTES, PAGE_HEADER_BYTES, PageKind, PatchPointer, encode_page,
};
use lsd_core::map::{Leaf, Patch, Snapshot};
use lsd_core::units::{CheckpointId, LeafNo};
use std::task::Poll;

/// Bytes of what a page holds.
const PAYLOAD_BYTES: usize = MAX_PAGE_BYTES - PAGE_HEADER_BYTES;

/// A page that is being filled. It has its number from its first byte on: what points into it says so.
#[derive(Debug, Default)]
struct Filling {
    page: Option<u32>,
    payload: Vec<u8>,
}

/// Numbers the pages of one checkpoint and writes them.
pub(super) struct Pages<'a> {
    objects: &'a Objects,
    id: CheckpointId,
    next: u32,
    /// Patches have pages of their own: a page is kept as long as one thing in it is needed, and patches are needed until the
    /// next checkpoint, bases for long.
    bases: Filling,
    patches: Filling,
    root: Vec<u8>,
    in_flight: FuturesUnordered<BoxFuture<'a, Result<()>>>,
}

impl<'a> Pages<'a> {
    pub(super) fn new(objects: &'a Objects, id: CheckpointId) -> Self {
        let (bases, patches) = (Filling::default(), Filling::default());
        Self { objects, id, next: 0, bases, patches, root: Vec::new(), in_flight: FuturesUnordered::new() }
    }

    /// The objects that they are among, and their checkpoint.
    pub(super) fn whose(&self) -> (&'a Objects, CheckpointId) {
        (self.objects, self.id)
    }

    /// How many pages there are so far.
    pub(super) fn count(&self) -> u32 {
        self.next
    }

    /// Where the leaf lies from now on; `None` for an empty one. `before`: where it is stored.
    pub(super) async fn add_leaf(
        &mut self,
        leaf: LeafNo,
        snapshot: &Snapshot,
        before: Option<LeafPlace>,
    ) -> Result<Option<LeafPlace>> {
        if snapshot.content.is_empty() {
            return Ok(None);
        }
        // A patch over a leaf of an ancestor's would keep that needed after all else of it was copied.
        let before = before.filter(|at| at.pointers().all(|at| self.objects.has_page(at.checkpoint)));
        let changed = before.zip(snapshot.changed());
        let patch = changed.and_then(|(at, changed)| Patch::worth_writing(&snapshot.content, changed, &at));
        // A leaf's size is known once it is encoded: which of its forms is the smallest takes most of the work.
        if let (Some(patch), Some(LeafPlace { base, patch: earlier })) = (patch, before) {
            let mut encoded = Vec::new();
            patch.encode(leaf, &base, &mut encoded);
            let at = self.add(&encoded, true).await?;
            let spent = earlier.map_or(0, |earlier| earlier.spent).saturating_add(at.len);
            return Ok(Some(LeafPlace { base, patch: Some(PatchPointer { at, spent }) }));
        }
        Ok(Some(self.add_whole(leaf, &snapshot.content).await?))
    }

    /// Where a leaf that has something lies from now on.
    pub(super) async fn add_whole(&mut self, leaf: LeafNo, content: &Leaf) -> Result<LeafPlace> {
        let mut encoded = Vec::new();
        content.encode(leaf, &mut encoded);
        Ok(LeafPlace { base: self.add(&encoded, false).await?, patch: None })
    }

    async fn add(&mut self, encoded: &[u8], is_patch: bool) -> Result<LeafPointer> {
        let filling = if is_patch { &self.patches } else { &self.bases };
        if filling.payload.len() + encoded.len() > PAYLOAD_BYTES {
            self.seal(is_patch).await?;
        }
        let filling = if is_patch { &mut self.patches } else { &mut self.bases };
        let page = *filling.page.get_or_insert_with(|| {
            self.next += 1;
            self.next - 1
        });
        let offset = (PAGE_HEADER_BYTES + filling.payload.len()) as u32;
        filling.payload.extend_from_slice(encoded);
        Ok(LeafPointer { checkpoint: self.id, page, offset, len: encoded.len() as u32 })
    }

    async fn seal(&mut self, is_patch: bool) -> Result<()> {
        let filling = std::mem::take(if is_patch { &mut self.patches } else { &mut self.bases });
        match filling.page {
            Some(page) => self.put(page, PageKind::Leaves, &filling.payload).await,
            None => Ok(()),
        }
    }

    /// All leaves are in: what follows is the root.
    pub(super) async fn end_leaves(&mut self) -> Result<()> {
        self.seal(false).await?;
        self.seal(true).await
    }

    /// What the payload of the root goes on with, for `fill` to append.
    pub(super) async fn add_root(&mut self, kind: PageKind, fill: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
        fill(&mut self.root);
        while self.root.len() > PAYLOAD_BYTES {
            let rest = self.root.split_off(PAYLOAD_BYTES);
            self.put_root(kind, rest).await?;
        }
        Ok(())
    }

    async fn put_root(&mut self, kind: PageKind, rest: Vec<u8>) -> Result<()> {
        let payload = std::mem::replace(&mut self.root, rest);
        self.next += 1;
        self.put(self.next - 1, kind, &payload).await
    }

    /// Everything is in: waits until it is written.
    pub(super) async fn end_root(&mut self, kind: PageKind) -> Result<()> {
        if !self.root.is_empty() {
            self.put_root(kind, Vec::new()).await?;
        }
        while let Some(put) = self.in_flight.next().await {
            put?;
        }
        Ok(())
    }

    /// Begins to write a page, once there are not too many on their way.
    async fn put(&mut self, page: u32, kind: PageKind, payload: &[u8]) -> Result<()> {
        while self.in_flight.len() >= CHECKPOINT_PAGES {
            self.in_flight.next().await.unwrap_or(Ok(()))?;
        }
        let bytes = Bytes::from(encode_page(&self.objects.page_identity(self.id, page), kind, payload));
        let (objects, name) = (self.objects, self.objects.page(self.id, page));
        self.in_flight.push(async move { Ok(objects.meta.put(&name, bytes).await?) }.boxed());
        // It starts now, and goes on while the next page is filled.
        match poll!(self.in_flight.next()) {
            Poll::Ready(Some(put)) => put,
            _ => Ok(()),
        }
    }
}
