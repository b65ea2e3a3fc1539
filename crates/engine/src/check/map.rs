//! The map, with the log applied, against the segments it points into.
use super::finding::{CheckReport, Fault};
use super::segments::Segments;
use crate::Result;
use crate::objects::{LoadedLeaf, Objects};
use lsd_core::format::checkpoint::LeafPlace;
use lsd_core::map::{Run, Snapshot};
use lsd_core::units::{Epoch, LeafNo, SegmentNo};
use lsd_state::state::State;
use std::collections::BTreeMap;

/// Leaves read at a time.
const LEAVES_AT_ONCE: usize = 64;

/// Bytes of each segment that the map points at.
pub(super) type Needed = BTreeMap<SegmentNo, u64>;

/// Calls `f` with every run of the map and the leaf it is in, in the order of the image.
pub(super) async fn for_each_run(objects: &Objects, state: &mut State, mut f: impl FnMut(LeafNo, Run)) -> Result<()> {
    let dirty: BTreeMap<LeafNo, Snapshot> = state.view.map.take_dirty().into_iter().collect();
    // Only looked at: the next checkpoint still has to store them.
    state.view.map.fail_dirty(dirty.keys().copied());
    let stored = state.view.map.stored_leaves().filter(|(leaf, _, _)| !dirty.contains_key(leaf));
    let stored: Vec<(LeafNo, LeafPlace)> = stored.map(|(leaf, at, _)| (leaf, *at)).collect();
    let mut dirty = dirty.into_iter().peekable();
    for group in stored.chunks(LEAVES_AT_ONCE) {
        for LoadedLeaf { leaf, content, .. } in objects.read_leaves(group).await? {
            while let Some((number, changed)) = dirty.next_if(|(number, _)| *number < leaf) {
                changed.content.runs().for_each(|run| f(number, run));
            }
            content.runs().for_each(|run| f(leaf, run));
        }
    }
    for (number, changed) in dirty {
        changed.content.runs().for_each(|run| f(number, run));
    }
    Ok(())
}

/// Takes what is needed of ancestors out of what is needed.
pub(super) fn split_off_ancestors(state: &State, needed: &mut Needed) -> Needed {
    needed.extract_if(.., |no, _| !state.view.lineage.is_own(*no)).collect()
}

/// Where the map points at damage or at nothing. Returns how much of each of the image's own segments it needs.
pub(super) async fn verify(
    objects: &Objects,
    state: &mut State,
    segments: &Segments,
    report: &mut CheckReport,
) -> Result<Needed> {
    let mut needed = Needed::new();
    let mut astray: BTreeMap<SegmentNo, usize> = BTreeMap::new();
    let lineage = state.view.lineage.clone();
    for_each_run(objects, state, |leaf, run| {
        let no = run.loc.segment();
        *needed.entry(no).or_default() += u64::from(run.len);
        let start = leaf.start() + u64::from(run.start);
        let image = start..start + u64::from(run.len);
        let at = run.loc.offset()..run.loc.offset() + run.len;
        if let Some(finding) = segments.gone.get(&no) {
            return report.hit(*finding, image);
        }
        let segment = segments.found.get(&no);
        if !segment.is_some_and(|segment| segment.content.covers(at.clone())) {
            let name = match lineage.home(no) {
                Some(home) => objects.segment_at(home, no),
                None => objects.segment(Epoch::default(), no),
            };
            let finding = *astray.entry(no).or_insert_with(|| report.add(name, Fault::NotData));
            return report.hit(finding, image);
        }
        for (damaged, finding) in segment.iter().flat_map(|segment| &segment.damage) {
            let (from, to) = (damaged.start.max(at.start), damaged.end.min(at.end));
            if from < to {
                report.hit(*finding, start + u64::from(from - at.start)..start + u64::from(to - at.start));
            }
        }
    })
    .await?;
    for (at, finding) in segments.found.values().filter(|s| s.may_be_torn).filter_map(|segment| segment.damage.last()) {
        let finding = &mut report.findings[*finding];
        if finding.ranges.is_empty() {
            // A takeover long ago found this end torn and left it out of the map.
            finding.fault = Fault::TornTail { at: at.clone() };
        }
    }
    split_off_ancestors(state, &mut needed);
    Ok(needed)
}

/// The table of live bytes against what the map needs.
pub(super) fn verify_live(objects: &Objects, state: &State, needed: &Needed, report: &mut CheckReport) {
    let recorded: BTreeMap<SegmentNo, u32> =
        state.segments.entries().map(|entry| (entry.segment, entry.live)).collect();
    let mut numbers: Vec<SegmentNo> = recorded.keys().chain(needed.keys()).copied().collect();
    numbers.sort_unstable();
    numbers.dedup();
    for no in numbers {
        let recorded = recorded.get(&no).copied().unwrap_or_default();
        let needed = u32::try_from(needed.get(&no).copied().unwrap_or_default()).unwrap_or(u32::MAX);
        if recorded != needed {
            let epoch = state.log().epoch_of(no).unwrap_or_default();
            report.add(objects.segment(epoch, no), Fault::Live { recorded, needed });
        }
    }
}
