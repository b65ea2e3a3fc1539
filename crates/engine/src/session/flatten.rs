//! A clone that takes its parent's bytes over, or an image its base's, and then needs it no more.
//!
//! Owns: the order of the steps, from the first copy to the loosed tie, or to the base that is let go of. Does not own: copying (`collect/adopt.rs`, `collect/bring.rs`), the tie
//! (`ties/`).
use crate::api::error::invalid;
use crate::api::limits::ADOPT_ROUND_LEAVES;
use crate::checkpoint::Checkpointer;
use crate::collect::adopt::Reach;
use crate::objects::base;
use crate::session::{Session, give_back};
use crate::ties::tie;
use crate::{ErrorKind, Features, Progress, Result};
use lsd_core::format::header::{AncestryRecord, SnapRecord, StateRecord, key};
use lsd_core::format::notice::Operation;
use lsd_core::units::{LeafNo, SnapId};
use lsd_store::KvUpdate;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Whose data an image takes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Adopted {
    /// That of the images that it is a clone of: its snapshots follow where they have deep-flatten.
    Parents,
    /// That of the source of its migration.
    Sources,
    /// Both.
    All,
}

impl Adopted {
    fn reach(self) -> Reach {
        match self {
            Adopted::Parents | Adopted::All => Reach::Ancestors,
            Adopted::Sources => Reach::Source,
        }
    }
}

impl Session {
    /// `Invalid`: it is no clone and has no base; `ReadOnly`. Progress is in objects.
    pub(crate) async fn flatten(self: &Arc<Self>, progress: Progress<'_>) -> Result<()> {
        self.look_at_header().await?;
        self.check_has_parent()?;
        let checkpointer = {
            let mut role = self.maintenance.lock().await;
            let owned = self.own_if_free(&mut role).await?;
            if owned && self.has_only_to_let_go() {
                return self.let_go_of_base().await;
            }
            if owned { role.checkpointer() } else { None }
        };
        let Some(checkpointer) = checkpointer else { return self.maintain(Operation::Flatten, progress).await };
        match self.adopt(&checkpointer, Adopted::Parents, progress).await {
            Err(error) if self.owns() => return Err(error),
            // Whoever has the image by now goes on with it.
            Err(_) => return self.maintain(Operation::Flatten, progress).await,
            Ok(()) => {}
        }
        // What is left of the work is next to nothing: the progress does not begin again.
        self.maintain(Operation::Flatten, &|_, total| progress(total, total)).await
    }

    fn check_has_parent(&self) -> Result<()> {
        let described = self.described();
        match described.can_be_flattened() {
            true => Ok(()),
            false => Err(invalid(format!("{}: image has no parent", described.name))),
        }
    }

    /// Everything is done of an earlier flatten but that.
    fn has_only_to_let_go(&self) -> bool {
        let described = self.described();
        described.base.is_none() && described.left_base.is_some() && !self.in_doubt.load(Ordering::Acquire)
    }

    fn flattens_snapshots(&self) -> bool {
        let described = self.described();
        let has_any = described.snapshots.all.values().any(|record| record.overlap.is_some());
        has_any && described.state.features & Features::DEEP_FLATTEN != 0
    }

    /// Ranges in which these snapshots have leaves, as much as one step takes; one at least.
    async fn rounds_of_leaves(&self, whose: Adopted) -> Result<Vec<Range<u32>>> {
        let leaves: Vec<LeafNo> =
            self.collector.leaves_of_all(&self.snapshots_to_adopt(whose)).await?.into_iter().collect();
        let range = |some: &[LeafNo]| some[0].0..some[some.len() - 1].0.saturating_add(1);
        let mut rounds: Vec<Range<u32>> = leaves.chunks(ADOPT_ROUND_LEAVES).map(range).collect();
        if rounds.is_empty() {
            rounds.push(0..0);
        }
        Ok(rounds)
    }

    /// Snapshots that this reaches: not those with clones of their own, whose maps point where this one does.
    pub(super) fn snapshots_to_adopt(&self, whose: Adopted) -> Vec<SnapRecord> {
        let described = self.described();
        let reaches = |record: &&SnapRecord| {
            let is_meant = record.overlap.is_some() || whose != Adopted::Parents;
            is_meant && record.children == 0 && !record.is_removing
        };
        described.snapshots.all.values().filter(reaches).cloned().collect()
    }

