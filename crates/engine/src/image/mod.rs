//! An open image, as its users see it.
//!
//! Owns: the public face. Does not own: what the calls do (`session/`, `write/`, `read/`).
mod beside;
mod children;
mod data;
mod deep_copy;
mod group;
mod kin;
mod locks;
mod metadata;
mod object_map;
mod quiesce;
mod snapshots;
mod trash;

use crate::api::clock::{Clock, SystemClock};
use crate::api::limits::WALK_LEAVES;
use crate::api::stats::{ClientStats, Stat};
use crate::compiled_here;
use crate::lifecycle::clone::{self, Wanted};
use crate::lifecycle::remove;
use crate::ownership::watch;
use crate::read;
use crate::recovery::open::{self, Found};
use crate::session::Session;
use crate::{
    BaseInfo, CheckReport, CloneOptions, ConfigOption, CreateOptions, Error, ErrorKind, Extent, Features, ImageId,
    ImageInfo, ImageRef, OpenOptions, Progress, SnapRef,
};
use crate::{RepairOptions, RepairReport, Result, Settings, Timestamps, UpdateEvent, check, lifecycle};
use beside::Counted;
pub use deep_copy::DeepCopy;
pub use group::GroupName;
pub(crate) use kin::open_options as kin_open_options;
pub use kin::{Child, Parent};
pub use locks::Locks;
use lsd_core::format::names;
use lsd_core::format::notice::{Answer, Notice};
use lsd_core::gc::Space;
use lsd_core::units::SnapId;
use lsd_store::{BaseSpec, ObjectStore, PoolId, Watcher};
pub use metadata::Metadata;
pub use snapshots::{SnapInfo, Snapshots};
use std::sync::Arc;
pub use trash::{Trash, TrashEntry};
use uuid::Uuid;

/// A handle to an open image; clones are the same handle. Dropping the last clone without [`Image::close`] is like a
/// crash: nothing that was flushed is lost.
#[derive(Clone, Debug)]
pub struct Image {
    pub(crate) session: Arc<Session>,
}

impl Image {
    /// `Exists`, `Domain` (order), `Invalid` (name, size, striping, features), `Unimplemented` (unknown features), `NotFound`
    /// (data pool).
    #[compiled_here]
    pub async fn create(store: &Arc<dyn ObjectStore>, name: &str, options: &CreateOptions) -> Result<ImageId> {
        lifecycle::create(store, name, (options, None), &SystemClock, Uuid::new_v4()).await
    }

    /// [`Image::create`] of an image that shows a base wherever it was never written: it is there at once, whatever its size. The base
    /// must stay as it is until the image was flattened.
    #[compiled_here]
    pub async fn create_over(
        store: &Arc<dyn ObjectStore>,
        name: &str,
        options: &CreateOptions,
        base: &BaseSpec,
    ) -> Result<ImageId> {
        lifecycle::create(store, name, (options, Some(base)), &SystemClock, Uuid::new_v4()).await
    }

    /// [`Image::create`] with the caller's time and identity, for runs that must repeat exactly (crate `lsd-sim`).
    #[compiled_here]
    pub async fn create_as(
        store: &Arc<dyn ObjectStore>,
        name: &str,
        options: &CreateOptions,
        clock: &dyn Clock,
        uuid: Uuid,
    ) -> Result<ImageId> {
        lifecycle::create(store, name, (options, None), clock, uuid).await
    }

    /// Makes an image that begins as a snapshot, in constant time. `snapshot`: of the image `parent` in `parent_store`. `NotFound`, `Exists`,
    /// `Invalid` (the format wants it protected), `Unimplemented` (the parent has no layering), and as [`Image::create`] has it.
    #[compiled_here]
    pub async fn clone_from(
        (parent_store, parent, snapshot): (&Arc<dyn ObjectStore>, &ImageRef, &SnapRef),
        (store, name): (&Arc<dyn ObjectStore>, &str),
        options: &CloneOptions,
    ) -> Result<ImageId> {
        let wanted = Wanted { parent: (parent_store, parent, snapshot), store, name };
        clone::clone(wanted, options, &SystemClock, Uuid::new_v4()).await.map_err(|error| error.during("clone"))
    }

