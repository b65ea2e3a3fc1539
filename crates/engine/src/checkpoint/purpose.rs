//! What a checkpoint is written for, beside sparing the next owner the log.
//!
//! Owns: what each purpose changes in the books when the image is captured, what it adds to the header's update, and taking the
//! change back where the update did not happen. Does not own: the order of the steps (`checkpoint/`).
use crate::Result;
use crate::checkpoint::pages::Pages;
use crate::checkpoint::rewrite::{self, Rewrite, Rewritten};
use crate::objects::Objects;
use crate::objects::header::Header;
use crate::recovery::snapshot::{Needs, SnapMap};
use crate::shared::Shared;
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
use std::sync::Arc;

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
    /// What snapshots point at was moved, and so their maps are.
    Rewrite(Box<Rewrite>),
    /// The same, once those are in the checkpoint's pages.
    Rewritten(Arc<[Rewritten]>),
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
    /// The pins of these snapshots are elsewhere.
    Repinned(Arc<[Rewritten]>),
}

/// An update that nobody knows the outcome of, and what depends on it.
#[derive(Debug)]
pub(super) enum Doubt {
    Taken(Box<Needs>),
    Released(Box<Needs>),
    Rewritten(Arc<[Rewritten]>),
}

impl Purpose {
    pub(super) fn is_clean(&self) -> bool {
        matches!(self, Purpose::Clean)
    }

    /// No segment goes on beyond the moment that is captured.
    pub(super) fn ends_segments(&self) -> bool {
        matches!(self, Purpose::Snapshot(_) | Purpose::Rollback(_))
    }

    /// What goes into the checkpoint's pages before the image is captured.
    pub(super) async fn prepare(&mut self, shared: &Shared, pages: &mut Pages<'_>) -> Result<()> {
        if let Purpose::Rewrite(what) = self {
            *self = Purpose::Rewritten(rewrite::write(shared, pages, what).await?.into());
        }
        Ok(())
    }

    /// With everything accepted so far in segments that have ended. Takes `self` where it is needed no more.
    pub(super) fn begin(&mut self, state: &mut Locked<'_>) -> Changed {
        match self {
            Purpose::Running | Purpose::Clean | Purpose::Rewrite(_) => Changed::Nothing,
            Purpose::Rewritten(snapshots) => {
                repin(state, snapshots, true);
                Changed::Repinned(snapshots.clone())
            }
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
            (Purpose::Rewritten(snapshots), _) => snapshots.iter().flat_map(Rewritten::left_pages).collect(),
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
            Purpose::Rewritten(snapshots) => snapshots.iter().for_each(|snapshot| pins.restore(&snapshot.restored)),
            Purpose::Running | Purpose::Clean | Purpose::Rollback(_) | Purpose::Rewrite(_) => {}
        }
        pins
    }

    /// The rest of the update. `size`: of the image, bytes; `root`: the checkpoint's; `last`: the highest segment number of its table.
    /// `objects`: the image's.
    pub(super) fn add_to(
        &self,
        update: KvUpdate,
        size: u64,
        root: &CheckpointPointer,
        (objects, last): (&Objects, SegmentNo),
    ) -> KvUpdate {
        let requires = encode_requires(objects.requires(REQUIRES_SNAPSHOTS | REQUIRES_CLONES));
        match self {
            Purpose::Running | Purpose::Clean | Purpose::Rewrite(_) => update,
            // Rule 37: a clone that came meanwhile has the map of before.
            Purpose::Rewritten(snapshots) => {
                // Their records say now up to which segment they point, as those of before there were clones did not.
                let update = update.set(key::REQUIRES, requires);
                snapshots.iter().fold(update, |update, Rewritten { before, after, .. }| {
                    update.expect(key::snap(before.id), before.encode()).set(key::snap(after.id), after.encode())
                })
            }
            // An id that is taken must not be given out again, whatever this handle believes.
            Purpose::Snapshot(new) => update
                .expect(key::snap(new.id), "")
                .set(key::snap(new.id), new.record(size, *root, last).encode())
                .set(key::SNAP_COUNTERS, new.counters.encode())
                .set(key::REQUIRES, requires),
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
            Changed::Repinned(snapshots) => {
                snapshots.iter().for_each(|snapshot| state.snapshots.restore(&snapshot.restored));
            }
        }
    }

    /// It does not have it, and will not.
    pub(super) fn take_back(self, state: &mut Locked<'_>) {
        match self {
            Changed::Nothing => {}
            Changed::Pinned(_, segments) => state.segments.unpin(&segments),
            Changed::Released(needs) => state.segments.pin(&needs.segments),
            Changed::Repinned(snapshots) => repin(state, &snapshots, false),
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
                Some(Ok(Doubt::Taken(Box::new(Needs { id, root, segments, pages: leaves }))))
            }
            Changed::Released(needs) => Some(Ok(Doubt::Released(needs))),
            Changed::Repinned(snapshots) => Some(Ok(Doubt::Rewritten(snapshots))),
            Changed::Replaced(_) => Some(Err("nobody knows whether a rollback took effect: open the image again")),
        }
    }
}

impl Doubt {
    /// The header was read: what it says is final.
    pub(super) fn settle(self, state: &mut Locked<'_>, header: &Header) {
        let is_there = |needs: &Needs| header.snapshots.all.contains_key(&needs.id);
        match self {
            Doubt::Taken(needs) if is_there(&needs) => state.snapshots.add(needs.id, needs.root, &needs.pages),
            Doubt::Taken(needs) => state.segments.unpin(&needs.segments),
            Doubt::Released(needs) if is_there(&needs) => state.segments.pin(&needs.segments),
            Doubt::Released(needs) => {
                state.snapshots.remove(needs.id, &needs.pages);
                // The checkpoint that let them go did not live to see them deleted.
                state.left_pages.extend(needs.all_pages());
            }
            Doubt::Rewritten(snapshots) => {
                // All of them or none.
                let root_of = |id| header.snapshots.all.get(&id).map(|record| record.root);
                if snapshots.iter().any(|snapshot| root_of(snapshot.after.id) != Some(snapshot.after.root)) {
                    return repin(state, &snapshots, false);
                }
                for snapshot in &*snapshots {
                    state.snapshots.restore(&snapshot.restored);
                    state.left_pages.extend(snapshot.left_pages());
                }
            }
        }
    }
}

/// Segments are pinned by these snapshots where they point now, or where they did before.
fn repin(state: &mut Locked<'_>, snapshots: &[Rewritten], now: bool) {
    for Rewritten { left, entered, .. } in snapshots {
        let (unpin, pin) = if now { (left, entered) } else { (entered, left) };
        // In this order: what is never without a pin keeps its bound.
        state.segments.pin(pin);
        state.segments.unpin(unpin);
        // How much the snapshots point at is in their roots only.
        pin.iter().for_each(|segment| state.segments.keep(*segment, u32::MAX));
    }
}
