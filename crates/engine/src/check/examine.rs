//! One pass over an image, from the header down.
use super::finding::{CheckReport, Fault};
use super::map::Needed;
use super::orphans::{InForce, Orphan};
use super::pages::Checkpoint;
use super::segments::Segments;
use super::{family, header, map, orphans, pages, segments, snapshots};
use crate::objects::Objects;
use crate::objects::header::{Header, check_understood};
use crate::recovery::open;
use crate::{Bases, Catalog, ImageId, Progress, Result, recovery};
use lsd_core::format::batch::Batch;
use lsd_core::format::header::{LogRecord, key};
use lsd_core::format::names;
use lsd_core::format::record::RecordKind;
use lsd_core::replay::{Contiguous, Promises, join};
use lsd_core::units::{LeafNo, Loc, SegmentNo, Seq, SnapId};
use lsd_state::protocol;
use lsd_state::state::State;
use lsd_store::{KvMap, ObjectStore};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What a pass learnt.
#[derive(Debug, Default)]
pub(super) struct Examined {
    pub(super) report: CheckReport,
    pub(super) content: Option<ExaminedContent>,
}

/// What is behind a header that verifies.
#[derive(Debug)]
pub(super) struct ExaminedContent {
    pub(super) header: Header,
    /// The image as its last durable state has it, as far as it verifies; `None` when the map is lost.
    pub(super) state: Option<State>,
    pub(super) lost_leaves: BTreeSet<LeafNo>,
    /// The state was made from the log alone.
    pub(super) from_log: bool,
    /// Why opening would refuse the log behind the checkpoint.
    pub(super) log_damaged: bool,
    pub(super) needed: Needed,
    pub(super) snapshots: snapshots::Found,
    pub(super) orphans: Vec<Orphan>,
}

/// Looks at everything once. `values`: the header's.
pub(super) async fn examine(
    store: &Arc<dyn ObjectStore>,
    id: &ImageId,
    values: Option<&KvMap>,
    bases: &Bases,
    progress: Progress<'_>,
) -> Result<Examined> {
    let mut report = CheckReport::default();
    let object = names::header(&id.0);
    let removing = match values {
        Some(values) => values.contains_key(key::REMOVING),
        None => Catalog::new(store.clone()).is_removing(id).await?,
    };
    let Some(values) = values.filter(|_| !removing) else {
        report.add(object, if removing { Fault::BeingRemoved } else { Fault::HeaderGone });
        return Ok(Examined { report, content: None });
    };
    check_understood(&object.clone().into(), values)?;
    report.in_use = !store.watchers(&object.into()).await?.is_empty();
    let Some(header) = header::verify(id, values, &mut report) else {
        return Ok(Examined { report, content: None });
    };
    header::verify_listing(store, id, &header, &mut report).await?;
    let objects = Objects { id: id.clone(), ..open::objects_of(store, &header).await? };
    let content = content(header, objects, (bases, progress), &mut report).await?;
    Ok(Examined { report, content: Some(content) })
}

