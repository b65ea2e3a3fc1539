//! The first step of a migration: freezing the source, making the destination.
//!
//! Owns: what a source must be, what a destination takes from it, and the order of the steps (rule 38). Does not own: taking the steps back
//! (`abort.rs`).
//!
//! 1. The source is made clean by its own owner's means, and frozen in one update of its header, which says where the destination will be.
//! 2. The snapshot that it is a clone of stays for the destination, too.
//! 3. The destination's header comes into being. From here on it can be opened.
//! 4. The source's name goes, and the destination's comes.
use super::pair::Half;
use super::{Migrations, abort};
use crate::api::error::invalid;
use crate::api::limits::HEADER_TRIES;
use crate::lifecycle::clone::check_same_cluster;
use crate::lifecycle::{self, remove};
use crate::objects::header::Header;
use crate::objects::pools::place_of;
use crate::ownership::watch;
use crate::recovery::open::{self, Found};
use crate::session::Session;
use crate::ties::tie::{ParentHeader, child_of};
use crate::{Catalog, CloneFormat, CreateOptions, Error, ErrorKind, Features, ImageId, ImageRef, OpenOptions, Result};
use lsd_core::format::header::{
    Ancestor, ChildRecord, ImageRecord, MigrationRecord, MigrationRole, MigrationState, REQUIRES_CLONES,
    REQUIRES_MIGRATION, REQUIRES_SNAPSHOTS, StateRecord, TrashRecord, TrashSource, decode_requires, encode_epoch,
    encode_requires, encode_text, key,
};
use lsd_core::format::names;
use lsd_core::format::notice::Notice;
use lsd_core::units::{Epoch, SegmentNo};
use lsd_store::{KvMap, KvPresence, KvUpdate, ObjectStore, PoolId, StoreErrorKind};
use std::sync::Arc;
use uuid::Uuid;

/// What is left open is as the source has it.
#[derive(Clone, Debug, Default)]
pub struct MigrationOptions {
    /// log2 of the object size that clients see.
    pub order: Option<u8>,
    pub features: Option<u64>,
    /// Bytes, and objects.
    pub stripe: Option<(u64, u64)>,
    /// Where the destination's own data goes; `None`: the pool of its header.
    pub data_pool: Option<PoolId>,
    /// The destination is no clone in the end, whatever the source is.
    pub flatten: bool,
    /// Of a destination that is a clone.
    pub format: CloneFormat,
}

/// A source that nobody changes any more.
struct Frozen {
    half: Half,
    header: Header,
    record: MigrationRecord,
}

pub(super) async fn prepare(
    migrations: &Migrations,
    name: &str,
    (to, to_name): (&Arc<dyn ObjectStore>, &str),
    options: &MigrationOptions,
) -> Result<ImageId> {
    let store = &migrations.store;
    check_same_cluster(store, to)?;
    let found = open::find(store, &ImageRef::Name(name.to_owned())).await?;
    check_source(store, &found).await?;
    let is_same = to.pool_id() == store.pool_id() && to.namespace() == store.namespace() && to_name == name;
    if !is_same && Catalog::new(to.clone()).id_of(to_name).await.is_ok() {
        return Err(Error::new(ErrorKind::Exists, format!("image {to_name:?} exists")));
    }
    let uuid = Uuid::new_v4();
    let id = ImageId(names::new_id(uuid.as_u64_pair().1));
    let create = create_options(&found, options);
    // What cannot be made is refused before anything is changed.
    let (image, features) = lifecycle::image_record(to, &id, uuid, &create, found.header.image.create_ns).await?;
    let destination = Half { store: to.clone(), id: id.clone(), name: to_name.to_owned(), record: None };
    let frozen = freeze_source(migrations, &found, &destination, options).await?;
    match make(&frozen, &destination, (&image, features), options, migrations).await {
        Ok(()) => Ok(id),
        Err(error) => {
            if let Err(left) = abort::abort(migrations, name, &|_, _| Ok(())).await {
                tracing::warn!(target: "lsd::migration", image = name, op = "prepare", error = %left,
                    "a migration that failed is not taken back: abort it");
            }
            Err(error)
        }
    }
}

/// `Busy`, as librbd has it of all that keeps an image from being migrated; `Unsupported`: it has a base.
async fn check_source(store: &Arc<dyn ObjectStore>, found: &Found) -> Result<()> {
    let Found { header, objects } = found;
    let busy = |why: String| Err(Error::new(ErrorKind::Busy, format!("{}: {why}", header.name)));
    header.check_not_migrating()?;
    if header.migration.is_some() {
        return busy("the migration before is not cleared away: abort it".to_owned());
    }
    if header.base.is_some() {
        let reason = format!("{}: the image has a base: flatten it first", header.name);
        return Err(Error::new(ErrorKind::Unsupported, reason));
    }
    if let Some(snapshot) = header.snapshots.usable().find(|snapshot| snapshot.children > 0) {
        return busy(format!("snapshot {:?} has clones: flatten them first", snapshot.name));
    }
    match remove::check_in_no_group(store, header).await {
        Err(error) if error.kind == ErrorKind::InGroup => return busy("image is in a group".to_owned()),
        free => free?,
    }
    remove::until_unused(store, &objects.header(), &header.name).await
}

