//! Creating and removing images.
//!
//! Order of creation: header first, directory entry last; a crash between leaves an object that no name leads to. Order of removal:
//! the image is taken (rule 25 of `protocol.rs`), then everything but the header goes, then what is kept for it elsewhere is let go, which
//! the header names, then the header, then the name; a removal that
//! was cut short says so and can be repeated.
pub(crate) mod clone;
pub(crate) mod layout;
pub(crate) mod remove;

use crate::api::clock::Clock;
use crate::api::error::{invalid, too_large};
use crate::api::limits::PARALLEL_OPS;
use crate::objects::Objects;
use crate::objects::base;
use crate::objects::header::{Header, values_of};
use crate::objects::parallel;
use crate::objects::pools::{in_pool, place_of};
use crate::recovery::open::{self, Found};
use crate::session::give_back::give_back;
use crate::ties::tie;
use crate::{Bases, Catalog, CreateOptions, Error, ErrorKind, ImageId, ImageRef, Progress, Result};
use crate::{reclaim, recovery};
use futures::FutureExt;
use futures::stream::{self, StreamExt};
use lsd_core::format::header::{
    AncestryRecord, BaseRecord, ImageRecord, LogRecord, REQUIRES_BASE, StateRecord, Tomb, TrashRecord, encode_epoch,
    encode_requires, encode_text, key,
};
use lsd_core::format::{ImageUuid, names};
use lsd_core::units::{Epoch, MAX_IMAGE_BYTES, SegmentNo};
use lsd_state::limits::CREATE_WINDOW;
use lsd_state::pins::{leaf_pages, root_pages};
use lsd_store::{BaseSpec, KvMap, KvPresence, KvUpdate, ObjectName, ObjectStore, StoreError, StoreErrorKind};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use uuid::Uuid;

pub(crate) async fn create(
    store: &Arc<dyn ObjectStore>,
    name: &str,
    (options, base): (&CreateOptions, Option<&BaseSpec>),
    clock: &dyn Clock,
    uuid: Uuid,
) -> Result<ImageId> {
    let catalog = Catalog::new(store.clone());
    let id = options.id.clone().unwrap_or_else(|| ImageId(names::new_id(uuid.as_u64_pair().1)));
    let (record, features) = image_record(store, &id, uuid, options, clock.now_ns()).await?;
    if catalog.id_of(name).await.is_ok() {
        return Err(Error::new(ErrorKind::Exists, format!("image {name:?} exists")));
    }
    let now = record.create_ns;
    let state = StateRecord { size: options.size, features, op_features: 0, flags: 0, access_ns: now, modify_ns: now };
    let log = LogRecord { replay_from: SegmentNo(1), clean: true, ..LogRecord::default() };
    let mut update = first_header(name, &record, &state, (Epoch(0), &log));
    if let Some(base) = base {
        let record = base_record(base, state.size);
        update = update.set(key::BASE, record.encode()).set(key::REQUIRES, encode_requires(REQUIRES_BASE));
    }
    let header: ObjectName = names::header(&id.0).into();
    store.kv_update(&header, update).await?;
    if let Err(error) = catalog.add(name, &id).await {
        let _ = store.remove(&header).await;
        return Err(error);
    }
    Ok(id)
}

/// What the header of an image of this size says of its base.
pub(crate) fn base_record(base: &BaseSpec, image_size: u64) -> BaseRecord {
    let BaseSpec { kind, spec, identity, size } = base.clone();
    BaseRecord { kind, spec, identity, size, overlap: size.min(image_size) }
}

/// Makes the header of a new image.
pub(crate) fn first_header(
    name: &str,
    record: &ImageRecord,
    state: &StateRecord,
    (epoch, log): (Epoch, &LogRecord),
) -> KvUpdate {
    KvUpdate::default()
        .presence(KvPresence::MustCreate)
        .set(key::IMAGE, record.encode())
        .set(key::STATE, state.encode())
        .set(key::EPOCH, encode_epoch(epoch))
        .set(key::LOG, log.encode())
        .set(key::NAME, encode_text(name))
}