    /// [`Image::clone_from`] with the caller's time and identity, for runs that must repeat exactly (crate `lsd-sim`).
    #[compiled_here]
    pub async fn clone_from_as(
        (parent_store, parent, snapshot): (&Arc<dyn ObjectStore>, &ImageRef, &SnapRef),
        (store, name): (&Arc<dyn ObjectStore>, &str),
        options: &CloneOptions,
        clock: &dyn Clock,
        uuid: Uuid,
    ) -> Result<ImageId> {
        let wanted = Wanted { parent: (parent_store, parent, snapshot), store, name };
        clone::clone(wanted, options, clock, uuid).await.map_err(|error| error.during("clone"))
    }

    /// `NotFound`; `Corrupt` when the header, the map or the log do not verify.
    #[compiled_here]
    pub async fn open(store: &Arc<dyn ObjectStore>, image: &ImageRef, options: &OpenOptions) -> Result<Image> {
        Self::open_with_clock(store, image, options, Arc::new(SystemClock)).await
    }

    /// [`Image::open`] with the caller's time.
    #[compiled_here]
    pub async fn open_with_clock(
        store: &Arc<dyn ObjectStore>,
        image: &ImageRef,
        options: &OpenOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Image> {
        let found = open::find(store, image).await?;
        if !options.read_only && options.snapshot.is_none() {
            found.header.check_writable()?;
        }
        Self::open_found(found, options, clock).await
    }

    /// The same of what was found, whatever migration it is in.
    pub(crate) async fn open_found(found: Found, options: &OpenOptions, clock: Arc<dyn Clock>) -> Result<Image> {
        let name = found.header.name.clone();
        match Session::open(found, options.clone(), clock).await {
            Ok(session) => {
                let read_only = options.read_only;
                tracing::info!(target: "lsd::image", image = name, op = "open", read_only, "the image is open");
                Ok(Image { session })
            }
            Err(error) => {
                let object = error.object();
                tracing::error!(target: "lsd::image", image = name, op = "open", object, %error, "the image does not open");
                Err(error)
            }
        }
    }

    /// `NotFound`, `Busy` (somebody has it open); `Corrupt` when the header does not verify: then nothing was removed. An
    /// image whose header is gone is removed as far as it is found, as librbd does.
    #[compiled_here]
    pub async fn remove(
        store: &Arc<dyn ObjectStore>,
        image: &ImageRef,
        progress: Progress<'async_recursion>,
    ) -> Result<()> {
        lifecycle::remove(store, image, None, progress).await
    }

    /// As [`Image::remove`], and also removes an image whose header does not verify. If such a header cannot say which data
    /// pool the image has, objects in another pool than `store` stay.
    #[compiled_here]
    pub async fn remove_damaged(
        store: &Arc<dyn ObjectStore>,
        image: &ImageRef,
        progress: Progress<'async_recursion>,
    ) -> Result<()> {
        match lifecycle::remove(store, image, None, progress).await {
            Err(error) if error.kind == ErrorKind::Corrupt => remove::remove_by_walking(store, image, progress).await,
            removed => removed,
        }
    }

    /// Looks at everything that the image consists of, without opening it, and changes nothing. `NotFound`; damage is no error
    /// but in the report. `progress`: segments of the log.
    #[compiled_here]
    pub async fn check(
        store: &Arc<dyn ObjectStore>,
        image: &ImageRef,
        progress: Progress<'async_recursion>,
    ) -> Result<CheckReport> {
        check::check(store, image, progress).await
    }

    /// Checks the image, puts right what can be derived from what verifies, and checks it again. `Busy` (somebody has it
    /// open), `NotFound`.
    #[compiled_here]
    pub async fn repair(
        store: &Arc<dyn ObjectStore>,
        image: &ImageRef,
        options: RepairOptions,
        progress: Progress<'async_recursion>,
    ) -> Result<RepairReport> {
        check::repair(store, image, options, progress).await
    }

    pub fn info(&self) -> ImageInfo {
        let record = &self.session.image;
        let described = self.session.described().clone();
        // librbd keeps these beside what they say; here they follow from it.
        let by_group = if described.group.is_some() { Features::OP_GROUP } else { 0 };
        let op_features = described.state.op_features | described.snapshots.op_features() | by_group;
        let migrating = if described.migration.is_some() { Features::MIGRATING } else { 0 };
        let operations = if op_features == 0 { 0 } else { Features::OPERATIONS };
        ImageInfo {
            id: self.session.objects.id.clone(),
            name: described.name,
            size: self.size(),
            order: record.order,
            features: described.state.features | operations | migrating,
            op_features,
            flags: described.state.flags,
            stripe_unit: record.stripe_unit,
            stripe_count: record.stripe_count,
            data_pool: PoolId(record.data_pool),
            block_name_prefix: names::data_prefix(&self.session.objects.id.0),
            timestamps: Timestamps {
                create_ns: record.create_ns,
                access_ns: described.state.access_ns,
                modify_ns: described.state.modify_ns,
            },
        }
    }

    /// What the image goes by now.
    pub fn settings(&self) -> Settings {
        self.session.settings().clone()
    }

    /// The overrides in the image's metadata that are not understood, and so not in force.
    pub fn option_faults(&self) -> Vec<Error> {
        self.session.described().option_faults.clone()
    }

    /// Bytes.
    pub fn size(&self) -> u64 {
        self.session.shared.lock().view.size
    }

    pub fn read_only(&self) -> bool {
        self.session.read_only
    }

    /// `Invalid` when it would shrink and `allow_shrink` is false, or beyond the largest image.
    #[compiled_here]
    pub async fn resize(&self, size: u64, allow_shrink: bool, progress: Progress<'async_recursion>) -> Result<()> {
        self.session.resize(size, allow_shrink, progress).await.map_err(|error| error.during("resize"))
    }

    /// Drops clean cached data; a handle that does not own the image also takes up the latest durable state.
    #[compiled_here]
    pub async fn invalidate_cache(&self) -> Result<()> {
        self.session.check_open()?;
        self.session.shared.lock().buffers.clear_clean();
        if let Some(parents) = &self.session.shared.parents {
            parents.clear();
        }
        self.session.refresh().await
    }

    /// Consecutive extents that cover the range exactly; data and hole alternate.
    #[compiled_here]
    pub async fn extents(&self, offset: u64, len: u64) -> Result<Vec<Extent>> {
        self.session.check_open()?;
        let session = &self.session;
        session.keep_up().await?;
        let extents = session.retry_if_moved(|| read::extents(&session.objects, &session.shared, offset, len)).await;
        self.session.shared.trim_leaves(self.session.settings().map_cache_bytes);
        extents
    }

    /// The same for the start of a range, never for nothing: as much as bounded memory holds, which may be all of a range of many
    /// TiB that has little in it. For going through a whole image.
    #[compiled_here]
    pub async fn first_extents(&self, offset: u64, len: u64) -> Result<Vec<Extent>> {
        self.session.check_open()?;
        let session = &self.session;
        session.keep_up().await?;
        let range = (offset, len);
        let extents =
            session.retry_if_moved(|| read::first_extents(&session.objects, &session.shared, range, WALK_LEAVES)).await;
        session.shared.trim_leaves(session.settings().map_cache_bytes);
        extents
    }

    /// Bytes of the image that have content; the map knows it without reading anything.
    pub fn used_bytes(&self) -> u64 {
        self.session.shared.lock().view.map.mapped_bytes()
    }

    /// Bytes that lie somewhere else in the log than in the other handle's map, or nowhere there: what a snapshot takes in the store beside
    /// the one before it. What both have stored in the same place is not looked at.
    #[compiled_here]
    pub async fn bytes_beside(&self, other: &Image) -> Result<u64> {
        self.session.check_open()?;
        beside::bytes_beside(&self.session, &other.session).await
    }

    /// Bytes of map leaves in memory; `lsd_map_cache_bytes` bounds those that need not be there.
    pub fn map_bytes(&self) -> u64 {
        self.session.shared.lock().view.map.loaded_bytes() as u64
    }

    /// Bytes of the log by what the map needs of them, as far as this handle knows.
    pub fn space(&self) -> Space {
        self.session.shared.lock().segments.space()
    }

    /// What this handle has done since it was opened.
    pub fn stats(&self) -> Vec<Stat> {
        self.session.shared.counters.all()
    }

    /// What each handle has done that watches the image: those of other processes, and this one unless it is read-only. A client
    /// that is silent holds this up for five seconds. `NotFound` once the image is removed.
    #[compiled_here]
    pub async fn client_stats(&self) -> Result<Vec<ClientStats>> {
        self.session.check_open()?;
        let answers = watch::ask_all(&self.session.objects, &Notice::StatsWanted).await?;
        let stats = |(watcher, answer)| match answer {
            Some(Answer::Stats(counters)) => ClientStats { watcher, counters: Some(counters) },
            _ => ClientStats { watcher, counters: None },
        };
        Ok(answers.into_iter().map(stats).collect())
    }

    /// Puts scattered data in the order of the image (it takes as much room as there is of it; not in a full pool), then collects
    /// garbage until nothing is worth it and deletes what is dead. `Busy` when another client owns the image;
    /// `Corrupt` when data that should be copied does not verify (the rest is collected).
    #[compiled_here]
    pub async fn collect(&self, progress: Progress<'async_recursion>) -> Result<()> {
        self.session.collect(progress).await
    }

    /// Keys and values that people and clients keep with the image.
    pub fn metadata(&self) -> Metadata<'_> {
        Metadata::of(&self.session)
    }

