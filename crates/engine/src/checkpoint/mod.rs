//! Writing checkpoints: dirty leaves into pages, a root over all of them, one guarded header update, then what
//! nothing needs any more goes (`reclaim/`).
//!
//! Owns: the order of the steps (rules 4 and 5). Does not own: when one is due (`shared/`), what is in the pages
//! (`checkpoint/pages.rs`, `checkpoint/root.rs`), which leaves are taken (`checkpoint/taken.rs`), what else changes with it
//! (`checkpoint/purpose.rs`).
mod booked;
mod pages;
pub(crate) mod purpose;
pub(crate) mod rewrite;
mod root;
mod taken;

use crate::api::stats::Counter;
use crate::append::{sealing_append, sealing_part};
use crate::objects::Objects;
use crate::objects::header::Header;
use crate::objects::parallel;
use crate::ownership::takeover::guarded;
use crate::reclaim;
use crate::shared::Shared;
use crate::{Error, ErrorKind, Result};
use booked::Booked;
use lsd_core::format::header::{CheckpointPointer, LogRecord, key};
use lsd_core::format::root::Moment;
use lsd_core::units::{CheckpointId, Epoch, LeafNo, SegmentNo, Seq};
use lsd_state::log::{OpenSegment, Writer};
use lsd_state::pins::{self, PageKey, Pins, SnapshotPins};
use lsd_state::protocol;
use lsd_state::segments::Segments;
use pages::Pages;
use purpose::{Changed, Doubt, Purpose};
use std::sync::PoisonError;
use taken::Taken;
use tokio::sync::Mutex;

/// Writes the checkpoints of one epoch, one at a time.
#[derive(Debug)]
pub(crate) struct Checkpointer {
    epoch: Epoch,
    /// Number of the last checkpoint of this epoch; `None` after the clean one, which nothing may follow.
    number: Mutex<Option<u32>>,
    /// Pages of checkpoints that failed: they go after the next one that is committed, behind which a late
    /// commit of theirs has no effect (rule 22).
    failed: Mutex<Vec<PageKey>>,
    /// The one that is being written: where it is still here when the next one begins, its caller gave it up.
    under_way: std::sync::Mutex<Option<CheckpointId>>,
    /// What the next one has to find out first.
    doubt: std::sync::Mutex<Option<Doubt>>,
}

/// Why a checkpoint is not in the header.
struct Uncommitted {
    error: Error,
    /// It may be.
    in_doubt: bool,
}

impl From<Error> for Uncommitted {
    fn from(error: Error) -> Self {
        Self { error, in_doubt: false }
    }
}

/// The image at one sequence number.
struct Capture {
    covers: Seq,
    replay_from: SegmentNo,
    /// The leaves that were dirty, in no order.
    dirty: Vec<LeafNo>,
    segments: Segments,
    /// No number that the map points into is higher, an ancestor's included; never 0.
    last_segment: SegmentNo,
    snapshots: SnapshotPins,
    moment: Moment,
    log: LogRecord,
    log_bytes: u64,
    /// Segments that get no more batches and are not sealed yet.
    ended: Vec<OpenSegment>,
    alignment: u32,
}

impl Checkpointer {
    pub(crate) fn new(epoch: Epoch) -> Self {
        Self {
            epoch,
            number: Mutex::new(Some(0)),
            failed: Mutex::default(),
            under_way: std::sync::Mutex::default(),
            doubt: std::sync::Mutex::default(),
        }
    }

