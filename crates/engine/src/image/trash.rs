//! The trash of a pool and namespace, as its users see it.
//!
//! Owns: what may be moved, brought back and removed when, as librbd has it. Does not own: the entries (`catalog/trash.rs`), removing
//! an image (`lifecycle/`).
mod room;

use crate::api::clock::{Clock, SystemClock};
use crate::api::error::invalid;
use crate::compiled_here;
use crate::lifecycle::{self, remove};
use crate::objects::header;
use crate::recovery::open;
use crate::{Bases, Catalog, Error, ErrorKind, ImageId, ImageRef, Progress, Result};
use lsd_core::format::header::{TrashRecord, TrashSource};
use lsd_core::format::names;
use lsd_store::ObjectStore;
use std::sync::Arc;
use std::time::Duration;

/// An image in the trash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrashEntry {
    pub id: ImageId,
    /// What it was called.
    pub name: String,
    pub source: TrashSource,
    /// When it was put there, nanoseconds since 1970.
    pub deleted_ns: u64,
    /// Until when it is only removed by force, nanoseconds since 1970.
    pub deferred_until_ns: u64,
}

impl TrashEntry {
    fn of((id, record): (ImageId, TrashRecord)) -> Self {
        let TrashRecord { source, name, deleted_ns, deferred_until_ns } = record;
        Self { id, name, source, deleted_ns, deferred_until_ns }
    }

    fn record(&self) -> TrashRecord {
        let Self { source, name, deleted_ns, deferred_until_ns, .. } = self.clone();
        TrashRecord { source, name, deleted_ns, deferred_until_ns }
    }
}

/// The trash of a store's pool and namespace.
#[derive(Clone, Debug)]
pub struct Trash {
    store: Arc<dyn ObjectStore>,
    clock: Arc<dyn Clock>,
    /// Who lets go of the bases of images that are removed.
    bases: Bases,
}

