//! Putting right what can be derived: a new checkpoint from what verifies, and no orphans.
//!
//! Owns: what may be repaired without giving anything up, and the order: own the image, look again, decide, write one
//! checkpoint, delete. Does not own: finding out (`check/examine.rs`), how a checkpoint is written (`checkpoint/`).
//!
//! A damaged range stays an error for readers unless the caller says that damaged data may be given up; then it reads as
//! zeroes. Data that verifies is never given up, with one exception that the caller agrees to by the same word: where the log
//! behind the checkpoint is damaged, what comes after the damage is given up too, because what survives is a prefix of the
//! order of writes.
use super::examine::{Examined, ExaminedContent, examine};
use super::finding::{CheckReport, Fault, Finding, Severity};
use super::{family, map, snapshots};
use crate::checkpoint::Checkpointer;
use crate::checkpoint::purpose::Purpose;
use crate::objects::Objects;
use crate::objects::header::{self, Header, values_of};
use crate::objects::parallel;
use crate::ownership::lock;
use crate::ownership::lock::Attempted;
use crate::ownership::takeover;
use crate::ownership::watch::{self, HeaderEvents};
use crate::recovery::open;
use crate::shared::Shared;
use crate::{Bases, Catalog, Error, ErrorKind, ImageId, ImageRef, Progress, Result};
use futures::FutureExt;
use lsd_core::format::header::{encode_text, key};
use lsd_core::format::names;
use lsd_core::format::root::SegmentEntry;
use lsd_core::map::Superseded;
use lsd_core::units::SegmentNo;
use lsd_state::segments::Segments;
use lsd_state::state::State;
use lsd_store::{KvMap, KvPresence, KvUpdate, ObjectName, ObjectStore};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// How much a repair may do.
#[derive(Clone, Copy, Debug, Default)]
pub struct RepairOptions {
    /// Ranges whose data does not verify read as zeroes afterwards, and a damaged log ends where the damage begins.
    pub discard_damaged: bool,
    /// How long another client's silent watch counts as alive.
    pub watch_timeout: Duration,
}

/// What a repair found and did.
#[derive(Clone, Debug, Default)]
pub struct RepairReport {
    /// Before anything was changed.
    pub before: CheckReport,
    /// Afterwards; as `before` if nothing had to be done.
    pub after: CheckReport,
    /// Objects that nothing needed.
    pub deleted: u64,
    /// Bytes of the image that were given up.
    pub given_up: Vec<Range<u64>>,
    /// Why the checkpoint was not written anew although something is wrong.
    pub refused: Option<String>,
    /// More can be put right if damaged data may be given up, which this repair may not.
    pub discarding_helps: bool,
}

/// `Busy`: somebody has the image open. `NotFound`. The errors of [`Image::check`](crate::Image::check).
pub(crate) async fn repair(
    store: &Arc<dyn ObjectStore>,
    image: &ImageRef,
    options: RepairOptions,
    bases: &Bases,
    progress: Progress<'_>,
) -> Result<RepairReport> {
    let before = super::check(store, image, bases, progress).await?;
    if before.worst().is_none_or(|worst| worst == Severity::Note) {
        return Ok(RepairReport { after: before.clone(), before, ..RepairReport::default() });
    }
    let id = open::resolve(store, image).await?;
    let object: ObjectName = names::header(&id.0).into();
    let mut report = RepairReport { before, ..RepairReport::default() };
    if report.before.findings.iter().any(|finding| finding.fault == Fault::BeingRemoved) {
        return Ok(refused(report, "it is being removed: removing it again completes that"));
    }
    let Some(values) = values_of(store, &object).await? else {
        return Ok(refused(report, "without its header nothing says what the objects of the image are"));
    };
    check_unwatched(store, &object, &object.0).await?;
    // The names of an image that is migrated are those of its migration.
    header::check_not_migrating(&object, &values)?;
    mend_names(store, &id, &values, &report.before, options).await?;
    let values = values_of(store, &object).await?.unwrap_or(values);
    let Ok(header) = Header::decode(&object, &values) else {
        report.discarding_helps = !options.discard_damaged && only_metadata_is_lost(&report.before);
        return Ok(refused(report, "nothing else holds the values of the header that do not verify"));
    };
    header.check_not_migrating()?;
    let objects = Objects { id, ..open::objects_of(store, &header).await? };
    let events = Arc::new(HeaderEvents::default());
    let watch = watch::watch(&objects, &events, options.watch_timeout).await?;
    let done = match lock::try_acquire(&objects, &header.name, watch).await {
        Ok(Attempted::Taken) => {
            let done = own_and_mend(&objects, &header, options, (bases, progress), &mut report).await;
            let released = lock::give_back(&objects, watch).await;
            done.and(released)
        }
        Ok(Attempted::Held(holder)) => {
            Err(Error::new(ErrorKind::Busy, format!("{object}: locked by {} at {}", holder.client, holder.addr)))
        }
        Err(error) => Err(error),
    };
    let _ = objects.meta.unwatch(watch).await;
    done?;
    report.after = super::check(store, image, bases, progress).await?;
    report.discarding_helps |= report.after.findings.iter().any(can_be_given_up);
    report.discarding_helps &= !options.discard_damaged;
    Ok(report)
}

