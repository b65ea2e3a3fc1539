//! Emptying segments that snapshots need, and that are mostly garbage all the same.
//!
//! Owns: which of them are worth it, and the order of the steps (rule 37). Does not own: what in them is needed (`needed.rs`), writing
//! the snapshots' maps anew (`checkpoint/rewrite.rs`), who may have it done and when (`session/collect.rs`).
//!
//! What a snapshot points at is moved with what the head and other snapshots point at in the same segment, once, and all their maps
//! follow. A snapshot with clones stays as it is: its clones' maps, which nobody here may change, point at the same places.
mod adopt;
mod needed;

use super::{Collector, batches, stored_bytes};
use crate::api::limits::{LEAST_GAIN_FRACTION, PINNED_GARBAGE_PERCENT, PINNED_ROUND_BYTES, PINNED_ROUND_NEEDED_BYTES};
use crate::api::stats::Counter;
use crate::checkpoint::Checkpointer;
use crate::checkpoint::purpose::Purpose;
use crate::checkpoint::rewrite::{Moves, Rewrite};
use crate::objects::room;
use crate::recovery::snapshot;
use crate::shared::Shared;
use crate::{Error, ErrorKind, Result};
use lsd_core::format::header::SnapRecord;
use lsd_core::units::{Loc, SegmentNo, Seq};
use lsd_state::log::{Stream, Writer};
use lsd_state::state::{Copied, Relocation};
use needed::{Needed, Place};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

/// A segment that snapshots need, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sparse {
    pub(crate) segment: SegmentNo,
    pub(crate) len: u64,
    /// At least so much of it is needed.
    pub(crate) needed: u64,
}

/// What segments that snapshots need take.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    /// Worth emptying, those with the most garbage first.
    pub(crate) sparse: Vec<Sparse>,
    /// Of all that may be emptied: bytes stored, and bytes needed as far as that is known without their maps.
    pub(crate) stored: u64,
    pub(crate) needed: u64,
}

/// Copies that no map points at yet are kept for as long as this lives.
struct Moving<'a>(&'a Shared);

impl Drop for Moving<'_> {
    fn drop(&mut self) {
        self.0.lock().snapshots.end_moving();
    }
}

impl Collector {
    /// Reads the roots of all snapshots, one after the other. Nothing is worth it where one does not verify: what that needs cannot be
    /// moved, and is not known.
    pub(crate) async fn survey_pinned(&self, snapshots: &[SnapRecord]) -> Result<Survey> {
        let (mut needed, mut fixed): (BTreeMap<SegmentNo, u32>, BTreeSet<SegmentNo>) = Default::default();
        for record in snapshots {
            let root = match snapshot::root_of(&self.objects, record).await {
                Err(error) if error.kind == ErrorKind::Corrupt => {
                    self.tell_if_damaged(error).await?;
                    return Ok(Survey::default());
                }
                root => root?,
            };
            for entry in root.segments.iter().filter(|entry| entry.live > 0) {
                if record.children > 0 {
                    fixed.insert(entry.segment);
                }
                let most = needed.entry(entry.segment).or_default();
                *most = (*most).max(entry.live);
            }
        }
        let damaged = self.damaged_pinned.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (segments, end) = {
            let state = self.shared.lock();
            (state.segments.clone(), state.log().replay_from)
        };
        let mut survey = Survey::default();
        let movable = |segment: &SegmentNo| *segment < end && !fixed.contains(segment) && !damaged.contains(segment);
        for (segment, most) in needed.iter().filter(|(segment, _)| movable(segment)) {
            let Some(used) = segments.get(*segment) else { continue };
            let (len, needed) = (u64::from(used.len), u64::from(used.live.max(*most)));
            survey.stored += len;
            survey.needed += needed.min(len);
            if len.saturating_sub(needed) * 100 >= len * PINNED_GARBAGE_PERCENT {
                survey.sparse.push(Sparse { segment: *segment, len, needed });
            }
        }
        survey.sparse.sort_by_key(|sparse| (sparse.needed * 1000 / sparse.len.max(1), sparse.segment));
        Ok(survey)
    }

