//! Making a clone: a header whose map is the snapshot's.
//!
//! Owns: what a clone takes from its parent, the order of the steps (rule 35). Does not own: the tie (`ties/`).
use crate::api::clock::Clock;
use crate::api::error::invalid;
use crate::api::limits::HEADER_TRIES;
use crate::lifecycle;
use crate::objects::Objects;
use crate::objects::pools::place_of;
use crate::recovery::open::{self, Found};
use crate::recovery::read_root;
use crate::ties::tie::{ParentHeader, check_parent};
use crate::{Catalog, CreateOptions, Error, ErrorKind, Features, ImageId, ImageRef, Result, SnapRef};
use lsd_core::format::header::{
    Ancestor, AncestryRecord, ChildRecord, EpochStart, ImageRecord, LogRecord, MAX_ANCESTORS, REQUIRES_CLONES,
    SnapRecord, StateRecord, encode_requires, encode_text, key,
};
use lsd_core::format::names;
use lsd_core::units::{Epoch, SegmentNo};
use lsd_store::{ObjectName, ObjectStore, PoolId, StoreErrorKind};
use std::sync::Arc;
use uuid::Uuid;

/// How the parent's snapshot is kept, as librbd's clone formats have it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CloneFormat {
    /// 1: the snapshot must be protected, and stays so.
    Protected,
    /// 2: the snapshot may be removed, and is kept out of sight as long as it has clones.
    #[default]
    Free,
}

/// What is left open is as the parent has it.
#[derive(Clone, Debug, Default)]
pub struct CloneOptions {
    pub format: CloneFormat,
    /// log2 of the object size that clients see.
    pub order: Option<u8>,
    pub features: Option<u64>,
    /// Bytes, and objects.
    pub stripe: Option<(u64, u64)>,
    /// Where the clone's own data goes; `None`: the pool of its header.
    pub data_pool: Option<PoolId>,
    pub id: Option<ImageId>,
}

/// Of which snapshot, and where the clone goes.
pub(crate) struct Wanted<'a> {
    pub(crate) parent: (&'a Arc<dyn ObjectStore>, &'a ImageRef, &'a SnapRef),
    pub(crate) store: &'a Arc<dyn ObjectStore>,
    pub(crate) name: &'a str,
}

pub(crate) async fn clone(
    wanted: Wanted<'_>,
    options: &CloneOptions,
    clock: &dyn Clock,
    uuid: Uuid,
) -> Result<ImageId> {
    let mut tries = 0;
    loop {
        match clone_once(&wanted, options, clock, uuid).await {
            // The snapshot's owner has moved its map on: there is another to take.
            Err(error) if error.kind == ErrorKind::Outdated && tries < HEADER_TRIES => tries += 1,
            made => return made,
        }
    }
}

/// `Outdated`: what was found of the snapshot is not in force any more, and nothing is left of the clone.
async fn clone_once(
    Wanted { parent: (parent_store, parent, snapshot), store, name }: &Wanted<'_>,
    options: &CloneOptions,
    clock: &dyn Clock,
    uuid: Uuid,
) -> Result<ImageId> {
    check_same_cluster(parent_store, store)?;
    let found = open::find(parent_store, parent).await?;
    found.header.check_may_have_clones()?;
    let snapshot = found.header.snapshots.find(snapshot)?;
    let is_strict = options.format == CloneFormat::Protected;
    check_parent(&snapshot, is_strict)?;
    if snapshot.features & Features::LAYERING == 0 {
        let reason = format!("{}: parent image must support layering", found.header.name);
        return Err(Error::new(ErrorKind::Unimplemented, reason));
    }
    if options.features.is_some_and(|features| features & Features::LAYERING == 0) {
        return Err(Error::new(ErrorKind::Unimplemented, format!("{name}: cloning image must support layering")));
    }
    let id = options.id.clone().unwrap_or_else(|| ImageId(names::new_id(uuid.as_u64_pair().1)));
    let catalog = Catalog::new((*store).clone());
    if catalog.id_of(name).await.is_ok() {
        return Err(Error::new(ErrorKind::Exists, format!("image {name:?} exists")));
    }
    let create = create_options(&found, &snapshot, options);
    let (record, features) = lifecycle::image_record(store, &id, uuid, &create, clock.now_ns()).await?;
    let ancestry = ancestry(&found, &snapshot).await?;
    let now = record.create_ns;
    let (features, op_features) = match is_strict {
        true => (features, 0),
        false => (features | Features::OPERATIONS, Features::OP_CLONE_CHILD),
    };
    let state = StateRecord { size: snapshot.size, features, op_features, flags: 0, access_ns: now, modify_ns: now };
    // The clone's numbers go on where the snapshot's end.
    let last_segment = ancestry.ancestors.last().map_or(SegmentNo(1), |parent| parent.last_segment);
    let replay_from = last_segment.next();
    let log = LogRecord { checkpoint: Some(snapshot.root), replay_from, clean: true, ..LogRecord::default() };
    let mut update = lifecycle::first_header(name, &record, &state, (Epoch(snapshot.root.id.epoch.into()), &log))
        .set(key::ANCESTRY, ancestry.encode())
        .set(key::REQUIRES, encode_requires(found.header.passes_on(REQUIRES_CLONES)));
    for (name, value) in &found.header.metadata {
        update = update.set(format!("{}{name}", key::META), encode_text(value));
    }
    let parent = ParentHeader::new((*parent_store).clone(), &found.objects.id.0);
    let child = ChildRecord { snapshot: snapshot.id, place: place_of(store, &id), is_strict, time_ns: now };
    // Rule 35: the tie, then the clone, then a look whether the tie still holds, then its name.
    parent.tie(&child, snapshot.root.id, last_segment).await?;
    let header: ObjectName = names::header(&id.0).into();
    let made = async {
        store.kv_update(&header, update).await?;
        if !parent.has(&child).await? {
            let reason = format!("{name}: a repair of its parent took the unfinished clone for one that is gone");
            return Err(Error::new(ErrorKind::Canceled, reason));
        }
        catalog.add(name, &id).await
    };
    match made.await {
        Ok(()) => Ok(id),
        Err(error) => {
            take_back(store, &header, &record, &parent, &child).await;
            Err(error)
        }
    }
}

