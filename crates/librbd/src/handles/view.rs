//! What a handle shows: the image as it is now, or one of its snapshots.
//!
//! Owns: which of the engine's two images a call means, and when a handle refuses changes. Does not own: what a call does with
//! it (layer `api`).
//!
//! `head` is the image itself: its locks, metadata, watchers and snapshots are those of a handle that shows a snapshot, too.
//! `image` and `size` are what the handle shows.
use crate::ffi::errno::{Errno, Outcome};
use lsd_engine::{Image, ImageRef, OpenOptions, SnapInfo, SnapRef};
use lsd_store::{ObjectStore, PoolId};
use std::sync::{Arc, PoisonError, RwLock};

/// A snapshot, opened.
#[derive(Clone)]
struct Shown {
    image: Image,
    id: u64,
    flags: u64,
}

/// An open image, and what of it a handle shows.
pub struct View {
    head: Image,
    /// `None`: the head.
    shown: RwLock<Option<Shown>>,
    store: Arc<dyn ObjectStore>,
    options: OpenOptions,
}

impl View {
    /// ENOENT: no such image or snapshot.
    pub async fn open(
        store: &Arc<dyn ObjectStore>,
        image: &ImageRef,
        options: OpenOptions,
        snapshot: Option<SnapRef>,
    ) -> Outcome<Self> {
        let head = Image::open(store, image, &options).await?;
        let view = Self { head, shown: RwLock::default(), store: store.clone(), options };
        if let Some(snapshot) = snapshot {
            match view.open_snapshot(snapshot).await {
                Ok(shown) => view.show(Some(shown)),
                Err(error) => {
                    // This can lose nothing: nothing was written.
                    let _ = view.head.close().await;
                    return Err(error);
                }
            }
        }
        Ok(view)
    }

    /// How the handle was opened.
    pub fn options(&self) -> &OpenOptions {
        &self.options
    }

    /// The name of another pool of the cluster.
    pub async fn pool_name(&self, pool: PoolId) -> Outcome<String> {
        Ok(self.store.open_pool(pool).await?.pool_name())
    }

    /// Another handle at a snapshot, beside what this one shows. ENOENT.
    pub async fn open_at(&self, id: u64) -> Outcome<Image> {
        Ok(self.open_snapshot(SnapRef::Id(id)).await?.image)
    }

    async fn open_snapshot(&self, snapshot: SnapRef) -> Outcome<Shown> {
        let options = OpenOptions { snapshot: Some(snapshot), ..self.options.clone() };
        let image = Image::open(&self.store, &ImageRef::Id(self.head.info().id), &options).await?;
        let SnapInfo { id, flags, .. } = image.shown().ok_or(Errno::EIO)?;
        Ok(Shown { image, id, flags })
    }

    /// The image itself, whatever the handle shows.
    pub fn head(&self) -> &Image {
        &self.head
    }

    /// What reads and differences go to. ENOENT: a snapshot that was removed meanwhile.
    pub fn image(&self) -> Outcome<Image> {
        Ok(self.shown()?.map_or_else(|| self.head.clone(), |shown| shown.image))
    }

    /// Bytes of what the handle shows; 0 for a snapshot that was removed meanwhile, as with librbd.
    pub fn size(&self) -> u64 {
        self.image().map_or(0, |image| image.size())
    }

    /// ENOENT: as for `image`.
    pub fn flags(&self) -> Outcome<u64> {
        Ok(self.shown()?.map_or_else(|| self.head.info().flags, |shown| shown.flags))
    }

    /// The id of the snapshot that the handle shows; `None`: the head. ENOENT: as for `image`.
    pub fn snapshot(&self) -> Outcome<Option<u64>> {
        Ok(self.shown()?.map(|shown| shown.id))
    }

    pub fn shows_head(&self) -> bool {
        self.shown.read().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// EROFS for a handle that was opened read-only or shows a snapshot.
    pub fn writable(&self) -> Outcome<()> {
        if self.head.read_only() || !self.shows_head() { Err(Errno::EROFS) } else { Ok(()) }
    }

    /// The image, for a change that does not touch what a handle shows: snapshots are changed through one that shows a snapshot,
    /// too. EROFS for a handle that was opened read-only.
    pub fn changeable(&self) -> Outcome<&Image> {
        if self.head.read_only() { Err(Errno::EROFS) } else { Ok(&self.head) }
    }

    /// What the limits of the image hold back goes on: it is about to be closed.
    pub fn lift_limits(&self) {
        self.head.lift_limits();
        if let Ok(Some(shown)) = self.shown() {
            shown.image.lift_limits();
        }
    }

    /// Shows the head (`None`) or a snapshot from here on. Reads that have begun go on with what they began with. ENOENT: no
    /// such snapshot; the handle shows what it showed.
    pub async fn set(&self, snapshot: Option<SnapRef>) -> Outcome<()> {
        let Some(snapshot) = snapshot else {
            self.show(None);
            return Ok(());
        };
        let shown = self.open_snapshot(snapshot).await?;
        if self.head.locks().is_owner() {
            // Who shows what was needs no lock, and librbd gives it back. Without the feature it is not a user's.
            match self.head.locks().release().await.map_err(Errno::from) {
                Ok(()) | Err(Errno::EINVAL) => {}
                Err(error) => return Err(error),
            }
        }
        self.show(Some(shown));
        Ok(())
    }

    /// Drops what was read ahead or kept, and looks for news.
    pub async fn invalidate_cache(&self) -> Outcome<()> {
        self.head.invalidate_cache().await?;
        match self.shown() {
            Ok(Some(shown)) => Ok(shown.image.invalidate_cache().await?),
            _ => Ok(()),
        }
    }

    pub async fn close(&self) -> Outcome<()> {
        let shown = self.shown.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(shown) = shown {
            // What only reads loses nothing.
            let _ = shown.image.close().await;
        }
        Ok(self.head.close().await?)
    }

    fn show(&self, shown: Option<Shown>) {
        *self.shown.write().unwrap_or_else(PoisonError::into_inner) = shown;
    }

    fn shown(&self) -> Outcome<Option<Shown>> {
        let shown = self.shown.read().unwrap_or_else(PoisonError::into_inner).clone();
        match shown {
            // The engine notices it only where data is gone; librbd's reads of it fail at once.
            Some(shown) if !self.head.snapshots().knows(shown.id) => Err(Errno::ENOENT),
            shown => Ok(shown),
        }
    }
}
