//! Leaves of the map in memory: reading those that are missing, dropping those that are not needed.
//!
//! Owns: that a leaf is read once, however many need it. Does not own: which leaves an operation needs, the map itself.
use super::Shared;
use crate::api::limits::{
    CHECKPOINT_STEP_LEAVES, EVICT_STEP_LEAVES, EVICT_STEPS, LEAVES_TOGETHER, LEAVES_TOGETHER_BYTES,
};
use crate::api::stats::Counter;
use crate::compiled_here;
use crate::objects::Objects;
use crate::{Error, ErrorKind, Result};
use lsd_core::format::checkpoint::LeafPlace;
use lsd_core::format::root::LeafEntry;
use lsd_core::map::ExtentMap;
use lsd_core::units::{LEAF_SPAN_BYTES, LeafNo};
use lsd_state::log::Writer;
use std::sync::atomic::Ordering;

/// Leaves that are read side by side; two leaves whose numbers share a remainder are read one after the other.
pub(super) const LEAF_READS: usize = 32;

impl Shared {
    /// Reads leaves that are not in memory and puts them into the map; those that somebody else is reading are awaited.
    #[compiled_here]
    pub(crate) async fn load_leaves(&self, objects: &Objects, mut leaves: Vec<(LeafNo, LeafPlace)>) -> Result<()> {
        let Some((first, _)) = leaves.first() else { return Ok(()) };
        let _reading = self.leaf_reads[first.0 as usize % LEAF_READS].lock().await;
        let needed = {
            let state = self.lock();
            leaves.retain(|(leaf, _)| !state.view.map.is_loaded(*leaf));
            let needed = leaves.len();
            if let [one] = leaves[..] {
                leaves = together(&state.view.map, state.view.size, one);
            }
            needed
        };
        let loaded = match objects.read_leaves(&leaves).await {
            // Perhaps of one that nobody needs; those come last.
            Err(_) if leaves.len() > needed => objects.read_leaves(&leaves[..needed]).await?,
            loaded => loaded?,
        };
        self.leaves_loaded.store(true, Ordering::Relaxed);
        self.counters.add(Counter::LeavesLoaded, loaded.len() as u64);
        objects.install(&mut self.lock().view.map, loaded)
    }

    /// The same for somebody who looks at the map again afterwards: a leaf that a checkpoint moved on meanwhile is no error.
    /// `Fenced`, and the image fails: a later owner deleted it. `Corrupt`: nobody did.
    #[compiled_here]
    pub(crate) async fn load_leaves_again(&self, objects: &Objects, leaves: Vec<(LeafNo, LeafPlace)>) -> Result<()> {
        let error = match self.load_leaves(objects, leaves.clone()).await {
            Err(error) if error.kind == ErrorKind::NotFound => error,
            other => return other,
        };
        let own = {
            let state = self.lock();
            // A checkpoint of this handle moves a leaf before it deletes where it was.
            if leaves.iter().any(|wanted| !state.view.map.missing(wanted.0.start(), 1).contains(wanted)) {
                return Ok(());
            }
            state.writer.as_ref().map(Writer::epoch)
        };
        let Some(own) = own else { return Err(error) };
        if objects.read_epoch().await? == own {
            return Err(error.with_kind(ErrorKind::Corrupt));
        }
        let fenced = Error::new(ErrorKind::Fenced, format!("{error}: another client owns the image now"));
        self.fail(fenced.clone());
        Err(fenced)
    }

    /// What the last checkpoint stored, from a leaf on, as far as one look may go; and the leaf to go on from, `None` at the end. Only
    /// checkpoints change it, so who writes one may look in steps.
    pub(crate) fn stored_leaves(&self, first: LeafNo) -> (Vec<LeafEntry>, Option<LeafNo>) {
        let state = self.lock();
        let stored = state.view.map.stored_leaves_from(first).take(CHECKPOINT_STEP_LEAVES);
        let leaves: Vec<LeafEntry> = stored.map(|(leaf, at, mapped)| LeafEntry { leaf, mapped, at: *at }).collect();
        let last = if leaves.len() < CHECKPOINT_STEP_LEAVES { None } else { leaves.last() };
        let next = last.and_then(|last| last.leaf.0.checked_add(1)).map(LeafNo);
        (leaves, next)
    }

    /// Drops leaves if an operation has just loaded some: after it, so that what it needed stayed while it ran.
    pub(crate) fn trim_leaves(&self, map_bytes: u64) {
        if self.leaves_loaded.swap(false, Ordering::Relaxed) {
            self.evict_leaves(map_bytes);
        }
    }

    /// Drops leaves that the checkpoint has, until the map fits its memory. Others get at the state in between.
    pub(crate) fn evict_leaves(&self, map_bytes: u64) {
        let evict = || self.lock().view.map.evict_some(map_bytes as usize, EVICT_STEP_LEAVES);
        // Leaves used all the time come round again; they are few, or the map would fit.
        for _ in 0..EVICT_STEPS {
            if evict() {
                break;
            }
        }
    }
}

/// A leaf that is needed, and behind it those around it that its page has as well, as long as they are small: what large writes left is a
/// hundred bytes for each leaf, and an operation brings many of them as well as one.
pub(crate) fn together(map: &ExtentMap<LeafPlace>, size: u64, needed: (LeafNo, LeafPlace)) -> Vec<(LeafNo, LeafPlace)> {
    let first = LeafNo(needed.0.0 / LEAVES_TOGETHER * LEAVES_TOGETHER);
    let len = (u64::from(LEAVES_TOGETHER) * u64::from(LEAF_SPAN_BYTES)).min(size.saturating_sub(first.start()));
    let bytes = |place: &LeafPlace| place.pointers().map(|at| at.len).sum::<u32>();
    let page = |place: &LeafPlace| (place.base.checkpoint, place.base.page);
    let is_beside = |place: &LeafPlace| place.patch.is_none() && page(place) == page(&needed.1);
    let mut left = LEAVES_TOGETHER_BYTES.saturating_sub(bytes(&needed.1));
    let mut leaves = vec![needed];
    for (leaf, place) in map.missing(first.start(), len) {
        if leaf != needed.0 && is_beside(&place) && bytes(&place) <= left {
            left -= bytes(&place);
            leaves.push((leaf, place));
        }
    }
    leaves
}

#[cfg(test)]
mod tests;
