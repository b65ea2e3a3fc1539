//! Putting scattered data into the order of the image: random writes lie in the log in the order of time, so reading them in
//! the order of the image costs a read for each. Somebody who asks for a collection gets that mended first.
//!
//! Owns: what is scattered, and copying it window by window. Does not own: reading it (`fetch.rs`), entering the copies
//! (`state/relocation.rs`). It takes room: up to as much as is scattered, until its old places are dead and deleted.
use super::survey::LiveExtent;
use super::{Collector, Damaged, batches};
use crate::api::limits::{SORT_EXTENT_BYTES, SORT_LEAVES};
use crate::checkpoint::Checkpointer;
use crate::objects::parallel;
use crate::objects::room;
use crate::read::fetch::{Unchecked, fetch_many};
use crate::{ErrorKind, Progress, Result};
use futures::FutureExt;
use lsd_core::map::Extent;
use lsd_core::units::{LeafNo, Loc, SegmentNo, Seq};
use lsd_state::log::Stream;
use lsd_state::state::{Chunk, Relocation};
use std::collections::BTreeMap;

impl Collector {
    /// Sorts what lies in segments that replay does not need, and writes a checkpoint behind it. Ends early in a full pool:
    /// sorting frees nothing soon. Progress is in mapped bytes; returns how many there are.
    pub(super) async fn sort(
        &self,
        checkpointer: &Checkpointer,
        damaged: &mut Damaged,
        progress: Progress<'_>,
    ) -> Result<u64> {
        let (leaves, before) = {
            let state = self.shared.lock();
            let leaves: Vec<(LeafNo, u64)> =
                state.view.map.stored_leaves().map(|(leaf, _, mapped)| (leaf, u64::from(mapped))).collect();
            (leaves, state.log().replay_from)
        };
        let total = leaves.iter().map(|(_, mapped)| mapped).sum();
        let mut done = 0;
        let mut entered = Seq(0);
        for window in leaves.chunks(SORT_LEAVES) {
            progress(done, total)?;
            done += window.iter().map(|(_, mapped)| mapped).sum::<u64>();
            let copies = self.scattered_in(window, before, damaged).await?;
            // Those of the window before have landed while these were read.
            if !self.landed(entered, checkpointer).await? || room::is_scarce(&*self.objects.data) {
                break;
            }
            for batch in batches(&copies) {
                entered = self.enter(Stream::Moved, batch, false).await?;
            }
            self.shared.trim_leaves(self.map_cache_bytes);
        }
        if entered > Seq(0) {
            self.end_and_checkpoint(checkpointer).await?;
        }
        Ok(total)
    }

    /// Waits for copies, and deletes what is dead when that is worth it. False in a full pool.
    async fn landed(&self, entered: Seq, checkpointer: &Checkpointer) -> Result<bool> {
        match self.shared.wait_durable(entered).await {
            Err(error) if error.kind == ErrorKind::NoSpace => return Ok(false),
            landed => landed?,
        }
        self.checkpoint_if_worth_it(checkpointer).await?;
        Ok(true)
    }

    /// Copies of what is scattered in some leaves, in the order of the image.
    async fn scattered_in(
        &self,
        leaves: &[(LeafNo, u64)],
        before: SegmentNo,
        damaged: &mut Damaged,
    ) -> Result<Vec<Relocation>> {
        let mut by_segment: BTreeMap<SegmentNo, Vec<LiveExtent>> = BTreeMap::new();
        for (leaf, _) in leaves {
            let found = self.extents_of(*leaf).await?;
            for extent in scattered(&found, before) {
                by_segment.entry(extent.from.segment()).or_default().push(extent);
            }
        }
        {
            // A copy of what a snapshot needs frees nothing: it would take its room twice, for as long as the snapshot is there.
            let state = self.shared.lock();
            by_segment.retain(|segment, _| {
                // Nor does a copy of an ancestor's.
                let frees = state.view.lineage.is_own(*segment) && !state.segments.is_pinned(*segment);
                frees && !damaged.contains(segment)
            });
        }
        let reads = by_segment
            .into_iter()
            .map(|(segment, extents)| async move { (segment, self.copies_from(segment, &extents).await) }.boxed());
        let mut copies = Vec::new();
        for (segment, read) in parallel::all(reads.collect()).await {
            match read {
                Ok(some) => copies.extend(some),
                // A checkpoint deleted it: what was there has been overwritten meanwhile.
                Err(error) if error.kind == ErrorKind::NotFound => {}
                Err(error) if error.kind == ErrorKind::Corrupt => drop(damaged.insert(segment)),
                Err(error) => return Err(error),
            }
        }
        copies.sort_unstable_by_key(|copy| copy.offset);
        Ok(copies)
    }

    pub(super) async fn extents_of(&self, leaf: LeafNo) -> Result<Vec<Extent>> {
        loop {
            let mut found = Vec::new();
            let missing = {
                let state = self.shared.lock();
                let len = leaf.len_in(state.view.size);
                if state.view.map.lookup(leaf.start(), len, &mut found).is_ok() {
                    return Ok(found);
                }
                state.view.map.missing(leaf.start(), len)
            };
            self.shared.load_leaves_again(&self.objects, missing).await?;
        }
    }

    async fn copies_from(&self, segment: SegmentNo, extents: &[LiveExtent]) -> Result<Vec<Relocation>> {
        let Some(home) = self.shared.lock().view.lineage.home(segment) else { return Ok(Vec::new()) };
        let parts: Vec<(Loc, u32)> = extents.iter().map(|extent| (extent.from, extent.len)).collect();
        let fetched = fetch_many(&self.objects, &self.shared.checksums, home, segment, &parts).await?;
        let copy = |(extent, blocks): (&LiveExtent, Unchecked)| {
            let chunk = Chunk::new(blocks.check()?.part(extent.from, extent.len));
            Ok(Relocation { offset: extent.offset, from: extent.from, chunk })
        };
        extents.iter().zip(fetched).map(copy).collect()
    }
}

/// Short extents that continue each other in the image but not in the log, in segments before `before`.
fn scattered(extents: &[Extent], before: SegmentNo) -> Vec<LiveExtent> {
    let short = |extent: &Extent| match extent.loc {
        Some(from) if extent.len < SORT_EXTENT_BYTES && from.segment() < before => {
            Some(LiveExtent { offset: extent.offset, from, len: extent.len as u32, is_copy: false })
        }
        _ => None,
    };
    let runs = extents
        .chunk_by(|one, next| one.offset + one.len == next.offset && short(one).is_some() && short(next).is_some());
    runs.filter(|run| run.len() > 1).flatten().filter_map(short).collect()
}

#[cfg(test)]
mod tests;
