//! Carries sealed batches and summaries to the store: in order within a segment, side by side across segments.
//!
//! Owns: submission, retries, finding out what landed after an error. Does not own: what goes into a batch, who waits. One task for
//! each writer; it ends when the writer is dropped and everything is written or the image has failed.
//!
//! What the store did not take is tried again for as long as the image is open; those who wait for it are told when the store's
//! time-out has passed ([`Shared::stalled`]), and whoever waits later waits for the same. Only what trying again cannot mend is the
//! image's end.
use crate::api::limits::{APPEND_TRIES, FULL_RETRY, LOOK_PATIENCE, RETRY_FIRST, RETRY_MOST, RETRY_TIMED_OUT};
use crate::api::stats::Counter;
use crate::objects::Objects;
use crate::objects::checksums::ChecksumCache;
use crate::shared::Shared;
use crate::{Error, ErrorKind, Result};
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use lsd_core::format::batch::{self, Batch};
use lsd_core::format::block_sums::SumBuilder;
use lsd_core::format::segment::{SegmentIdentity, encode_seal};
use lsd_core::units::{Epoch, MAX_SEGMENT_BYTES, SegmentNo, Seq};
use lsd_state::log::{Job, Piece};
use lsd_state::protocol;
use lsd_store::{Append, LogTail, StoreError, StoreErrorKind};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use tokio::sync::mpsc::UnboundedReceiver;

/// An append of one segment that is not known to be durable.
#[derive(Debug)]
struct Entry {
    job: Job,
    append: Append,
    submitted: bool,
    landed: bool,
}

/// What is queued for one segment, in order.
#[derive(Debug, Default)]
struct Pipeline {
    entries: VecDeque<Entry>,
    /// Submitted and unanswered.
    outstanding: usize,
    /// After an error nothing is submitted until it is known what landed.
    error: Option<StoreError>,
    /// There was no room even for what frees space.
    hopeless: bool,
    tries: u32,
}

enum Event {
    Appended {
        segment: SegmentNo,
        at: u64,
        result: std::result::Result<(), StoreError>,
    },
    /// What the store says of a segment after an error.
    Looked {
        segment: SegmentNo,
        result: std::result::Result<LogTail, StoreError>,
    },
    /// The store's answer after this many errors takes long.
    Waited {
        segment: SegmentNo,
        tries: u32,
    },
}

pub(crate) struct Appender {
    objects: Objects,
    epoch: Epoch,
    alignment: u32,
    shared: Arc<Shared>,
    pipelines: BTreeMap<SegmentNo, Pipeline>,
    /// Numbers that are not known to exist (rule 3); everything below `next_number` and not in here exists.
    uncreated: BTreeSet<SegmentNo>,
    next_number: SegmentNo,
    running: FuturesUnordered<BoxFuture<'static, Event>>,
}

impl Appender {
    /// `first`: the first segment number that the writer will use.
    pub(crate) fn new(objects: Objects, epoch: Epoch, alignment: u32, shared: Arc<Shared>, first: SegmentNo) -> Self {
        Self {
            objects,
            epoch,
            alignment,
            shared,
            pipelines: BTreeMap::new(),
            uncreated: BTreeSet::new(),
            next_number: first,
            running: FuturesUnordered::new(),
        }
    }

    pub(crate) async fn run(mut self, mut jobs: UnboundedReceiver<Job>) {
        let mut open = true;
        while open || !self.running.is_empty() {
            tokio::select! {
                biased;
                Some(event) = self.running.next(), if !self.running.is_empty() => {
                    if let Err(error) = self.apply(event) {
                        self.shared.fail(error);
                        return;
                    }
                }
                job = jobs.recv(), if open => match job {
                    Some(job) => if let Err(error) = self.enqueue(job) {
                        self.shared.fail(error);
                        return;
                    },
                    None => open = false,
                },
            }
        }
    }