/// What never changes about the image, and its features.
pub(crate) async fn image_record(
    store: &Arc<dyn ObjectStore>,
    id: &ImageId,
    uuid: Uuid,
    options: &CreateOptions,
    create_ns: u64,
) -> Result<(ImageRecord, u64)> {
    let data_pool = options.data_pool.unwrap_or(store.pool_id());
    let layout = layout::of(options, data_pool != store.pool_id())?;
    if options.size > MAX_IMAGE_BYTES {
        return Err(too_large(options.size));
    }
    if id.0.is_empty() || !id.0.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(invalid(format!("{:?} cannot be an image id", id.0)));
    }
    // A pool that cannot be opened now would make an image that can never be written.
    in_pool(store, data_pool).await?;
    let record = ImageRecord {
        uuid: ImageUuid(*uuid.as_bytes()),
        id: id.0.clone(),
        order: layout.order,
        stripe_unit: layout.stripe_unit,
        stripe_count: layout.stripe_count,
        data_pool: data_pool.0,
        create_ns,
    };
    Ok((record, layout.features))
}

/// Objects to be deleted, each with its pool.
pub(crate) type Doomed = Vec<(Arc<dyn ObjectStore>, ObjectName)>;

/// `NotFound`; `Busy`; `NotEmpty`; `InGroup`; `Corrupt`: the header does not verify (`lifecycle/remove.rs` removes such an image). Where
/// there is no header any more, or it says that a removal was broken off, what is left goes. `in_trash`: it is removed only as long as that is
/// its entry there.
pub(crate) async fn remove(
    store: &Arc<dyn ObjectStore>,
    image: &ImageRef,
    in_trash: Option<&TrashRecord>,
    bases: &Bases,
    progress: Progress<'_>,
) -> Result<()> {
    let id = open::resolve(store, image).await?;
    let object: ObjectName = names::header(&id.0).into();
    let values = match store.kv_get(&object, "").await {
        Ok(values) if !values.contains_key(key::REMOVING) => values,
        Err(error) if error.kind != StoreErrorKind::NotFound => return Err(error.into()),
        taken => return go_on((store, &id), (taken.ok(), in_trash), bases, progress).await,
    };
    let header = Header::decode(&object, &values)?;
    header.check_not_migrating()?;
    header.snapshots.check_none(&header.name)?;
    remove::until_unused(store, &object, &header.name).await?;
    remove::check_in_no_group(store, &header).await?;
    let found = match open::described_by(store, header).await {
        // A pool is gone in which it had data, or read a parent's.
        Err(error) if error.kind == ErrorKind::NotFound => None,
        found => Some(found?),
    };
    let mut doomed = match &found {
        Some(found) => {
            remove::evict_owner(found).await?;
            objects_of(found).await?
        }
        None => Doomed::new(),
    };
    // The last chance to cancel without a trace.
    progress(0, doomed.len() as u64 + 1)?;
    if let Some(record) = in_trash {
        remove::check_in_trash(store, &id, record).await?;
    }
    // Rule 25: take the image, then delete.
    let mark = remove::take(store, &object, &values).await?;
    let values = store.kv_get(&object, "").await?;
    let (Some(mark), Some(found)) = (mark, found) else {
        return go_on((store, &id), (Some(values), in_trash), bases, progress).await;
    };
    if let Some(record) = in_trash {
        remove::check_still_in_trash(store, &id, (record, mark.clone())).await?;
    }
    let header = Header::decode(&object, &values)?;
    give_back_if_needed(store, &object, (&header, mark)).await?;
    if !header.log.clean || header.log != found.header.log {
        doomed = objects_of(&Found { header, objects: found.objects.clone() }).await?;
    }
    let name = Catalog::new(store.clone()).name_of(&id).await.unwrap_or(found.header.name);
    delete((store, &id), Some(name), doomed, bases, progress).await
}

/// Of an image that is taken, by another removal or where a pool is gone, or whose header is gone: what is left need not be where the header
/// leads to. `Busy`: who has taken it has given it back.
async fn go_on(
    (store, id): (&Arc<dyn ObjectStore>, &ImageId),
    (values, in_trash): (Option<KvMap>, Option<&TrashRecord>),
    bases: &Bases,
    progress: Progress<'_>,
) -> Result<()> {
    let object: ObjectName = names::header(&id.0).into();
    if let Some(values) = &values {
        let Some(mark) = values.get(key::REMOVING) else {
            return Err(Error::new(ErrorKind::Busy, format!("{object}: others do something with the image")));
        };
        if let Ok(header) = Header::decode(&object, values) {
            header.check_not_migrating()?;
            give_back_if_needed(store, &object, (&header, mark.to_vec())).await?;
        }
    }
    if let (Some(values), Some(record)) = (&values, in_trash) {
        remove::take_over(store, id, (record, values)).await?;
    }
    remove::remove_by_walking(store, &ImageRef::Id(id.clone()), bases, progress).await
}

