//! The first step of a migration: freezing the source, making the destination.
//!
//! Owns: what a source must be, what a destination takes from it, and the order of the steps (rule 38). Does not own: taking the steps back
//! (`abort.rs`).
//!
//! 1. The source is made clean by its own owner's means, and frozen in one update of its header, which says where the destination will be.
//! 2. The snapshot that it is a clone of stays for the destination, too.
//! 3. The destination's header comes into being. From here on it can be opened. Who has taken the migration back until then is noticed.
//! 4. The source's name goes, and the destination's comes.
use super::pair::{Half, Pair, raised};
use super::{Migrations, abort, first};
use crate::api::limits::HEADER_TRIES;
use crate::lifecycle::clone::check_same_cluster;
use crate::lifecycle::{self, remove};
use crate::objects::header::Header;
use crate::objects::pools::place_of;
use crate::ownership::watch;
use crate::recovery::open::{self, Found};
use crate::session::Session;
use crate::{Catalog, CloneFormat, CreateOptions, Error, ErrorKind, Features, ImageId, ImageRef, OpenOptions, Result};
use lsd_core::format::header::{
    Ancestor, ImageRecord, MigrationRecord, MigrationRole, MigrationState, REQUIRES_MIGRATION, TrashRecord,
    TrashSource, decode_requires, encode_epoch, encode_requires, key,
};
use lsd_core::format::names;
use lsd_core::format::notice::Notice;
use lsd_core::units::SegmentNo;
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
pub(super) struct Frozen {
    pub(super) half: Half,
    pub(super) header: Header,
    pub(super) record: MigrationRecord,
}

pub(super) async fn prepare(
    migrations: &Migrations,
    name: &str,
    (to, to_name): (&Arc<dyn ObjectStore>, &str),
    (options, uuid): (&MigrationOptions, Uuid),
) -> Result<ImageId> {
    let store = &migrations.store;
    check_same_cluster(store, to)?;
    let found = open::find(store, &ImageRef::Name(name.to_owned())).await?;
    check_source(store, &found).await?;
    let is_same = to.pool_id() == store.pool_id() && to.namespace() == store.namespace() && to_name == name;
    if !is_same && Catalog::new(to.clone()).id_of(to_name).await.is_ok() {
        return Err(Error::new(ErrorKind::Exists, format!("image {to_name:?} exists")));
    }
    let id = ImageId(names::new_id(uuid.as_u64_pair().1));
    let create = create_options(&found, options);
    // What cannot be made is refused before anything is changed.
    let (image, features) = lifecycle::image_record(to, &id, uuid, &create, found.header.image.create_ns).await?;
    let destination = Half { store: to.clone(), id: id.clone(), name: to_name.to_owned(), record: None };
    // The directory's name: the header's may be an older one.
    let source = Half { store: store.clone(), id: found.objects.id.clone(), name: name.to_owned(), record: None };
    let made = match freeze_source(migrations, &source, &destination, options).await {
        Ok(frozen) => make(&frozen, &destination, (&image, features), options, migrations).await,
        Err(error) => Err(error),
    };
    match made {
        Ok(()) => Ok(id),
        Err(error) => {
            if let Err(left) = undo(migrations, &source, &destination).await {
                tracing::warn!(target: "lsd::migration", image = name, op = "prepare", error = %left,
                    "a migration that failed is not taken back: abort it");
            }
            Err(error)
        }
    }
}

