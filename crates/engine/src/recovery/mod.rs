//! From a header to the state of the image: the checkpoint's root, then the contiguous log behind it.
//!
//! Owns: reading, in parallel, what the log holds; nothing here changes an object. Does not own: fencing (`takeover.rs`), the rules
//! of which batches count (`lsd_core::replay`).
pub(crate) mod open;
pub(crate) mod snapshot;

use crate::api::error::corrupt;
use crate::api::limits::REPLAY_RECORDS;
use crate::objects::Objects;
use crate::objects::header::Header;
use crate::objects::parallel;
use crate::{ErrorKind, Result};
use futures::FutureExt;
use lsd_core::format::checkpoint::LeafPlace;
use lsd_core::format::header::{CheckpointPointer, LogRecord};
use lsd_core::format::record::Record;
use lsd_core::format::root::{PinnedPage, Root, RootPages};
use lsd_core::format::segment::decode_seal;
use lsd_core::map::ExtentMap;
use lsd_core::replay::{Contiguous, Promises, Scanned, TailRule, in_order, join, scan_segment};
use lsd_core::units::{Epoch, LeafNo, SegmentNo, Seq};
use lsd_state::limits::{CLEAR_LEAVES, CREATE_WINDOW};
use lsd_state::pins::{Pins, SnapshotPins};
use lsd_state::protocol;
use lsd_state::segments::Segments;
use lsd_state::state::{State, cleared_range};
use lsd_store::{LogTail, StoreErrorKind};
use std::collections::{BTreeMap, BTreeSet};

/// The segments that exist from a log's replay point on, with their tails.
pub(crate) type Tails = BTreeMap<SegmentNo, (Epoch, LogTail)>;

/// The state as of the last checkpoint, without the log behind it.
pub(crate) async fn load_checkpoint(
    objects: &Objects,
    header: &Header,
    log: &LogRecord,
    cache_bytes: u64,
) -> Result<State> {
    let (root, root_bytes) = match &log.checkpoint {
        Some(pointer) => read_root(objects, pointer).await?,
        None => (Root::default(), 0),
    };
    let mut map = ExtentMap::new();
    map.keep_zeroed_below(header.base_overlap());
    map.load_root(root.leaves.iter().map(|entry| (entry.leaf, entry.at, entry.mapped)));
    // The root of a clone that has no checkpoint yet is its parent's, and so is what that one counts.
    let is_own = log.checkpoint.is_none_or(|checkpoint| objects.has_page(checkpoint.id));
    let (counted, pages) = if is_own { (&root.segments[..], &root.pages[..]) } else { (&[][..], &[][..]) };
    let segments = Segments::from_entries(counted);
    let state = State::new(header.state.size, log.clone(), map, segments, cache_bytes);
    let mut state = state.with_ancestors(objects.ancestors());
    state.view.features = header.state.features;
    state.view.rolled_back = header.snapshots.counters.rolled_back;
    state.snapshots = SnapshotPins::new(header.snapshots.roots(), pages).with_frozen(objects.frozen());
    state.left_pages = pages.iter().filter(|page| page.pins == 0).map(PinnedPage::key).collect();
    state.root_bytes = root_bytes;
    let pins = Pins::of_log(log).with_frozen(objects.frozen());
    let dead = counted.iter().filter(|entry| pins.segment(entry).is_none());
    state.dead = dead.map(|entry| entry.segment).collect();
    Ok(state)
}

pub(crate) async fn read_root(objects: &Objects, pointer: &CheckpointPointer) -> Result<(Root, u64)> {
    let objects = objects.of_page(pointer.id);
    let read = |page| async move {
        let name = objects.page(pointer.id, page);
        let size = objects.meta.stat(&name).await?;
        Ok::<_, crate::Error>((page, objects.meta.read(&name, 0, size).await?))
    };
    let pages = (0..pointer.root_pages).map(|index| read(pointer.first_root_page + index).boxed()).collect();
    let mut joined = RootPages::default();
    for (page, bytes) in parallel::try_all(pages).await.map_err(missing_is_corrupt)? {
        let bad = |error| corrupt(&objects.page(pointer.id, page), error);
        joined.add(&objects.page_identity(pointer.id, page), &bytes).map_err(bad)?;
    }
    let root = joined.decode().map_err(|error| corrupt(&objects.header(), error))?;
    Ok((root, joined.len() as u64))
}

/// An object that the header needs and that is not there: damage, not an unknown image.
fn missing_is_corrupt(error: crate::Error) -> crate::Error {
    if error.kind == ErrorKind::NotFound { error.with_kind(ErrorKind::Corrupt) } else { error }
}

