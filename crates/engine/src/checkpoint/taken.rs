//! The leaves that a checkpoint took: handed out of the map in steps, so that the image never stands still, and booked in steps.
//!
//! Owns: that every leaf that was taken is booked as stored or dirty again, also when the checkpoint is dropped half-way because whoever
//! asked for it went away. Does not own: the snapshot itself (`lsd_core::map`), pages (`checkpoint/pages.rs`).
use super::pages::Pages;
use crate::Result;
use crate::api::limits::CHECKPOINT_STEP_LEAVES;
use crate::shared::Shared;
use lsd_core::format::checkpoint::LeafPlace;
use lsd_core::map::SnapshotId;
use lsd_core::units::LeafNo;
use lsd_state::pins::{PageKey, leaf_pages};
use std::collections::BTreeSet;

/// A leaf in the pages of this checkpoint; without a place if it is empty.
#[derive(Clone, Copy, Debug)]
pub(super) struct StoredLeaf {
    pub(super) leaf: LeafNo,
    pub(super) place: Option<LeafPlace>,
    snapshot: SnapshotId,
}

impl StoredLeaf {
    pub(super) fn mapped(&self) -> u32 {
        self.snapshot.mapped_bytes()
    }
}

#[derive(Debug)]
pub(super) struct Taken<'a> {
    shared: &'a Shared,
    leaves: Vec<LeafNo>,
    stored: Vec<StoredLeaf>,
    /// The header names the checkpoint.
    committed: bool,
}

impl<'a> Taken<'a> {
    /// Leaves with which a take has begun.
    pub(super) fn new(shared: &'a Shared, leaves: Vec<LeafNo>) -> Self {
        Self { shared, leaves, stored: Vec::new(), committed: false }
    }

    /// What is in pages, in order.
    pub(super) fn stored(&self) -> &[StoredLeaf] {
        &self.stored
    }

    /// Puts the leaves into pages. Returns the pages that they were in before.
    pub(super) async fn write(&mut self, pages: &mut Pages<'_>) -> Result<BTreeSet<PageKey>> {
        let mut left = BTreeSet::new();
        self.leaves.sort_unstable();
        for leaves in self.leaves.chunks(CHECKPOINT_STEP_LEAVES) {
            let taken: Vec<_> = {
                let mut state = self.shared.lock();
                let taken = state.view.map.take_some(leaves);
                taken
                    .into_iter()
                    .map(|(leaf, snapshot)| (leaf, snapshot, state.view.map.stored(leaf).copied()))
                    .collect()
            };
            for (leaf, snapshot, before) in taken {
                let place = pages.add_leaf(leaf, &snapshot, before).await?;
                left.extend(before.iter().flat_map(leaf_pages));
                self.stored.push(StoredLeaf { leaf, place, snapshot: snapshot.id() });
            }
            tokio::task::yield_now().await;
        }
        Ok(left)
    }

    /// The header names the checkpoint: books the leaves as stored.
    pub(super) async fn commit(&mut self) {
        self.committed = true;
        while self.step() {
            tokio::task::yield_now().await;
        }
    }

    /// Books some leaves. Returns whether there are more.
    fn step(&mut self) -> bool {
        let mut state = self.shared.lock();
        if self.committed {
            let from = self.stored.len().saturating_sub(CHECKPOINT_STEP_LEAVES);
            for StoredLeaf { leaf, place, snapshot } in self.stored.drain(from..) {
                match place {
                    Some(place) if place.patch.is_some() => state.view.map.commit_patched(leaf, place, snapshot),
                    place => state.view.map.commit_stored(leaf, place, snapshot),
                }
            }
            return !self.stored.is_empty();
        }
        let from = self.leaves.len().saturating_sub(CHECKPOINT_STEP_LEAVES);
        state.view.map.fail_dirty(self.leaves.drain(from..));
        !self.leaves.is_empty()
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        while self.step() {}
    }
}