    /// Empties these segments for all of the snapshots that have no clones. With nobody changing snapshots meanwhile. `changes`: called
    /// before the header is changed.
    pub(crate) async fn empty_pinned(
        &self,
        checkpointer: &Checkpointer,
        snapshots: &[SnapRecord],
        round: &[Sparse],
        changes: &(dyn Fn() + Sync),
    ) -> Result<()> {
        let free: Vec<SnapRecord> = snapshots.iter().filter(|record| record.children == 0).cloned().collect();
        if free.is_empty() || !room::takes_copies(&*self.objects.data, round.iter().map(|sparse| sparse.needed).sum()) {
            return Ok(());
        }
        // 1. What of the segments is needed, and copies of that.
        let (segments, leaves) = self.leaves_of(round).await?;
        let mut needed = Needed::of_segments(segments);
        for leaf in &leaves {
            self.add_head(*leaf, &mut needed).await?;
        }
        let places: Vec<Place> = self.places_of(&free, |leaf| leaves.contains(&leaf)).await?.into_iter().collect();
        match self.add_places(&places, &mut needed).await {
            // As in the survey: what that snapshot needs is not known. A repair finds it.
            Err(error) if error.kind == ErrorKind::Corrupt => return self.tell_if_damaged(error).await,
            added => added?,
        }
        needed.join();
        needed.leave_what_is_no_gain(round);
        let copies = self.copies_of_needed(&mut needed).await?;
        let segments = needed.into_segments();
        let freed: u64 =
            round.iter().filter(|sparse| segments.contains(&sparse.segment)).map(|sparse| sparse.len).sum();
        let copied: u64 = copies.iter().map(|copy| copy.chunk.bytes()).sum();
        if segments.is_empty() || !self.is_gain(&copies, freed) || !room::takes_copies(&*self.objects.data, copied) {
            return Ok(());
        }
        // 2. The copies go into the log. The head follows at once, and nothing takes them for dead until the snapshots do.
        let _moving = Moving(&self.shared);
        let (mut moves, mut last) = (Moves::default(), Seq(0));
        for batch in batches(&copies) {
            last = self.enter_all(batch, true, &mut moves).await?;
        }
        self.shared.wait_durable(last).await?;
        // 3. One update of the header makes all snapshots follow.
        let count = segments.len();
        let rewrite = Rewrite { snapshots: free, leaves, moves, emptied: segments };
        self.shared.lock().force_when_full();
        changes();
        checkpointer.write(&self.objects, &self.shared, Purpose::Rewrite(Box::new(rewrite))).await?;
        let counters = &self.shared.counters;
        counters.count(Counter::CollectionRounds);
        counters.add(Counter::CollectedBytes, freed);
        counters.add(Counter::CopiedBytes, copied);
        tracing::debug!(target: "lsd::collection", image = self.shared.image, op = "collect", segments = count, freed, copied,
            "segments that snapshots need were emptied");
        Ok(())
    }

    /// What is needed may be more than the tables could tell, and what is written around it more than what lies around it now.
    fn is_gain(&self, copies: &[Relocation], freed: u64) -> bool {
        let segment_bytes = self.shared.lock().writer.as_ref().map_or(u32::MAX, Writer::segment_bytes);
        let stored = stored_bytes(copies, self.objects.alignment(), segment_bytes);
        stored + stored / LEAST_GAIN_FRACTION < freed
    }

    async fn enter_all(&self, copies: &[Relocation], frees: bool, moves: &mut Moves) -> Result<Seq> {
        loop {
            self.shared.wait_for_leaves().await?;
            let mut places: Vec<Loc> = Vec::with_capacity(copies.len());
            let copied =
                self.shared.lock().attempt(|state| state.try_copy(Stream::Settled, copies, frees, &mut places))?;
            match copied {
                Copied::Done(seq) => {
                    for (copy, to) in copies.iter().zip(places) {
                        moves.add(copy.from, copy.chunk.bytes() as u32, to);
                    }
                    self.shared.trim_leaves(self.map_cache_bytes);
                    return Ok(seq);
                }
                Copied::NeedLeaves(leaves) => self.shared.load_leaves_again(&self.objects, leaves).await?,
            }
        }
    }

    /// Damage is left where it is: a copy would give it a good checksum.
    async fn leave_damaged(&self, segment: SegmentNo, error: Error) -> Result<()> {
        self.tell_if_damaged(error).await?;
        self.damaged_pinned.lock().unwrap_or_else(PoisonError::into_inner).insert(segment);
        Ok(())
    }

    /// Passes on what is no damage. `Fenced`: a later owner has deleted what was looked for.
    async fn tell_if_damaged(&self, error: Error) -> Result<()> {
        if error.kind != ErrorKind::Corrupt {
            return Err(error);
        }
        let own = self.shared.lock().writer.as_ref().map(Writer::epoch);
        if Some(self.objects.read_epoch().await?) != own {
            return Err(error.with_kind(ErrorKind::Fenced));
        }
        self.shared.tell_damage("collect", &error);
        Ok(())
    }
}

/// Groups of segments that are emptied together.
pub(crate) fn rounds(sparse: &[Sparse]) -> impl Iterator<Item = &[Sparse]> {
    let (mut len, mut needed) = (0, 0);
    sparse.chunk_by(move |one, next| {
        (len, needed) = (len + one.len, needed + one.needed);
        let fits = len + next.len <= PINNED_ROUND_BYTES && needed + next.needed <= PINNED_ROUND_NEEDED_BYTES;
        if !fits {
            (len, needed) = (0, 0);
        }
        fits
    })
}