/// Finds every segment from `log.replay_from` on: the log has ended when a whole window of numbers is missing (rule 3).
pub(crate) async fn probe(objects: &Objects, log: &LogRecord) -> Result<Tails> {
    probe_except(objects, log, &BTreeSet::new()).await
}

/// The same without a look at `done`, which are there.
pub(crate) async fn probe_except(objects: &Objects, log: &LogRecord, done: &BTreeSet<SegmentNo>) -> Result<Tails> {
    let mut tails = Tails::new();
    if log.clean {
        return Ok(tails);
    }
    let mut next = log.replay_from;
    let mut last_seen = done.last().copied().unwrap_or_default().max(SegmentNo(next.0.saturating_sub(1)));
    while next.0 <= last_seen.0 + CREATE_WINDOW {
        let numbers = (next.0..=last_seen.0 + CREATE_WINDOW).filter(|number| !done.contains(&SegmentNo(*number)));
        next = SegmentNo(last_seen.0 + CREATE_WINDOW + 1);
        let looks = numbers.map(|number| tail_of(objects, log, SegmentNo(number)).boxed()).collect();
        let found = parallel::try_all(looks).await?;
        for (segment, epoch, tail) in found.into_iter().flatten() {
            tails.insert(segment, (epoch, tail));
            last_seen = last_seen.max(segment);
        }
    }
    Ok(tails)
}

