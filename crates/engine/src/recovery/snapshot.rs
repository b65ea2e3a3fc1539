//! A snapshot's map, read from its root.
//!
//! Owns: what a snapshot needs of the store, and the state of a handle that shows one. Does not own: counting what is needed
//! (`lsd_state::pins`), the names of snapshots (`session/snapshots/`).
use crate::Result;
use crate::api::error::corrupt;
use crate::objects::Objects;
use crate::objects::header::Header;
use crate::recovery::read_root;
use lsd_core::format::checkpoint::LeafPlace;
use lsd_core::format::header::{CheckpointPointer, LogRecord, SnapRecord};
use lsd_core::format::root::Root;
use lsd_core::map::ExtentMap;
use lsd_core::units::{SegmentNo, SnapId};
use lsd_state::lineage::Whose;
use lsd_state::pins::{PageKey, pages_of_root};
use lsd_state::segments::Segments;
use lsd_state::state::State;
use std::collections::{BTreeMap, BTreeSet};

/// What keeps a snapshot readable, beside the pages of its root.
#[derive(Clone, Debug)]
pub(crate) struct Needs {
    pub(crate) id: SnapId,
    pub(crate) root: CheckpointPointer,
    pub(crate) segments: Vec<SegmentNo>,
    /// Pages with leaves.
    pub(crate) pages: BTreeSet<PageKey>,
}

impl Needs {
    /// Those of the root, too.
    pub(crate) fn all_pages(&self) -> impl Iterator<Item = PageKey> + '_ {
        self.pages.iter().copied().chain(pages_of_root(&self.root))
    }
}

/// A snapshot's map.
#[derive(Debug)]
pub(crate) struct SnapMap {
    pub(crate) map: ExtentMap<LeafPlace>,
    /// Bytes of each segment that it points at.
    pub(crate) live: BTreeMap<SegmentNo, u32>,
}

pub(crate) async fn needs(objects: &Objects, snapshot: &SnapRecord) -> Result<Needs> {
    let root = root_of(objects, snapshot).await?;
    Ok(Needs {
        id: snapshot.id,
        root: snapshot.root,
        segments: root.segments.iter().filter(|entry| entry.live > 0).map(|entry| entry.segment).collect(),
        pages: objects.own_pages(root.leaves.iter().map(|entry| &entry.at)),
    })
}

pub(crate) async fn map(objects: &Objects, snapshot: &SnapRecord) -> Result<SnapMap> {
    let root = root_of(objects, snapshot).await?;
    let live = root.segments.iter().filter(|entry| entry.live > 0);
    Ok(SnapMap { live: live.map(|entry| (entry.segment, entry.live)).collect(), map: map_of(&root) })
}

/// The state of a handle that shows the snapshot: there is no log behind it.
pub(crate) async fn state(
    objects: &Objects,
    header: &Header,
    snapshot: &SnapRecord,
    cache_bytes: u64,
) -> Result<State> {
    let root = root_of(objects, snapshot).await?;
    let segments = Segments::from_entries(&root.segments);
    let log = LogRecord { checkpoint: Some(snapshot.root), clean: true, ..header.log.clone() };
    let state = State::new(snapshot.size, log, map_of(&root), segments, cache_bytes);
    let mut state = state.with_ancestors(objects.ancestors());
    state.view.features = snapshot.features;
    state.view.rolled_back = header.snapshots.counters.rolled_back;
    Ok(state)
}

/// `Corrupt`: it does not verify, or is of another moment.
pub(crate) async fn root_of(objects: &Objects, snapshot: &SnapRecord) -> Result<Root> {
    let (mut root, _) = read_root(objects, &snapshot.root).await?;
    // Of the destination of a migration: what the source's table counts is counted there.
    let ancestors = objects.ancestors();
    root.segments.retain(|entry| ancestors.of_segment(entry.segment) == Whose::Own);
    match root.moment {
        Some(moment) if moment.size == snapshot.size => Ok(root),
        _ => Err(corrupt(&objects.header(), format!("the map of snapshot {} is of another moment", snapshot.id))),
    }
}

fn map_of(root: &Root) -> ExtentMap<LeafPlace> {
    let mut map = ExtentMap::new();
    map.load_root(root.leaves.iter().map(|entry| (entry.leaf, entry.at, entry.mapped)));
    map
}
