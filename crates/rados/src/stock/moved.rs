//! A stock image whose place an image of lsd takes.
//!
//! Owns: what is done to it, step by step, so that no tool of RBD's takes it away below that image, and it can come back. Does not own: in
//! which order (the engine's `migration/foreign`).
//!
//! It goes to RBD's trash, where nobody opens it by its name. It stays there, because it has a snapshot that is protected and has a child.
use super::base::{StockBases, blocking, child};
use super::disk::{StockDisk, check_watchers, open_alone};
use super::functions::Functions;
use super::image::{Named, StockImage};
use super::{RBD_BASE, hold, records};
use crate::error::{RadosResult, c_string, check};
use crate::ioctx::IoCtx;
use crate::store::RadosStore;
use lsd_store::{
    BaseSpec, ForeignDisk, ForeignFacts, ForeignFound, ForeignImage, ForeignPlace, Keyed, KvPresence, KvUpdate,
    ObjectName, StoreError, StoreErrorKind, StoreFuture,
};
use nix::libc;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

/// Where it is noted in the image's metadata where the image of lsd is.
const NOTE: &str = "lsd_migration";
/// The same, as a key of the header object.
const NOTE_KEY: &str = "metadata_lsd_migration";
/// The snapshot that is the base, and the id of the image of lsd.
const SNAPSHOT: &str = ".lsd-migration-";
/// Nobody clears it away from the trash by mistake for so long: ten years, in seconds.
const KEPT_SECONDS: u64 = 10 * 365 * 24 * 3600;

/// Longer than the watch of a client that died lasts: `osd_client_watch_timeout`, 30 s, and up to 15 s more were seen. And how often is
/// looked.
const DEAD_WATCH: Duration = Duration::from_secs(75);
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Features and operations of RBD's (librbd/features.h).
const LAYERING: u64 = 1 << 0;
const EXCLUSIVE_LOCK: u64 = 1 << 2;
const JOURNALING: u64 = 1 << 6;
const MIGRATING: u64 = 1 << 9;
const OP_GROUP: u64 = 1 << 2;

#[derive(Clone, Debug)]
pub(super) struct StockMoved {
    bases: StockBases,
    /// Its pool and namespace.
    io: IoCtx,
    id: String,
}

/// Images in this pool and namespace that have the name, or had it when they were set aside.
pub(super) async fn find(io: &IoCtx, name: &str) -> RadosResult<Vec<ForeignFound>> {
    let place = |id: String| ForeignPlace {
        kind: RBD_BASE.to_owned(),
        pool: io.pool_id(),
        namespace: io.namespace().to_owned(),
        id,
    };
    let mut found = Vec::new();
    if let Some(id) = records::id_of(io, name).await? {
        let note = records::metadata(io, &id, NOTE).await?;
        found.push(ForeignFound { place: place(id), note });
    }
    for (id, was_called) in records::trash(io).await? {
        // One on its way to the trash, or back, may be in both places.
        if was_called != name || found.iter().any(|found: &ForeignFound| found.place.id == id) {
            continue;
        }
        // What a user has put there is none of ours.
        if let Some(note) = records::metadata(io, &id, NOTE).await? {
            found.push(ForeignFound { place: place(id), note: Some(note) });
        }
    }
    Ok(found)
}

impl StockMoved {
    pub fn new(bases: StockBases, io: IoCtx, id: String) -> Self {
        Self { bases, io, id }
    }

    fn runtime(&self) -> Handle {
        self.bases.runtime()
    }