    /// Tells what of a range is not the same as in `from`, a handle at a snapshot of the same image or at the one it is a clone of:
    /// extents in order, which may follow one another, with whether they have data here. `None`: what has data. From the maps alone,
    /// in proportion to what differs; what was only moved is not told, unless the image was rolled back since. `Invalid`: another
    /// image's; an error of `each` ends it.
    pub async fn changes(
        &self,
        from: Option<&Image>,
        offset: u64,
        len: u64,
        each: &mut (dyn FnMut(Extent) -> Result<()> + Send),
    ) -> Result<()> {
        self.changes_of(Counted::All, from, (offset, len), each).await
    }

    /// The same, where what a clone has of its parent counts as no data.
    pub async fn own_changes(
        &self,
        from: Option<&Image>,
        offset: u64,
        len: u64,
        each: &mut (dyn FnMut(Extent) -> Result<()> + Send),
    ) -> Result<()> {
        self.changes_of(Counted::Own, from, (offset, len), each).await
    }

    #[compiled_here]
    async fn changes_of(
        &self,
        counted: Counted,
        from: Option<&Image>,
        (offset, len): (u64, u64),
        each: &mut (dyn FnMut(Extent) -> Result<()> + Send),
    ) -> Result<()> {
        self.session.check_open()?;
        let end = offset.saturating_add(len).min(self.size());
        if let Some(from) = from {
            from.session.check_open()?;
            beside::check_kin(&self.session, &from.session)?;
        }
        beside::changes(&self.session, from.map(|from| &*from.session), offset..end, counted, each).await
    }

