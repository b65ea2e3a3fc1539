//! Moving an image to another pool, namespace, name or layout while it is used.
//!
//! Owns: a migration's states and the two headers that have them, from the first step to the last. Does not own: copying what lies in the
//! source (`session/migrate.rs`), whose a number is (`lsd_state::lineage`), what keeps the source's objects (`lsd_state::pins`).
//!
//! The destination begins as the source's map: what lies in the source is read there, as a clone reads what is its parent's. So it can
//! be used at once. The source is frozen meanwhile (rule 38), so that nothing else has to keep what the destination needs of it.
mod abort;
mod bring;
mod first;
mod foreign;
mod pair;
mod prepare;
mod spec;

pub use prepare::MigrationOptions;

use crate::api::clock::{Clock, SystemClock};
use crate::api::error::invalid;
use crate::api::limits::MIGRATION_TOLD_EVERY;
use crate::image::Image;
use crate::lifecycle::{self, remove};
use crate::objects::pools::open_place;
use crate::{Bases, Catalog, ErrorKind, ImageId, ImageRef, OpenOptions, Progress, Result, compiled_here};
use foreign::Moved;
use lsd_core::format::header::{MigrationRole, MigrationState, key};
use lsd_store::ObjectStore;
use pair::{Half, Pair};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use uuid::Uuid;

/// Where one of the two images is, and what it is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationSide {
    /// -1 where the store has no pools.
    pub pool: i64,
    pub namespace: String,
    pub name: String,
    pub id: ImageId,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationStatus {
    pub source: MigrationSide,
    pub destination: MigrationSide,
    pub state: MigrationState,
    /// How far it is.
    pub description: String,
}

/// The migrations that images of a pool and namespace are in.
#[derive(Clone, Debug)]
pub struct Migrations {
    store: Arc<dyn ObjectStore>,
    /// How images are opened.
    options: OpenOptions,
    clock: Arc<dyn Clock>,
}

impl Migrations {
    pub fn new(store: Arc<dyn ObjectStore>, options: OpenOptions) -> Self {
        Self::with_clock(store, options, Arc::new(SystemClock))
    }

    pub fn with_clock(store: Arc<dyn ObjectStore>, options: OpenOptions, clock: Arc<dyn Clock>) -> Self {
        let options = OpenOptions { read_only: false, hold_moment: false, snapshot: None, ..options };
        Self { store, options, clock }
    }

    /// Makes the destination, which can be used from then on, and puts the source into the trash. `NotFound`, `Exists`; `Busy`: the source
    /// is in use, in a group or in a migration, or its snapshots have clones; and as a clone and a new image have it.
    #[compiled_here]
    pub async fn prepare(
        &self,
        name: &str,
        to: (&Arc<dyn ObjectStore>, &str),
        options: &MigrationOptions,
    ) -> Result<ImageId> {
        self.prepare_as(name, to, options, Uuid::new_v4()).await
    }

    /// [`Migrations::prepare`] with the caller's identity of the destination, for runs that must repeat exactly (crate `lsd-sim`).
    #[compiled_here]
    pub async fn prepare_as(
        &self,
        name: &str,
        to: (&Arc<dyn ObjectStore>, &str),
        options: &MigrationOptions,
        uuid: Uuid,
    ) -> Result<ImageId> {
        self.prepare_once(name, to, (options, uuid)).await.map_err(|error| error.during("migration prepare"))
    }

    async fn prepare_once(
        &self,
        name: &str,
        to: (&Arc<dyn ObjectStore>, &str),
        options: (&MigrationOptions, Uuid),
    ) -> Result<ImageId> {
        match Catalog::new(self.store.clone()).id_of(name).await {
            Err(error) if error.kind == ErrorKind::NotFound => {
                foreign::prepare(self, name, to, options).await?.ok_or(error)
            }
            _ => prepare::prepare(self, name, to, options).await,
        }
    }

    /// Copies to the destination what lies in the source, also while somebody writes to it. `Invalid`: it is not prepared. What was broken
    /// off goes on, also where an abort has begun since that has not given the source back: that one fails then. Progress is in objects.
    #[compiled_here]
    pub async fn execute(&self, name: &str, progress: Progress<'async_recursion>) -> Result<()> {
        self.execute_once(name, progress).await.map_err(|error| error.during("migration execute"))
    }

    async fn execute_once(&self, name: &str, progress: Progress<'_>) -> Result<()> {
        if let Some(moved) = Moved::find(self, name).await? {
            return moved.execute(self, progress).await;
        }
        let mut pair = Pair::find(&self.store, name).await?;
        const MAY_EXECUTE: [MigrationState; 2] = [MigrationState::Prepared, MigrationState::Executing];
        pair.check_prepared()?;
        if pair.state().0 == MigrationState::Aborting && pair.source.record.is_some() {
            pair.destination.lead_back().await?;
        }
        pair.check_state(&MAY_EXECUTE, "prepared")?;
        pair.destination.set_state(&MAY_EXECUTE, MigrationState::Executing).await?;
        self.run(&mut pair.destination, progress).await
    }