/// `Invalid`: one of them is a directory, and the other is not that one.
pub(crate) fn check_same_cluster(parent: &Arc<dyn ObjectStore>, clone: &Arc<dyn ObjectStore>) -> Result<()> {
    let has_pools = |store: &Arc<dyn ObjectStore>| store.pool_id().0 >= 0;
    let is_same = match (has_pools(parent), has_pools(clone)) {
        (true, true) => true,
        (false, false) => parent.pool_name() == clone.pool_name(),
        _ => false,
    };
    if is_same { Ok(()) } else { Err(invalid("a clone is in the cluster or directory of its parent")) }
}

/// A clone that is not made. Where the header may be there all the same, so may the tie.
async fn take_back(
    store: &Arc<dyn ObjectStore>,
    header: &ObjectName,
    record: &ImageRecord,
    parent: &ParentHeader,
    child: &ChildRecord,
) {
    let is_gone = match store.kv_get(header, key::IMAGE).await {
        Ok(values) => match values.get(key::IMAGE) {
            Some(value) if **value == record.encode()[..] => store.remove(header).await.is_ok(),
            // Another image's, or somebody's mark that there is none (rule 36).
            _ => true,
        },
        Err(error) => error.kind == StoreErrorKind::NotFound,
    };
    if is_gone {
        let _ = parent.loose(child).await;
    }
}

fn create_options(found: &Found, snapshot: &SnapRecord, options: &CloneOptions) -> CreateOptions {
    let image = &found.header.image;
    let parents = snapshot.features & !(Features::DATA_POOL | Features::STRIPINGV2 | Features::INTERNAL);
    let order = options.order.unwrap_or(image.order);
    let is_striped = found.header.state.features & Features::STRIPINGV2 != 0;
    let inherited = if is_striped { (image.stripe_unit, image.stripe_count) } else { (0, 0) };
    let (stripe_unit, stripe_count) = options.stripe.unwrap_or(inherited);
    CreateOptions {
        size: snapshot.size,
        order,
        features: options.features.unwrap_or(parents),
        stripe_unit,
        stripe_count,
        data_pool: options.data_pool,
        id: None,
    }
}

/// The line above a clone of this snapshot.
async fn ancestry(found: &Found, snapshot: &SnapRecord) -> Result<AncestryRecord> {
    let Found { header, objects } = found;
    // A snapshot of an image that was flattened before points at nothing of its ancestors'.
    let above = header.ancestry.as_ref().filter(|_| snapshot.overlap.is_some());
    let mut ancestors = above.map(|above| above.ancestors.clone()).unwrap_or_default();
    if ancestors.len() >= MAX_ANCESTORS {
        return Err(invalid(format!("{}: there are {MAX_ANCESTORS} generations above it: flatten it", header.name)));
    }
    let last_segment = match snapshot.last_segment {
        SegmentNo(0) => last_of(objects, snapshot).await?,
        last => last,
    };
    let is_before = |start: &&EpochStart| start.first_segment <= last_segment;
    ancestors.push(Ancestor {
        place: objects.place(),
        uuid: objects.uuid,
        data_pool: header.image.data_pool,
        last_segment,
        last_checkpoint: snapshot.root.id,
        epochs: header.log.epochs.iter().filter(is_before).copied().collect(),
    });
    Ok(AncestryRecord { snapshot: snapshot.id, overlap: Some(snapshot.size), ancestors })
}

/// Of a snapshot that was taken before its record said so.
async fn last_of(objects: &Objects, snapshot: &SnapRecord) -> Result<SegmentNo> {
    let (root, _) = read_root(objects, &snapshot.root).await?;
    Ok(root.segments.iter().map(|entry| entry.segment).max().unwrap_or(SegmentNo(1)))
}
