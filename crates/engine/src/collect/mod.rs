//! Garbage collection: copies what lives in mostly dead segments to the end of the log, and lets a checkpoint delete
//! them.
//!
//! Owns: rounds of copying, and what can go wrong with one. Does not own: which segments and when (`lsd_core::gc`,
//! `throttle.rs`), segments that snapshots need (`pinned/`), what lives in a segment (`survey.rs`), reading it (`fetch.rs`), sorting (`sort.rs`), entering
//! copies into the log (`state/relocation.rs`), deleting (`checkpoint/`). The lock is never held across I/O, and a
//! round has a bounded size.
pub(crate) mod adopt;
mod bring;
mod fetch;
pub(crate) mod pinned;
mod sort;
mod survey;

use crate::api::clock::Clock;
use crate::api::limits::{
    COPY_BATCH_BYTES, COPY_BATCH_RECORDS, COPY_ROUND_BYTES, COPY_ROUND_FRACTION, COPY_ROUND_LEAST_BYTES,
    COPY_ROUND_LIVE_BYTES, LEAST_GAIN_FRACTION, VICTIMS_LIVE_BYTES,
};
use crate::api::stats::Counter;
use crate::checkpoint::Checkpointer;
use crate::checkpoint::purpose::Purpose;
use crate::objects::Objects;
use crate::objects::room;
use crate::shared::Shared;
use crate::{Error, ErrorKind, Progress, Result, Settings};
use futures::future::join_all;
use lsd_core::format::batch::{data_start, encoded_len};
use lsd_core::format::segment::sealed_len;
use lsd_core::gc::{Candidate, choose_victims};
use lsd_core::heat::Temperature;
use lsd_core::units::{LeafNo, SegmentNo, Seq};
use lsd_state::limits::COPY_LANES;
use lsd_state::log::{Stream, Writer};
use lsd_state::state::{Copied, Relocation};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// Segments whose data does not verify. They stay as they are: a copy would give damaged data a good checksum.
type Damaged = BTreeSet<SegmentNo>;

/// What one round did, in bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Gain {
    /// Of the victims.
    freed: u64,
    /// Of the copies, if each stream's go into one segment.
    copied: u64,
}

/// What collection works with. It does not keep the image open.
#[derive(Debug)]
pub(crate) struct Collector {
    objects: Objects,
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    map_cache_bytes: u64,
    /// Held while segments are collected, by the background task or by somebody who asked.
    damaged: Mutex<Damaged>,
    /// The same of segments that snapshots need.
    damaged_pinned: std::sync::Mutex<Damaged>,
}

/// Collects in the background for as long as this handle owns the image.
pub(crate) async fn run(collector: Arc<Collector>, checkpointer: Arc<Checkpointer>) {
    let mut is_failing = false;
    loop {
        collector.shared.gc_due.notified().await;
        let collected = collector.collect_while_due(&checkpointer).await;
        if let Err(error) = &collected {
            collector.tell_failed(error, is_failing);
            // Nothing is lost: what was copied loses against what lives. It is tried again when there is more garbage.
            collector.rest();
        }
        is_failing = collected.is_err();
    }
}

/// What is to be done next.
enum Step {
    Collect(Vec<Candidate>),
    Checkpoint,
    Nothing,
}

impl Collector {
    pub(crate) fn new(objects: Objects, shared: Arc<Shared>, clock: Arc<dyn Clock>, settings: &Settings) -> Self {
        Self {
            objects,
            shared,
            clock,
            map_cache_bytes: settings.map_cache_bytes,
            damaged: Mutex::default(),
            damaged_pinned: std::sync::Mutex::default(),
        }
    }

    /// `again`: the last attempt failed as well, which was told.
    fn tell_failed(&self, error: &Error, again: bool) {
        self.shared.counters.count(Counter::CollectionsFailed);
        if !again && error.kind != ErrorKind::Closed {
            tracing::warn!(target: "lsd::collection", image = self.shared.image, op = "collect", object = error.object(),
                %error, "garbage collection failed: it is tried again when there is more");
        }
    }