/// Removes one image of a migration, which nobody can open any more, with its snapshots, and goes on where that was broken off. `name`: what
/// leads to it, if anything does. `Busy`: somebody became its owner.
pub(crate) async fn remove_migrated(
    (store, id): (&Arc<dyn ObjectStore>, &ImageId),
    (name, seen): (Option<String>, Option<KvMap>),
    bases: &Bases,
    progress: Progress<'_>,
) -> Result<()> {
    let object: ObjectName = names::header(&id.0).into();
    let values = match store.kv_get(&object, "").await {
        // Only the name may be left of it.
        Err(error) if error.kind == StoreErrorKind::NotFound => {
            return delete((store, id), name, Doomed::new(), bases, progress).await;
        }
        // Somebody's mark that there is none.
        Ok(values) if !values.contains_key(key::IMAGE) => {
            return delete((store, id), name, Doomed::new(), bases, progress).await;
        }
        values => values?,
    };
    if !values.contains_key(key::REMOVING) {
        remove::take(store, &object, seen.as_ref().unwrap_or(&values)).await?;
    }
    let header = Header::decode(&object, &store.kv_get(&object, "").await?)?;
    let doomed = objects_of(&open::described_by(store, header).await?).await?;
    delete((store, id), name, doomed, bases, progress).await
}

/// `NotEmpty`, `InGroup`: somebody was faster than the removal and took a snapshot, or put it into a group, so the image is given back, as
/// long as nobody else has taken it: the mark is the one that was seen.
async fn give_back_if_needed(
    store: &Arc<dyn ObjectStore>,
    object: &ObjectName,
    (header, mark): (&Header, Vec<u8>),
) -> Result<()> {
    let needed = match header.snapshots.check_none(&header.name) {
        Ok(()) => remove::check_in_no_group(store, header).await,
        needed => needed,
    };
    let Err(error) = needed else { return Ok(()) };
    let update = KvUpdate::default().presence(KvPresence::MustExist).expect(key::REMOVING, mark).remove(key::REMOVING);
    match store.kv_update(object, update).await {
        Err(failed) if failed.kind != StoreErrorKind::Stale => Err(failed.into()),
        _ => Err(error),
    }
}