    fn enqueue(&mut self, job: Job) -> Result<()> {
        let (segment, append) = self.encode(&job);
        check_length(segment, &append)?;
        while self.next_number <= segment {
            self.uncreated.insert(self.next_number);
            self.next_number = self.next_number.next();
        }
        let entry = Entry { job, append, submitted: false, landed: false };
        self.pipelines.entry(segment).or_default().entries.push_back(entry);
        self.submit(segment);
        Ok(())
    }

    fn encode(&self, job: &Job) -> (SegmentNo, Append) {
        match job {
            Job::Batch(job) => {
                let batch = &job.batch;
                let parts = batch::encode(batch, job.data_len, self.alignment);
                debug_assert_eq!(parts.total_len, batch.total_len, "the writer planned with another length");
                let segment = batch.place.segment;
                let mut data = Vec::with_capacity(job.pieces.len() + 3);
                data.push(Bytes::from(parts.head));
                data.extend(job.pieces.iter().map(|piece| piece.data.clone()));
                data.extend((!parts.tail.is_empty()).then(|| Bytes::from(parts.tail)));
                self.shared.checksums.extend(segment, &block_sums(&data, &job.pieces));
                let seal = job.seals.as_ref().map(|batches| self.seal(segment, batches, batch.durable));
                let summary_len = seal.as_ref().map_or(0, |seal| seal.len() as u32);
                data.extend(seal);
                let at = u64::from(batch.place.offset);
                (segment, Append { epoch: self.epoch.0, at, data, summary_len, urgent: false })
            }
            Job::CloseSegment { segment, at, batches, durable } => {
                let seal = self.seal(*segment, batches, *durable);
                (*segment, sealing_append(self.epoch, *at, seal))
            }
        }
    }

    fn seal(&self, segment: SegmentNo, batches: &[Arc<Batch>], durable: Seq) -> Bytes {
        let identity = self.objects.segment_identity(self.epoch, segment);
        sealing_part(&identity, &self.shared.checksums, batches, durable, self.alignment)
    }

    /// Submits what is queued for a segment, as far as it may be.
    fn submit(&mut self, segment: SegmentNo) {
        let oldest = self.uncreated.first().copied().unwrap_or(self.next_number);
        let Some(pipeline) = self.pipelines.get_mut(&segment) else { return };
        if pipeline.error.is_some() || !protocol::may_create(segment, oldest) {
            return;
        }
        let name = self.objects.segment(self.epoch, segment);
        let forced = self.shared.lock().forced;
        for entry in pipeline.entries.iter_mut().filter(|entry| !entry.submitted) {
            entry.submitted = true;
            pipeline.outstanding += 1;
            let at = entry.append.at;
            if let Job::Batch(job) = &entry.job {
                entry.append.urgent = job.batch.last_seq() <= forced;
            }
            let appending = self.objects.data.append(&name, entry.append.clone());
            self.running.push(Box::pin(async move { Event::Appended { segment, at, result: appending.await } }));
        }
    }

