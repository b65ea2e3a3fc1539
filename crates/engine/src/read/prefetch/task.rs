//! What is fetched before it is asked for: data for readers in sequence, and what else operations in order will need.
//!
//! Owns: carrying it out in the background. Does not own: when (`data.rs`, `leaves.rs`). Nobody waits for it and
//! nobody is told of its errors: an operation that needs what is missing fetches it itself.
use crate::api::limits::LEAVES_AHEAD_LEAST_MAP_BYTES;
use crate::objects::Objects;
use crate::objects::parallel;
use crate::read;
use crate::read::prefetch::data::Readahead;
use crate::read::prefetch::leaves::LeafAhead;
use crate::shared::Shared;
use futures::FutureExt;
use lsd_core::map::Extent;
use lsd_core::units::{BLOCK_BYTES, LeafNo, SegmentNo};
use lsd_state::buffers::Keep;
use lsd_state::lineage::Home;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What operations will do with the leaves that are loaded ahead.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Before {
    /// The checksums of what they point at are needed too.
    Reading,
    Writing,
}

/// What one handle has seen of the order of its operations.
#[derive(Debug, Default)]
pub(crate) struct Prefetch {
    data: Mutex<Readahead>,
    leaves: Mutex<LeafAhead>,
}

impl Prefetch {
    /// After a read, of an image of `size` bytes.
    pub(crate) fn data(&self, objects: &Objects, shared: &Arc<Shared>, (offset, len): (u64, u64), size: u64) {
        let ahead = self.data.lock().unwrap_or_else(PoisonError::into_inner).observe(offset, len, size);
        if let Some((offset, len)) = ahead {
            let (objects, shared) = (objects.clone(), shared.clone());
            tokio::spawn(async move {
                if let Ok(parts) = read::read(&objects, &shared, offset, len).await {
                    let _ = parts.into_data(&shared, Keep::Always);
                }
            });
        }
    }

    /// Loads leaves of the map ahead of operations that come in order. `map_bytes`: the memory for them.
    pub(crate) fn leaves(
        &self,
        objects: &Objects,
        shared: &Arc<Shared>,
        (offset, len): (u64, u64),
        before: Before,
        map_bytes: u64,
    ) {
        let ahead = self.leaves.lock().unwrap_or_else(PoisonError::into_inner).observe(LeafNo::of(offset), len);
        let Some(ahead) = ahead else { return };
        if map_bytes < LEAVES_AHEAD_LEAST_MAP_BYTES {
            return;
        }
        for leaf in ahead.map(LeafNo) {
            let (objects, shared) = (objects.clone(), shared.clone());
            tokio::spawn(async move { load(&objects, &shared, leaf, before).await });
        }
    }
}

async fn load(objects: &Objects, shared: &Shared, leaf: LeafNo, before: Before) {
    let missing = {
        let state = shared.lock();
        let len = leaf.len_in(state.view.size);
        if len == 0 {
            return;
        }
        state.view.map.missing(leaf.start(), len)
    };
    let loaded = shared.load_leaves(objects, missing).await;
    if before == Before::Reading && loaded.is_ok() {
        let tables = segments_of(shared, leaf).into_iter();
        let load = |(segment, (home, blocks))| shared.checksums.of(objects, home, segment, blocks).boxed();
        drop(parallel::all(tables.map(load).collect()).await);
    }
}

/// The segments that a leaf points at, and how many of their blocks must be known to read all of it.
fn segments_of(shared: &Shared, leaf: LeafNo) -> BTreeMap<SegmentNo, (Home, usize)> {
    let mut segments: BTreeMap<SegmentNo, usize> = BTreeMap::new();
    let state = shared.lock();
    let len = leaf.len_in(state.view.size);
    let mut found: Vec<Extent> = Vec::new();
    if len == 0 || state.view.map.lookup(leaf.start(), len, &mut found).is_err() {
        return BTreeMap::new();
    }
    for extent in found {
        let Some(loc) = extent.loc else { continue };
        let end = (loc.offset() + extent.len as u32).div_ceil(BLOCK_BYTES) as usize;
        let blocks = segments.entry(loc.segment()).or_insert(0);
        *blocks = end.max(*blocks);
    }
    let known = |(segment, blocks)| Some((segment, (state.view.lineage.home(segment)?, blocks)));
    segments.into_iter().filter_map(known).collect()
}
