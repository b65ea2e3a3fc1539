//! Writing checkpoints: dirty leaves into pages, a root over all of them, one guarded header update, then what
//! nothing needs any more is deleted.
//!
//! Owns: the order of the steps (rules 4 and 5). Does not own: when one is due (`shared.rs`), what is in the pages
//! (`checkpoint/pages.rs`).
mod pages;

use crate::appender::{sealing_append, sealing_part};
use crate::objects::Objects;
use crate::shared::Shared;
use crate::takeover::guarded;
use crate::writer::{OpenSegment, Writer};
use crate::{Error, ErrorKind, Result, parallel, protocol};
use bytes::Bytes;
use futures::FutureExt;
use lsd_core::format::checkpoint::LeafPlace;
use lsd_core::format::header::{CheckpointPointer, LogRecord, key};
use lsd_core::format::root::{LeafEntry, Root, SegmentEntry};
use lsd_core::map::Snapshot;
use lsd_core::units::{CheckpointId, Epoch, LeafNo, SegmentNo, Seq};
use lsd_store::{ObjectStore, StoreErrorKind};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::Mutex;

type PageKey = (CheckpointId, u32);

/// Writes the checkpoints of one epoch, one at a time.
#[derive(Debug)]
pub(crate) struct Checkpointer {
    epoch: Epoch,
    /// Number of the last checkpoint of this epoch; `None` after the clean one, which nothing may follow.
    number: Mutex<Option<u32>>,
}

/// The image at one sequence number.
struct Capture {
    covers: Seq,
    replay_from: SegmentNo,
    dirty: Vec<(LeafNo, Snapshot)>,
    stored: BTreeMap<LeafNo, LeafEntry>,
    segments: Vec<SegmentEntry>,
    log: LogRecord,
    log_bytes: u64,
    /// Segments that get no more batches and are not sealed yet.
    ended: Vec<OpenSegment>,
    alignment: u32,
}

/// Leaves that a checkpoint took. They are dirty again unless it succeeds: also when it is dropped half-way, because
/// whoever asked for it went away.
struct Taken<'a> {
    shared: &'a Shared,
    leaves: Vec<LeafNo>,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if !self.leaves.is_empty() {
            self.shared.lock().map.fail_dirty(self.leaves.drain(..));
        }
    }
}

impl Checkpointer {
    pub(crate) fn new(epoch: Epoch) -> Self {
        Self { epoch, number: Mutex::new(Some(0)) }
    }

    /// Writes a checkpoint of everything accepted so far. `clean`: it is the last act of this owner, and nothing
    /// follows it in the log.
    pub(crate) async fn write(&self, objects: &Objects, shared: &Shared, clean: bool) -> Result<()> {
        let mut number = self.number.lock().await;
        let last = number.ok_or_else(|| Error::new(ErrorKind::Closed, "the owner's last checkpoint was written"))?;
        let next = last
            .checked_add(1)
            .ok_or_else(|| Error::new(ErrorKind::Unsupported, "2^32 checkpoints in one epoch: open the image again"))?;
        *number = (!clean).then_some(next);
        let id = CheckpointId { epoch: self.epoch.0 as u32, number: next };
        let capture = capture(shared, clean);
        let mut taken = Taken { shared, leaves: capture.dirty.iter().map(|(leaf, _)| *leaf).collect() };
        self.write_captured(objects, shared, id, &capture, clean).await?;
        taken.leaves.clear();
        Ok(())
    }

    async fn write_captured(
        &self,
        objects: &Objects,
        shared: &Shared,
        id: CheckpointId,
        capture: &Capture,
        clean: bool,
    ) -> Result<()> {
        shared.wait_durable(capture.covers).await?;
        self.seal_ended(objects, shared, capture).await;
        let (pages, places) = pages::leaf_pages(objects, id, &capture.dirty, &capture.stored);
        let mut entries = capture.stored.clone();
        for ((leaf, snapshot), place) in capture.dirty.iter().zip(&places) {
            match place {
                Some(at) => {
                    let mapped = snapshot.content.mapped_bytes();
                    entries.insert(*leaf, LeafEntry { leaf: *leaf, mapped, at: *at });
                }
                None => {
                    entries.remove(leaf);
                }
            }
        }
        let root = Root { leaves: entries.values().copied().collect(), segments: capture.segments.clone() };
        let first_root_page = pages.len() as u32;
        let payload = root.encode();
        let root_pages = pages::root_pages(objects, id, first_root_page, root.kind(), &payload);
        let pointer =
            CheckpointPointer { id, frontier: capture.covers, first_root_page, root_pages: root_pages.len() as u32 };
        put_pages(objects, id, pages.into_iter().chain(root_pages).collect()).await?;
        let log = LogRecord {
            checkpoint: Some(pointer),
            replay_from: capture.replay_from,
            epochs: capture.log.epochs.clone(),
            clean,
        };
        self.commit(objects, shared, capture, &log).await?;
        {
            let mut state = shared.lock();
            for ((leaf, snapshot), place) in capture.dirty.iter().zip(places) {
                match place {
                    Some(place) if place.patch.is_some() => state.map.commit_patched(*leaf, place, snapshot),
                    place => state.map.commit_stored(*leaf, place, snapshot),
                }
            }
            state.log_bytes = state.log_bytes.saturating_sub(capture.log_bytes);
            state.root_bytes = payload.len() as u64;
            state.log = log.clone();
        }
        sweep(objects, shared, capture, &log, &entries).await
    }

