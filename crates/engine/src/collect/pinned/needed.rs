//! What of some segments the head and the snapshots point at, together.
//!
//! Owns: finding it, by the leaves that the segments' own records name, and reading it. Does not own: what is done with it.
use super::super::fetch::fetch;
use super::super::survey::{LiveExtent, Survey};
use super::{Collector, Sparse};
use crate::api::limits::{LEAST_GAIN_FRACTION, WALK_LEAVES};
use crate::recovery::{read_segment, snapshot};
use crate::{ErrorKind, Result};
use lsd_core::format::checkpoint::LeafPlace;
use lsd_core::format::header::SnapRecord;
use lsd_core::units::{LeafNo, Loc, SegmentNo};
use lsd_state::state::Relocation;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Default)]
pub(super) struct Needed {
    pub(super) segments: BTreeSet<SegmentNo>,
    /// Leaves that may point into them.
    pub(super) leaves: BTreeSet<LeafNo>,
    /// In the order of the log, none beside another that it continues.
    extents: Vec<LiveExtent>,
}

impl Needed {
    /// What is needed of a leaf, in its order.
    fn add(&mut self, leaf: LeafNo, runs: impl Iterator<Item = (u64, Option<Loc>, u64)>) {
        for (offset, loc, len) in runs {
            if let Some(from) = loc.filter(|loc| self.segments.contains(&loc.segment())) {
                self.extents.push(LiveExtent { offset, from, len: len as u32, is_copy: true });
            }
        }
        debug_assert!(self.leaves.contains(&leaf));
    }

    /// What several maps point at counts once.
    fn join(&mut self) {
        self.extents.sort_unstable_by_key(|extent| (extent.from, extent.len));
        let mut joined: Vec<LiveExtent> = Vec::with_capacity(self.extents.len());
        for extent in &self.extents {
            let end = extent.from.0 + u64::from(extent.len);
            match joined.last_mut() {
                // Data lies at one place of the image, whichever map points at it.
                Some(last)
                    if extent.from.0 <= last.from.0 + u64::from(last.len)
                        && extent.from.segment() == last.from.segment()
                        && extent.offset.wrapping_sub(last.offset) == extent.from.0 - last.from.0 =>
                {
                    last.len = last.len.max((end - last.from.0) as u32);
                }
                _ => joined.push(*extent),
            }
        }
        self.extents = joined;
    }

    /// Without a segment.
    fn leave(&mut self, segment: SegmentNo) {
        self.segments.remove(&segment);
        self.extents.retain(|extent| extent.from.segment() != segment);
    }

    /// Segments of which more is needed than their snapshots' tables could tell.
    pub(super) fn leave_what_is_no_gain(&mut self, round: &[Sparse]) {
        let mut bytes: BTreeMap<SegmentNo, u64> = BTreeMap::new();
        for extent in &self.extents {
            *bytes.entry(extent.from.segment()).or_default() += u64::from(extent.len);
        }
        for sparse in round {
            let needed = bytes.get(&sparse.segment).copied().unwrap_or_default();
            if needed + needed / LEAST_GAIN_FRACTION >= sparse.len {
                self.leave(sparse.segment);
            }
        }
    }
}

impl Collector {
    pub(super) async fn needed_of(&self, round: &[Sparse], snapshots: &[SnapRecord]) -> Result<Needed> {
        let mut needed = Needed::default();
        for sparse in round {
            match self.leaves_of(sparse.segment).await {
                Ok(leaves) => {
                    needed.segments.insert(sparse.segment);
                    needed.leaves.extend(leaves);
                }
                Err(error) => self.leave_damaged(sparse.segment, error)?,
            }
        }
        let leaves = needed.leaves.clone();
        for leaf in &leaves {
            let extents = self.extents_of(*leaf).await?;
            needed.add(*leaf, extents.iter().map(|extent| (extent.offset, extent.loc, extent.len)));
            self.shared.trim_leaves(self.map_cache_bytes);
        }
        // Snapshots share leaves: each is looked at once.
        let mut seen: BTreeSet<(LeafNo, LeafPlace)> = BTreeSet::new();
        for record in snapshots {
            let root = snapshot::root_of(&self.objects, record).await?;
            let concerned = root.leaves.iter().filter(|entry| leaves.contains(&entry.leaf));
            let unseen: Vec<_> =
                concerned.map(|entry| (entry.leaf, entry.at)).filter(|leaf| seen.insert(*leaf)).collect();
            for some in unseen.chunks(WALK_LEAVES) {
                for leaf in self.objects.read_leaves(some).await? {
                    let start = leaf.leaf.start();
                    let runs = leaf.content.runs();
                    needed
                        .add(leaf.leaf, runs.map(|run| (start + u64::from(run.start), Some(run.loc), run.len.into())));
                }
            }
            needed.join();
        }
        needed.join();
        Ok(needed)
    }

    /// Leaves of the ranges that the segment's records are of.
    async fn leaves_of(&self, segment: SegmentNo) -> Result<BTreeSet<LeafNo>> {
        let home = self.shared.lock().view.lineage.home(segment);
        let Some(home) = home else { return Ok(BTreeSet::new()) };
        let tail = self.objects.data.log_tail(&self.objects.segment_at(home, segment)).await?;
        let found = read_segment(&self.objects, segment, home.epoch, tail).await?;
        let records = found.batches.iter().flat_map(|batch| &batch.records).filter(|record| record.data().is_some());
        let ends = records.map(|record| (LeafNo::of(record.offset), LeafNo::of(record.offset + record.len() - 1)));
        Ok(ends.flat_map(|(first, last)| (first.0..=last.0).map(LeafNo)).collect())
    }

    /// In the order of the image. A segment whose data does not verify is left out.
    pub(super) async fn copies_of_needed(&self, needed: &mut Needed) -> Result<Vec<Relocation>> {
        let mut by_segment: BTreeMap<SegmentNo, Vec<LiveExtent>> = BTreeMap::new();
        for extent in &needed.extents {
            by_segment.entry(extent.from.segment()).or_default().push(*extent);
        }
        let mut copies = Vec::new();
        for (segment, extents) in by_segment {
            let Some(home) = self.shared.lock().view.lineage.home(segment) else { continue };
            let fetched = fetch(&self.objects, &self.shared.checksums, Survey { segment, home, extents }).await;
            match fetched {
                Ok(found) => copies.extend(found.settled),
                Err(error) => {
                    // Snapshots keep it: that it is gone is damage.
                    let is_gone = error.kind == ErrorKind::NotFound;
                    let error = if is_gone { error.with_kind(ErrorKind::Corrupt) } else { error };
                    self.leave_damaged(segment, error)?;
                    needed.leave(segment);
                }
            }
        }
        copies.sort_by_key(|copy| copy.offset);
        Ok(copies)
    }
}