fn create_options(found: &Found, options: &MigrationOptions) -> CreateOptions {
    let Header { image, state, .. } = &found.header;
    let sources = state.features & !(Features::DATA_POOL | Features::STRIPINGV2 | Features::INTERNAL);
    let is_striped = state.features & Features::STRIPINGV2 != 0;
    let inherited = if is_striped { (image.stripe_unit, image.stripe_count) } else { (0, 0) };
    let (stripe_unit, stripe_count) = options.stripe.unwrap_or(inherited);
    CreateOptions {
        size: state.size,
        order: options.order.unwrap_or(image.order),
        features: options.features.unwrap_or(sources),
        stripe_unit,
        stripe_count,
        data_pool: options.data_pool,
        id: None,
    }
}

/// The image's log ends, and everything it has is in its checkpoint. `Busy`: somebody has it open.
pub(super) async fn make_clean(migrations: &Migrations, half: &Half, is_migrator: bool) -> Result<()> {
    let found = open::find(&half.store, &ImageRef::Id(half.id.clone())).await?;
    let found = if is_migrator { Found { objects: found.objects.of_migrator(), ..found } } else { found };
    let options = crate::image::kin_open_options(&half.store, &migrations.options).await?;
    let session = Session::open(found, options, migrations.clock.clone()).await?;
    let owned = session.ensure_owner().await;
    let closed = session.close().await;
    owned.and(closed)
}

/// One update that takes an image from everybody: who became its owner since, or changed its snapshots or its group, makes it fail.
pub(super) fn freezing(values: &KvMap, header: &Header, record: &MigrationRecord) -> KvUpdate {
    let seen = |key: &str| values.get(key).cloned().unwrap_or_default();
    let bits = values.get(key::REQUIRES).and_then(|value| decode_requires(value).ok()).unwrap_or_default();
    let epoch = Epoch((header.epoch.0 + 1).min(u64::from(u32::MAX)));
    let mut update = KvUpdate::default().presence(KvPresence::MustExist);
    for key in [key::EPOCH, key::LOG, key::MIGRATION, key::GROUP, key::REMOVING, key::STATE] {
        update = update.expect(key, seen(key));
    }
    for snapshot in values.keys().filter(|name| name.starts_with(key::SNAP)) {
        update = update.expect(snapshot.as_str(), seen(snapshot));
    }
    update
        .set(key::EPOCH, encode_epoch(epoch))
        .set(key::MIGRATION, record.encode())
        .set(key::REQUIRES, encode_requires(bits | REQUIRES_MIGRATION))
}

