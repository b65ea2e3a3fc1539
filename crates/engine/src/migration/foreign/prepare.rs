//! The first step of a migration from an image of another kind.
//!
//! Owns: what such a source must be, what the destination takes from it, and the order of the steps (rule 49). Does not own: taking
//! the steps back (`abort.rs`).
//!
//! 1. The source is set aside: nobody opens it by its name, and a note with it says where the destination will be.
//! 2. What it has is frozen, as the base of the destination. Whoever had it open until then makes this fail.
//! 3. The destination's header comes into being, and then its name. Who has taken the migration back until then is noticed.
use super::{Moved, abort, check_is_noted, in_use, named, note_of};
use crate::lifecycle::clone::check_same_cluster;
use crate::lifecycle::{self, base_record, first_header};
use crate::migration::pair::Half;
use crate::migration::{MigrationOptions, Migrations};
use crate::{Catalog, CreateOptions, Error, ErrorKind, Features, ImageId, Result};
use lsd_core::format::ImageUuid;
use lsd_core::format::header::{
    Ancestor, ImageRecord, LogRecord, MigrationRecord, MigrationRole, MigrationState, REQUIRES_BASE, REQUIRES_FOREIGN,
    REQUIRES_MIGRATION, StateRecord, encode_requires, encode_text, key,
};
use lsd_core::format::names;
use lsd_core::units::{CheckpointId, Epoch, SegmentNo, SnapId};
use lsd_store::{BaseSpec, ForeignFacts, ForeignFound, KvUpdate, ObjectStore};
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

/// `None`: no image of another kind is called so.
pub(crate) async fn prepare(
    migrations: &Migrations,
    name: &str,
    (to, to_name): (&Arc<dyn ObjectStore>, &str),
    (options, uuid): (&MigrationOptions, Uuid),
) -> Result<Option<ImageId>> {
    let mut found = named(migrations, &migrations.store, name).await?;
    let Some(ForeignFound { place, note }) = found.pop() else { return Ok(None) };
    if note.is_some() || !found.is_empty() {
        let reason = format!("{name}: the migration before is not cleared away: abort it");
        return Err(Error::new(ErrorKind::Busy, reason));
    }
    check_same_cluster(&migrations.store, to)?;
    let source = migrations.options.bases.0.foreign(&place).await?;
    let facts = source.facts().await?;
    if let Some(why) = &facts.refused {
        return Err(Error::new(ErrorKind::Busy, format!("{name}: {why}")));
    }
    let is_taken = async || -> Result<bool> {
        let others = named(migrations, to, to_name).await?;
        Ok(Catalog::new(to.clone()).id_of(to_name).await.is_ok() || others.iter().any(|other| other.place != place))
    };
    if is_taken().await? {
        return Err(Error::new(ErrorKind::Exists, format!("image {to_name:?} exists")));
    }
    let id = ImageId(names::new_id(uuid.as_u64_pair().1));
    // What cannot be made is refused before anything is changed.
    let now_ns = migrations.clock.now_ns();
    let (image, features) = lifecycle::image_record(to, &id, uuid, &create_options(&facts, options), now_ns).await?;
    let destination = Half { store: to.clone(), id: id.clone(), name: to_name.to_owned(), record: None };
    let mut moved = Moved { source, place, name: name.to_owned(), destination };
    match make(&mut moved, (&image, features)).await {
        Ok(()) => Ok(Some(id)),
        Err(error) => {
            if let Err(left) = abort::take_back(migrations, moved, &|_, _| Ok(())).await {
                tracing::warn!(target: "lsd::migration", image = name, op = "prepare", error = %left,
                    "a migration that failed is not taken back: abort it");
            }
            Err(error)
        }
    }
}

fn create_options(facts: &ForeignFacts, options: &MigrationOptions) -> CreateOptions {
    // What else an image of another kind can do is its library's.
    const TAKEN: u64 = Features::LAYERING
        | Features::EXCLUSIVE_LOCK
        | Features::OBJECT_MAP
        | Features::FAST_DIFF
        | Features::DEEP_FLATTEN;
    let (stripe_unit, stripe_count) = options.stripe.unwrap_or_default();
    CreateOptions {
        size: facts.size,
        order: options.order.unwrap_or(facts.order),
        features: options.features.unwrap_or(facts.features & TAKEN),
        stripe_unit,
        stripe_count,
        data_pool: options.data_pool,
        id: None,
    }
}

async fn make(moved: &mut Moved, (image, features): (&ImageRecord, u64)) -> Result<()> {
    let (source, id) = (moved.source.clone(), moved.destination.id.clone());
    source.set_aside(&moved.name, &note_of(&moved.destination)).await?;
    let base = source.freeze(&id.0).await?;
    // Of then: somebody may have set some since it was looked at first.
    let metadata = source.facts().await?.metadata;
    let record = record_of(moved);
    let destination = &mut moved.destination;
    let update = header_of(&destination.name, (image, features), (&metadata, &base), &record);
    destination.store.kv_update(&destination.object(), update).await?;
    destination.record = Some(record);
    // Rule 49: who takes the migration back from here on finds the destination, and takes it before the source has its name again.
    check_is_noted(&source, destination).await?;
    let catalog = Catalog::new(destination.store.clone());
    catalog.add(&destination.name, &destination.id).await?;
    if in_use(destination).await?.is_none() {
        let _ = catalog.remove(&destination.name, &destination.id).await;
        let reason = format!("{}: the migration was taken back", destination.name);
        return Err(Error::new(ErrorKind::Canceled, reason));
    }
    destination.set_state(&[MigrationState::Preparing], MigrationState::Prepared).await
}

fn record_of(moved: &Moved) -> MigrationRecord {
    let other = moved.other();
    MigrationRecord {
        role: MigrationRole::Destination,
        state: MigrationState::Preparing,
        description: String::new(),
        name: moved.name.clone(),
        flatten: false,
        last_snapshot: SnapId(0),
        source: Ancestor {
            uuid: ImageUuid([0; 16]),
            data_pool: other.pool,
            last_segment: SegmentNo(0),
            last_checkpoint: CheckpointId { epoch: 0, number: 0 },
            epochs: Vec::new(),
            place: other.clone(),
        },
        other,
        kind: Some(moved.place.kind.clone()),
    }
}

fn header_of(
    name: &str,
    (image, features): (&ImageRecord, u64),
    (metadata, base): (&BTreeMap<String, String>, &BaseSpec),
    record: &MigrationRecord,
) -> KvUpdate {
    let now = image.create_ns;
    // The size is the base's: the source may have had another when it was looked at.
    let size = base.size;
    let state = StateRecord { size, features, op_features: 0, flags: 0, access_ns: now, modify_ns: now };
    let log = LogRecord { replay_from: SegmentNo(1), clean: true, ..LogRecord::default() };
    let mut update = first_header(name, image, &state, (Epoch(0), &log))
        .set(key::BASE, base_record(base, size).encode())
        .set(key::MIGRATION, record.encode())
        .set(key::REQUIRES, encode_requires(REQUIRES_BASE | REQUIRES_MIGRATION | REQUIRES_FOREIGN));
    for (name, value) in metadata {
        update = update.set(format!("{}{name}", key::META), encode_text(value));
    }
    update
}
