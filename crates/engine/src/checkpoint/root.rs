//! The root of a checkpoint, written while the map goes on: where leaves are stored is changed by checkpoints only, of which one is
//! written at a time, so it may be looked at in steps.
//!
//! Owns: which leaves and segments are in the root. Does not own: its bytes (`lsd_core::format::root`), pages (`checkpoint/pages.rs`).
use super::{Capture, pages::Pages, purpose::Purpose, taken::StoredLeaf};
use crate::api::limits::CHECKPOINT_STEP_LEAVES;
use crate::shared::Shared;
use crate::{Error, ErrorKind, Result};
use lsd_core::format::checkpoint::PageKind;
use lsd_core::format::root::{LeafEntry, RootCounts, SegmentEntry};
use lsd_core::units::LeafNo;
use lsd_state::pins::PageKey;
use std::collections::BTreeSet;

/// A walk through the leaves of the new root: those that the map has in its last one, and, before them, those in the new pages.
struct Walk<'a> {
    shared: &'a Shared,
    new: &'a [StoredLeaf],
    /// The first leaf that the walk has not seen; `None` at the end.
    next: Option<LeafNo>,
}

impl<'a> Walk<'a> {
    fn new(shared: &'a Shared, new: &'a [StoredLeaf]) -> Self {
        Self { shared, new, next: Some(LeafNo(0)) }
    }

    /// The next leaves, in order. `None` at the end.
    async fn step(&mut self) -> Option<Vec<LeafEntry>> {
        let first = self.next?;
        tokio::task::yield_now().await;
        let (old, next) = self.shared.stored_leaves(first);
        self.next = next;
        // Everything old before the next one is known.
        let count = self.new.partition_point(|new| next.is_none_or(|next| new.leaf < next));
        let (new, rest) = self.new.split_at(count);
        self.new = rest;
        let is_old = |entry: &LeafEntry| new.binary_search_by_key(&entry.leaf, |new| new.leaf).is_err();
        let mut entries: Vec<LeafEntry> = old.into_iter().filter(is_old).collect();
        let entry = |new: &StoredLeaf| Some(LeafEntry { leaf: new.leaf, mapped: new.mapped(), at: new.place? });
        entries.extend(new.iter().filter_map(entry));
        entries.sort_unstable_by_key(|entry| entry.leaf);
        Some(entries)
    }
}

/// A root that is written.
pub(super) struct Root {
    /// Of its payload.
    pub(super) bytes: usize,
    /// The pages of the image's own that its leaves are in.
    pub(super) leaf_pages: BTreeSet<PageKey>,
}

/// Writes the root; `new`: the leaves in the pages of this checkpoint, `left`: pages that may not be needed any more. Returns what was
/// written.
pub(super) async fn write(
    shared: &Shared,
    pages: &mut Pages<'_>,
    new: &[StoredLeaf],
    (capture, left): (&Capture, &BTreeSet<PageKey>),
    purpose: &Purpose,
) -> Result<Root> {
    let Capture { segments, snapshots, moment, .. } = capture;
    let mut counts = RootCounts { segments: segments.count(), ..RootCounts::default() };
    let mut needed = BTreeSet::new();
    let (objects, _) = pages.whose();
    let mut walk = Walk::new(shared, new);
    while let Some(entries) = walk.step().await {
        counts.leaves += entries.len();
        counts.patches += entries.iter().filter(|entry| entry.at.patch.is_some()).count();
        needed.extend(objects.own_pages(entries.iter().map(|entry| &entry.at)));
    }
    let left: BTreeSet<PageKey> = left.difference(&needed).copied().collect();
    let pinned = purpose.pins_after(snapshots, &needed).for_root(&left);
    counts.pages = pinned.len();
    let kind = PageKind::MomentRoot;
    pages.add_root(kind, |out| counts.put(moment, out)).await?;
    let (mut leaves, mut patches) = (0, 0);
    let mut walk = Walk::new(shared, new);
    while let Some(entries) = walk.step().await {
        leaves += entries.len();
        pages.add_root(kind, |out| entries.iter().for_each(|entry| entry.put(out))).await?;
    }
    let mut entries = segments.entries();
    loop {
        let some: Vec<SegmentEntry> = entries.by_ref().take(CHECKPOINT_STEP_LEAVES).collect();
        if some.is_empty() {
            break;
        }
        pages.add_root(kind, |out| some.iter().for_each(|entry| entry.put(out))).await?;
    }
    let mut walk = Walk::new(shared, new);
    while counts.patches > 0
        && let Some(entries) = walk.step().await
    {
        patches += entries.iter().filter(|entry| entry.at.patch.is_some()).count();
        pages.add_root(kind, |out| entries.iter().for_each(|entry| entry.put_patch(out))).await?;
    }
    pages.add_root(kind, |out| pinned.iter().for_each(|page| page.put(out))).await?;
    if (leaves, patches) != (counts.leaves, counts.patches) {
        return Err(Error::new(ErrorKind::Io { errno: nix::libc::EIO }, "the map moved on under a checkpoint"));
    }
    pages.end_root(kind).await?;
    Ok(Root { bytes: counts.payload_bytes(), leaf_pages: needed })
}