/// Data that readers get an error for.
fn can_be_given_up(finding: &Finding) -> bool {
    let is_data = matches!(
        finding.fault,
        Fault::Data { .. } | Fault::Block { .. } | Fault::Batch { .. } | Fault::SegmentGone | Fault::NotData
    );
    is_data && !finding.ranges.is_empty()
}

/// Of the values of the header, those that can be given up.
fn only_metadata_is_lost(report: &CheckReport) -> bool {
    report.findings.iter().all(|finding| match &finding.fault {
        Fault::HeaderValue { key, .. } => key.starts_with(key::META),
        _ => true,
    })
}

/// `Busy`: somebody has it open for writing.
async fn check_unwatched(store: &Arc<dyn ObjectStore>, header: &ObjectName, name: &str) -> Result<()> {
    match store.watchers(header).await?.first() {
        Some(watcher) => {
            let reason = format!("{name}: in use by client.{} at {}", watcher.client, watcher.addr);
            Err(Error::new(ErrorKind::Busy, reason))
        }
        None => Ok(()),
    }
}

fn refused(mut report: RepairReport, why: &str) -> RepairReport {
    report.refused = Some(why.to_owned());
    report.after = report.before.clone();
    report
}

/// What header and directory know of each other.
async fn mend_names(
    store: &Arc<dyn ObjectStore>,
    id: &ImageId,
    values: &KvMap,
    found: &CheckReport,
    options: RepairOptions,
) -> Result<()> {
    let catalog = Catalog::new(store.clone());
    for finding in &found.findings {
        let header = names::header(&id.0).into();
        let update = KvUpdate::default().presence(KvPresence::MustExist);
        // Nobody owns the image yet: a value that somebody has put right since is left alone.
        let as_found = |key: &str| update.clone().expect(key, values.get(key).cloned().unwrap_or_default());
        match &finding.fault {
            Fault::HeaderValue { key, .. } if key == key::NAME => {
                if let Ok(name) = catalog.name_of(id).await {
                    store.kv_update(&header, as_found(key).set(key::NAME, encode_text(&name))).await?;
                }
            }
            Fault::HeaderValue { key, .. } if key.starts_with(key::META) && options.discard_damaged => {
                store.kv_update(&header, as_found(key).remove(key.as_str())).await?;
            }
            Fault::Unlisted { name } if !name.is_empty() => match catalog.add(name, id).await {
                // Another image has the name by now, or half an entry is in the way: that takes a person.
                Err(error) if matches!(error.kind, ErrorKind::Exists | ErrorKind::Invalid) => {}
                added => added?,
            },
            _ => {}
        }
    }
    Ok(())
}

/// With the lock: the steps of a takeover, and between its reading and its commit the decision what to write.
async fn own_and_mend(
    objects: &Objects,
    header: &Header,
    options: RepairOptions,
    (bases, progress): (&Bases, Progress<'_>),
    report: &mut RepairReport,
) -> Result<()> {
    let epoch = takeover::raise_epoch(objects, header).await?;
    // Rule 6: until then the old owner could commit a checkpoint and delete what the header named before.
    let values = objects.read_header().await?;
    let header = Header::decode(&objects.header(), &values)?;
    if header.epoch != epoch {
        return Err(takeover::overtaken());
    }
    let tails = takeover::fence_log(objects, &header.log, epoch).await?;
    let Examined { report: found, content } =
        examine(&objects.meta, &objects.id, Some(&values), bases, progress).await?;
    let Some(content) = content else { return Ok(()) };
    family::mend(objects, &content.header, bases, &found).await?;
    let mut state = match decide(objects, content, &found, options, report).await? {
        Ok(state) => state,
        Err(why) => {
            report.refused = Some(why.to_owned());
            return Ok(());
        }
    };
    let last_known = state.segments.last().unwrap_or_default();
    let first_segment = takeover::last_segment(&header.log, &tails).max(last_known).next();
    state.set_log(takeover::commit_start(objects, &header, epoch, state.view.end, first_segment).await?);
    let shared = Shared::new(&header.name, state, &crate::Settings::default(), Arc::default());
    Checkpointer::new(epoch).write(objects, &shared, Purpose::Clean).await?;
    delete_orphans(objects, (bases, progress), report).await
}

/// The state that the new checkpoint is to hold, or why there cannot be one.
async fn decide(
    objects: &Objects,
    content: ExaminedContent,
    found: &CheckReport,
    options: RepairOptions,
    report: &mut RepairReport,
) -> Result<std::result::Result<State, &'static str>> {
    let ExaminedContent { header, state, lost_leaves, from_log, log_damaged, needed, snapshots, .. } = content;
    let Some(mut state) = state else {
        return Ok(Err("the root of the checkpoint is lost, and the log does not hold everything since the beginning"));
    };
    report.discarding_helps |= log_damaged || (!lost_leaves.is_empty() && !from_log);
    if log_damaged && !options.discard_damaged {
        return Ok(Err("the log behind the checkpoint is damaged; to end it there is to give up what comes after"));
    }
    if !lost_leaves.is_empty() && !from_log {
        if !options.discard_damaged {
            // Pointers to what does not verify stay, so that readers go on hearing of it; and what is live is not known.
            return keep_lost_leaves(objects, &header, found).await;
        }
        let spans = lost_leaves.iter().map(|leaf| super::pages::span(*leaf, header.state.size));
        report.given_up.extend(spans);
    }
    if options.discard_damaged {
        let hit = give_up(objects, &mut state, found).await?;
        report.given_up.extend(hit);
        report.given_up.sort_by_key(|range| range.start);
    }
    let needed = if options.discard_damaged { count(objects, &mut state).await? } else { needed };
    state.segments = live_table(&state, &needed);
    snapshots::recount(&mut state, snapshots);
    Ok(Ok(state))
}