    fn adopts_snapshots(&self, whose: Adopted) -> bool {
        match whose {
            Adopted::Parents => self.flattens_snapshots(),
            Adopted::Sources | Adopted::All => !self.snapshots_to_adopt(whose).is_empty(),
        }
    }

    /// Copies what snapshots have of the ancestors' in these leaves. Returns of which snapshots. With the maintenance lock held, by the
    /// owner. `Busy`: a clone of a snapshot has come meanwhile.
    async fn adopt_snapshots_in(
        &self,
        checkpointer: &Checkpointer,
        whose: Adopted,
        leaves: Range<u32>,
    ) -> Result<BTreeSet<SnapId>> {
        self.settle().await?;
        let snapshots = self.snapshots_to_adopt(whose);
        let reached = snapshots.iter().map(|record| record.id).collect();
        if snapshots.is_empty() {
            return Ok(reached);
        }
        let changes = || self.in_doubt.store(true, Ordering::Release);
        let adopted = self
            .collector
            .adopt_with_snapshots(checkpointer, (snapshots.clone(), whose.reach()), leaves, &changes)
            .await;
        self.settle_behind().await?;
        match adopted {
            Err(error) if self.snapshots_to_adopt(whose) != snapshots => Err(error.with_kind(ErrorKind::Busy)),
            adopted => adopted.map(|()| reached),
        }
    }

    /// The snapshots that this reaches have nothing of these any more. With the maintenance lock held, by the owner.
    pub(super) async fn adopt_all_snapshots(&self, checkpointer: &Checkpointer, whose: Adopted) -> Result<()> {
        if !self.adopts_snapshots(whose) {
            return Ok(());
        }
        let mut ids: BTreeSet<SnapId> = self.snapshots_to_adopt(whose).iter().map(|record| record.id).collect();
        for range in self.rounds_of_leaves(whose).await? {
            // One that had a clone for a while has parts that were left where they are, also where that clone is gone by the end.
            let reached = self.adopt_snapshots_in(checkpointer, whose, range).await?;
            ids.retain(|id| reached.contains(id));
        }
        if whose == Adopted::Sources {
            return Ok(());
        }
        for id in ids {
            let flat = |record: &SnapRecord| match record.children {
                0 => Ok(SnapRecord { overlap: None, ..record.clone() }),
                _ => Ok(record.clone()),
            };
            self.change_snapshot(id, flat).await?;
        }
        Ok(())
    }

    /// Copies what the image still has of its ancestors', most of it without holding up other maintenance.
    pub(crate) async fn adopt(
        &self,
        checkpointer: &Checkpointer,
        whose: Adopted,
        progress: Progress<'_>,
    ) -> Result<()> {
        if self.adopts_snapshots(whose) {
            // Their roots stay where they are only while nobody moves or removes them.
            let rounds = {
                let _role = self.maintenance.lock().await;
                self.rounds_of_leaves(whose).await?
            };
            for range in rounds {
                // Others change snapshots between the rounds.
                let role = self.maintenance.lock().await;
                if role.checkpointer().is_none() {
                    break;
                }
                self.adopt_snapshots_in(checkpointer, whose, range).await?;
            }
        }
        self.adopt_head(checkpointer, whose, progress).await
    }

    pub(super) async fn adopt_head(
        &self,
        checkpointer: &Checkpointer,
        whose: Adopted,
        progress: Progress<'_>,
    ) -> Result<()> {
        let order = self.image.order;
        let in_objects = |done: u64, total: u64| progress(done >> order, total.div_ceil(1 << order));
        if self.described().base.is_some() {
            return self.collector.bring(checkpointer, &in_objects).await;
        }
        self.collector.adopt(checkpointer, whose.reach(), &in_objects).await
    }