    /// Seals what will not grow any more, so that readers find the checksums in it. One that cannot be sealed stays open, which
    /// costs them a longer first read.
    async fn seal_ended(&self, objects: &Objects, shared: &Shared, capture: &Capture) {
        let seal = |ended: &OpenSegment| {
            let identity = objects.segment_identity(self.epoch, ended.number);
            let seal = sealing_part(&identity, &shared.sums, &ended.batches, capture.covers, capture.alignment);
            let append = sealing_append(self.epoch, ended.len, seal);
            objects.data.append(&objects.segment(self.epoch, ended.number), append)
        };
        parallel::all(capture.ended.iter().map(seal).collect()).await;
    }

    async fn commit(&self, objects: &Objects, shared: &Shared, capture: &Capture, log: &LogRecord) -> Result<()> {
        let durable = shared.lock().writer.as_ref().map_or(capture.covers, |writer| writer.durable());
        if !protocol::may_commit_checkpoint(capture.covers, durable) {
            return Err(Error::new(ErrorKind::Io { errno: nix::libc::EIO }, "a checkpoint ran ahead of its log"));
        }
        let update = guarded(self.epoch).set(key::LOG, log.encode());
        match objects.meta.kv_update(&objects.header(), update).await {
            Ok(()) => Ok(()),
            Err(error) => {
                let error = Error::from(error);
                if error.kind == ErrorKind::Fenced {
                    shared.fail(error.clone());
                }
                Err(error)
            }
        }
    }
}

/// `clean`: nothing follows in the log, so replay has nothing to read and the next epoch's numbers start beyond.
fn capture(shared: &Shared, clean: bool) -> Capture {
    let mut state = shared.lock();
    let ended = if clean {
        state.urge();
        state.end_segments()
    } else {
        Vec::new()
    };
    state.seal_for_checkpoint();
    let stored = state.map.stored_leaves();
    let entry = |(leaf, at, mapped): (LeafNo, &LeafPlace, u32)| (leaf, LeafEntry { leaf, mapped, at: *at });
    let stored = stored.map(entry).collect();
    let replay_from = match &state.writer {
        Some(writer) if clean => writer.next_segment(),
        Some(writer) => writer.oldest_open_segment(),
        None => state.log.replay_from,
    };
    Capture {
        covers: state.end,
        replay_from,
        stored,
        dirty: state.map.take_dirty(),
        segments: state.segments.entries(),
        log: state.log.clone(),
        log_bytes: state.log_bytes,
        ended,
        alignment: state.writer.as_ref().map_or(1, Writer::alignment),
    }
}

async fn put_pages(objects: &Objects, id: CheckpointId, pages: Vec<Bytes>) -> Result<()> {
    let put = |page: usize, bytes| async move { objects.meta.put(&objects.page(id, page as u32), bytes).await };
    parallel::try_all(pages.into_iter().enumerate().map(|(page, bytes)| put(page, bytes).boxed()).collect()).await?;
    Ok(())
}

/// The pages that have something of these leaves.
fn pages_of(entries: &BTreeMap<LeafNo, LeafEntry>) -> BTreeSet<PageKey> {
    entries.values().flat_map(|entry| entry.at.pointers()).map(|at| (at.checkpoint, at.page)).collect()
}

/// Deletes what the committed checkpoint does not need (rule 5). A failure leaves garbage, never damage.
async fn sweep(
    objects: &Objects,
    shared: &Shared,
    capture: &Capture,
    log: &LogRecord,
    entries: &BTreeMap<LeafNo, LeafEntry>,
) -> Result<()> {
    let needed = pages_of(entries);
    let mut pages: BTreeSet<PageKey> = pages_of(&capture.stored).difference(&needed).copied().collect();
    if let Some(old) = &capture.log.checkpoint {
        pages.extend((0..old.root_pages).map(|index| (old.id, old.first_root_page + index)));
    }
    let committed = protocol::Committed::new(log);
    let dead: Vec<SegmentNo> =
        capture.segments.iter().filter(|entry| committed.pin(entry).is_none()).map(|entry| entry.segment).collect();
    let remove = |store: &Arc<dyn ObjectStore>, name| {
        let store = store.clone();
        async move {
            match store.remove(&name).await {
                Err(error) => error.kind == StoreErrorKind::NotFound,
                Ok(()) => true,
            }
        }
        .boxed()
    };
    let pages = pages.into_iter().map(|(id, page)| remove(&objects.meta, objects.page(id, page))).collect();
    parallel::all(pages).await;
    let named = |segment: SegmentNo| Some((segment, objects.segment(log.epoch_of(segment)?, segment)));
    let (dead, names): (Vec<_>, Vec<_>) = dead.into_iter().filter_map(named).unzip();
    let gone = parallel::all(names.into_iter().map(|name| remove(&objects.data, name)).collect()).await;
    let mut state = shared.lock();
    // What could not be deleted stays in the table: the next checkpoint tries again.
    for (segment, _) in dead.into_iter().zip(gone).filter(|(_, gone)| *gone) {
        state.segments.forget(segment);
        shared.sums.forget(segment);
    }
    let space = state.segments.space();
    state.pace.swept(&space);
    drop(state);
    shared.space_freed.notify_waiters();
    Ok(())
}