impl Trash {
    pub fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { store, clock: Arc::new(SystemClock), bases: Bases::default() }
    }

    /// The same, where images may have bases of kinds that these open.
    #[must_use]
    pub fn with_bases(self, bases: Bases) -> Self {
        Self { bases, ..self }
    }

    fn catalog(&self) -> Catalog {
        Catalog::new(self.store.clone())
    }

    /// Sorted by id.
    #[compiled_here]
    pub async fn list(&self) -> Result<Vec<TrashEntry>> {
        Ok(self.catalog().trash().await?.into_iter().map(TrashEntry::of).collect())
    }

    /// `NotFound`.
    #[compiled_here]
    pub async fn get(&self, id: &ImageId) -> Result<TrashEntry> {
        Ok(TrashEntry::of((id.clone(), self.catalog().trashed(id).await?)))
    }

    /// Takes the image's name away. Its snapshots and data stay, and who has it open goes on. `delay`: how long it is only removed by force.
    /// `NotFound`, `Busy` (somebody keeps its lock).
    #[compiled_here]
    pub async fn put(&self, name: &str, delay: Duration) -> Result<()> {
        let id = self.catalog().id_of(name).await?;
        remove::check_not_migrating(&self.store, &id).await?;
        remove::check_not_kept(&self.store, &id, name).await?;
        let deleted_ns = self.clock.now_ns();
        let delay = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
        let record = TrashRecord {
            source: TrashSource::User,
            name: name.to_owned(),
            deleted_ns,
            deferred_until_ns: deleted_ns.saturating_add(delay),
        };
        self.catalog().move_to_trash(&id, &record).await
    }

    /// Gives it a name again, its own where none is given. `NotFound`, `Exists`; `Invalid`: it is the source of a migration; `Busy`: somebody
    /// removes it, or has begun to.
    #[compiled_here]
    pub async fn restore(&self, id: &ImageId, name: Option<&str>) -> Result<()> {
        let record = self.catalog().trashed(id).await?;
        if record.source == TrashSource::Migration && self.is_migrating(id).await? {
            let reason = format!("{}: the source of a migration comes back when that is aborted", record.name);
            return Err(invalid(reason));
        }
        let name = name.unwrap_or(&record.name);
        match self.catalog().id_of(name).await {
            // Of such a preparation, too: nothing is there of what has the name.
            Ok(other)
                if record.source == TrashSource::Migration
                    && name == record.name
                    && self.is_nothing(&other).await? =>
            {
                self.catalog().replace_back(id, &record, &other).await
            }
            _ => self.catalog().restore(id, &record, name).await,
        }
    }

    /// It has no header, and nobody is removing it.
    async fn is_nothing(&self, id: &ImageId) -> Result<bool> {
        Ok(self.has_no_header(id).await? && !self.catalog().is_removing(id).await?)
    }

    /// What a preparation that died when its migration was taken back already has left there is not.
    async fn is_migrating(&self, id: &ImageId) -> Result<bool> {
        match open::find(&self.store, &ImageRef::Id(id.clone())).await {
            Ok(found) => Ok(found.header.migration.is_some()),
            // A commit removes it, or has.
            Err(error) if error.kind == ErrorKind::NotFound => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Removes what users put there and whose time has come by then, nanoseconds since 1970; `None`: by now. Progress is in images.
    /// What has snapshots, is open or in a group stays, the others go all the same; then that is how it ends: `NotEmpty`, `Busy`,
    /// `InGroup`.
    #[compiled_here]
    pub async fn purge(&self, by_ns: Option<u64>, progress: Progress<'async_recursion>) -> Result<()> {
        let by_ns = by_ns.unwrap_or_else(|| self.clock.now_ns());
        let due = self.of_users().await?.into_iter().filter(|entry| entry.deferred_until_ns <= by_ns).collect();
        self.remove_all(due, progress).await
    }

    /// The same where pools that are used to more than `share` (0 to 1) also lose images whose time has not come, those first whose time
    /// comes first, until so much is to be given back that they are below it. Where no pool is above it, nothing is removed at all, as
    /// in librbd. True: some of these make room. `Unsupported`: the store does not say how much is used.
    #[compiled_here]
    pub async fn purge_to(&self, share: f64, by_ns: Option<u64>, progress: Progress<'async_recursion>) -> Result<bool> {
        let by_ns = by_ns.unwrap_or_else(|| self.clock.now_ns());
        let mut due = self.of_users().await?;
        due.sort_by(|a, b| (a.deferred_until_ns, &a.id).cmp(&(b.deferred_until_ns, &b.id)));
        let wanted = room::to_remove((&self.store, &self.bases), share, &due).await?;
        if wanted.is_empty() {
            return Ok(false);
        }
        due.retain(|entry| wanted.contains(&entry.id) || entry.deferred_until_ns <= by_ns);
        self.remove_all(due, progress).await.map(|()| true)
    }

    async fn of_users(&self) -> Result<Vec<TrashEntry>> {
        Ok(self.list().await?.into_iter().filter(|entry| entry.source == TrashSource::User).collect())
    }

    async fn remove_all(&self, mut due: Vec<TrashEntry>, progress: Progress<'_>) -> Result<()> {
        let (mut done, total) = (0, due.len() as u64);
        loop {
            let (mut stayed, mut reason, before) = (Vec::new(), None, done);
            for entry in due {
                match self.remove_listed(&entry).await {
                    Ok(()) => {
                        done += 1;
                        progress(done, total)?;
                    }
                    Err(error) if matches!(error.kind, ErrorKind::NotEmpty | ErrorKind::Busy | ErrorKind::InGroup) => {
                        stayed.push(entry);
                        reason = Some(error);
                    }
                    Err(error) => return Err(error),
                }
            }
            match reason {
                None => return Ok(()),
                // A clone that went may have been what held its parent.
                Some(_) if done > before => due = stayed,
                Some(error) => return Err(error),
            }
        }
    }

    /// As it was listed. What is not so any more, since somebody has removed it, brought it back, or put it there anew for longer, is left.
    async fn remove_listed(&self, entry: &TrashEntry) -> Result<()> {
        if !self.is_as_listed(entry).await? {
            return Ok(());
        }
        match self.remove_as(&entry.id, &entry.record(), &|_, _| Ok(())).await {
            Err(error) if self.is_as_listed(entry).await? => Err(error),
            _ => Ok(()),
        }
    }

    async fn is_as_listed(&self, entry: &TrashEntry) -> Result<bool> {
        match self.catalog().trashed(&entry.id).await {
            Err(error) if error.kind == ErrorKind::NotFound => Ok(false),
            found => Ok(found? == entry.record()),
        }
    }

    /// Removes it for good. `NotFound`; `Permission`: its time has not come, and nobody says `force`; `NotEmpty`: it has snapshots;
    /// `Busy`; `InGroup`.
    #[compiled_here]
    pub async fn remove(&self, id: &ImageId, force: bool, progress: Progress<'async_recursion>) -> Result<()> {
        let record = self.catalog().trashed(id).await?;
        if !force && self.clock.now_ns() < record.deferred_until_ns {
            let reason = format!("{}: its time in the trash is not over", record.name);
            return Err(Error::new(ErrorKind::Permission, reason));
        }
        self.remove_as(id, &record, progress).await
    }

    async fn has_no_header(&self, id: &ImageId) -> Result<bool> {
        Ok(header::values_of(&self.store, &names::header(&id.0).into()).await?.is_none())
    }

    async fn remove_as(&self, id: &ImageId, record: &TrashRecord, progress: Progress<'_>) -> Result<()> {
        let image = ImageRef::Id(id.clone());
        match lifecycle::remove(&self.store, &image, Some(record), &self.bases, progress).await {
            // Of one whose removal was broken off behind its last object only the entry is left.
            Err(error) if error.kind == ErrorKind::NotFound && self.has_no_header(id).await? => {}
            removed => removed?,
        }
        self.catalog().forget_trashed(id, record).await
    }
}
