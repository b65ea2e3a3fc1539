//! What a checkpoint is written for, beside sparing the next owner the log.
//!
//! Owns: what each purpose changes in the books when the image is captured, what it adds to the header's update, and taking the
//! change back where the update did not happen. Does not own: the order of the steps (`checkpoint/`).
use crate::objects::header::Header;
use crate::recovery::snapshot::{Needs, SnapMap};
use crate::shared::locked::Locked;
use lsd_core::format::header::{
    AncestryRecord, CheckpointPointer, REQUIRES_CLONES, REQUIRES_SNAPSHOTS, SnapCounters, SnapNamespace, SnapRecord,
    StateRecord, encode_requires, key,
};
use lsd_core::units::{SegmentNo, SnapId};
use lsd_state::pins::{PageKey, SnapshotPins, leaf_pages};
use lsd_state::segments::Segments;
use lsd_state::view::View;
use lsd_store::KvUpdate;
use std::collections::BTreeSet;

/// A snapshot to be taken.
#[derive(Clone, Debug)]
pub(crate) struct NewSnapshot {
    pub(crate) id: SnapId,
    pub(crate) namespace: SnapNamespace,
    pub(crate) name: String,
    pub(crate) features: u64,
    pub(crate) flags: u64,
    pub(crate) time_ns: u64,
    /// Up to where the image shows what its parent has, bytes.
    pub(crate) overlap: Option<u64>,
    /// As they are afterwards.
    pub(crate) counters: SnapCounters,
}

/// What the image becomes again.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) snapshot: SnapRecord,
    pub(crate) map: SnapMap,
    /// The header's, as it is afterwards.
    pub(crate) state: StateRecord,
    pub(crate) counters: SnapCounters,
    pub(crate) ancestry: Option<AncestryRecord>,
}

#[derive(Debug)]
pub(crate) enum Purpose {
    /// The owner goes on.
    Running,
    /// It is the last act of this owner, and nothing follows it in the log.
    Clean,
    /// Its moment gets a name.
    Snapshot(Box<NewSnapshot>),
    /// A snapshot that was removed lets go of what it needed.
    Release(Box<Needs>),
    /// The image becomes what it was. Nobody writes meanwhile, and all that was written is durable.
    Rollback(Box<Target>),
}

/// What was changed in the books before the update of the header that goes with it.
#[derive(Debug)]
pub(super) enum Changed {
    Nothing,
    /// These segments were pinned for a new snapshot.
    Pinned(SnapId, Vec<SegmentNo>),
    /// A snapshot's pins are gone.
    Released(Box<Needs>),
    /// Another view was put in force: this is the one from before.
    Replaced(Box<(View, Segments)>),
}

/// An update that nobody knows the outcome of, and what depends on it.
#[derive(Debug)]
pub(super) struct Doubt {
    needs: Box<Needs>,
    /// The snapshot was taken; else it was released.
    is_new: bool,
}

impl Purpose {
    pub(super) fn is_clean(&self) -> bool {
        matches!(self, Purpose::Clean)
    }

    /// No segment goes on beyond the moment that is captured.
    pub(super) fn ends_segments(&self) -> bool {
        matches!(self, Purpose::Snapshot(_) | Purpose::Rollback(_))
    }

    /// With everything accepted so far in segments that have ended. Takes `self` where it is needed no more.
    pub(super) fn begin(&mut self, state: &mut Locked<'_>) -> Changed {
        match self {
            Purpose::Running | Purpose::Clean => Changed::Nothing,
            Purpose::Snapshot(new) => {
                let live = state.segments.live();
                state.segments.pin(&live);
                Changed::Pinned(new.id, live)
            }
            // Rule 32: somebody else has let go of it already.
            Purpose::Release(needs) if !state.snapshots.has_root(needs.id) => {
                *self = Purpose::Running;
                Changed::Nothing
            }
            Purpose::Release(needs) => {
                state.segments.unpin(&needs.segments);
                Changed::Released(needs.clone())
            }
            Purpose::Rollback(target) => {
                state.is_replaced = true;
                let segments = state.segments.with_live(&target.map.live);
                let segments = std::mem::replace(&mut state.segments, segments);
                let (lineage, end) = (state.view.lineage.clone(), state.view.end);
                let view = View {
                    map: std::mem::take(&mut target.map.map),
                    size: target.snapshot.size,
                    features: state.view.features,
                    end,
                    lineage,
                    rolled_back: target.counters.rolled_back,
                };
                let view = std::mem::replace(&mut state.view, view);
                Changed::Replaced(Box::new((view, segments)))
            }
        }
    }