    /// Nothing can be gained now, so nobody waits for it.
    fn rest(&self) {
        {
            let mut state = self.shared.lock();
            let space = state.segments.space();
            state.throttle.rest(&space);
        }
        self.shared.space_freed.notify_waiters();
    }

    async fn collect_while_due(&self, checkpointer: &Checkpointer) -> Result<()> {
        let mut damaged = self.damaged.lock().await;
        // A checkpoint makes more segments eligible; one in a row is enough.
        let mut just_written = false;
        loop {
            match self.next_step(&damaged) {
                Step::Nothing if !self.holds_writers() => return Ok(()),
                // What is dead lies in segments that replay would read: they have to end first.
                Step::Nothing if !just_written => {
                    self.end_and_checkpoint(checkpointer).await?;
                    just_written = true;
                }
                Step::Nothing => {
                    self.rest();
                    return Ok(());
                }
                Step::Checkpoint => {
                    self.checkpoint(checkpointer).await?;
                    just_written = true;
                }
                Step::Collect(victims) if victims.is_empty() && !just_written => {
                    // The garbage lies in segments that replay would read, from the lowest open one on.
                    self.end_and_checkpoint(checkpointer).await?;
                    just_written = true;
                }
                Step::Collect(victims) => {
                    just_written = false;
                    let gain = self.collect_victims(checkpointer, victims, &mut damaged).await?;
                    if gain.freed <= gain.copied + gain.copied / LEAST_GAIN_FRACTION {
                        self.rest();
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Ends the segments that are being filled and writes a checkpoint behind them: then replay needs none of them, and what is
    /// dead in them can go.
    async fn end_and_checkpoint(&self, checkpointer: &Checkpointer) -> Result<()> {
        self.shared.lock().close_segments();
        self.checkpoint(checkpointer).await
    }

    /// A checkpoint that frees space, also in a full pool.
    async fn checkpoint(&self, checkpointer: &Checkpointer) -> Result<()> {
        self.shared.lock().force_when_full();
        checkpointer.write(&self.objects, &self.shared, Purpose::Running).await
    }

    async fn checkpoint_if_worth_it(&self, checkpointer: &Checkpointer) -> Result<()> {
        let is_worth_it = {
            let state = self.shared.lock();
            let space = state.segments.space();
            state.throttle.wants_checkpoint(&space) || (space.dead > 0 && room::is_scarce(&*self.objects.data))
        };
        if is_worth_it { self.checkpoint(checkpointer).await } else { Ok(()) }
    }

    fn holds_writers(&self) -> bool {
        let state = self.shared.lock();
        state.throttle.holds_writers(&state.segments.space())
    }

    fn next_step(&self, damaged: &Damaged) -> Step {
        let mut state = self.shared.lock();
        let space = state.segments.space();
        if !state.throttle.is_due(&space) {
            return if state.throttle.wants_checkpoint(&space) { Step::Checkpoint } else { Step::Nothing };
        }
        let (segments, end) = (state.segments.clone(), state.log().replay_from);
        drop(state);
        let mut candidates = segments.candidates_before(end);
        candidates.retain(|candidate| !damaged.contains(&candidate.segment));
        Step::Collect(choose_victims(&candidates, self.clock.now_ns(), VICTIMS_LIVE_BYTES))
    }

    /// Round after round, until all victims are done or enough is gained.
    async fn collect_victims(
        &self,
        checkpointer: &Checkpointer,
        victims: Vec<Candidate>,
        damaged: &mut Damaged,
    ) -> Result<Gain> {
        let mut gain = Gain::default();
        for round in rounds(&victims, self.round_live_bytes()) {
            if !room::takes_copies(&*self.objects.data, live_bytes(round)) {
                break;
            }
            let begun = Instant::now();
            let more = self.collect_round(round, damaged).await?;
            gain = Gain { freed: gain.freed + more.freed, copied: gain.copied + more.copied };
            let (is_due, wants_checkpoint, holds_writers) = {
                let mut state = self.shared.lock();
                let space = state.segments.space();
                (
                    state.throttle.is_due(&space),
                    state.throttle.wants_checkpoint(&space),
                    state.throttle.holds_writers(&space),
                )
            };
            if wants_checkpoint || holds_writers || room::is_scarce(&*self.objects.data) {
                self.checkpoint(checkpointer).await?;
            } else {
                // Half of the time belongs to the guest while space is not short.
                tokio::time::sleep(begun.elapsed()).await;
            }
            if !is_due {
                break;
            }
        }
        Ok(gain)
    }

    /// Copies what lives in `victims`, which nothing needs any more once the copies are durable and in a checkpoint.
    async fn collect_round(&self, victims: &[Candidate], damaged: &mut Damaged) -> Result<Gain> {
        let copying = victims.iter().map(|victim| copies_of(&self.objects, &self.shared, victim.segment));
        let mut moved = Vec::new();
        let mut settled = Vec::new();
        let mut gain = Gain::default();
        for (victim, copies) in victims.iter().zip(join_all(copying).await) {
            match copies {
                Ok(copies) => {
                    gain.freed += u64::from(victim.len);
                    moved.extend(copies.moved);
                    settled.extend(copies.settled);
                }
                // A checkpoint may have deleted it meanwhile, which is as good.
                Err(error) if error.kind == ErrorKind::NotFound => gain.freed += u64::from(victim.len),
                Err(error) if error.kind == ErrorKind::Corrupt => {
                    self.shared.tell_damage("collect", &error);
                    damaged.insert(victim.segment);
                }
                Err(error) => return Err(error),
            }
        }
        let hot = self.take_hot(&mut moved, &mut settled);
        let mut last = Seq(0);
        let segment_bytes = self.shared.lock().writer.as_ref().map_or(u32::MAX, Writer::segment_bytes);
        for (stream, mut copies) in [(Stream::MovedHot, hot), (Stream::Moved, moved), (Stream::Settled, settled)] {
            copies.sort_by_key(|copy| copy.offset);
            gain.copied += stored_bytes(&copies, self.objects.alignment(), segment_bytes);
            for batch in batches(&copies) {
                last = self.enter(stream, batch, true).await?;
            }
        }
        self.shared.wait_durable(last).await?;
        self.shared.trim_leaves(self.map_cache_bytes);
        let counters = &self.shared.counters;
        counters.count(Counter::CollectionRounds);
        counters.add(Counter::CollectedBytes, gain.freed);
        counters.add(Counter::CopiedBytes, gain.copied);
        tracing::debug!(target: "lsd::collection", image = self.shared.image, op = "collect", segments = victims.len(),
            freed = gain.freed, copied = gain.copied, "a round of collection");
        Ok(gain)
    }

    /// Copies of places where much is overwritten go together, whether they were moved before or not.
    fn take_hot(&self, moved: &mut Vec<Relocation>, settled: &mut Vec<Relocation>) -> Vec<Relocation> {
        let state = self.shared.lock();
        let leaves = state.view.map.leaf_count();
        let is_hot =
            |copy: &mut Relocation| state.heat.temperature(LeafNo::of(copy.offset), leaves) == Temperature::Hot;
        moved.extract_if(.., is_hot).chain(settled.extract_if(.., is_hot)).collect()
    }

    /// A round needs room for its copies before it gives any back, so it is small where the image is.
    fn round_live_bytes(&self) -> u64 {
        let live = self.shared.lock().segments.space().live;
        (live / COPY_ROUND_FRACTION).clamp(COPY_ROUND_LEAST_BYTES, COPY_ROUND_LIVE_BYTES)
    }

    /// `frees`: space comes back for it, so that it passes in a full pool.
    async fn enter(&self, stream: Stream, copies: &[Relocation], frees: bool) -> Result<Seq> {
        loop {
            self.shared.wait_for_leaves().await?;
            let copied = self.shared.lock().attempt(|state| state.try_relocate(stream, copies, frees))?;
            match copied {
                Copied::Done(seq) => return Ok(seq),
                Copied::NeedLeaves(leaves) => self.shared.load_leaves_again(&self.objects, leaves).await?,
            }
        }
    }

    /// Sorts what is scattered, collects every segment that is worth it, and deletes what is dead.
    pub(crate) async fn collect_all(&self, checkpointer: &Checkpointer, progress: Progress<'_>) -> Result<()> {
        let mut damaged = self.damaged.lock().await;
        self.end_and_checkpoint(checkpointer).await?;
        let sorted = self.sort(checkpointer, &mut damaged, progress).await?;
        let (segments, end) = {
            let state = self.shared.lock();
            (state.segments.clone(), state.log().replay_from)
        };
        let candidates = segments.candidates_before(end);
        let victims = choose_victims(&candidates, self.clock.now_ns(), u64::MAX);
        let total = sorted + live_bytes(&victims);
        let mut done = sorted;
        for round in rounds(&victims, self.round_live_bytes()) {
            progress(done, total)?;
            if !room::takes_copies(&*self.objects.data, live_bytes(round)) {
                break;
            }
            self.collect_round(round, &mut damaged).await?;
            done += live_bytes(round);
            // What is dead goes as the work goes on: the copies need room.
            self.checkpoint_if_worth_it(checkpointer).await?;
        }
        self.end_and_checkpoint(checkpointer).await?;
        if let Some(segment) = damaged.first() {
            return Err(Error::new(
                ErrorKind::Corrupt,
                format!("segment {segment} has damaged data and was left alone"),
            ));
        }
        progress(total, total)
    }
}

/// What is to be copied out of one segment.
#[derive(Debug, Default)]
struct Copies {
    /// Written by the guest.
    moved: Vec<Relocation>,
    /// Copied before.
    settled: Vec<Relocation>,
}

async fn copies_of(objects: &Objects, shared: &Shared, segment: SegmentNo) -> Result<Copies> {
    let Some(survey) = survey::survey(objects, shared, segment).await? else { return Ok(Copies::default()) };
    fetch::fetch(objects, &shared.checksums, survey).await
}

fn live_bytes(victims: &[Candidate]) -> u64 {
    victims.iter().map(|victim| u64::from(victim.live)).sum()
}

/// Groups of victims that are copied together: what lives in them is at most `most_live` bytes, unless it is one.
fn rounds(victims: &[Candidate], most_live: u64) -> impl Iterator<Item = &[Candidate]> {
    let (mut len, mut live) = (0, 0);
    victims.chunk_by(move |victim, next| {
        (len, live) = (len + u64::from(victim.len), live + u64::from(victim.live));
        let fits = len + u64::from(next.len) <= COPY_ROUND_BYTES && live + u64::from(next.live) <= most_live;
        if !fits {
            (len, live) = (0, 0);
        }
        fits
    })
}

/// Groups of copies that are entered in one critical section.
fn batches(copies: &[Relocation]) -> impl Iterator<Item = &[Relocation]> {
    let (mut bytes, mut records) = (0, 0);
    copies.chunk_by(move |copy, next| {
        (bytes, records) = (bytes + copy.chunk.piece.data.len(), records + 1);
        let fits = bytes + next.chunk.piece.data.len() <= COPY_BATCH_BYTES && records < COPY_BATCH_RECORDS;
        if !fits {
            (bytes, records) = (0, 0);
        }
        fits
    })
}

/// Bytes that these copies of one stream take at most, all that is written around them included: pools pad it, and segments that are
/// full end in the middle of them. If less is counted than is written, collecting a few segments looks like a gain, over and over.
fn stored_bytes(copies: &[Relocation], alignment: u32, segment_bytes: u32) -> u64 {
    let with = |data_len: u32, copy: &Relocation| {
        let len = copy.chunk.bytes() as u32;
        data_start(data_len, len) + len
    };
    let len_of = |batch: &[Relocation]| encoded_len(batch.iter().fold(0, with), batch.len(), alignment);
    let lens: Vec<u64> = batches(copies).map(len_of).collect();
    if lens.is_empty() {
        return 0;
    }
    let len: u64 = lens.iter().sum();
    // Where a segment ends, a batch is two, and what seals the segment comes in between. Each lane may be about to end.
    let ends = lens.len().min(COPY_LANES) as u64 + len / u64::from(segment_bytes.max(1));
    let around = encoded_len(0, 1, alignment) + sealed_len(0, 1, 1, alignment);
    sealed_len(len, lens.len(), copies.len(), alignment) + ends * around
}