/// What a preparation that failed has left is taken back.
async fn undo(migrations: &Migrations, source: &Half, destination: &Half) -> Result<()> {
    match Pair::of(&source.store, &source.id).await {
        Ok(pair) if pair.destination.id == destination.id && pair.source.id == source.id => {
            abort::abort_pair(migrations, pair, &|_, _| Ok(())).await
        }
        // It is in another migration, which somebody else has begun since: the names are that one's.
        Ok(_) => {
            let (Half { store, id, .. }, bases) = (destination, &migrations.options.bases);
            lifecycle::remove_migrated((store, id), (None, None), bases, &|_, _| Ok(())).await
        }
        // Nothing had begun, or somebody else has taken it back.
        Err(error) if matches!(error.kind, ErrorKind::Invalid | ErrorKind::NotFound) => {
            abort::discard(source, destination, &|_, _| Ok(())).await
        }
        Err(error) => Err(error),
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
    if header.snapshots.have_part_of_group() {
        return busy("it has a part of a group's snapshot: remove that first".to_owned());
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
pub(super) async fn make_clean(migrations: &Migrations, half: &Half) -> Result<()> {
    let found = open::find(&half.store, &ImageRef::Id(half.id.clone())).await?;
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
    let mut update = KvUpdate::default().presence(KvPresence::MustExist);
    for key in [key::EPOCH, key::LOG, key::MIGRATION, key::GROUP, key::REMOVING, key::STATE] {
        update = update.expect(key, seen(key));
    }
    for snapshot in values.keys().filter(|name| name.starts_with(key::SNAP)) {
        update = update.expect(snapshot.as_str(), seen(snapshot));
    }
    update
        .set(key::EPOCH, encode_epoch(raised(header.epoch)))
        .set(key::MIGRATION, record.encode())
        .set(key::REQUIRES, encode_requires(bits | REQUIRES_MIGRATION))
}

async fn freeze_source(
    migrations: &Migrations,
    source: &Half,
    destination: &Half,
    options: &MigrationOptions,
) -> Result<Frozen> {
    let Half { store, name, .. } = source;
    for _ in 0..HEADER_TRIES {
        make_clean(migrations, source).await?;
        let Some(values) = source.values().await? else { break };
        let header = Header::decode(&source.object(), &values)?.in_use()?;
        let objects = open::objects_of(store, &header).await?;
        check_source(store, &Found { header: header.clone(), objects }).await?;
        let Some(record) = record_of(source, &header, destination, options) else { continue };
        let frozen = store.kv_update(&source.object(), freezing(&values, &header, &record)).await;
        // Where the answer is an error it may have come about all the same.
        if frozen.is_ok() || source.header().await?.is_some_and(|now| now.migration.as_ref() == Some(&record)) {
            watch::notify_of(store, &source.object(), &Notice::HeaderChanged).await;
            let half = Half { record: Some(record.clone()), ..source.clone() };
            let epoch = raised(header.epoch);
            return Ok(Frozen { half, header: Header { epoch, ..header }, record });
        }
        match frozen {
            // Somebody was faster.
            Err(error) if error.kind == StoreErrorKind::Stale => {}
            frozen => frozen?,
        }
    }
    Err(Error::new(ErrorKind::Busy, format!("{name}: image is in use")))
}

/// What the source's header gets to say. `None`: it is not clean.
fn record_of(
    source: &Half,
    header: &Header,
    destination: &Half,
    options: &MigrationOptions,
) -> Option<MigrationRecord> {
    let checkpoint = header.log.checkpoint.filter(|_| header.log.clean)?;
    let ancestor = Ancestor {
        place: place_of(&source.store, &source.id),
        uuid: header.image.uuid,
        data_pool: header.image.data_pool,
        last_segment: SegmentNo(header.log.replay_from.0.saturating_sub(1)),
        last_checkpoint: checkpoint.id,
        epochs: header.log.epochs.clone(),
    };
    Some(MigrationRecord {
        role: MigrationRole::Source,
        state: MigrationState::Preparing,
        description: String::new(),
        other: place_of(&destination.store, &destination.id),
        name: destination.name.clone(),
        flatten: options.flatten,
        last_snapshot: header.snapshots.counters.last,
        source: ancestor,
        kind: None,
    })
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
    let is_clone = first::tie(frozen, destination, is_strict).await?;
    let update = first::first_header(frozen, destination, (image, features), is_clone.then_some(is_strict))?;
    destination.store.kv_update(&destination.object(), update).await?;
    if is_clone {
        // Rule 36: who took the unfinished destination for one that is gone has loosed the tie.
        first::check_tied(frozen, destination).await?;
    }
    // Rule 38: who takes the migration back from here on finds the destination, and takes it before the source is free.
    let mut source = frozen.half.clone();
    source.check_is_in_migration().await?;
    exchange_names(frozen, destination, migrations.clock.now_ns()).await?;
    source.set_state(&[MigrationState::Preparing], MigrationState::Prepared).await
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
    if half.is_beside(destination) {
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
