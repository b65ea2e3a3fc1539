//! Copying into an image's own log what it has of its ancestors', as a flatten does.
//!
//! Owns: which bytes those are, and copying them leaf by leaf. Does not own: reading them (`fetch.rs`), entering the copies
//! (`state/relocation.rs`), what follows from it (`session/flatten.rs`).
use super::fetch::fetch;
use super::survey::{LiveExtent, Survey};
use super::{Collector, batches};
use crate::api::error::corrupt;
use crate::checkpoint::Checkpointer;
use crate::{ErrorKind, Progress, Result};
use lsd_core::units::{LEAF_SPAN_BYTES, LeafNo, SegmentNo, Seq};
use lsd_state::lineage::{Home, Lineage};
use lsd_state::log::Stream;
use std::collections::BTreeMap;

/// Whose data is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// That of all ancestors.
    Ancestors,
    /// That of the source of a migration.
    Source,
}

impl Reach {
    pub(crate) fn has(self, lineage: &Lineage, segment: SegmentNo) -> bool {
        match self {
            Reach::Ancestors => !lineage.is_own(segment),
            Reach::Source => lineage.is_sources(segment),
        }
    }
}

impl Collector {
    /// Afterwards the committed map has nothing of the ancestors' that are meant, nor is it stored with the source of a migration. Progress is in bytes of the image. `Corrupt`: something of an
    /// ancestor's does not verify; what was copied before stays copied.
    pub(crate) async fn adopt(&self, checkpointer: &Checkpointer, reach: Reach, progress: Progress<'_>) -> Result<()> {
        let leaves: Vec<(LeafNo, u64)> = {
            let state = self.shared.lock();
            let size = state.view.size;
            state.view.map.leaves().map(|leaf| (leaf, leaf.len_in(size))).collect()
        };
        let total = leaves.iter().map(|(_, len)| len).sum();
        let (mut done, mut entered) = (0, Seq(0));
        for (leaf, len) in leaves {
            progress(done, total)?;
            for (segment, (home, extents)) in self.of_ancestors(leaf, reach).await? {
                let copies = fetch(&self.objects, &self.shared.checksums, Survey { segment, home, extents }).await;
                // Nobody moves what an ancestor has: that it is gone is damage.
                let copies = copies.map_err(|error| match error.kind {
                    ErrorKind::NotFound => error.with_kind(ErrorKind::Corrupt),
                    _ => error,
                })?;
                // Those of before have landed while these were read: no more than both are in memory.
                self.shared.wait_durable(entered).await?;
                let mut moved = copies.moved;
                moved.sort_by_key(|copy| copy.offset);
                for batch in batches(&moved) {
                    entered = self.enter(Stream::Moved, batch, false).await?;
                }
            }
            self.leave_sources_pages(leaf).await?;
            self.shared.trim_leaves(self.map_cache_bytes);
            done += len;
        }
        self.shared.wait_durable(entered).await?;
        // Also where there was nothing to copy: the root may be an ancestor's.
        self.end_and_checkpoint(checkpointer).await?;
        progress(total, total)
    }

    /// A leaf that the source of a migration has stored is stored anew by the next checkpoint, also where nothing of it was copied.
    async fn leave_sources_pages(&self, leaf: LeafNo) -> Result<()> {
        loop {
            let missing = {
                let mut state = self.shared.lock();
                match state.view.map.stored_unchanged(leaf) {
                    Some(at) if self.objects.is_sources_leaf(at) => match state.view.map.store_anew(leaf) {
                        Ok(()) => return Ok(()),
                        Err(_) => state.view.map.missing(leaf.start(), u64::from(LEAF_SPAN_BYTES)),
                    },
                    _ => return Ok(()),
                }
            };
            self.shared.load_leaves_again(&self.objects, missing).await?;
        }
    }

    /// What of a leaf lies in segments of ancestors.
    async fn of_ancestors(&self, leaf: LeafNo, reach: Reach) -> Result<BTreeMap<SegmentNo, (Home, Vec<LiveExtent>)>> {
        let extents = self.extents_of(leaf).await?;
        let state = self.shared.lock();
        let mut found: BTreeMap<SegmentNo, (Home, Vec<LiveExtent>)> = BTreeMap::new();
        for extent in extents {
            let Some(from) = extent.loc.filter(|loc| reach.has(&state.view.lineage, loc.segment())) else { continue };
            let Some(home) = state.view.lineage.home(from.segment()) else {
                let why = format!("the map points into segment {}, which nobody wrote", from.segment());
                return Err(corrupt(&self.objects.header(), why));
            };
            let extent = LiveExtent { offset: extent.offset, from, len: extent.len as u32, is_copy: false };
            found.entry(from.segment()).or_insert_with(|| (home, Vec::new())).1.push(extent);
        }
        Ok(found)
    }
}
