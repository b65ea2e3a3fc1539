//! A clone that takes its parent's bytes over, and then needs it no more.
//!
//! Owns: the order of the steps, from the first copy to the loosed tie. Does not own: copying (`collect/adopt.rs`), the tie
//! (`ties/`).
use crate::api::error::invalid;
use crate::checkpoint::Checkpointer;
use crate::session::{Session, give_back};
use crate::ties::tie;
use crate::{Features, Progress, Result};
use lsd_core::format::header::{AncestryRecord, StateRecord, key};
use lsd_core::format::notice::Operation;
use std::sync::Arc;

impl Session {
    /// `Invalid`: it is no clone; `ReadOnly`. Progress is in objects.
    pub(crate) async fn flatten(self: &Arc<Self>, progress: Progress<'_>) -> Result<()> {
        self.look_at_header().await?;
        self.check_has_parent()?;
        let checkpointer = {
            let mut role = self.maintenance.lock().await;
            if self.own_if_free(&mut role).await? { role.checkpointer() } else { None }
        };
        let Some(checkpointer) = checkpointer else { return self.maintain(Operation::Flatten, progress).await };
        match self.adopt(&checkpointer, progress).await {
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
        match described.ancestry.as_ref().and_then(|ancestry| ancestry.overlap) {
            Some(_) => Ok(()),
            None => Err(invalid(format!("{}: image has no parent", described.name))),
        }
    }

    /// Copies what the image still has of its ancestors', most of it without holding up other maintenance.
    pub(crate) async fn adopt(&self, checkpointer: &Checkpointer, progress: Progress<'_>) -> Result<()> {
        let order = self.image.order;
        let in_objects = |done: u64, total: u64| progress(done >> order, total.div_ceil(1 << order));
        self.collector.adopt(checkpointer, &in_objects).await
    }

    /// With the maintenance lock held, by the owner.
    pub(crate) async fn flatten_owned(&self, checkpointer: &Checkpointer, progress: Progress<'_>) -> Result<()> {
        self.check_has_parent()?;
        // 1. What is left to copy; a checkpoint then needs nothing of an ancestor's.
        self.adopt(checkpointer, progress).await?;
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
