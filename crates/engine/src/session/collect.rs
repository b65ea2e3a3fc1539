//! Garbage collection that somebody asked for, and that of segments which snapshots need.
//!
//! Owns: who may have it done, and that nobody changes snapshots meanwhile. Does not own: the work (`collect/`).
use super::Session;
use crate::api::limits::{PINNED_LEAST_BYTES, PINNED_STORED_PERCENT};
use crate::checkpoint::Checkpointer;
use crate::collect::pinned::{self, Survey};
use crate::ownership::takeover;
use crate::{Error, ErrorKind, Progress, Result};
use lsd_core::format::header::SnapRecord;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Session {
    /// See [`crate::Image::collect`].
    pub(crate) async fn collect(self: &Arc<Self>, progress: Progress<'_>) -> Result<()> {
        self.check_open()?;
        if self.read_only {
            return Err(Error::new(ErrorKind::ReadOnly, "the image is open read-only"));
        }
        let checkpointer = {
            let since = self.refusals.count();
            let mut role = self.maintenance.lock().await;
            self.own(&mut role, since).await?
        };
        self.collector.collect_all(&checkpointer, progress).await?;
        self.empty_pinned(|_| true).await
    }

    /// In the background, once snapshots were removed.
    pub(crate) async fn empty_pinned_if_worth_it(&self) -> Result<()> {
        // No root has to be read to know that there cannot be enough in them.
        let most = self.shared.lock().segments.garbage_in_pinned();
        if !self.settings().gc || most < PINNED_LEAST_BYTES {
            return Ok(());
        }
        let is_worth_it = |survey: &Survey| {
            let gain: u64 = survey.sparse.iter().map(|sparse| sparse.len - sparse.needed.min(sparse.len)).sum();
            gain >= PINNED_LEAST_BYTES && survey.stored * 100 > survey.needed * PINNED_STORED_PERCENT
        };
        self.empty_pinned(is_worth_it).await
    }

    /// Moves what snapshots point at out of segments that are mostly garbage. Others may take and remove snapshots between the rounds.
    async fn empty_pinned(&self, is_worth_it: impl Fn(&Survey) -> bool) -> Result<()> {
        let survey = {
            let role = self.maintenance.lock().await;
            let Some(snapshots) = role.checkpointer().and_then(|_| self.settled_snapshots()) else { return Ok(()) };
            self.collector.survey_pinned(&snapshots).await?
        };
        if !is_worth_it(&survey) {
            return Ok(());
        }
        for round in pinned::rounds(&survey.sparse) {
            let role = self.maintenance.lock().await;
            let Some(checkpointer) = role.checkpointer() else { return Ok(()) };
            self.empty_round(&checkpointer, round).await?;
        }
        Ok(())
    }

    /// With the maintenance lock held, by the owner.
    async fn empty_round(&self, checkpointer: &Checkpointer, round: &[pinned::Sparse]) -> Result<()> {
        self.settle().await?;
        let Some(snapshots) = self.settled_snapshots() else { return Ok(()) };
        // Whatever becomes of it: from then on until the header was read again nobody knows where the snapshots' maps are. Not before:
        // who asks which snapshots there are would wait for the copies.
        let changes = || self.in_doubt.store(true, Ordering::Release);
        let emptied = self.collector.empty_pinned(checkpointer, &snapshots, round, &changes).await;
        self.settle_behind().await?;
        match emptied {
            // A clone has come or gone: the snapshots stay as they were, and so do the segments.
            Err(_) if self.settled_snapshots().as_ref() != Some(&snapshots) => Ok(()),
            // What snapshots need stays for as long as this owner has the image.
            Err(error) if error.kind == ErrorKind::NotFound => {
                Err(takeover::why_missing(&self.objects, self.epoch()?, error).await)
            }
            emptied => emptied,
        }
    }

    /// `None`: there are none, or one that is being removed comes first: its root must stay where it is.
    fn settled_snapshots(&self) -> Option<Vec<SnapRecord>> {
        let described = self.described();
        let all = &described.snapshots.all;
        let is_settled = !all.is_empty() && all.values().all(|record| !record.is_removing);
        is_settled.then(|| all.values().cloned().collect())
    }
}