async fn freeze_source(
    migrations: &Migrations,
    found: &Found,
    destination: &Half,
    options: &MigrationOptions,
) -> Result<Frozen> {
    let store = &migrations.store;
    let mut half =
        Half { store: store.clone(), id: found.objects.id.clone(), name: found.header.name.clone(), record: None };
    for _ in 0..HEADER_TRIES {
        make_clean(migrations, &half, false).await?;
        let Some(values) = half.values().await? else { break };
        let header = Header::decode(&half.object(), &values)?.in_use()?;
        let objects = open::objects_of(store, &header).await?;
        check_source(store, &Found { header: header.clone(), objects }).await?;
        let Some(checkpoint) = header.log.checkpoint.filter(|_| header.log.clean) else { continue };
        let source = Ancestor {
            place: place_of(store, &half.id),
            uuid: header.image.uuid,
            data_pool: header.image.data_pool,
            last_segment: SegmentNo(header.log.replay_from.0.saturating_sub(1)),
            last_checkpoint: checkpoint.id,
            epochs: header.log.epochs.clone(),
        };
        let record = MigrationRecord {
            role: MigrationRole::Source,
            state: MigrationState::Preparing,
            description: String::new(),
            other: place_of(&destination.store, &destination.id),
            name: destination.name.clone(),
            flatten: options.flatten,
            last_snapshot: header.snapshots.counters.last,
            source,
        };
        match store.kv_update(&half.object(), freezing(&values, &header, &record)).await {
            Ok(()) => {
                watch::notify_of(store, &half.object(), &Notice::HeaderChanged).await;
                half.record = Some(record.clone());
                let epoch = Epoch(header.epoch.0 + 1);
                return Ok(Frozen { half, header: Header { epoch, ..header }, record });
            }
            // Somebody was faster.
            Err(error) if error.kind == StoreErrorKind::Stale => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::new(ErrorKind::Busy, format!("{}: image is in use", found.header.name)))
}

/// Steps 2 to 4.
async fn make(
    frozen: &Frozen,
    destination: &Half,
    (image, features): (&ImageRecord, u64),
    options: &MigrationOptions,
    migrations: &Migrations,
) -> Result<()> {
    let is_strict = options.format == CloneFormat::Protected;
    let is_clone = tie(frozen, destination, is_strict).await?;
    let update = first_header(frozen, destination, (image, features), is_clone.then_some(is_strict))?;
    destination.store.kv_update(&destination.object(), update).await?;
    if is_clone {
        // Rule 36: who took the unfinished destination for one that is gone has loosed the tie.
        check_tied(frozen, destination).await?;
    }
    exchange_names(frozen, destination, migrations.clock.now_ns()).await?;
    let mut source = frozen.half.clone();
    source.set_state(&[MigrationState::Preparing], MigrationState::Prepared).await
}

/// The destination is a clone of what the source is a clone of, and that stays for it. Returns whether it is one.
async fn tie(frozen: &Frozen, destination: &Half, is_strict: bool) -> Result<bool> {
    let Frozen { half, header, .. } = frozen;
    let Some(ancestry) = header.ancestry.as_ref().filter(|ancestry| header.snapshots.need_parent(ancestry)) else {
        return Ok(false);
    };
    let Some(Ancestor { place, last_segment, .. }) = ancestry.ancestors.last() else { return Ok(false) };
    let parent = ParentHeader::at(&half.store, place).await?;
    if child_of(&parent.read().await?, ancestry.snapshot, &place_of(&half.store, &half.id)).is_none() {
        return Err(invalid(format!("{}: its parent does not know it: check it", header.name)));
    }
    let child = ChildRecord {
        snapshot: ancestry.snapshot,
        place: place_of(&destination.store, &destination.id),
        is_strict,
        time_ns: header.image.create_ns,
    };
    parent.tie_beside(&child, *last_segment).await?;
    Ok(true)
}

/// `Canceled`: a repair of the parent was faster.
async fn check_tied(frozen: &Frozen, destination: &Half) -> Result<()> {
    let Frozen { half, header, .. } = frozen;
    let Some(ancestry) = &header.ancestry else { return Ok(()) };
    let Some(Ancestor { place, .. }) = ancestry.ancestors.last() else { return Ok(()) };
    let parent = ParentHeader::at(&half.store, place).await?.read().await?;
    if child_of(&parent, ancestry.snapshot, &place_of(&destination.store, &destination.id)).is_none() {
        let reason = format!("{}: its parent took the unfinished destination for one that is gone", destination.name);
        return Err(Error::new(ErrorKind::Canceled, reason));
    }
    Ok(())
}

/// `strict`: of a clone, whether its parent's snapshot must be protected.
fn first_header(
    frozen: &Frozen,
    destination: &Half,
    (image, features): (&ImageRecord, u64),
    strict: Option<bool>,
) -> Result<KvUpdate> {
    let Frozen { half, header, record } = frozen;
    let is_child = strict == Some(false) && header.ancestry.as_ref().is_some_and(|ancestry| ancestry.overlap.is_some());
    let (op_features, features) = match is_child {
        true => (Features::OP_CLONE_CHILD, features | Features::OPERATIONS),
        false => (0, features),
    };
    let state = StateRecord { features, op_features, ..header.state };
    let log = lsd_core::format::header::LogRecord { epochs: Vec::new(), ..header.log.clone() };
    let of_destination = MigrationRecord {
        role: MigrationRole::Destination,
        state: MigrationState::Prepared,
        other: place_of(&half.store, &half.id),
        name: half.name.clone(),
        ..record.clone()
    };
    let requires = REQUIRES_SNAPSHOTS | REQUIRES_CLONES | REQUIRES_MIGRATION;
    let mut update = lifecycle::first_header(&destination.name, image, &state, (header.epoch, &log))
        .set(key::MIGRATION, of_destination.encode())
        .set(key::SNAP_COUNTERS, header.snapshots.counters.encode())
        .set(key::REQUIRES, encode_requires(requires));
    if let Some(ancestry) = header.ancestry.as_ref().filter(|_| strict.is_some()) {
        update = update.set(key::ANCESTRY, ancestry.encode());
    }
    for snapshot in header.snapshots.usable() {
        update = update.set(key::snap(snapshot.id), snapshot.encode());
    }
    for (name, value) in &header.metadata {
        update = update.set(format!("{}{name}", key::META), encode_text(value));
    }
    Ok(update)
}

async fn exchange_names(frozen: &Frozen, destination: &Half, now_ns: u64) -> Result<()> {
    let half = &frozen.half;
    let entry = TrashRecord {
        source: TrashSource::Migration,
        name: half.name.clone(),
        deleted_ns: now_ns,
        deferred_until_ns: now_ns,
    };
    let catalog = Catalog::new(half.store.clone());
    let is_one_place =
        half.store.pool_id() == destination.store.pool_id() && half.store.namespace() == destination.store.namespace();
    if is_one_place {
        return catalog.replace_by(&half.id, &entry, (&destination.name, &destination.id)).await;
    }
    Catalog::new(destination.store.clone()).add(&destination.name, &destination.id).await?;
    catalog.move_to_trash(&half.id, &entry).await
}

/// How images are opened by who aborts: nothing is moved in the source while the destination may need it.
pub(super) fn quiet(options: &OpenOptions) -> OpenOptions {
    let mut options = options.clone();
    options.settings.gc = false;
    options
}
