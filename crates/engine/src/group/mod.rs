//! Groups of images: which there are in a pool, which images are in each, snapshots of all of them at one moment.
//!
//! Owns: the public face, creating and removing a group. Does not own: names of groups (`catalog/groups.rs`), snapshots and rollbacks
//! of one image (`session/`).
mod held;
mod hushed;
mod members;
mod object;
mod rollback;
mod snapshots;

use crate::api::clock::{Clock, SystemClock};
use crate::compiled_here;
use crate::objects::pools::in_pool;
use crate::recovery::open;
use crate::{Catalog, Error, ErrorKind, ImageId, ImageRef, OpenOptions, Progress, Quiesce, Result};
use lsd_core::format::names;
use lsd_store::{ObjectStore, PoolId};
pub use members::GroupImage;
use object::GroupObject;
pub use snapshots::{GroupSnapshot, GroupSnapshotPart};
use std::sync::Arc;
use tokio::sync::mpsc;
use uuid::Uuid;

/// The groups of a store's pool and namespace.
#[derive(Clone, Debug)]
pub struct Groups {
    store: Arc<dyn ObjectStore>,
    options: OpenOptions,
    clock: Arc<dyn Clock>,
}

fn new_id() -> String {
    names::new_id(Uuid::new_v4().as_u64_pair().1)
}

impl Groups {
    /// `options`: how images are opened for their snapshots.
    pub fn new(store: Arc<dyn ObjectStore>, options: OpenOptions) -> Self {
        let options = OpenOptions { read_only: false, hold_moment: false, snapshot: None, ..options };
        Self { store, options, clock: Arc::new(SystemClock) }
    }

    fn catalog(&self) -> Catalog {
        Catalog::new(self.store.clone())
    }

    fn with_id(&self, id: String) -> GroupObject {
        GroupObject { store: self.store.clone(), id }
    }

    async fn group(&self, name: &str) -> Result<GroupObject> {
        Ok(self.with_id(self.catalog().group_id(name).await?))
    }

    /// Names, sorted.
    #[compiled_here]
    pub async fn list(&self) -> Result<Vec<String>> {
        self.catalog().groups().await
    }

    /// `NotFound`.
    #[compiled_here]
    pub async fn id_of(&self, name: &str) -> Result<String> {
        self.catalog().group_id(name).await
    }

    /// The name of a group by its id; `NotFound`.
    #[compiled_here]
    pub async fn name_of(&self, id: &str) -> Result<String> {
        self.catalog().group_name(id).await
    }

    /// First the object, then the name: a crash in between leaves an object that no name leads to. `Exists`, `Invalid`, `NameTooLong`.
    #[compiled_here]
    pub async fn create(&self, name: &str) -> Result<()> {
        if self.catalog().group_id(name).await.is_ok() {
            return Err(Error::new(ErrorKind::Exists, format!("group {name:?} exists")));
        }
        let group = self.with_id(new_id());
        group.create().await?;
        let added = self.catalog().add_group(name, &group.id).await;
        // Where nobody knows whether it has the name, the object stays.
        if let Err(error) = &added
            && matches!(error.kind, ErrorKind::Exists | ErrorKind::Invalid | ErrorKind::NameTooLong)
        {
            group.delete().await?;
        }
        added
    }

    /// Its snapshots go, its images stay. Nothing is added to it from the first step on, and its name goes last but for the empty object: a
    /// removal that was cut short can be repeated. `NotFound`.
    #[compiled_here]
    pub async fn remove(&self, name: &str) -> Result<()> {
        let group = self.group(name).await?;
        group.begin_removal().await?;
        let contents = group.read().await?;
        for snapshot in &contents.snapshots {
            group.remove_snapshot(snapshot, &self.options, &self.clock).await?;
        }
        for member in &contents.members {
            group.detach_member(&member.id).await?;
        }
        self.catalog().forget_group(&group.id).await?;
        group.delete().await
    }