    /// With the maintenance lock held, by the owner.
    pub(crate) async fn flatten_owned(&self, checkpointer: &Checkpointer, progress: Progress<'_>) -> Result<()> {
        // A flatten whose end nobody knows goes on where it was.
        self.settle().await?;
        self.check_has_parent()?;
        // 1. What is left to copy; a checkpoint then needs nothing of an ancestor's.
        self.adopt_all_snapshots(checkpointer, Adopted::Parents).await?;
        self.adopt_head(checkpointer, Adopted::Parents, progress).await?;
        self.drop_base().await?;
        self.let_go_of_base().await?;
        self.end_being_clone().await
    }

    /// Rule 46: everything that the base has is in the committed map. With the maintenance lock held, by the owner.
    async fn drop_base(&self) -> Result<()> {
        let Some(base) = self.described().base.clone() else { return Ok(()) };
        let state = StateRecord { modify_ns: self.clock.now_ns(), ..self.described().state };
        let dropped = |update: KvUpdate| {
            update.remove(key::BASE).set(key::LEFT_BASE, base.encode()).set(key::STATE, state.encode())
        };
        self.update_header(dropped).await?;
        self.shared.lock().view.map.keep_zeroed_below(0);
        {
            let mut described = self.described();
            (described.base, described.left_base, described.state) = (None, Some(base), state);
        }
        Ok(())
    }

    /// What keeps the former base for the image is undone; the header forgets it behind that, so that whoever comes after a failure goes
    /// on. With the maintenance lock held, by the owner.
    async fn let_go_of_base(&self) -> Result<()> {
        let Some(base) = self.described().left_base.clone() else { return Ok(()) };
        base::let_go(&base, &self.bases, &self.objects.id).await?;
        self.update_header(|update| update.remove(key::LEFT_BASE)).await?;
        self.described().left_base = None;
        Ok(())
    }

    /// What is left to do of an image whose committed maps lead to none of its parents any more. With the maintenance lock held, by the
    /// owner.
    pub(super) async fn end_being_clone(&self) -> Result<()> {
        // 2. The image is no clone any more.
        let described = self.described().clone();
        if let Some(ancestry) = described.ancestry {
            let flat = AncestryRecord { overlap: None, ..ancestry };
            let op_features = described.state.op_features & !Features::OP_CLONE_CHILD;
            let features = match op_features {
                0 => described.state.features & !Features::OPERATIONS,
                _ => described.state.features,
            };
            let state = StateRecord { op_features, features, modify_ns: self.clock.now_ns(), ..described.state };
            let record = flat.encode();
            self.update_header(|update| update.set(key::ANCESTRY, record).set(key::STATE, state.encode())).await?;
            self.shared.lock().view.features = state.features;
            let mut described = self.described();
            (described.ancestry, described.state) = (Some(flat), state);
        }
        // 3. Nor is its parent's snapshot kept for it.
        self.loose_from_parent().await
    }

    /// What a flatten, or the removal of a snapshot, has left that its owner did not live to end.
    pub(crate) async fn loose_if_left(&self) -> Result<()> {
        if self.described().left_base.is_some() {
            let role = self.maintenance.lock().await;
            if role.checkpointer().is_some() {
                self.let_go_of_base().await?;
            }
        }
        let is_left = {
            let described = self.described();
            described.ancestry.as_ref().is_some_and(|ancestry| !described.snapshots.need_parent(ancestry))
        };
        if !is_left {
            return Ok(());
        }
        let role = self.maintenance.lock().await;
        if role.checkpointer().is_some() { self.loose_from_parent().await } else { Ok(()) }
    }

    /// Looses the tie to the parent once neither the image nor a snapshot of it needs that (rule 35). With the maintenance lock held, by
    /// the owner.
    pub(crate) async fn loose_from_parent(&self) -> Result<()> {
        let Some(ancestry) = self.described().ancestry.clone() else { return Ok(()) };
        if self.described().snapshots.need_parent(&ancestry) {
            return Ok(());
        }
        let store = &self.objects.meta;
        let emptied = tie::loose(store, &ancestry, &self.objects.place()).await?;
        self.update_header(|update| update.remove(key::ANCESTRY)).await?;
        self.described().ancestry = None;
        if let Some(parent) = emptied {
            give_back::give_back(store, &parent).await;
        }
        Ok(())
    }
}
