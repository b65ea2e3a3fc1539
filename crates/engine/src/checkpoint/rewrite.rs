//! Snapshots whose data was moved: their maps, written anew to say where it is now.
//!
//! Owns: the leaves and roots of such snapshots, in the pages of the checkpoint that puts them in force (rule 37). Does not own: what is
//! moved (`collect/pinned/`), the update of the header (`checkpoint/purpose.rs`).
use super::pages::Pages;
use crate::Result;
use crate::api::error::corrupt;
use crate::api::limits::WALK_LEAVES;
use crate::objects::LoadedLeaf;
use crate::recovery::snapshot;
use crate::shared::Shared;
use lsd_core::format::checkpoint::{LeafPlace, PageKind};
use lsd_core::format::header::{CheckpointPointer, SnapRecord};
use lsd_core::format::root::{Root, SegmentEntry};
use lsd_core::map::Leaf;
use lsd_core::units::{LeafNo, Loc, SegmentNo};
use lsd_state::pins::{PageKey, Restored, pages_of_root};
use std::collections::{BTreeMap, BTreeSet};

/// Where data was, and where its copy is.
#[derive(Debug, Default)]
pub(crate) struct Moves {
    from: BTreeMap<Loc, (u32, Loc)>,
}

/// A piece of a leaf that moved.
#[derive(Clone, Copy, Debug)]
struct Moved {
    /// Within the leaf, bytes.
    start: u32,
    len: u32,
    from: SegmentNo,
    to: Loc,
}

impl Moves {
    pub(crate) fn add(&mut self, from: Loc, len: u32, to: Loc) {
        self.from.insert(from, (len, to));
    }

    /// What of a leaf has moved.
    fn of(&self, content: &Leaf) -> Vec<Moved> {
        let mut found = Vec::new();
        for run in content.runs() {
            let (start, end) = (run.loc, Loc(run.loc.0 + u64::from(run.len)));
            // No two copies are of the same data: the one before the run may reach into it.
            let before = self.from.range(..start).next_back();
            for (from, (len, to)) in before.into_iter().chain(self.from.range(start..end)) {
                let (first, last) = (start.0.max(from.0), end.0.min(from.0 + u64::from(*len)));
                if first < last {
                    let len = (last - first) as u32;
                    let to = to.advance((first - from.0) as u32);
                    found.push(Moved { start: run.start + (first - start.0) as u32, len, from: from.segment(), to });
                }
            }
        }
        found
    }
}

/// What is to be done.
#[derive(Debug, Default)]
pub(crate) struct Rewrite {
    pub(crate) snapshots: Vec<SnapRecord>,
    /// Those that may point at what moved.
    pub(crate) leaves: BTreeSet<LeafNo>,
    pub(crate) moves: Moves,
    /// Nothing points into these afterwards.
    pub(crate) emptied: BTreeSet<SegmentNo>,
}

/// What has become of one snapshot.
#[derive(Clone, Debug)]
pub(crate) struct Rewritten {
    pub(crate) before: SnapRecord,
    pub(crate) after: SnapRecord,
    pub(crate) restored: Restored,
    /// Segments that it needs no more, and that it needs, too.
    pub(crate) left: Vec<SegmentNo>,
    pub(crate) entered: Vec<SegmentNo>,
}

impl Rewritten {
    /// Pages that nobody may need once it is in force.
    pub(crate) fn left_pages(&self) -> impl Iterator<Item = PageKey> + '_ {
        self.restored.left.iter().copied().chain(pages_of_root(&self.before.root))
    }
}

/// One leaf as it is stored afterwards, and the bytes that went from one segment to another.
#[derive(Clone, Debug)]
struct Stored {
    at: LeafPlace,
    moved: Vec<(SegmentNo, SegmentNo, u32)>,
}

/// Snapshots share leaves: each is written once.
type Known = BTreeMap<(LeafNo, LeafPlace), Stored>;

/// Writes the maps of the snapshots that what moved concerns. `Corrupt`: one points at more than was found.
pub(super) async fn write(shared: &Shared, pages: &mut Pages<'_>, what: &Rewrite) -> Result<Vec<Rewritten>> {
    let mut known = Known::new();
    let mut written = Vec::new();
    for record in &what.snapshots {
        written.extend(write_one(shared, pages, what, record, &mut known).await?);
    }
    Ok(written)
}