async fn content(
    header: Header,
    objects: Objects,
    (bases, progress): (&Bases, Progress<'_>),
    report: &mut CheckReport,
) -> Result<ExaminedContent> {
    let checkpoint = pages::verify(&objects, &header, report).await?;
    let map_whole = checkpoint.state.is_some() && checkpoint.lost.is_empty();
    let snapshots = snapshots::verify(&objects, &header, report).await?;
    family::verify(&objects, &header, bases, report).await?;
    let mut pointed_into = checkpoint.segments.clone();
    pointed_into.extend(snapshots.segments.keys().chain(&snapshots.ancestors));
    let mut wanted = wanted(&objects, &checkpoint, map_whole).await?;
    wanted.extend(snapshots.segments.keys().chain(&snapshots.ancestors));
    let segments = segments::verify(&objects, &header.log, &wanted, &pointed_into, progress, report).await?;
    let Checkpoint { state, lost, mut pages, .. } = checkpoint;
    pages.extend(snapshots.pages());
    // Which pages a map needs that cannot be read is not known.
    let pages_known = state.is_some() && snapshots.is_whole;
    let root_known = state.is_some();
    let mut state = state;
    let (log, log_damaged) = read_log(&objects, &header.log, &segments, report).await?;
    if let Some(state) = &mut state {
        recovery::apply_log(&objects, state, &log, &segments.tails(&header.log)).await?;
    }
    let mut from_log = false;
    if !map_whole && let Some(rebuilt) = rebuild(&objects, &header, &segments).await? {
        state = Some(rebuilt);
        from_log = true;
    }
    let mut needed = Needed::new();
    if let Some(state) = &mut state {
        needed = map::verify(&objects, state, &segments, report).await?;
        if map_whole {
            map::verify_live(&objects, state, &needed, report);
            snapshots::verify_pins(&objects, state, &snapshots, report);
        }
    }
    let force =
        InForce { header: &header, pages: pages_known.then_some(&pages), segments: &wanted, in_use: report.in_use };
    let orphans = if root_known { orphans::find(&objects, &force, report).await? } else { Vec::new() };
    Ok(ExaminedContent { header, state, lost_leaves: lost, from_log, log_damaged, needed, snapshots, orphans })
}

/// The segments that must be looked at beside those of the log behind the checkpoint.
async fn wanted(objects: &Objects, checkpoint: &Checkpoint, map_whole: bool) -> Result<BTreeSet<SegmentNo>> {
    let mut wanted = checkpoint.segments.clone();
    if let Some(state) = &checkpoint.state {
        wanted.extend(state.segments.entries().map(|entry| entry.segment));
    }
    if !map_whole {
        // The log may tell what the map cannot any more.
        let named = objects.data.list(&format!("{}.", names::data_prefix(&objects.id.0))).await?;
        wanted.extend(named.iter().filter_map(|name| Some(names::parse_segment(&objects.id.0, &name.0)?.1)));
    }
    Ok(wanted)
}

/// The log behind the checkpoint, and whether opening would refuse it.
async fn read_log(
    objects: &Objects,
    log: &LogRecord,
    segments: &Segments,
    report: &mut CheckReport,
) -> Result<(Contiguous, bool)> {
    let after = log.checkpoint.map_or(Seq(0), |checkpoint| checkpoint.frontier);
    let behind = || segments.found.range(log.replay_from..).filter(|_| !log.clean);
    let batches = behind().flat_map(|(_, segment)| segment.content.batches.iter().cloned()).collect();
    let damaged = behind().any(|(_, segment)| !segment.damage.is_empty());
    let joined = match join(batches, after, &log.epochs) {
        Ok(joined) => joined,
        Err(error) => {
            report.add(objects.header(), Fault::Order { why: error.to_string() });
            return Ok((Contiguous { end: after, ..Contiguous::default() }, true));
        }
    };
    let mut promises = Promises::default();
    behind().for_each(|(_, segment)| promises.add(segment.epoch, segment.durable));
    let reach = promises.reach(&log.epochs);
    // What a living owner appended between the looks at two segments is no loss.
    let lost = protocol::is_lost(joined.end, reach) && !(report.in_use && reaches_now(objects, log, reach).await);
    if lost {
        add_lost(objects, log, segments, (joined.end, reach), report);
    } else if joined.dropped > 0 {
        report.add(objects.header(), Fault::Gap { after: joined.end.0, batches: joined.dropped });
    }
    Ok((joined, damaged || lost))
}

async fn reaches_now(objects: &Objects, log: &LogRecord, reach: Seq) -> bool {
    let Ok(tails) = recovery::probe(objects, log).await else { return false };
    recovery::read_log(objects, log, &tails).await.is_ok_and(|read| !protocol::is_lost(read.log.end, reach))
}

/// A finding for each object that what is lost may have been in; the header if there is none.
fn add_lost(
    objects: &Objects,
    log: &LogRecord,
    segments: &Segments,
    (after, reach): (Seq, Seq),
    report: &mut CheckReport,
) {
    let torn = segments.found.iter().filter(|(_, segment)| segment.content.is_torn).map(|(no, _)| *no);
    let suspects = recovery::suspects(log, &segments.tails(log), torn);
    let names = suspects.into_iter().map(|(epoch, no)| objects.segment(epoch, no));
    let names: Vec<_> = names.collect();
    let names = if names.is_empty() { vec![objects.header()] } else { names };
    for name in names {
        report.add(name, Fault::LogLost { after: after.0, durable: reach.0 });
    }
}

/// A record of it has what was a base's.
fn brings(batch: &Batch) -> bool {
    batch.records.iter().any(|record| matches!(record.kind, RecordKind::Relocate { from: Loc::NOWHERE, .. }))
}

/// The image from its log alone, if the log still has every record since the first and reaches as far as the checkpoint.
async fn rebuild(objects: &Objects, header: &Header, segments: &Segments) -> Result<Option<State>> {
    if segments.found.values().any(|segment| segment.content.has_unknown) {
        return Ok(None);
    }
    // The log does not know of a rollback: replayed from its beginning it brings back what was rolled back.
    if header.snapshots.counters.rolled_back != SnapId(0) {
        return Ok(None);
    }
    // Nor does it know what a parent has, or up to where a base was shown when.
    if header.ancestry.is_some() || header.migration.is_some() || header.had_base {
        return Ok(None);
    }
    // Rule 47: also where the header does not say it, as earlier versions left it.
    if segments.found.values().flat_map(|segment| &segment.content.batches).any(brings) {
        return Ok(None);
    }
    let frontier = header.log.checkpoint.map_or(Seq(0), |checkpoint| checkpoint.frontier);
    let Ok(log) = join(segments.batches(), Seq(0), &header.log.epochs) else { return Ok(None) };
    if log.end < frontier {
        return Ok(None);
    }
    let from_start = LogRecord { checkpoint: None, ..header.log.clone() };
    let blank = recovery::load_checkpoint(objects, header, &from_start, 0);
    let mut state = blank.await?;
    let all = segments.found.iter().map(|(no, segment)| (*no, (segment.epoch, segment.tail))).collect();
    recovery::apply_log(objects, &mut state, &log, &all).await?;
    state.set_log(header.log.clone());
    Ok(Some(state))
}
