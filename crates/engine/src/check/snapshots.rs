//! The snapshots: that each can be read, and that what they need is counted.
//!
//! Owns: what is found of their maps, and the counts as they should be. Does not own: the segments that they point into
//! (`check/segments.rs`), putting counts right (`check/repair.rs`).
use super::finding::{CheckReport, Fault};
use super::map::{self, Needed};
use super::pages::PageKey;
use crate::objects::Objects;
use crate::objects::header::Header;
use crate::recovery::snapshot;
use crate::{ErrorKind, Result};
use lsd_core::format::header::SnapRecord;
use lsd_core::format::root::SegmentEntry;
use lsd_core::units::SegmentNo;
use lsd_state::pins::{SnapshotPins, pages_of_root};
use lsd_state::segments::Segments;
use lsd_state::state::State;
use std::collections::{BTreeMap, BTreeSet};

/// What the snapshots need.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// How many snapshots point into each segment.
    pub(super) segments: BTreeMap<SegmentNo, u32>,
    /// Segments of ancestors that they point into.
    pub(super) ancestors: BTreeSet<SegmentNo>,
    pub(super) pins: SnapshotPins,
    /// Every map of theirs was read: nothing else is needed.
    pub(super) is_whole: bool,
}

impl Found {
    /// Pages that must stay.
    pub(super) fn pages(&self) -> impl Iterator<Item = PageKey> + '_ {
        self.pins.all_pages()
    }
}

/// Reads and verifies all of them.
pub(super) async fn verify(objects: &Objects, header: &Header, report: &mut CheckReport) -> Result<Found> {
    let mut found = Found { is_whole: true, ..Found::default() };
    for record in header.snapshots.all.values() {
        match look_into(objects, header, record).await {
            Ok(Needs { segments, ancestors, pages }) => {
                found.ancestors.extend(ancestors);
                segments.into_iter().for_each(|no| *found.segments.entry(no).or_default() += 1);
                found.pins.add(record.id, record.root, &pages);
            }
            Err(error) if matches!(error.kind, ErrorKind::Corrupt | ErrorKind::NotFound | ErrorKind::Io { .. }) => {
                let (id, page) = pages_of_root(&record.root).next().unwrap_or((record.root.id, 0));
                let name = record.name.clone();
                report.add(objects.page(id, page), Fault::Snapshot { name, why: error.to_string() });
                found.pins.add(record.id, record.root, &BTreeSet::new());
                found.is_whole = false;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// What one snapshot needs.
struct Needs {
    segments: Vec<SegmentNo>,
    /// Segments of ancestors.
    ancestors: Vec<SegmentNo>,
    pages: BTreeSet<PageKey>,
}

/// `Corrupt`: its map does not verify, or its table says something else than its leaves.
async fn look_into(objects: &Objects, header: &Header, record: &SnapRecord) -> Result<Needs> {
    let mut state = snapshot::state(objects, header, record, 0).await?;
    let pages = objects.own_pages(state.view.map.stored_leaves().map(|(_, place, _)| place));
    let mut needed = Needed::new();
    map::for_each_run(objects, &mut state, |_, run| {
        *needed.entry(run.loc.segment()).or_default() += u64::from(run.len);
    })
    .await?;
    // What an ancestor has is counted there, by the snapshot that the image is a clone of.
    let ancestors = map::split_off_ancestors(&state, &mut needed).into_keys().collect();
    let recorded: Needed = state
        .segments
        .entries()
        .filter(|entry| entry.live > 0)
        .map(|entry| (entry.segment, entry.live.into()))
        .collect();
    if recorded != needed {
        let why = "its table of segments does not say what its map points at";
        return Err(crate::api::error::corrupt(&objects.header(), why));
    }
    Ok(Needs { segments: needed.into_keys().collect(), ancestors, pages })
}

/// The counts in the checkpoint against what they should be.
pub(super) fn verify_pins(objects: &Objects, state: &State, found: &Found, report: &mut CheckReport) {
    if !found.is_whole {
        return;
    }
    let recorded: BTreeMap<SegmentNo, u32> =
        state.segments.entries().map(|entry| (entry.segment, entry.pins)).collect();
    for no in recorded.keys().chain(found.segments.keys()).copied().collect::<BTreeSet<_>>() {
        let recorded = recorded.get(&no).copied().unwrap_or_default();
        let needed = found.segments.get(&no).copied().unwrap_or_default();
        if recorded != needed {
            let epoch = state.log().epoch_of(no).unwrap_or_default();
            report.add(objects.segment(epoch, no), Fault::Pins { recorded, needed });
        }
    }
    let counts =
        |pins: &SnapshotPins| -> BTreeMap<PageKey, u32> { pins.pages().map(|page| (page.key(), page.pins)).collect() };
    let (recorded, needed) = (counts(&state.snapshots), counts(&found.pins));
    for (id, page) in recorded.keys().chain(needed.keys()).copied().collect::<BTreeSet<_>>() {
        let of = |counts: &BTreeMap<PageKey, u32>| counts.get(&(id, page)).copied().unwrap_or_default();
        let (recorded, needed) = (of(&recorded), of(&needed));
        if recorded != needed {
            report.add(objects.page(id, page), Fault::Pins { recorded, needed });
        }
    }
}

/// Puts the counts right. Where a map cannot be read, what is counted for it stays.
pub(super) fn recount(state: &mut State, found: Found) {
    let mut entries: BTreeMap<SegmentNo, SegmentEntry> =
        state.segments.entries().map(|entry| (entry.segment, entry)).collect();
    for no in found.segments.keys() {
        entries.entry(*no).or_insert_with(|| SegmentEntry::unknown(*no));
    }
    for (no, entry) in &mut entries {
        let needed = found.segments.get(no).copied().unwrap_or_default();
        entry.pins = if found.is_whole { needed } else { entry.pins.max(needed) };
    }
    state.segments = Segments::from_entries(&entries.into_values().collect::<Vec<_>>());
    state.snapshots = if found.is_whole { found.pins } else { found.pins.with_at_least(&state.snapshots) };
}