    /// Every option that an image may override, with what holds and who says so. `config`: what the opener says of an option; `None`:
    /// nothing.
    #[compiled_here]
    pub async fn config(&self, config: &(dyn Fn(&str) -> Option<String> + Sync)) -> Result<Vec<ConfigOption>> {
        self.session.check_open()?;
        self.session.config(config).await
    }

    /// Names for moments of the image.
    pub fn snapshots(&self) -> Snapshots<'_> {
        Snapshots::of(&self.session)
    }

    /// The snapshot that this handle shows, if it was opened at one.
    pub fn shown(&self) -> Option<SnapInfo> {
        self.session.shown.as_ref().map(SnapInfo::from)
    }

    /// The snapshot that the image, or the snapshot that this handle shows, is a clone of. `NotFound`: it is no clone.
    #[compiled_here]
    pub async fn parent(&self) -> Result<Parent> {
        kin::parent(&self.session).await
    }

    /// The same of an image that is not opened, with its id. `NotFound`, `Corrupt`.
    #[compiled_here]
    pub async fn base_of(store: &Arc<dyn ObjectStore>, image: &ImageRef) -> Result<(ImageId, Option<BaseInfo>)> {
        let found = open::find(store, image).await?;
        Ok((found.objects.id.clone(), found.header.base.map(BaseInfo::from)))
    }

    /// What the image shows where it was never written, if it has such a base.
    pub fn base(&self) -> Option<BaseInfo> {
        self.session.described().base.clone().map(BaseInfo::from)
    }

    /// Up to where the image, or the snapshot that this handle shows, shows what its parent has; 0: it is no clone.
    #[compiled_here]
    pub async fn overlap(&self) -> Result<u64> {
        Ok(kin::overlap(&self.session).await?.unwrap_or(0))
    }

    /// The clones of a snapshot, or of all; in the order in which they were made.
    #[compiled_here]
    pub async fn children(&self, snapshot: Option<u64>) -> Result<Vec<Child>> {
        kin::children(&self.session, snapshot.map(SnapId)).await
    }

    /// The same with their clones, and so on.
    #[compiled_here]
    pub async fn descendants(&self, snapshot: Option<u64>) -> Result<Vec<Child>> {
        kin::descendants(&self.session, snapshot.map(SnapId)).await
    }

    /// Copies what the image still has of its parent or its base, and needs it no more. Progress is in objects. `Invalid`: it has none;
    /// `ReadOnly`.
    /// Snapshots that were taken before stay clones: the parent's snapshot is needed as long as they are there.
    #[compiled_here]
    pub async fn flatten(&self, progress: Progress<'async_recursion>) -> Result<()> {
        self.session.flatten(progress).await.map_err(|error| error.during("flatten"))
    }

    /// Who has the image open, this handle included.
    #[compiled_here]
    pub async fn watchers(&self) -> Result<Vec<Watcher>> {
        Ok(self.session.objects.meta.watchers(&self.session.objects.header()).await?)
    }

    /// The exclusive lock of its owner, and advisory locks.
    pub fn locks(&self) -> Locks<'_> {
        Locks::of(&self.session)
    }

    /// Enables or disables features by librbd's rules: `Invalid` where they forbid it.
    #[compiled_here]
    pub async fn update_features(&self, features: u64, enabled: bool) -> Result<()> {
        self.session.update_features(features, enabled).await
    }

    /// Calls `listener` after each change of the header, until it is removed by the returned number. It may not block.
    pub fn add_update_listener(&self, listener: Arc<dyn Fn(UpdateEvent) + Send + Sync>) -> u64 {
        self.session.events.add(listener)
    }

    pub fn remove_update_listener(&self, listener: u64) {
        self.session.events.remove(listener);
    }

    /// Flushes, writes a checkpoint and gives the lock back. Idempotent; later calls on the handle give `Closed`.
    #[compiled_here]
    pub async fn close(&self) -> Result<()> {
        self.session.close().await
    }
}