    /// `NotFound`, `Exists`, `Invalid`.
    #[compiled_here]
    pub async fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.catalog().rename_group(from, to).await
    }

    /// One that is in it already stays. `images`: the image's pool, which may be another, and the same namespace. `NotFound`, `Exists` (it is
    /// in another group).
    #[compiled_here]
    pub async fn add_image(&self, name: &str, images: &Arc<dyn ObjectStore>, image: &ImageRef) -> Result<()> {
        self.group(name).await?.attach(images, image).await.map_err(|error| error.during("group-image-add"))
    }

    /// Its parts of the group's snapshots stay. One that is not in it is no error; `NotFound`: no such name; `Io` with `EBADF`: it is in another
    /// group.
    #[compiled_here]
    pub async fn remove_image(&self, name: &str, images: &Arc<dyn ObjectStore>, image: &ImageRef) -> Result<()> {
        let group = self.group(name).await?;
        let id = open::resolve(images, image).await?;
        group.detach(images, &id).await.map_err(|error| error.during("group-image-remove"))
    }

    /// By pool and name. Images in the trash are not told.
    #[compiled_here]
    pub async fn images(&self, name: &str) -> Result<Vec<GroupImage>> {
        self.group(name).await?.images().await
    }

    /// Names one moment of all its images: a write that is called anywhere after another was acknowledged anywhere is in it only if
    /// that other is. All images are taken from their owners, and writers wait until the last has its part. `Exists`, `NotFound`, `Busy`,
    /// `ReadOnly` and `TimedOut` (an owner keeps its image); `Io` with `EDQUOT`: an image may not have more snapshots.
    #[compiled_here]
    /// Clients that want to be quiet before snapshots are waited for as `quiesce` says, with the errors of [`crate::Snapshots::create_with`].
    pub async fn snap_create(&self, name: &str, snapshot: &str, quiesce: Quiesce) -> Result<()> {
        let group = self.group(name).await?;
        let (this, snapshot) = (self.clone(), snapshot.to_owned());
        // What has begun goes to its end, whatever becomes of who asked for it: writers wait for it.
        let task =
            tokio::spawn(
                async move { group.take_snapshot(&snapshot, new_id(), &this.options, &this.clock, quiesce).await },
            );
        ended(task.await).map_err(|error| error.during("group-snap-create"))
    }

    /// `NotFound`.
    #[compiled_here]
    pub async fn snap_remove(&self, name: &str, snapshot: &str) -> Result<()> {
        let group = self.group(name).await?;
        let contents = group.read().await?;
        let removed = group.remove_snapshot(contents.snapshot(snapshot)?, &self.options, &self.clock).await;
        removed.map_err(|error| error.during("group-snap-remove"))
    }

    /// `NotFound`, `Exists`, `Invalid`.
    #[compiled_here]
    pub async fn snap_rename(&self, name: &str, from: &str, to: &str) -> Result<()> {
        let group = self.group(name).await?;
        let contents = group.read().await?;
        group.rename_snapshot(contents.snapshot(from)?, to).await
    }

    /// In the order in which they were taken.
    #[compiled_here]
    pub async fn snapshots(&self, name: &str) -> Result<Vec<GroupSnapshot>> {
        let group = self.group(name).await?;
        Ok(group.read().await?.snapshots.into_iter().map(|record| group.told(record)).collect())
    }

    /// `NotFound`.
    #[compiled_here]
    pub async fn snapshot(&self, name: &str, snapshot: &str) -> Result<GroupSnapshot> {
        let group = self.group(name).await?;
        let contents = group.read().await?;
        Ok(group.told(contents.snapshot(snapshot)?.clone()))
    }

    /// `None`: the image is gone, or in the trash.
    #[compiled_here]
    pub async fn image_name(&self, pool: i64, image: &ImageId) -> Result<Option<String>> {
        let name = async { Catalog::new(in_pool(&self.store, PoolId(pool)).await?).name_of(image).await };
        match name.await {
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            name => name.map(Some),
        }
    }

    /// What a snapshot of a group is called, by the ids of both; `NotFound`.
    #[compiled_here]
    pub async fn snapshot_name(&self, group: &str, snapshot: &str) -> Result<String> {
        let contents = self.with_id(group.to_owned()).read().await?;
        let found = contents.snapshots.into_iter().find(|record| record.id == snapshot);
        found.map(|record| record.name).ok_or_else(|| Error::new(ErrorKind::NotFound, "no such snapshot of the group"))
    }

    /// All its images become what they were then. They are taken from their owners. Progress is in images; it can end the rollback before
    /// it begins. `NotFound`; `Invalid`: the snapshot is incomplete, or has other images than the group.
    #[compiled_here]
    pub async fn rollback(&self, name: &str, snapshot: &str, progress: Progress<'async_recursion>) -> Result<()> {
        let group = self.group(name).await?;
        let total = group.read().await?.members.len() as u64;
        if total > 0 {
            progress(0, total)?;
        }
        let (tell, mut told) = mpsc::unbounded_channel();
        let (this, snapshot) = (self.clone(), snapshot.to_owned());
        let task = tokio::spawn(async move { group.roll_back(&snapshot, &this.options, &this.clock, tell).await });
        while let Some(done) = told.recv().await {
            let _ = progress(done, total);
        }
        ended(task.await).map_err(|error| error.during("group-snap-rollback"))
    }
}

fn ended(task: std::result::Result<Result<()>, tokio::task::JoinError>) -> Result<()> {
    task.unwrap_or_else(|error| Err(Error::new(ErrorKind::Canceled, error.to_string())))
}