    /// Writes a checkpoint of everything accepted so far.
    pub(crate) async fn write(&self, objects: &Objects, shared: &Shared, mut purpose: Purpose) -> Result<()> {
        let mut number = self.number.lock().await;
        self.settle(objects, shared).await?;
        let clean = purpose.is_clean();
        let last = number.ok_or_else(|| Error::new(ErrorKind::Closed, "the owner's last checkpoint was written"))?;
        let next = last
            .checked_add(1)
            .ok_or_else(|| Error::new(ErrorKind::Unsupported, "2^32 checkpoints in one epoch: open the image again"))?;
        *number = Some(next);
        let id = CheckpointId { epoch: self.epoch.0 as u32, number: next };
        let given_up = self.under_way.lock().unwrap_or_else(PoisonError::into_inner).replace(id);
        if let Some(given_up) = given_up {
            // Where they cannot be looked for now they stay until a repair.
            let pages = reclaim::pages_of(objects, given_up).await.unwrap_or_default();
            self.failed.lock().await.extend(pages);
        }
        reclaim::delete_what_is_left(objects, shared).await;
        let mut pages = Pages::new(objects, id);
        let written = self.write_pages(shared, &mut pages, &mut purpose).await;
        // Not before: a close whose caller gave it up half-way is taken up again.
        if clean {
            *number = None;
        }
        let counters = &shared.counters;
        counters.add(Counter::CheckpointPages, pages.count().into());
        counters.count(if written.is_ok() { Counter::Checkpoints } else { Counter::CheckpointsFailed });
        tracing::debug!(target: "lsd::checkpoint", image = shared.image, op = "checkpoint", epoch = self.epoch.0,
            number = next, pages = pages.count(), committed = written.is_ok(), "a checkpoint");
        match &written {
            Ok(pins) => reclaim::delete_pages(objects, pins, self.failed.lock().await.drain(..)).await,
            Err(_) => self.failed.lock().await.extend((0..pages.count()).map(|page| (id, page))),
        }
        *self.under_way.lock().unwrap_or_else(PoisonError::into_inner) = None;
        // Those who wait for memory for leaves look again, also when there is none yet.
        shared.space_freed.notify_waiters();
        written.map(drop)
    }

    /// Captures the image and writes the checkpoint of that. Returns what it pins, once it is committed.
    async fn write_pages(&self, shared: &Shared, pages: &mut Pages<'_>, purpose: &mut Purpose) -> Result<Pins> {
        purpose.prepare(shared, pages).await?;
        let (mut capture, changed) = capture(shared, purpose);
        let mut booked = Booked::new(shared, &self.doubt, changed);
        let mut taken = Taken::new(shared, std::mem::take(&mut capture.dirty));
        self.write_captured(shared, pages, &capture, &mut taken, (purpose, &mut booked)).await
    }