/// Deletes `doomed`, then the header, then the name. What is gone already is no error. The image is taken.
pub(crate) async fn delete(
    (store, id): (&Arc<dyn ObjectStore>, &ImageId),
    name: Option<String>,
    doomed: Doomed,
    bases: &Bases,
    progress: Progress<'_>,
) -> Result<()> {
    let gone = |result: std::result::Result<(), StoreError>| match result {
        Err(error) if error.kind != StoreErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    let total = doomed.len() as u64 + 1;
    let remove = |(store, name): (Arc<dyn ObjectStore>, ObjectName)| async move { store.remove(&name).await }.boxed();
    let removals: Vec<_> = doomed.into_iter().map(remove).collect();
    let mut removals = stream::iter(removals).buffer_unordered(PARALLEL_OPS);
    let mut done = 0;
    while let Some(result) = removals.next().await {
        gone(result)?;
        done += 1;
        progress(done, total)?;
    }
    let catalog = Catalog::new(store.clone());
    if let Some(name) = &name {
        match catalog.mark_removing(name, id).await {
            // The name belongs to another image by now, or to none.
            Err(error) if !matches!(error.kind, ErrorKind::NotFound | ErrorKind::Fenced) => return Err(error),
            _ => {}
        }
    }
    if let Some(values) = values_of(store, &names::header(&id.0).into()).await? {
        loose_from_parent(store, id, &values).await?;
        let_go_of_base(&values, bases, id).await?;
    }
    gone(store.remove(&names::header(&id.0).into()).await)?;
    if let Some(name) = name {
        match catalog.remove(&name, id).await {
            Err(error) if error.kind != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    // The image is gone: there is nothing left to cancel.
    let _ = progress(total, total);
    Ok(())
}

/// Nothing of a clone is left that needs its parent. As long as its header is there, a removal that is broken off is taken up again.
async fn loose_from_parent(store: &Arc<dyn ObjectStore>, id: &ImageId, values: &KvMap) -> Result<()> {
    // One that does not verify is left to its parent, which finds that the clone is gone.
    match values.get(key::ANCESTRY).map(|value| AncestryRecord::decode(value)) {
        Some(Ok(ancestry)) => {
            if let Some(parent) = tie::loose(store, &ancestry, &place_of(store, id)).await? {
                give_back(store, &parent).await;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Nothing of the image is left that needs its base, or it needed it no more before. As above; what does not verify names none.
async fn let_go_of_base(values: &KvMap, bases: &Bases, id: &ImageId) -> Result<()> {
    let named = values.get(key::BASE).or_else(|| values.get(key::LEFT_BASE));
    let Some(Ok(record)) = named.map(|value| BaseRecord::decode(value)) else { return Ok(()) };
    match base::let_go(&record, bases, id).await {
        // Nothing is lost: it only stays kept. Who may remove the image need not have rights where the base is.
        Err(error) if matches!(error.kind, ErrorKind::Unsupported | ErrorKind::Permission) => {
            tracing::warn!(target: "lsd::image", image = %id, %error, "the removed image's base stays kept for it");
            Ok(())
        }
        done => done,
    }
}

/// True: in the data pool.
type Named = BTreeSet<(bool, ObjectName)>;

/// Every segment, tombstone and map page of an image. Damage does not keep an image from being removed: what cannot
/// be read is found by walking the pool.
async fn objects_of(found: &Found) -> Result<Doomed> {
    let Found { header, objects } = found;
    let mut doomed = Named::new();
    let tombs = header.tombs.clone().with(&header.log);
    if collect(found, &mut doomed).await.is_err() || tombs.more {
        for (is_data, store, prefix) in [
            (true, &objects.data, names::data_prefix(&objects.id.0)),
            (false, &objects.meta, names::map_prefix(&objects.id.0)),
        ] {
            let names = store.list(&format!("{prefix}.")).await?;
            doomed.extend(names.into_iter().map(|name| (is_data, name)));
        }
    }
    for (id, page) in reclaim::uncommitted(objects, &header.log).await? {
        doomed.insert((false, objects.page(id, page)));
    }
    for tomb in tombs.list {
        doomed.extend(tombstones(objects, tomb).await?.into_iter().map(|name| (true, name)));
    }
    let store_of = |is_data| if is_data { objects.data.clone() } else { objects.meta.clone() };
    Ok(doomed.into_iter().map(|(is_data, name)| (store_of(is_data), name)).collect())
}

/// What takeovers put into the way of an old owner: a window of names around where the next one starts, and further ones for takeovers
/// that did not finish or came too late.
async fn tombstones(objects: &Objects, old: Tomb) -> Result<Vec<ObjectName>> {
    let mut found = Vec::new();
    let mut from = old.next.0;
    while look_up(objects, old.epoch, from..from + CREATE_WINDOW, &mut found).await? {
        from += CREATE_WINDOW;
    }
    let mut to = old.next.0;
    while to > old.first.0 {
        let from = to.saturating_sub(CREATE_WINDOW).max(old.first.0);
        if !look_up(objects, old.epoch, from..to, &mut found).await? {
            break;
        }
        to = from;
    }
    Ok(found)
}

/// Adds those of an epoch's names that exist. False if none does.
async fn look_up(objects: &Objects, epoch: Epoch, numbers: Range<u64>, found: &mut Vec<ObjectName>) -> Result<bool> {
    let names: Vec<ObjectName> = numbers.map(|number| objects.segment(epoch, SegmentNo(number))).collect();
    let looks = names.iter().map(|name| objects.data.stat(name)).collect();
    let before = found.len();
    for (name, looked) in names.into_iter().zip(parallel::all(looks).await) {
        match looked {
            Ok(_) => found.push(name),
            Err(error) if error.kind == StoreErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found.len() > before)
}

async fn collect(found: &Found, doomed: &mut Named) -> Result<()> {
    let Found { header, objects } = found;
    let state = recovery::load_checkpoint(objects, header, &header.log, 0).await?;
    let tails = recovery::probe(objects, &header.log).await?;
    let listed = state.segments.entries().map(|entry| entry.segment);
    for segment in listed.chain(tails.keys().copied()) {
        let Some(epoch) = header.log.epoch_of(segment) else { continue };
        doomed.insert((true, objects.segment(epoch, segment)));
    }
    doomed.extend(map_pages(objects, &header.log, &state).into_iter().map(|name| (false, name)));
    Ok(())
}

fn map_pages(objects: &Objects, log: &LogRecord, state: &lsd_state::state::State) -> Vec<ObjectName> {
    let leaves = state.view.map.stored_leaves().flat_map(|(_, place, _)| leaf_pages(place));
    let pages: BTreeSet<_> = leaves
        .chain(root_pages(log))
        .chain(state.snapshots.all_pages())
        .chain(state.left_pages.iter().copied())
        .filter(|(id, _)| objects.has_page(*id))
        .collect();
    pages.into_iter().map(|(id, page)| objects.page(id, page)).collect()
}