    /// On a thread that may block.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> RadosResult<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let this = self.clone();
        blocking(&self.runtime(), move || Ok::<T, StoreError>(work(&this)?)).await
    }

    fn to_write(&self) -> RadosResult<StockImage> {
        StockImage::open_to_write(self.bases.stock_library()?, self.io.clone(), &self.id)
    }

    /// EBUSY: somebody has it open to write to it.
    fn check_unused(&self) -> RadosResult<()> {
        check_watchers(&self.io, &self.id, 0)
    }

    fn look(&self) -> RadosResult<ForeignFacts> {
        let image = self.bases.open_image(self.io.clone(), Named::Id(&self.id))?;
        let features = image.features()?;
        let mut metadata = image.metadata()?;
        let is_noted = metadata.remove(NOTE).is_some();
        let why = if features & MIGRATING != 0 {
            Some("the image is in a migration of RBD's")
        } else if features & JOURNALING != 0 {
            Some("the image has the feature journaling: disable it")
        } else if features & EXCLUSIVE_LOCK == 0 {
            Some("the image lacks the feature exclusive-lock: enable it")
        } else if features & LAYERING == 0 {
            Some("the image lacks the feature layering, which no image gets later: copy it")
        } else if image.op_features()? & OP_GROUP != 0 {
            Some("the image is in a group")
        } else if !is_noted && image.has_snapshots()? {
            Some(
                "the image has snapshots: remove them, or copy it with them (rbd export --export-format 2, lsd import)",
            )
        } else {
            None
        };
        let refused = why.map(str::to_owned);
        Ok(ForeignFacts { size: image.size()?, order: image.order()?, features, metadata, refused })
    }

    fn functions(&self) -> RadosResult<Functions> {
        Functions::of_library(self.bases.stock_library()?)
    }

    fn move_to_trash(&self, name: &str) -> RadosResult<()> {
        let functions = self.functions()?;
        let text = c_string(name, "trash_move")?;
        // SAFETY: a live context, and a C string that lives through the call.
        let code = unsafe { (functions.trash_move)(self.io.raw().cast(), text.as_ptr(), KEPT_SECONDS) };
        check(code, "trash_move", name).map(drop)
    }

    /// ENOENT: it is not in the trash. EEXIST: another image has the name.
    fn restore(&self, name: &str) -> RadosResult<()> {
        let functions = self.functions()?;
        let (id, text) = (c_string(&self.id, "trash_restore")?, c_string(name, "trash_restore")?);
        // SAFETY: a live context, and C strings that live through the call.
        let code = unsafe { (functions.trash_restore)(self.io.raw().cast(), id.as_ptr(), text.as_ptr()) };
        check(code, "trash_restore", name).map(drop)
    }

    fn remove_from_trash(&self) -> RadosResult<()> {
        let functions = self.functions()?;
        let id = c_string(&self.id, "trash_remove")?;
        // SAFETY: a live context, and a C string that lives through the call.
        let code = unsafe { (functions.trash_remove)(self.io.raw().cast(), id.as_ptr(), true) };
        check(code, "trash_remove", &self.id).map(drop)
    }

    /// The number of the snapshot, which is protected from here on, and the image: as long as that is open nobody writes to it.
    fn take_snapshot(&self, name: &str) -> RadosResult<(StockImage, u64)> {
        let image = open_alone(&self.bases, &self.io, &self.id)?;
        match image.snap_create(name) {
            Err(error) if error.errno != libc::EEXIST => return Err(error),
            _ => {}
        }
        let (number, protected) = image.snapshot(name)?;
        if !protected {
            image.snap_protect(name)?;
        }
        Ok((image, number))
    }

    fn base_at(&self, own: StockImage, number: u64) -> RadosResult<BaseSpec> {
        let image = self.bases.open_image(self.io.clone(), Named::Id(&self.id))?;
        image.show(number)?;
        let (spec, _) = StockBases::spec_of(&self.io, &image, number)?;
        // By its name nobody opens it any more: who has come before that would write later than the snapshot.
        check_watchers(&self.io, &self.id, 1)?;
        drop(own);
        Ok(spec)
    }

    /// `None`: it is gone.
    fn number_of(&self, name: &str) -> RadosResult<Option<u64>> {
        match self.bases.open_image(self.io.clone(), Named::Id(&self.id)).and_then(|image| image.snapshot(name)) {
            Ok((number, _)) => Ok(Some(number)),
            Err(error) if error.errno == libc::ENOENT => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn drop_snapshot(&self, name: &str) -> RadosResult<()> {
        let gone = |done: RadosResult<()>| match done {
            Err(error) if error.errno != libc::ENOENT => Err(error),
            _ => Ok(()),
        };
        let image = match self.to_write() {
            Err(error) => return gone(Err(error)),
            image => image?,
        };
        match image.snapshot(name) {
            Ok((_, true)) => gone(image.snap_unprotect(name))?,
            Ok((_, false)) => {}
            Err(error) => return gone(Err(error)),
        }
        gone(image.snap_remove(name))
    }

    async fn is_in_trash(&self) -> RadosResult<bool> {
        Ok(records::trash(&self.io).await?.iter().any(|(id, _)| *id == self.id))
    }

    /// `Busy`: there is one already.
    async fn set_note(&self, note: &str) -> Result<(), StoreError> {
        let update =
            KvUpdate::default().presence(KvPresence::MustExist).expect(NOTE_KEY, "").set(NOTE_KEY, note.to_owned());
        match self.update_header(update).await {
            Err(error) if error.kind == StoreErrorKind::Stale => {
                let why = "somebody else moves it, or did not end that: abort it";
                Err(StoreError::new(StoreErrorKind::Busy, "migrate", self.id.clone()).with_detail(why))
            }
            set => set,
        }
    }

    /// Another one is left alone.
    async fn forget_note(&self, note: &str) -> Result<(), StoreError> {
        let update = KvUpdate::default().presence(KvPresence::MustExist).expect(NOTE_KEY, note.to_owned());
        match self.update_header(update.remove(NOTE_KEY)).await {
            Err(error) if matches!(error.kind, StoreErrorKind::Stale | StoreErrorKind::NotFound) => Ok(()),
            forgotten => forgotten,
        }
    }

    /// Of RBD's: its class keeps metadata there.
    async fn update_header(&self, update: KvUpdate) -> Result<(), StoreError> {
        let (io, runtime) = (self.io.clone(), self.runtime());
        let store = blocking(&self.runtime(), move || RadosStore::new(io, runtime)).await?;
        store.kv_update(&ObjectName(records::header(&self.id)), update).await
    }

    async fn let_go(&self, image: &str) -> Result<(), StoreError> {
        let name = snapshot_for(image);
        let of = name.clone();
        let Some(number) = self.blocking(move |this| this.number_of(&of)).await? else { return Ok(()) };
        hold::release(&self.io, &self.id, number, &child(image)).await?;
        self.blocking(move |this| this.drop_snapshot(&name)).await
    }
}

fn renamed(name: &str) -> StoreError {
    let why = "somebody else has renamed or removed it meanwhile";
    StoreError::new(StoreErrorKind::Busy, "migrate", name).with_detail(why)
}

fn snapshot_for(image: &str) -> String {
    format!("{SNAPSHOT}{image}")
}

impl ForeignImage for StockMoved {
    fn facts(&self) -> StoreFuture<ForeignFacts> {
        let this = self.clone();
        Box::pin(async move { this.blocking(Self::look).await })
    }

    fn note(&self) -> StoreFuture<Option<String>> {
        let this = self.clone();
        Box::pin(async move { Ok(records::metadata(&this.io, &this.id, NOTE).await?) })
    }

    fn set_aside(&self, name: &str, note: &str) -> StoreFuture<()> {
        let (this, name, note) = (self.clone(), name.to_owned(), note.to_owned());
        Box::pin(async move {
            this.blocking(Self::check_unused).await?;
            this.set_note(&note).await?;
            // By the name goes which one has it.
            if records::id_of(&this.io, &name).await?.as_ref() != Some(&this.id) {
                return Err(renamed(&name));
            }
            let moved = name.clone();
            this.blocking(move |this| this.move_to_trash(&moved)).await?;
            if this.is_in_trash().await? { Ok(()) } else { Err(renamed(&name)) }
        })
    }

    fn freeze(&self, image: &str) -> StoreFuture<BaseSpec> {
        let (this, image) = (self.clone(), image.to_owned());
        Box::pin(async move {
            let name = snapshot_for(&image);
            let (own, number) = this.blocking(move |this| this.take_snapshot(&name)).await?;
            let held = hold::hold(&this.io, &this.id, number, &child(&image)).await;
            // What is open is closed on a thread that may block, whatever came of it.
            this.blocking(move |this| held.and_then(|()| this.base_at(own, number))).await
        })
    }

    fn open(&self) -> StoreFuture<Arc<dyn ForeignDisk>> {
        let this = self.clone();
        Box::pin(async move {
            let runtime = this.runtime();
            let deadline = Instant::now() + DEAD_WATCH;
            let image = loop {
                match this.blocking(|this| open_alone(&this.bases, &this.io, &this.id)).await {
                    // Most likely one that died while it took the migration back: its watch lasts a little longer.
                    Err(error) if error.kind == StoreErrorKind::Busy && Instant::now() < deadline => {
                        sleep(LOOK_AGAIN).await;
                    }
                    opened => break opened?,
                }
            };
            let disk: Arc<dyn ForeignDisk> = Arc::new(StockDisk::new(image, runtime));
            Ok(disk)
        })
    }

    fn give_name_back(&self, name: &str) -> StoreFuture<()> {
        let (this, name) = (self.clone(), name.to_owned());
        Box::pin(async move {
            let of = name.clone();
            match this.blocking(move |this| this.restore(&of)).await {
                // It was never taken from it, or it has it again.
                Err(error) if error.kind == StoreErrorKind::NotFound => {
                    if this.is_in_trash().await? {
                        Err(error)
                    } else {
                        Ok(())
                    }
                }
                // Its way to the trash was broken off: it comes back from there only once it has got there.
                Err(error) if error.kind == StoreErrorKind::Busy && this.is_in_trash().await? => {
                    // By the name goes which one has it.
                    if records::id_of(&this.io, &name).await?.is_some_and(|id| id != this.id) {
                        let why = "another image is called so by now: rename it";
                        return Err(StoreError::new(StoreErrorKind::Exists, "trash_restore", name).with_detail(why));
                    }
                    let again = move |this: &Self| this.move_to_trash(&name).and_then(|()| this.restore(&name));
                    this.blocking(again).await
                }
                restored => restored,
            }
        })
    }

    fn thaw(&self, image: &str) -> StoreFuture<()> {
        let (this, image) = (self.clone(), image.to_owned());
        Box::pin(async move { this.let_go(&image).await })
    }

    fn forget(&self, note: &str) -> StoreFuture<()> {
        let (this, note) = (self.clone(), note.to_owned());
        Box::pin(async move { this.forget_note(&note).await })
    }

    fn remove(&self, image: &str) -> StoreFuture<()> {
        let (this, image) = (self.clone(), image.to_owned());
        Box::pin(async move {
            this.let_go(&image).await?;
            match this.blocking(Self::remove_from_trash).await {
                // It is gone, or a user has taken it out of the trash and keeps it.
                Err(error) if error.kind == StoreErrorKind::NotFound => match this.note().await? {
                    Some(note) if note.ends_with(&format!("/{image}")) => this.forget_note(&note).await,
                    _ => Ok(()),
                },
                removed => removed,
            }
        })
    }
}