async fn tail_of(
    objects: &Objects,
    log: &LogRecord,
    segment: SegmentNo,
) -> Result<Option<(SegmentNo, Epoch, LogTail)>> {
    let Some(epoch) = log.epoch_of(segment) else { return Ok(None) };
    match objects.data.log_tail(&objects.segment(epoch, segment)).await {
        Ok(tail) => Ok(Some((segment, epoch, tail))),
        Err(error) if error.kind == StoreErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What the segments of a log hold.
#[derive(Debug, Default)]
pub(crate) struct ReadLog {
    pub(crate) log: Contiguous,
    /// How far their writers said that the log is durable.
    pub(crate) reach: Seq,
    /// Segments whose end does not decode, and where that begins.
    pub(crate) torn: BTreeMap<SegmentNo, u32>,
}

impl ReadLog {
    /// Rule 13. What is lost of the log, if anything is.
    pub(crate) fn lost(&self) -> Option<LostLog> {
        protocol::is_lost(self.log.end, self.reach).then_some(LostLog { after: self.log.end, reach: self.reach })
    }
}

/// Records that were durable and are not there: those after `after`, up to at least `reach`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LostLog {
    pub(crate) after: Seq,
    pub(crate) reach: Seq,
}

impl LostLog {
    /// The error of an open. `read`: the segments that are there.
    pub(crate) fn error(
        &self,
        objects: &Objects,
        log: &LogRecord,
        tails: &Tails,
        torn: &BTreeMap<SegmentNo, u32>,
    ) -> crate::Error {
        let missing =
            suspects(log, tails, torn.keys().copied()).into_iter().map(|(epoch, no)| objects.segment(epoch, no));
        let names: Vec<String> = missing.map(|name| name.0.clone()).collect();
        let LostLog { after, reach } = self;
        let why = format!("the log ends after write {after}, but {reach} was durable");
        let names =
            if names.is_empty() { String::new() } else { format!("; missing or damaged: {}", names.join(", ")) };
        corrupt(&objects.header(), why + &names)
    }
}

/// Most names that are listed as suspects.
const SUSPECTS: usize = 8;

/// Where what is lost may have been: segments that do not decode to their end, and numbers without data between those with.
pub(crate) fn suspects(
    log: &LogRecord,
    tails: &Tails,
    torn: impl Iterator<Item = SegmentNo>,
) -> Vec<(Epoch, SegmentNo)> {
    let with_data = |no: &SegmentNo| tails.get(no).is_some_and(|(_, tail)| tail.len > 0);
    let last = tails.keys().rev().find(|no| with_data(no)).map_or(0, |no| no.0);
    let missing = (log.replay_from.0..last).map(SegmentNo).filter(|no| !with_data(no));
    let mut suspects: BTreeSet<SegmentNo> = torn.collect();
    suspects.extend(missing);
    let named = |no| Some((log.epoch_of(no)?, no));
    suspects.into_iter().filter_map(named).take(SUSPECTS).collect()
}

/// Reads the records of every segment in `tails` and joins them into the log behind the checkpoint.
pub(crate) async fn read_log(objects: &Objects, log: &LogRecord, tails: &Tails) -> Result<ReadLog> {
    let mut reads = Vec::with_capacity(tails.len());
    for (segment, (epoch, tail)) in tails {
        let (segment, epoch, tail) = (*segment, *epoch, *tail);
        let read = async move { Ok((segment, epoch, read_segment(objects, segment, epoch, tail).await?)) };
        reads.push(read.boxed());
    }
    let (mut batches, mut promises, mut torn) = (Vec::new(), Promises::default(), BTreeMap::new());
    for (segment, epoch, found) in parallel::try_all::<_, crate::Error>(reads).await? {
        batches.extend(found.batches);
        promises.add(epoch, found.durable);
        torn.extend(found.torn_at.map(|at| (segment, at)));
    }
    let after = log.checkpoint.map_or(Seq(0), |checkpoint| checkpoint.frontier);
    let joined = join(batches, after, &log.epochs).map_err(|error| corrupt(&objects.header(), error))?;
    Ok(ReadLog { log: joined, reach: promises.reach(&log.epochs), torn })
}

/// The batches of one segment: from its summary, or, while it has none, from all its bytes.
pub(crate) async fn read_segment(
    objects: &Objects,
    segment: SegmentNo,
    epoch: Epoch,
    tail: LogTail,
) -> Result<Scanned> {
    let name = objects.segment(epoch, segment);
    let identity = objects.segment_identity(epoch, segment);
    if tail.summary_len > 0 {
        let at = tail.len.saturating_sub(u64::from(tail.summary_len));
        let bytes = objects.data.read(&name, at, u64::from(tail.summary_len)).await?;
        let summary = decode_seal(&identity, &bytes).map_err(|error| corrupt(&name, error))?.summary;
        return Ok(Scanned { batches: summary.batches, torn_at: None, durable: summary.durable });
    }
    let bytes = objects.data.read(&name, 0, tail.len).await?;
    let atomic = objects.data.limits().atomic_appends;
    if (bytes.len() as u64) < tail.len && atomic {
        return Err(corrupt(&name, format!("has {} of {} bytes", bytes.len(), tail.len)));
    }
    let rule = if atomic { TailRule::Whole } else { TailRule::MayBeTorn };
    scan_segment(&identity, &bytes, rule).map_err(|error| corrupt(&name, error))
}

/// Applies the log to the state, loading the leaves it touches.
pub(crate) async fn apply_log(objects: &Objects, state: &mut State, log: &Contiguous, tails: &Tails) -> Result<()> {
    for group in log.groups() {
        state.begin_replay(group);
        for records in in_order(group).chunks(REPLAY_RECORDS) {
            load_for(objects, state, records.iter().map(|(.., record)| *record)).await?;
            for (_, batch, record) in records {
                state.replay(batch, record)?;
                let (offset, len) = cleared_range(record);
                clear_in_steps(objects, state, offset, len).await?;
            }
        }
    }
    // Segments whose batches do not count are garbage like any other dead segment. Tombstones are not: they stay (rule 7).
    for (segment, (_, tail)) in tails.iter().filter(|(_, (_, tail))| tail.len > 0) {
        state.segments.grow(*segment, tail.len as u32, 0);
    }
    Ok(())
}

/// Loads what these records write to, and the first of what they empty: one may empty more than fits in memory.
async fn load_for(objects: &Objects, state: &mut State, records: impl Iterator<Item = &Record>) -> Result<()> {
    let mut missing = BTreeMap::new();
    for record in records {
        let is_clear = record.data().is_none();
        if is_clear && missing.len() >= CLEAR_LEAVES {
            continue;
        }
        let (offset, len) = if is_clear { cleared_range(record) } else { (record.offset, record.len()) };
        let len = if is_clear { state.clear_len(offset, len) } else { len };
        missing.extend(state.view.map.missing(offset, len));
    }
    load(objects, state, missing.into_iter().collect()).await
}

async fn load(objects: &Objects, state: &mut State, missing: Vec<(LeafNo, LeafPlace)>) -> Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    let loaded = objects.read_leaves(&missing).await?;
    objects.install(&mut state.view.map, loaded)
}

/// What a leaf was is forgotten as soon as it is empty, so this takes bounded memory, however much there was.
async fn clear_in_steps(objects: &Objects, state: &mut State, offset: u64, len: u64) -> Result<()> {
    let (mut at, end) = (offset, offset + len);
    while at < end {
        let step = state.clear_len(at, end - at);
        let missing = state.view.map.missing(at, step);
        load(objects, state, missing).await?;
        state.clear(at, step)?;
        at += step;
    }
    Ok(())
}