    /// The pages that nobody may need once the checkpoint is committed, beside those that it writes anew.
    pub(super) fn lets_go(&self, changed: Option<&Changed>) -> Vec<PageKey> {
        match (self, changed) {
            (Purpose::Release(needs), _) => needs.all_pages().collect(),
            (_, Some(Changed::Replaced(before))) => {
                before.0.map.stored_leaves().flat_map(|(_, place, _)| leaf_pages(place)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Which pages snapshots need once the checkpoint is committed. `leaves`: the pages that its own leaves are in.
    pub(super) fn pins_after(&self, now: &SnapshotPins, leaves: &BTreeSet<PageKey>) -> SnapshotPins {
        let mut pins = now.clone();
        match self {
            // Where its root is shows when it is written; the table that is stored has no roots.
            Purpose::Snapshot(_) => pins.add_pages(leaves),
            Purpose::Release(needs) => pins.remove(needs.id, &needs.pages),
            Purpose::Running | Purpose::Clean | Purpose::Rollback(_) => {}
        }
        pins
    }

    /// The rest of the update. `size`: of the image, bytes; `root`: the checkpoint's; `last`: the highest segment number of its table.
    pub(super) fn add_to(&self, update: KvUpdate, size: u64, root: &CheckpointPointer, last: SegmentNo) -> KvUpdate {
        match self {
            Purpose::Running | Purpose::Clean => update,
            // An id that is taken must not be given out again, whatever this handle believes.
            Purpose::Snapshot(new) => update
                .expect(key::snap(new.id), "")
                .set(key::snap(new.id), new.record(size, *root, last).encode())
                .set(key::SNAP_COUNTERS, new.counters.encode())
                .set(key::REQUIRES, encode_requires(REQUIRES_SNAPSHOTS | REQUIRES_CLONES)),
            Purpose::Release(needs) => update.remove(key::snap(needs.id)),
            Purpose::Rollback(target) => {
                let update =
                    update.set(key::STATE, target.state.encode()).set(key::SNAP_COUNTERS, target.counters.encode());
                match &target.ancestry {
                    Some(ancestry) => update.set(key::ANCESTRY, ancestry.encode()),
                    None => update,
                }
            }
        }
    }
}

impl NewSnapshot {
    fn record(&self, size: u64, root: CheckpointPointer, last_segment: SegmentNo) -> SnapRecord {
        SnapRecord {
            id: self.id,
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            is_protected: false,
            is_removing: false,
            size,
            features: self.features,
            flags: self.flags,
            time_ns: self.time_ns,
            root,
            overlap: self.overlap,
            last_segment,
            children: 0,
            strict_children: 0,
        }
    }
}

impl Changed {
    /// The header has the checkpoint with this root, whose leaves are in `leaves`.
    pub(super) fn commit(self, state: &mut Locked<'_>, root: CheckpointPointer, leaves: &BTreeSet<PageKey>) {
        match self {
            Changed::Nothing => {}
            Changed::Replaced(_) => state.is_replaced = false,
            Changed::Pinned(id, _) => state.snapshots.add(id, root, leaves),
            Changed::Released(needs) => state.snapshots.remove(needs.id, &needs.pages),
        }
    }

    /// It does not have it, and will not.
    pub(super) fn take_back(self, state: &mut Locked<'_>) {
        match self {
            Changed::Nothing => {}
            Changed::Pinned(_, segments) => state.segments.unpin(&segments),
            Changed::Released(needs) => state.segments.pin(&needs.segments),
            Changed::Replaced(before) => {
                (state.view, state.segments) = *before;
                state.is_replaced = false;
            }
        }
    }

    /// Nobody knows whether it has it. `None`: nothing depends on that; an error: the image is in doubt as a whole.
    pub(super) fn doubt(
        self,
        root: CheckpointPointer,
        leaves: BTreeSet<PageKey>,
    ) -> Option<std::result::Result<Doubt, &'static str>> {
        match self {
            Changed::Nothing => None,
            Changed::Pinned(id, segments) => {
                let needs = Box::new(Needs { id, root, segments, pages: leaves });
                Some(Ok(Doubt { needs, is_new: true }))
            }
            Changed::Released(needs) => Some(Ok(Doubt { needs, is_new: false })),
            Changed::Replaced(_) => Some(Err("nobody knows whether a rollback took effect: open the image again")),
        }
    }
}

impl Doubt {
    /// The header was read: what it says is final.
    pub(super) fn settle(self, state: &mut Locked<'_>, header: &Header) {
        let Needs { id, root, segments, pages } = &*self.needs;
        match (self.is_new, header.snapshots.all.contains_key(id)) {
            (true, true) => state.snapshots.add(*id, *root, pages),
            (true, false) => state.segments.unpin(segments),
            (false, true) => state.segments.pin(segments),
            (false, false) => {
                state.snapshots.remove(*id, pages);
                // The checkpoint that let them go did not live to see them deleted.
                state.left_pages.extend(self.needs.all_pages());
            }
        }
    }
}