    fn apply(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Appended { segment, at, result } => {
                let Some(pipeline) = self.pipelines.get_mut(&segment) else { return Ok(()) };
                pipeline.outstanding -= 1;
                match result {
                    Ok(()) => pipeline.landed(at),
                    Err(error) => pipeline.failed(at, error),
                }
                self.settle(segment);
                self.look_if_broken(segment);
                Ok(())
            }
            Event::Looked { segment, result } => self.looked(segment, result),
            Event::Waited { segment, tries } => {
                let pipeline = self.pipelines.get(&segment).filter(|pipeline| pipeline.tries == tries);
                if let Some(error) = pipeline.and_then(|pipeline| pipeline.error.clone()) {
                    self.shared.stalled(error.into());
                }
                Ok(())
            }
        }
    }

    /// Reports what landed, in order, and drops it.
    fn settle(&mut self, segment: SegmentNo) {
        let mut created = false;
        while let Some(pipeline) = self.pipelines.get_mut(&segment) {
            if pipeline.entries.front().is_none_or(|entry| !entry.landed) {
                break;
            }
            let Some(entry) = pipeline.entries.pop_front() else { break };
            pipeline.tries = 0;
            if pipeline.entries.is_empty() {
                self.pipelines.remove(&segment);
            }
            created |= entry.append.at == 0 && self.uncreated.remove(&segment);
            if let Job::Batch(job) = &entry.job {
                // What frees space passes in a full pool: it says nothing of the room there is.
                if !entry.append.urgent {
                    self.shared.set_full(None, false);
                }
                self.shared.on_durable(job);
                self.shared.tell_answered(|| self.pipelines.values().all(|pipeline| pipeline.tries == 0));
            }
        }
        if created {
            // The window moved: segments that waited for it may go.
            let waiting: Vec<SegmentNo> = self.pipelines.keys().copied().collect();
            waiting.into_iter().for_each(|waiting| self.submit(waiting));
        }
    }

    /// When everything in flight to a broken segment is answered, asks the store what it has.
    fn look_if_broken(&mut self, segment: SegmentNo) {
        let Some(pipeline) = self.pipelines.get_mut(&segment) else { return };
        let Some(error) = pipeline.error.clone().filter(|_| pipeline.outstanding == 0) else { return };
        let pause = if error.kind == StoreErrorKind::Full {
            self.shared.set_full(Some(error.into()), pipeline.hopeless);
            FULL_RETRY
        } else {
            pipeline.tries = pipeline.tries.saturating_add(1);
            self.shared.counters.count(Counter::AppendRetries);
            tracing::debug!(target: "lsd::append", image = self.shared.image, op = "append", object = error.object,
                tries = pipeline.tries, %error, "an append failed: asking the store what landed");
            let is_timed_out = error.kind == StoreErrorKind::TimedOut;
            // Before a time-out the store has waited long enough.
            let most = if is_timed_out { RETRY_TIMED_OUT } else { RETRY_MOST };
            let pause = RETRY_FIRST.saturating_mul(2u32.saturating_pow(pipeline.tries - 1)).min(most);
            if is_timed_out {
                let (tries, patience) = (pipeline.tries, pause + LOOK_PATIENCE);
                self.running.push(Box::pin(async move {
                    tokio::time::sleep(patience).await;
                    Event::Waited { segment, tries }
                }));
            } else if pipeline.tries >= APPEND_TRIES {
                self.shared.stalled(error.into());
            }
            pause
        };
        let (objects, epoch) = (self.objects.clone(), self.epoch);
        self.running.push(Box::pin(async move {
            tokio::time::sleep(pause).await;
            Event::Looked { segment, result: tail_as_owner(&objects, epoch, segment).await }
        }));
    }

    fn looked(&mut self, segment: SegmentNo, result: std::result::Result<LogTail, StoreError>) -> Result<()> {
        let Some(pipeline) = self.pipelines.get_mut(&segment) else { return Ok(()) };
        let len = match result {
            Ok(tail) if tail.epoch != self.epoch.0 => return Err(fenced(segment)),
            Ok(tail) => tail.len,
            // A checkpoint may have deleted the segment while its summary was on the way: everything before the summary was
            // durable, and nothing of it is live.
            Err(error) if error.kind == StoreErrorKind::NotFound && pipeline.awaits_only_summary() => {
                self.pipelines.remove(&segment);
                return Ok(());
            }
            Err(error) if error.kind == StoreErrorKind::NotFound => 0,
            Err(error) => {
                pipeline.error = Some(error.clone());
                if is_fatal(&error) {
                    return Err(error.into());
                }
                if error.kind == StoreErrorKind::TimedOut {
                    self.shared.stalled(error.into());
                }
                self.look_if_broken(segment);
                return Ok(());
            }
        };
        if let Some(error) = pipeline.error.take()
            && is_fatal(&error)
        {
            return Err(error.into());
        }
        for entry in &mut pipeline.entries {
            entry.landed = entry.append.at + entry.append.len() <= len;
            entry.submitted = entry.landed;
        }
        if pipeline.entries.iter().find(|entry| !entry.landed).is_some_and(|entry| entry.append.at != len) {
            let name = self.objects.segment(self.epoch, segment);
            return Err(crate::api::error::corrupt(
                &name,
                format!("has {len} bytes, which no append of ours explains"),
            ));
        }
        self.settle(segment);
        self.submit(segment);
        Ok(())
    }
}