/// The checkpoint as it is with the log applied, damaged leaves included as long as the log does not touch them.
async fn keep_lost_leaves(
    objects: &Objects,
    header: &Header,
    found: &CheckReport,
) -> Result<std::result::Result<State, &'static str>> {
    const WHY: &str = "leaves of the map are lost, and the log does not hold everything since the beginning";
    let is_worth_it = found.findings.iter().any(|finding| finding.fault.severity() == Severity::Leak);
    if !is_worth_it {
        return Ok(Err(WHY));
    }
    match open::load_steadily(
        &open::Found { header: header.clone(), objects: objects.clone() },
        &crate::Settings::default(),
    )
    .await
    {
        Ok((state, _, _)) => Ok(Ok(state)),
        Err(error) if matches!(error.kind, ErrorKind::Corrupt | ErrorKind::Io { .. }) => Ok(Err(WHY)),
        Err(error) => Err(error),
    }
}

/// Unmaps what does not verify. Returns the ranges.
async fn give_up(objects: &Objects, state: &mut State, found: &CheckReport) -> Result<Vec<Range<u64>>> {
    let mut ranges: Vec<Range<u64>> =
        found.findings.iter().filter(|f| can_be_given_up(f)).flat_map(|f| f.ranges.iter().cloned()).collect();
    ranges.sort_by_key(|range| range.start);
    for range in &ranges {
        let mut offset = range.start;
        while offset < range.end {
            let len = state.clear_len(offset, range.end - offset);
            let missing = state.view.map.missing(offset, len);
            let loaded = objects.read_leaves(&missing).await?;
            objects.install(&mut state.view.map, loaded)?;
            let not_loaded = |error| Error::new(ErrorKind::Io { errno: nix::libc::EIO }, format!("{error}"));
            state.view.map.clear(offset, len, &mut Superseded::new()).map_err(not_loaded)?;
            offset += len;
        }
    }
    Ok(ranges)
}

async fn count(objects: &Objects, state: &mut State) -> Result<map::Needed> {
    let mut needed = map::Needed::new();
    map::for_each_run(objects, state, |_, run| {
        *needed.entry(run.loc.segment()).or_default() += u64::from(run.len);
    })
    .await?;
    map::split_off_ancestors(state, &mut needed);
    Ok(needed)
}

/// The table of segments with what the map really needs of each.
fn live_table(state: &State, needed: &map::Needed) -> Segments {
    let mut entries: BTreeMap<SegmentNo, SegmentEntry> =
        state.segments.entries().map(|entry| (entry.segment, entry)).collect();
    for no in needed.keys() {
        entries.entry(*no).or_insert_with(|| SegmentEntry::unknown(*no));
    }
    for (no, entry) in &mut entries {
        entry.live = needed.get(no).map_or(0, |bytes| u32::try_from(*bytes).unwrap_or(u32::MAX));
        entry.len = entry.len.max(entry.live);
    }
    Segments::from_entries(&entries.into_values().collect::<Vec<_>>())
}

/// What the new checkpoint does not name goes.
async fn delete_orphans(
    objects: &Objects,
    (bases, progress): (&Bases, Progress<'_>),
    report: &mut RepairReport,
) -> Result<()> {
    let values = objects.read_header().await?;
    let left = examine(&objects.meta, &objects.id, Some(&values), bases, progress).await?;
    let orphans = left.content.map(|content| content.orphans).unwrap_or_default();
    let removals = orphans.iter().map(|orphan| orphan.store.remove(&orphan.name).boxed()).collect();
    for removed in parallel::all(removals).await {
        match removed {
            Err(error) if error.kind != lsd_store::StoreErrorKind::NotFound => return Err(error.into()),
            _ => report.deleted += 1,
        }
    }
    Ok(())
}
