//! Copying into a clone's own log what its snapshots, and its head with them, have of its ancestors', as a deep flatten does.
//!
//! Owns: which bytes those are, part by part of the image. Does not own: what only the head has (`collect/adopt.rs`), what follows from
//! it (`session/flatten.rs`).
use super::super::adopt::Reach;
use super::{Collector, Moving, Needed, Place, batches};
use crate::Result;
use crate::checkpoint::Checkpointer;
use crate::checkpoint::purpose::Purpose;
use crate::checkpoint::rewrite::{Moves, Rewrite};
use crate::recovery::snapshot;
use lsd_core::format::header::SnapRecord;
use lsd_core::units::{LeafNo, Seq};
use std::collections::BTreeSet;
use std::ops::Range;

impl Collector {
    /// The leaves that any of the snapshots has.
    pub(crate) async fn leaves_of_all(&self, snapshots: &[SnapRecord]) -> Result<BTreeSet<LeafNo>> {
        let mut leaves = BTreeSet::new();
        for record in snapshots {
            let root = snapshot::root_of(&self.objects, record).await?;
            leaves.extend(root.leaves.iter().map(|entry| entry.leaf));
        }
        Ok(leaves)
    }

    /// Of the leaves in this range. `changes`: called before the header is changed. With nobody changing these snapshots meanwhile.
    /// `Corrupt`: something of an ancestor's does not verify.
    pub(crate) async fn adopt_with_snapshots(
        &self,
        checkpointer: &Checkpointer,
        (snapshots, reach): (Vec<SnapRecord>, Reach),
        range: Range<u32>,
        changes: &(dyn Fn() + Sync),
    ) -> Result<()> {
        let places = self.places_of(&snapshots, |leaf| range.contains(&leaf.0)).await?;
        let (lineage, of_head): (_, BTreeSet<LeafNo>) = {
            let state = self.shared.lock();
            let of_head = state.view.map.leaves_in(LeafNo(range.start)..=LeafNo(range.end.saturating_sub(1)));
            (state.view.lineage.clone(), of_head.collect())
        };
        let numbers: BTreeSet<LeafNo> = places.iter().map(|(leaf, _)| *leaf).collect();
        let _moving = Moving(&self.shared);
        let (mut moves, mut last, mut leaves) = (Moves::default(), Seq(0), BTreeSet::new());
        for leaf in numbers {
            let mut needed = Needed::of_ancestors(lineage.clone(), reach);
            let stored: Vec<Place> = places.iter().filter(|place| place.0 == leaf).copied().collect();
            self.add_places(&stored, &mut needed).await?;
            if stored.iter().any(|(_, at)| self.objects.is_sources_leaf(at)) {
                leaves.insert(leaf);
            }
            if needed.is_empty() {
                continue;
            }
            if of_head.contains(&leaf) {
                self.add_head(leaf, &mut needed).await?;
            }
            needed.join();
            let copies = self.copies_of_needed(&mut needed).await?;
            // Those of before have landed while these were read: no more than both are in memory.
            self.shared.wait_durable(last).await?;
            for batch in batches(&copies) {
                last = self.enter_all(batch, false, &mut moves).await?;
            }
            leaves.insert(leaf);
        }
        let is_sources = |record: &SnapRecord| self.objects.is_sources_page(record.root.id);
        if leaves.is_empty() && !snapshots.iter().any(is_sources) {
            return Ok(());
        }
        self.shared.wait_durable(last).await?;
        let rewrite = Rewrite { snapshots, leaves, moves, emptied: BTreeSet::new() };
        changes();
        checkpointer.write(&self.objects, &self.shared, Purpose::Rewrite(Box::new(rewrite))).await
    }
}