impl Pipeline {
    /// True if every batch of the segment has landed.
    fn awaits_only_summary(&self) -> bool {
        self.entries.iter().all(|entry| matches!(entry.job, Job::CloseSegment { .. }))
    }

    fn landed(&mut self, at: u64) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.append.at == at) {
            entry.landed = true;
        }
    }

    fn failed(&mut self, at: u64, error: StoreError) {
        // The first error says why; those behind it are `Stale` because of it.
        if self.error.is_none() {
            let is_urgent = self.entries.iter().any(|entry| entry.append.at == at && entry.append.urgent);
            self.hopeless = is_urgent && error.kind == StoreErrorKind::Full;
            self.error = Some(error);
        }
    }
}

/// What is longer than the format has room for would be refused by the next opening: it must not get there.
fn check_length(segment: SegmentNo, append: &Append) -> Result<()> {
    let end = append.at + append.len();
    if end <= MAX_SEGMENT_BYTES.into() {
        return Ok(());
    }
    let reason = format!("segment {segment} would get {end} bytes, more than the format has room for");
    Err(Error::new(ErrorKind::Io { errno: nix::libc::EFBIG }, reason))
}

/// The tail of a segment of this owner; `NotFound` only if no other owner can have deleted it (rule 10).
async fn tail_as_owner(
    objects: &Objects,
    epoch: Epoch,
    segment: SegmentNo,
) -> std::result::Result<LogTail, StoreError> {
    let name = objects.segment(epoch, segment);
    let tail = objects.data.log_tail(&name).await;
    if tail.as_ref().is_err_and(|error| error.kind == StoreErrorKind::NotFound) {
        let header = match objects.read_epoch().await {
            // The image was removed, which takes an owner as well.
            Err(error) if error.kind == StoreErrorKind::NotFound => None,
            epoch => Some(epoch?),
        };
        if !header.is_some_and(|header| protocol::may_create_again(epoch, header)) {
            return Err(StoreError::new(StoreErrorKind::Fenced, "log_tail", name.0.clone())
                .with_detail("deleted by a later owner"));
        }
    }
    tail
}

/// What seals a segment of this handle, whose batches are all encoded.
pub(crate) fn sealing_part(
    identity: &SegmentIdentity,
    sums: &ChecksumCache,
    batches: &[Arc<Batch>],
    durable: Seq,
    alignment: u32,
) -> Bytes {
    encode_seal(identity, &sums.seal(identity.segment), batches, durable, alignment).into()
}

/// Appends it: also in a full pool, since only a segment that has ended can go.
pub(crate) fn sealing_append(epoch: Epoch, at: u32, seal: Bytes) -> Append {
    let summary_len = seal.len() as u32;
    Append { epoch: epoch.0, at: u64::from(at), data: vec![seal], summary_len, urgent: true }
}

/// The sums of a batch's blocks. `data`: the header page, then the pieces' data, then perhaps further records.
fn block_sums(data: &[Bytes], pieces: &[Piece]) -> Vec<u32> {
    let mut builder = SumBuilder::default();
    let known = |index: usize| {
        let piece = index.checked_sub(1).and_then(|index| pieces.get(index));
        piece.and_then(|piece| piece.sums.as_ref()).map_or(&[][..], |sums| sums.as_slice())
    };
    data.iter().enumerate().for_each(|(index, part)| builder.push(part, known(index)));
    builder.finish()
}

/// Errors that trying again cannot mend.
fn is_fatal(error: &StoreError) -> bool {
    use StoreErrorKind::{Fenced, Invalid, Permission, Unsupported};
    matches!(error.kind, Fenced | Invalid | Permission | Unsupported)
}

fn fenced(segment: SegmentNo) -> Error {
    Error::new(ErrorKind::Fenced, format!("segment {segment} was taken over: another client owns the image now"))
}