async fn write_one(
    shared: &Shared,
    pages: &mut Pages<'_>,
    what: &Rewrite,
    record: &SnapRecord,
    known: &mut Known,
) -> Result<Option<Rewritten>> {
    let (objects, id) = pages.whose();
    let mut root = snapshot::root_of(objects, record).await?;
    let concerned: Vec<(LeafNo, LeafPlace)> = root
        .leaves
        .iter()
        .filter(|entry| what.leaves.contains(&entry.leaf))
        .map(|entry| (entry.leaf, entry.at))
        .collect();
    let unknown: Vec<_> = concerned.iter().filter(|leaf| !known.contains_key(leaf)).copied().collect();
    for some in unknown.chunks(WALK_LEAVES) {
        for leaf in objects.read_leaves(some).await? {
            let place = (leaf.leaf, leaf.at);
            known.insert(place, store(pages, &what.moves, leaf).await?);
        }
    }
    let moved: Vec<(SegmentNo, SegmentNo, u32)> =
        concerned.iter().filter_map(|leaf| known.get(leaf)).flat_map(|stored| stored.moved.clone()).collect();
    // What lies in the pages of the source of a migration moves, too.
    let is_elsewhere = |(leaf, at): &(LeafNo, LeafPlace)| known.get(&(*leaf, *at)).is_some_and(|now| now.at != *at);
    if moved.is_empty() && !concerned.iter().any(is_elsewhere) && !objects.is_sources_page(record.root.id) {
        return Ok(None);
    }
    let before = objects.own_pages(root.leaves.iter().map(|entry| &entry.at));
    for entry in &mut root.leaves {
        if let Some(stored) = known.get(&(entry.leaf, entry.at)) {
            entry.at = stored.at;
        }
    }
    let after = objects.own_pages(root.leaves.iter().map(|entry| &entry.at));
    let (left, entered) = move_live(shared, &mut root, &moved);
    if let Some(entry) = root.segments.iter().find(|entry| what.emptied.contains(&entry.segment)) {
        let why = format!("snapshot {} points at more of segment {} than was found", record.id, entry.segment);
        return Err(corrupt(&objects.header(), why));
    }
    let last_in_table = root.segments.last().map(|entry| entry.segment);
    // Which pages snapshots need is counted by the image's own root only.
    root.pages.clear();
    let first_root_page = pages.count();
    let payload = root.encode();
    pages.add_root(PageKind::MomentRoot, |out| out.extend_from_slice(&payload)).await?;
    pages.end_root(PageKind::MomentRoot).await?;
    let frontier = record.root.frontier;
    let root = CheckpointPointer { id, frontier, first_root_page, root_pages: pages.count() - first_root_page };
    let highest = last_in_table.into_iter().chain(entered.iter().copied());
    let last_segment = highest.fold(record.last_segment.max(SegmentNo(1)), SegmentNo::max);
    Ok(Some(Rewritten {
        before: record.clone(),
        after: SnapRecord { root, last_segment, ..record.clone() },
        restored: Restored {
            id: record.id,
            root,
            left: before.difference(&after).copied().collect(),
            entered: after.difference(&before).copied().collect(),
        },
        left,
        entered,
    }))
}

/// Where the leaf is from now on: where it was, if nothing of it moved.
async fn store(
    pages: &mut Pages<'_>,
    moves: &Moves,
    LoadedLeaf { leaf, at, mut content, .. }: LoadedLeaf,
) -> Result<Stored> {
    let found = moves.of(&content);
    let (objects, _) = pages.whose();
    if found.is_empty() && !objects.is_sources_leaf(&at) {
        return Ok(Stored { at, moved: Vec::new() });
    }
    let mut superseded = Vec::new();
    for piece in &found {
        content.set(piece.start, piece.len, piece.to, &mut superseded);
    }
    let moved = found.iter().map(|piece| (piece.from, piece.to.segment(), piece.len)).collect();
    Ok(Stored { at: pages.add_whole(leaf, &content).await?, moved })
}

/// Makes the table say what the leaves do. Returns the segments that left it and those that came into it.
fn move_live(
    shared: &Shared,
    root: &mut Root,
    moved: &[(SegmentNo, SegmentNo, u32)],
) -> (Vec<SegmentNo>, Vec<SegmentNo>) {
    let mut entries: BTreeMap<SegmentNo, SegmentEntry> =
        root.segments.drain(..).filter(|entry| entry.live > 0).map(|entry| (entry.segment, entry)).collect();
    let before: BTreeSet<SegmentNo> = entries.keys().copied().collect();
    {
        let state = shared.lock();
        for (from, to, bytes) in moved {
            if let Some(entry) = entries.get_mut(from) {
                entry.live = entry.live.saturating_sub(*bytes);
            }
            let entry = entries.entry(*to).or_insert_with(|| SegmentEntry { pins: 1, ..SegmentEntry::unknown(*to) });
            // Also of one that copies of an earlier round came into: it may have got newer data and more of it since.
            let used = state.segments.get(*to).unwrap_or_default();
            entry.newest = state.segments.newest(*to).known();
            entry.timestamp_ns = entry.timestamp_ns.max(used.timestamp_ns);
            entry.live += bytes;
            entry.kept = entry.kept.max(entry.live);
            entry.len = entry.len.max(used.len).max(entry.kept);
        }
    }
    entries.retain(|_, entry| entry.live > 0);
    let after: BTreeSet<SegmentNo> = entries.keys().copied().collect();
    root.segments = entries.into_values().collect();
    (before.difference(&after).copied().collect(), after.difference(&before).copied().collect())
}