    /// The copying, which the destination's header tells of.
    async fn run(&self, destination: &mut Half, progress: Progress<'_>) -> Result<()> {
        let Half { store, id, .. } = &*destination;
        let options = crate::image::kin_open_options(store, &self.options).await?;
        let image = Image::open_with_clock(store, &ImageRef::Id(id.clone()), &options, self.clock.clone()).await?;
        // In hundredths; what nobody told yet is not 0.
        let done = AtomicU64::new(u64::MAX);
        let watched = |at: u64, total: u64| {
            done.store(at * 100 / total.max(1), Ordering::Relaxed);
            progress(at, total)
        };
        let migrated = {
            let migrating = image.session.migrate(&watched);
            tokio::pin!(migrating);
            let mut told = u64::MAX;
            loop {
                tokio::select! {
                    biased;
                    migrated = &mut migrating => break migrated,
                    () = tokio::time::sleep(MIGRATION_TOLD_EVERY) => {
                        let now = done.load(Ordering::Relaxed);
                        if now != told {
                            told = now;
                            // It is only told: who cannot write it goes on.
                            let words = format!("{now}% complete");
                            let _ = destination.describe(MigrationState::Executing, &words).await;
                        }
                    }
                }
            }
        };
        let closed = image.close().await;
        migrated.and(closed)
    }

    /// Removes the source. `Invalid`: the migration was not executed.
    #[compiled_here]
    pub async fn commit(&self, name: &str, progress: Progress<'async_recursion>) -> Result<()> {
        self.commit_once(name, progress).await.map_err(|error| error.during("migration commit"))
    }

    async fn commit_once(&self, name: &str, progress: Progress<'_>) -> Result<()> {
        if let Some(moved) = Moved::find(self, name).await? {
            return moved.commit(self, progress).await;
        }
        let mut pair = Pair::find(&self.store, name).await?;
        // The source first: who takes the migration back from here on raises its epoch, and it is not taken.
        let seen = pair.source.values().await?;
        pair.look_again().await?;
        pair.check_prepared()?;
        // A source that goes was executed: who froze the destination since was too late, and nothing was given back (rule 40).
        if !pair.is_late_abort(seen.as_ref()).await? {
            pair.check_state(&[MigrationState::Executed], "executed")?;
        }
        if seen.is_some() && pair.source.record.is_none() {
            return Err(invalid(format!("{}: image is not migrating", pair.source.name)));
        }
        // Rule 39: the destination's header says so.
        let Half { store, id, .. } = &pair.source;
        if seen.as_ref().is_some_and(|seen| !seen.contains_key(key::REMOVING)) {
            // Somebody may have begun to take the migration back.
            remove::until_unused(store, &pair.source.object(), &pair.source.name).await?;
        }
        lifecycle::remove_migrated((store, id), (None, seen), &self.options.bases, progress).await?;
        let catalog = Catalog::new(store.clone());
        match catalog.trashed(id).await {
            Ok(entry) => catalog.forget_trashed(id, &entry).await?,
            Err(error) if error.kind == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        pair.destination.forget(&pair.source.place()).await
    }

    /// Removes the destination and gives the source back, with what was written to the destination since. `Busy`: somebody has that open,
    /// or it has clones or is in a group.
    #[compiled_here]
    pub async fn abort(&self, name: &str, progress: Progress<'async_recursion>) -> Result<()> {
        self.abort_once(name, progress).await.map_err(|error| error.during("migration abort"))
    }

    async fn abort_once(&self, name: &str, progress: Progress<'_>) -> Result<()> {
        match Moved::find(self, name).await? {
            Some(moved) => foreign::abort(self, moved, progress).await,
            None => abort::abort(self, name, progress).await,
        }
    }

    /// Whether an image of another kind that is, or was, called so was set aside for an image of lsd.
    #[compiled_here]
    pub async fn is_foreign_source(&self, name: &str) -> Result<bool> {
        Ok(foreign::named(self, &self.store, name).await?.iter().any(|found| found.note.is_some()))
    }

    /// `Invalid`: the image is in no migration.
    #[compiled_here]
    pub async fn status(&self, name: &str) -> Result<MigrationStatus> {
        if let Some(moved) = Moved::find(self, name).await? {
            return moved.status().await;
        }
        let pair = Pair::find(&self.store, name).await?;
        let (state, description) = pair.state();
        let (source, destination) = (pair.source.side().await?, pair.destination.side().await?);
        Ok(MigrationStatus { source, destination, state, description })
    }
}

impl Image {
    /// The source of the migration that this image is the destination of. `Invalid`: it is in none.
    #[compiled_here]
    pub async fn migration_source(&self) -> Result<MigrationSide> {
        self.session.check_open()?;
        let described = crate::objects::header::Header::read(&self.session.objects).await?;
        let record = described.migration.filter(|record| record.role == MigrationRole::Destination);
        let record = record.ok_or_else(|| invalid("image is not migrating"))?;
        let place = record.other;
        Ok(MigrationSide { pool: place.pool, namespace: place.namespace, name: record.name, id: ImageId(place.id) })
    }

    /// The migration that this image is in, if it is in one.
    #[compiled_here]
    pub async fn migration(&self) -> Result<Option<MigrationStatus>> {
        self.session.check_open()?;
        let objects = &self.session.objects;
        match crate::objects::header::Header::read(objects).await?.migration.map(|record| record.kind) {
            None => return Ok(None),
            Some(None) => {}
            Some(Some(_)) => {
                let options = OpenOptions { bases: Bases(self.session.bases.0.clone()), ..OpenOptions::default() };
                let migrations = Migrations::new(objects.meta.clone(), options);
                let moved = Moved::of_destination(&migrations, &objects.id).await?;
                return Ok(match moved {
                    Some(moved) => Some(moved.status().await?),
                    None => None,
                });
            }
        }
        let pair = Pair::of(&objects.meta, &objects.id).await?;
        let (state, description) = pair.state();
        let (source, destination) = (pair.source.side().await?, pair.destination.side().await?);
        Ok(Some(MigrationStatus { source, destination, state, description }))
    }
}

/// A half's store, from any of the cluster.
async fn store_of(store: &Arc<dyn ObjectStore>, pool: i64, namespace: &str) -> Result<Arc<dyn ObjectStore>> {
    open_place(store, pool, namespace).await
}