    /// Returns what the checkpoint pins, once it is committed.
    async fn write_captured(
        &self,
        shared: &Shared,
        pages: &mut Pages<'_>,
        capture: &Capture,
        taken: &mut Taken<'_>,
        (purpose, booked): (&Purpose, &mut Booked<'_>),
    ) -> Result<Pins> {
        let (objects, id) = pages.whose();
        shared.wait_durable(capture.covers).await?;
        self.seal_ended(objects, shared, capture).await;
        // Pages that leaves moved out of; others may still be in them.
        let mut left = taken.write(pages).await?;
        pages.end_leaves().await?;
        let first_root_page = pages.count();
        left.extend(pins::root_pages(&capture.log));
        left.extend(purpose.lets_go(booked.changed()));
        // Rule 34: what is an ancestor's is never counted nor deleted here.
        left.retain(|(id, _)| objects.has_page(*id));
        left.extend(shared.lock().kept_frozen());
        let root = root::write(shared, pages, taken.stored(), (capture, &left), purpose).await?;
        let root_pages = pages.count() - first_root_page;
        let pointer = CheckpointPointer { id, frontier: capture.covers, first_root_page, root_pages };
        let log = LogRecord {
            checkpoint: Some(pointer),
            replay_from: capture.replay_from,
            // Rule 23: what the table of segments names is found by its epoch.
            epochs: capture
                .log
                .epochs_needed(capture.replay_from, capture.segments.entries().map(|entry| entry.segment)),
            clean: purpose.is_clean(),
        };
        booked.attempt(pointer, &root.leaf_pages);
        let given_up = match self.commit(objects, shared, capture, (&log, purpose)).await {
            Ok(given_up) => given_up,
            Err(Uncommitted { error, in_doubt }) => {
                booked.refused(in_doubt);
                return Err(error);
            }
        };
        let snapshots = {
            let mut state = shared.lock();
            state.log_bytes = state.log_bytes.saturating_sub(capture.log_bytes);
            state.root_bytes = root.bytes as u64;
            state.set_log(log.clone());
            booked.commit(&mut state);
            // Nobody else would know of them when the migration is over.
            let left: Vec<PageKey> = left.iter().copied().collect();
            state.left_pages = state.snapshots.kept_frozen(&left);
            state.snapshots.clone()
        };
        taken.commit().await;
        // Of which the map has never heard: its leaves are stored again.
        if let Some(given_up) = &given_up {
            left.extend((0..given_up.first_root_page + given_up.root_pages).map(|page| (given_up.id, page)));
        }
        let pins = Pins::new(&log, root.leaf_pages, snapshots);
        reclaim::sweep(objects, shared, &log, &pins, (&capture.segments, left)).await;
        Ok(pins)
    }

    /// Seals what will not grow any more, so that readers find the checksums in it. One that cannot be sealed stays open, which
    /// costs them a longer first read.
    async fn seal_ended(&self, objects: &Objects, shared: &Shared, capture: &Capture) {
        let seal = |ended: &OpenSegment| {
            let identity = objects.segment_identity(self.epoch, ended.number);
            let seal = sealing_part(&identity, &shared.checksums, &ended.batches, capture.covers, capture.alignment);
            let append = sealing_append(self.epoch, ended.len, seal);
            objects.data.append(&objects.segment(self.epoch, ended.number), append)
        };
        parallel::all(capture.ended.iter().map(seal).collect()).await;
    }

    /// Finds out what became of an update that the last checkpoint left in doubt.
    async fn settle(&self, objects: &Objects, shared: &Shared) -> Result<()> {
        let is_in_doubt = || self.doubt.lock().unwrap_or_else(PoisonError::into_inner);
        if is_in_doubt().is_none() {
            return Ok(());
        }
        // A header is read behind the updates that were sent before (`ObjectStore`): what this finds is final.
        let header = Header::read(objects).await?;
        if let Some(doubt) = is_in_doubt().take() {
            doubt.settle(&mut shared.lock(), &header);
        }
        Ok(())
    }

    /// Returns a checkpoint of this epoch that was given up before, and took effect all the same: this one takes its place.
    async fn commit(
        &self,
        objects: &Objects,
        shared: &Shared,
        capture: &Capture,
        what: (&LogRecord, &Purpose),
    ) -> std::result::Result<Option<CheckpointPointer>, Uncommitted> {
        shared.lock().check_alive()?;
        let durable = shared.lock().writer.as_ref().map_or(capture.covers, |writer| writer.durable());
        if !protocol::may_commit_checkpoint(capture.covers, durable) {
            let error = Error::new(ErrorKind::Io { errno: nix::libc::EIO }, "a checkpoint ran ahead of its log");
            return Err(error.into());
        }
        let committed = self.replace(objects, &capture.log, capture, what).await;
        let committed = match committed {
            Err(error) => self.replace_what_is_there(objects, capture, what, error).await,
            Ok(()) => Ok(None),
        };
        if let Err(Uncommitted { error, .. }) = &committed
            && error.kind == ErrorKind::Fenced
        {
            shared.fail(error.clone());
        }
        committed
    }

    /// Rule 22: `former` is what the header must say until then.
    async fn replace(
        &self,
        objects: &Objects,
        former: &LogRecord,
        capture: &Capture,
        (log, purpose): (&LogRecord, &Purpose),
    ) -> Result<()> {
        let update = guarded(self.epoch).expect(key::LOG, former.encode()).set(key::LOG, log.encode());
        let update = match &log.checkpoint {
            Some(root) => purpose.add_to(update, capture.moment.size, root, (objects, capture.last_segment)),
            None => update,
        };
        Ok(objects.meta.kv_update(&objects.header(), update).await?)
    }

    /// After `error`: the header tells whether it took effect, or whose log is there instead. `Fenced`: another client's.
    async fn replace_what_is_there(
        &self,
        objects: &Objects,
        capture: &Capture,
        what: (&LogRecord, &Purpose),
        error: Error,
    ) -> std::result::Result<Option<CheckpointPointer>, Uncommitted> {
        let may_be_there = |error: &Error| matches!(error.kind, ErrorKind::TimedOut | ErrorKind::Io { .. });
        if error.kind != ErrorKind::Fenced && !may_be_there(&error) {
            return Err(error.into());
        }
        let header = match Header::read(objects).await {
            Ok(header) if header.epoch == self.epoch => header,
            Ok(_) => return Err(error.with_kind(ErrorKind::Fenced).into()),
            // Nothing says that the image is lost; the next checkpoint asks again.
            Err(unknown) => {
                let in_doubt = error.kind != ErrorKind::Fenced;
                return Err(Uncommitted { error: if in_doubt { error } else { unknown }, in_doubt });
            }
        };
        if header.log == *what.0 {
            return Ok(None);
        }
        if header.log == capture.log {
            // What the store refused then it takes another time, and what is still under way is refused from then on.
            return Err(if error.kind == ErrorKind::Fenced { passing(&error) } else { error }.into());
        }
        if let Err(error) = self.replace(objects, &header.log, capture, what).await {
            let in_doubt = may_be_there(&error);
            // Not the log, which was looked at, but a snapshot may be another by now: that takes the image from nobody.
            let is_owner = async || Header::read(objects).await.is_ok_and(|header| header.epoch == self.epoch);
            let error = if error.kind == ErrorKind::Fenced && is_owner().await { passing(&error) } else { error };
            return Err(Uncommitted { error, in_doubt });
        }
        let ours = |checkpoint: &CheckpointPointer| u64::from(checkpoint.id.epoch) == self.epoch.0;
        Ok(header.log.checkpoint.filter(ours).filter(|given_up| Some(*given_up) != capture.log.checkpoint))
    }
}

/// An owner that is no other's victim goes on.
fn passing(error: &Error) -> Error {
    error.clone().with_kind(ErrorKind::Io { errno: nix::libc::EIO })
}

/// At a clean end nothing follows in the log, so replay has nothing to read and the next epoch's numbers start beyond.
fn capture(shared: &Shared, purpose: &mut Purpose) -> (Capture, Changed) {
    let mut state = shared.lock();
    let clean = purpose.is_clean();
    let ended = if clean {
        state.force_when_full();
        state.end_segments()
    } else {
        Vec::new()
    };
    if purpose.ends_segments() {
        state.close_segments();
    }
    state.close_for_checkpoint();
    let changed = purpose.begin(&mut state);
    let replay_from = match &state.writer {
        Some(writer) if clean => writer.next_segment(),
        Some(writer) => writer.oldest_open_segment(),
        // A repair has no log of its own: all that there is lies before its epoch.
        None => state.log().epochs.last().map_or(state.log().replay_from, |own| own.first_segment),
    };
    let moment = Moment { size: state.view.size, features: state.view.features, time_ns: state.now_ns() };
    let capture = Capture {
        covers: state.view.end,
        replay_from,
        dirty: state.view.map.begin_take(),
        segments: state.segments.clone(),
        last_segment: state.segments.last().unwrap_or(SegmentNo(1)).max(state.view.lineage.last_of_ancestors()),
        snapshots: state.snapshots.clone(),
        moment,
        log: state.log().clone(),
        log_bytes: state.log_bytes,
        ended,
        alignment: state.writer.as_ref().map_or(1, Writer::alignment),
    };
    (capture, changed)
}
