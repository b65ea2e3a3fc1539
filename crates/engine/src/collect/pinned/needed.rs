//! What of some segments the head and the snapshots point at, together.
//!
//! Owns: finding it, by the leaves that the segments' own records name, and reading it. Does not own: what is done with it.
use super::super::adopt::Reach;
use super::super::fetch::fetch;
use super::super::survey::{LiveExtent, Survey};
use super::{Collector, Sparse};
use crate::api::error::corrupt;
use crate::api::limits::{LEAST_GAIN_FRACTION, WALK_LEAVES};
use crate::recovery::{read_segment, snapshot};
use crate::{ErrorKind, Result};
use lsd_core::format::checkpoint::LeafPlace;
use lsd_core::format::header::SnapRecord;
use lsd_core::units::{LeafNo, Loc, SegmentNo};
use lsd_state::lineage::Lineage;
use lsd_state::state::Relocation;
use std::collections::{BTreeMap, BTreeSet};

/// Which places are meant.
#[derive(Debug)]
enum Wanted {
    Segments(BTreeSet<SegmentNo>),
    /// What lies in segments of ancestors.
    Ancestors(Lineage, Reach),
}

impl Wanted {
    fn has(&self, loc: Loc) -> bool {
        match self {
            Wanted::Segments(segments) => segments.contains(&loc.segment()),
            Wanted::Ancestors(lineage, reach) => reach.has(lineage, loc.segment()),
        }
    }
}

/// A leaf of a snapshot, and where it is stored.
pub(super) type Place = (LeafNo, LeafPlace);

#[derive(Debug)]
pub(super) struct Needed {
    wanted: Wanted,
    /// In the order of the log, none beside another that it continues.
    extents: Vec<LiveExtent>,
}

impl Needed {
    pub(super) fn of_segments(segments: BTreeSet<SegmentNo>) -> Self {
        Self { wanted: Wanted::Segments(segments), extents: Vec::new() }
    }

    pub(super) fn of_ancestors(lineage: Lineage, reach: Reach) -> Self {
        Self { wanted: Wanted::Ancestors(lineage, reach), extents: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.extents.is_empty()
    }

    /// Those that are to be emptied.
    pub(super) fn into_segments(self) -> BTreeSet<SegmentNo> {
        match self.wanted {
            Wanted::Segments(segments) => segments,
            Wanted::Ancestors(..) => BTreeSet::new(),
        }
    }

    fn add(&mut self, runs: impl Iterator<Item = (u64, Option<Loc>, u64)>) {
        for (offset, loc, len) in runs {
            if let Some(from) = loc.filter(|loc| self.wanted.has(*loc)) {
                self.extents.push(LiveExtent { offset, from, len: len as u32, is_copy: true });
            }
        }
    }

    /// What several maps point at counts once.
    pub(super) fn join(&mut self) {
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
        if let Wanted::Segments(segments) = &mut self.wanted {
            segments.remove(&segment);
        }
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
    /// Leaves of the ranges that the segments' records are of, and the segments without those that are damaged.
    pub(super) async fn leaves_of(&self, round: &[Sparse]) -> Result<(BTreeSet<SegmentNo>, BTreeSet<LeafNo>)> {
        let (mut segments, mut leaves) = (BTreeSet::new(), BTreeSet::new());
        // Snapshots may have gone since the survey, and what only they needed with them.
        let is_pinned = |sparse: &&Sparse| self.shared.lock().segments.is_pinned(sparse.segment);
        for Sparse { segment, .. } in round.iter().filter(is_pinned) {
            match self.leaves_of_one(*segment).await {
                Ok(some) => {
                    segments.insert(*segment);
                    leaves.extend(some);
                }
                Err(error) => self.leave_damaged(*segment, gone_is_damage(error)).await?,
            }
        }
        Ok((segments, leaves))
    }

    async fn leaves_of_one(&self, segment: SegmentNo) -> Result<BTreeSet<LeafNo>> {
        let home = self.shared.lock().view.lineage.home(segment);
        let Some(home) = home else { return Ok(BTreeSet::new()) };
        let tail = self.objects.data.log_tail(&self.objects.segment_at(home, segment)).await?;
        let found = read_segment(&self.objects, segment, home.epoch, tail).await?;
        let records = found.batches.iter().flat_map(|batch| &batch.records).filter(|record| record.data().is_some());
        let ends = records.map(|record| (LeafNo::of(record.offset), LeafNo::of(record.offset + record.len() - 1)));
        Ok(ends.flat_map(|(first, last)| (first.0..=last.0).map(LeafNo)).collect())
    }

    /// Where the snapshots have leaves stored. They share them: each is there once.
    pub(super) async fn places_of(
        &self,
        snapshots: &[SnapRecord],
        concerns: impl Fn(LeafNo) -> bool,
    ) -> Result<BTreeSet<Place>> {
        let mut places = BTreeSet::new();
        for record in snapshots {
            let root = snapshot::root_of(&self.objects, record).await?;
            let concerned = root.leaves.iter().filter(|entry| concerns(entry.leaf));
            places.extend(concerned.map(|entry| (entry.leaf, entry.at)));
        }
        Ok(places)
    }

    /// Adds what the head points at.
    pub(super) async fn add_head(&self, leaf: LeafNo, needed: &mut Needed) -> Result<()> {
        let extents = self.extents_of(leaf).await?;
        needed.add(extents.iter().map(|extent| (extent.offset, extent.loc, extent.len)));
        self.shared.trim_leaves(self.map_cache_bytes);
        Ok(())
    }

    /// Adds what snapshots point at.
    pub(super) async fn add_places(&self, places: &[Place], needed: &mut Needed) -> Result<()> {
        for some in places.chunks(WALK_LEAVES) {
            for leaf in self.objects.read_leaves(some).await.map_err(gone_is_damage)? {
                let start = leaf.leaf.start();
                let runs = leaf.content.runs();
                needed.add(runs.map(|run| (start + u64::from(run.start), Some(run.loc), run.len.into())));
            }
            needed.join();
        }
        Ok(())
    }

    /// In the order of the image. A segment whose data does not verify is left out. `Corrupt`: an ancestor's.
    pub(super) async fn copies_of_needed(&self, needed: &mut Needed) -> Result<Vec<Relocation>> {
        let mut by_segment: BTreeMap<SegmentNo, Vec<LiveExtent>> = BTreeMap::new();
        for extent in &needed.extents {
            by_segment.entry(extent.from.segment()).or_default().push(*extent);
        }
        let mut copies = Vec::new();
        for (segment, extents) in by_segment {
            let home = self.shared.lock().view.lineage.home(segment);
            let Some(home) = home else {
                let why = format!("a map points into segment {segment}, which nobody wrote");
                return Err(corrupt(&self.objects.header(), why));
            };
            let fetched = fetch(&self.objects, &self.shared.checksums, Survey { segment, home, extents }).await;
            match fetched {
                Ok(found) => copies.extend(found.settled),
                Err(error) => {
                    let error = gone_is_damage(error);
                    if let Wanted::Ancestors(..) = needed.wanted {
                        return Err(error);
                    }
                    self.leave_damaged(segment, error).await?;
                    needed.leave(segment);
                }
            }
        }
        copies.sort_by_key(|copy| copy.offset);
        Ok(copies)
    }
}

/// Snapshots keep the segment.
fn gone_is_damage(error: crate::Error) -> crate::Error {
    if error.kind == ErrorKind::NotFound { error.with_kind(ErrorKind::Corrupt) } else { error }
}
