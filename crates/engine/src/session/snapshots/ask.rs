//! Snapshots of an image that another process may own: what is asked of it, and what a request that comes again may do.
//!
//! Owns: the words of the requests. Does not own: asking and being asked (`session/requests.rs`), carrying them out (`mod.rs`).
use crate::checkpoint::Checkpointer;
use crate::compiled_here;
use crate::session::Session;
use crate::session::requests::{Left, left};
use crate::session::snapshots::check_new;
use crate::{Error, ErrorKind, Features, Progress, Quiesce, Result};
use lsd_core::format::header::SnapNamespace;
use lsd_core::format::notice::{Operation, SnapOperation};
use lsd_core::units::SnapId;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Session {
    /// What the header says of snapshots, as fresh as a listing has to be.
    #[compiled_here]
    pub(crate) async fn look_at_snapshots(&self) -> Result<()> {
        self.check_open()?;
        if self.owns() && !self.in_doubt.load(Ordering::Acquire) {
            return Ok(());
        }
        self.describe_in_order().await
    }

    /// Clients that want to be quiet before a snapshot are asked by who takes it, and not by the owner. Where one of them did not stay
    /// so and `quiesce` demands it, the snapshot goes again.
    pub(crate) async fn snap_create(
        self: &Arc<Self>,
        name: &str,
        quiesce: Quiesce,
        progress: Progress<'_>,
    ) -> Result<()> {
        self.look_at_header().await?;
        let snapshots = self.described().snapshots.clone();
        let (after, namespace) = (snapshots.counters.last, SnapNamespace::User);
        if self.has_to_hush(quiesce) {
            // Nobody is to be quiet in vain.
            check_new(&snapshots, name, &namespace)?;
        }
        let create = SnapOperation::Create { name: name.to_owned(), namespace, flags: 0, after };
        let Some(hush) = self.hush(quiesce, progress).await? else { return self.ask_snap(create).await };
        let taken = hush.during(self.ask_snap(create)).await;
        let stayed = hush.end().await;
        taken?;
        if stayed.is_err() {
            self.look_at_snapshots().await?;
            let made = self.described().snapshots.named(name).map(|record| record.id);
            if let Some(id) = made.filter(|id| *id > after) {
                self.ask_snap(SnapOperation::Remove { id }).await?;
            }
        }
        stayed
    }

    pub(crate) async fn snap_remove(self: &Arc<Self>, id: SnapId) -> Result<()> {
        self.look_at_header().await?;
        self.ask_snap(SnapOperation::Remove { id }).await
    }

    pub(crate) async fn snap_rename(self: &Arc<Self>, id: SnapId, to: &str) -> Result<()> {
        self.look_at_header().await?;
        let from = self.snapshot(id)?.name;
        self.ask_snap(SnapOperation::Rename { id, from, to: to.to_owned() }).await
    }

    pub(crate) async fn snap_protect(self: &Arc<Self>, id: SnapId, protect: bool) -> Result<()> {
        self.look_at_header().await?;
        self.ask_snap(SnapOperation::Protect { id, protect }).await
    }

    pub(crate) async fn snap_set_limit(self: &Arc<Self>, limit: Option<u64>) -> Result<()> {
        self.look_at_header().await?;
        self.ask_snap(SnapOperation::Limit { limit }).await
    }

    /// Not asked of another owner, as in librbd: who rolls back owns the image, and has it taken from nobody who lives unless nothing
    /// but the writes of the moment decides who owns it. `ReadOnly` otherwise.
    pub(crate) async fn snap_rollback(self: &Arc<Self>, id: SnapId) -> Result<()> {
        self.look_at_header().await?;
        let session = self.clone();
        // One that has begun goes to its end, whatever becomes of who asked for it: writers wait for it.
        let task = tokio::spawn(async move {
            let since = session.refusals.count();
            let mut role = session.maintenance.lock().await;
            let is_exclusive = session.described().state.features & Features::EXCLUSIVE_LOCK != 0;
            if is_exclusive && !session.own_if_free(&mut role).await? {
                let reason = "another client owns the image, or died less than a minute ago: end it, or wait";
                return Err(Error::new(ErrorKind::ReadOnly, reason));
            }
            let checkpointer = session.own(&mut role, since).await?;
            session.settle().await?;
            session.roll_back_owned(&checkpointer, id).await?;
            drop(role);
            session.published().await;
            Ok(())
        });
        task.await.unwrap_or_else(|error| Err(Error::new(ErrorKind::Canceled, error.to_string())))
    }

    async fn ask_snap(self: &Arc<Self>, operation: SnapOperation) -> Result<()> {
        self.maintain(Operation::Snap(operation), &|_, _| Ok(())).await
    }

    /// What is left to do of a request; `repeated`: an owner may have done it already, without an answer.
    pub(in crate::session) fn left_of_snap(&self, repeated: bool, operation: &SnapOperation) -> Left {
        let described = self.described();
        let snapshots = &described.snapshots;
        let of = |id: &SnapId| snapshots.all.get(id).filter(|record| !record.is_removing);
        match operation {
            SnapOperation::Create { name, namespace, after, .. } => {
                let is_it = |id: &SnapId| of(id).is_some_and(|it| it.name == *name && it.namespace == *namespace);
                let done = repeated && snapshots.all.range(after.next()..).any(|(id, _)| is_it(id));
                if done { Left::Nothing } else { Left::All }
            }
            SnapOperation::Remove { id } if repeated && of(id).is_none() => Left::Nothing,
            SnapOperation::Rename { id, from, to } => match of(id) {
                Some(record) => left(repeated, &record.name, from, to),
                None => Left::All,
            },
            SnapOperation::Protect { id, protect } if repeated => match of(id) {
                Some(record) if record.is_protected == *protect => Left::Nothing,
                _ => Left::All,
            },
            SnapOperation::Remove { .. } | SnapOperation::Protect { .. } | SnapOperation::Limit { .. } => Left::All,
        }
    }

    /// With the maintenance lock held, by the owner.
    pub(in crate::session) async fn carry_out_snap(
        &self,
        checkpointer: &Checkpointer,
        operation: &SnapOperation,
    ) -> Result<()> {
        match operation {
            SnapOperation::Create { name, namespace, flags, .. } => {
                self.create_snapshot_owned(checkpointer, name, namespace.clone(), *flags).await
            }
            SnapOperation::Remove { id } => self.remove_snapshot_owned(*id).await,
            SnapOperation::Rename { id, to, .. } => self.rename_snapshot_owned(*id, to).await,
            SnapOperation::Protect { id, protect } => self.protect_snapshot_owned(*id, *protect).await,
            SnapOperation::Limit { limit } => self.limit_snapshots_owned(*limit).await,
        }
    }
}
