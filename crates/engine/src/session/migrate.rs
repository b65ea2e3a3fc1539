//! The destination of a migration that takes over what lies in the source, and then needs it no more.
//!
//! Owns: the order of the steps, up to the state in which the source may go (rule 39). Does not own: copying (`collect/adopt.rs`), the
//! other states of a migration and its source (`migration/`).
use crate::api::error::invalid;
use crate::api::limits::HEADER_TRIES;
use crate::checkpoint::Checkpointer;
use crate::session::Session;
use crate::session::flatten::Adopted;
use crate::{Error, ErrorKind, Progress, Result};
use lsd_core::format::header::{MigrationRecord, MigrationRole, MigrationState, key};
use lsd_core::format::notice::Operation;
use lsd_state::protocol;
use std::sync::Arc;

impl Session {
    /// `Invalid`: the image is no destination of a migration. Progress is in objects.
    pub(crate) async fn migrate(self: &Arc<Self>, progress: Progress<'_>) -> Result<()> {
        self.look_at_header().await?;
        let record = self.check_destination()?;
        let checkpointer = {
            let mut role = self.maintenance.lock().await;
            if self.own_if_free(&mut role).await? { role.checkpointer() } else { None }
        };
        let Some(checkpointer) = checkpointer else { return self.maintain(Operation::Migrate, progress).await };
        match self.adopt(&checkpointer, adopted_by(&record), progress).await {
            Err(error) if self.owns() => return Err(error),
            // Whoever has the image by now goes on with it.
            Err(_) => return self.maintain(Operation::Migrate, progress).await,
            Ok(()) => {}
        }
        // What is left of the work is next to nothing: the progress does not begin again.
        self.maintain(Operation::Migrate, &|_, total| progress(total, total)).await
    }

    fn check_destination(&self) -> Result<MigrationRecord> {
        let described = self.described();
        match &described.migration {
            Some(record) if record.role == MigrationRole::Destination => Ok(record.clone()),
            _ => Err(invalid(format!("{}: image is not the destination of a migration", described.name))),
        }
    }

    /// What one asks whether it may begin, before the maintenance lock is taken.
    pub(super) fn adopted_in_migration(&self) -> Option<Adopted> {
        self.check_destination().ok().map(|record| adopted_by(&record))
    }

    /// With the maintenance lock held, by the owner.
    pub(super) async fn migrate_owned(&self, checkpointer: &Checkpointer, progress: Progress<'_>) -> Result<()> {
        let record = self.check_destination()?;
        if is_over(record.state) {
            return Ok(());
        }
        let whose = adopted_by(&record);
        // 1. Snapshots that were removed have maps, too, until they are let go.
        self.release_snapshots(checkpointer).await?;
        // 2. What is left to copy; a checkpoint then needs nothing of the source's.
        self.adopt_all_snapshots(checkpointer, whose).await?;
        self.adopt_head(checkpointer, whose, progress).await?;
        if record.flatten && self.described().ancestry.is_some() {
            self.end_being_clone().await?;
        }
        // 3. The source may go.
        self.check_needs_no_source()?;
        self.declare_executed().await
    }

    /// Rule 39. `Io`: something was overlooked.
    fn check_needs_no_source(&self) -> Result<()> {
        let roots: Vec<_> = self.described().snapshots.all.values().map(|record| record.root.id).collect();
        let ancestors = self.objects.ancestors();
        let state = self.shared.lock();
        let leaves = state.view.map.stored_leaves().flat_map(|(_, at, _)| at.pointers().map(|at| at.checkpoint));
        let committed = state.log().checkpoint.map(|checkpoint| checkpoint.id);
        match protocol::may_go(&ancestors, leaves.chain(roots).chain(committed)) {
            true => Ok(()),
            false => {
                Err(Error::new(ErrorKind::Io { errno: nix::libc::EIO }, "a map still leads to the migration's source"))
            }
        }
    }

    /// Others change what is told of the progress meanwhile.
    async fn declare_executed(&self) -> Result<()> {
        let mut tries = 0;
        loop {
            let before = self.check_destination()?;
            // An execution that was given up, and ends late: others have gone on since (rule 49).
            if is_over(before.state) {
                return Ok(());
            }
            let after =
                MigrationRecord { state: MigrationState::Executed, description: String::new(), ..before.clone() };
            let change = self.update_header(|update| {
                update.expect(key::MIGRATION, before.encode()).set(key::MIGRATION, after.encode())
            });
            match change.await {
                Ok(()) => {
                    self.described().migration = Some(after);
                    return Ok(());
                }
                Err(error) if error.kind == ErrorKind::Fenced && tries < HEADER_TRIES => {
                    let header = crate::objects::header::Header::read(&self.objects).await?;
                    if header.epoch != self.epoch()? {
                        return Err(error);
                    }
                    self.describe(&header);
                }
                Err(error) => return Err(error),
            }
            tries += 1;
        }
    }
}

/// There is nothing to execute any more.
fn is_over(state: MigrationState) -> bool {
    matches!(state, MigrationState::Executed | MigrationState::Committing)
}

fn adopted_by(record: &MigrationRecord) -> Adopted {
    if record.flatten { Adopted::All } else { Adopted::Sources }
}
