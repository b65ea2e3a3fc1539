//! The snapshots of an open image: a part of its public face.
//!
//! Owns: the words of the calls. Does not own: how a change is made (`session/snapshots/`) or asked of the owner
//! (`session/requests.rs`).
use super::children;
use crate::session::Session;
use crate::{Error, ErrorKind, Features, OpenOptions, Progress, Quiesce, Result, SnapRef};
use lsd_core::format::header::{SnapNamespace, SnapRecord};
use lsd_core::units::SnapId;
use std::sync::Arc;

/// A snapshot, as its users see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapInfo {
    pub id: u64,
    pub name: String,
    pub namespace: SnapNamespace,
    /// Bytes of the image.
    pub size: u64,
    pub features: u64,
    pub flags: u64,
    /// It cannot be removed.
    pub is_protected: bool,
    /// When it was taken, nanoseconds since 1970.
    pub create_ns: u64,
    /// The image was a clone then.
    pub is_of_clone: bool,
}

impl From<&SnapRecord> for SnapInfo {
    fn from(record: &SnapRecord) -> Self {
        Self {
            id: record.id.0,
            name: record.name.clone(),
            namespace: record.namespace.clone(),
            size: record.size,
            features: record.features,
            flags: record.flags,
            is_protected: record.is_protected,
            create_ns: record.time_ns,
            is_of_clone: record.overlap.is_some(),
        }
    }
}

/// Made by [`crate::Image::snapshots`]. Names are those of the user's namespace.
#[derive(Clone, Copy, Debug)]
pub struct Snapshots<'a> {
    session: &'a Arc<Session>,
}

impl<'a> Snapshots<'a> {
    pub(super) fn of(session: &'a Arc<Session>) -> Self {
        Self { session }
    }

    /// All that are there, in the order in which they were taken.
    pub async fn list(self) -> Result<Vec<SnapInfo>> {
        self.session.look_at_snapshots().await?;
        Ok(self.session.described().snapshots.usable().map(SnapInfo::from).collect())
    }

    /// `NotFound`.
    pub async fn get(self, name: &str) -> Result<SnapInfo> {
        self.session.look_at_snapshots().await?;
        let described = self.session.described();
        described.snapshots.find(&SnapRef::Name(name.to_owned())).map(|record| SnapInfo::from(&record))
    }

    /// `NotFound`.
    pub async fn get_by_id(self, id: u64) -> Result<SnapInfo> {
        self.session.look_at_snapshots().await?;
        self.session.snapshot(SnapId(id)).map(|record| SnapInfo::from(&record))
    }

    /// Whether this snapshot is there, as far as this handle has heard: nobody is asked.
    pub fn knows(self, id: u64) -> bool {
        self.session.snapshot(SnapId(id)).is_ok()
    }

    /// Names what the image is now: everything acknowledged before the call is in it, and of what is written meanwhile a
    /// prefix of the order of writes. `Exists`, `ReadOnly`; `Io` with `EDQUOT`: the limit is reached.
    /// Waits for clients that want to be quiet before it, as the image's settings have it.
    pub async fn create(self, name: &str) -> Result<()> {
        let quiesce = self.session.settings().quiesce;
        self.create_with(name, quiesce, &|_, _| Ok(())).await
    }

    /// The same where the caller says whether anybody is waited for. Progress is in attempts to make them quiet, and cannot end it. Also
    /// what a client said why it cannot be quiet; `TimedOut`: one has not said anything in time, or did not stay quiet.
    pub async fn create_with(self, name: &str, quiesce: Quiesce, progress: Progress<'_>) -> Result<()> {
        self.session.snap_create(name, quiesce, progress).await.map_err(|error| error.during("snap-create"))
    }

    /// `NotFound`, `Busy` (it is protected).
    pub async fn remove(self, name: &str) -> Result<()> {
        self.session.snap_remove(self.id_of(name).await?).await.map_err(|error| error.during("snap-remove"))
    }

    /// The same for one of any namespace.
    pub async fn remove_by_id(self, id: u64) -> Result<()> {
        self.session.snap_remove(SnapId(id)).await.map_err(|error| error.during("snap-remove"))
    }

    /// Flattens the clones of a snapshot, which are opened with these options. Progress is in clones. `NotFound`; `Busy`: a clone has
    /// snapshots and no deep-flatten.
    pub async fn flatten_children(self, name: &str, options: &OpenOptions, progress: Progress<'_>) -> Result<()> {
        children::flatten_children(self.session, self.id_of(name).await?, options, progress).await
    }

    /// `NotFound`, `Exists`.
    pub async fn rename(self, name: &str, to: &str) -> Result<()> {
        self.session.snap_rename(self.id_of(name).await?, to).await.map_err(|error| error.during("snap-rename"))
    }

    /// Keeps the snapshot from being removed. `Unimplemented` (the image has no layering), `NotFound`, `Busy` (it is protected
    /// already).
    pub async fn protect(self, name: &str) -> Result<()> {
        if self.session.described().state.features & Features::LAYERING == 0 {
            return Err(Error::new(
                ErrorKind::Unimplemented,
                "only an image with the layering feature has protected snapshots",
            ));
        }
        self.session.snap_protect(self.id_of(name).await?, true).await.map_err(|error| error.during("snap-protect"))
    }

    /// `NotFound`, `Invalid` (it is not protected).
    pub async fn unprotect(self, name: &str) -> Result<()> {
        self.session.snap_protect(self.id_of(name).await?, false).await.map_err(|error| error.during("snap-unprotect"))
    }

    /// The image becomes what it was then, its size included. This handle becomes the owner. `NotFound`; `ReadOnly`, also where another
    /// client that lives owns an image with the exclusive-lock feature.
    pub async fn rollback(self, name: &str) -> Result<()> {
        let id = self.id_of(name).await?;
        self.session.snap_rollback(id).await.map_err(|error| error.during("snap-rollback"))
    }

    /// How many snapshots the image may have; `None`: as many as one likes.
    pub async fn limit(self) -> Result<Option<u64>> {
        self.session.look_at_snapshots().await?;
        Ok(self.session.described().snapshots.counters.limit)
    }

    /// `Io` with `ERANGE`: there are more already.
    pub async fn set_limit(self, limit: Option<u64>) -> Result<()> {
        self.session.snap_set_limit(limit).await.map_err(|error| error.during("snap-set-limit"))
    }

    async fn id_of(self, name: &str) -> Result<SnapId> {
        Ok(SnapId(self.get(name).await?.id))
    }
}
