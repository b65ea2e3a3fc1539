//! Creating and removing images.
//!
//! Order of creation: header first, directory entry last; a crash between leaves an object that no name leads to. Order of removal:
//! everything but the header, then the header, then the name; a removal that was cut short can be repeated.
use crate::clock::Clock;
use crate::error::invalid;
use crate::limits::{CREATE_WINDOW, PARALLEL_OPS};
use crate::loader::{self, Found};
use crate::objects::Objects;
use crate::{Catalog, CreateOptions, Error, ErrorKind, Features, ImageId, ImageRef, Progress, Result};
use crate::{parallel, recovery};
use futures::FutureExt;
use futures::stream::{self, StreamExt};
use lsd_core::format::header::{ImageRecord, LogRecord, StateRecord, encode_epoch, encode_text, key};
use lsd_core::format::{ImageUuid, names};
use lsd_core::units::{Epoch, MAX_IMAGE_BYTES, SegmentNo};
use lsd_store::{KvPresence, KvUpdate, ObjectName, ObjectStore, StoreErrorKind};
use std::collections::BTreeSet;
use std::sync::Arc;
use uuid::Uuid;

pub(crate) async fn create(
    store: &Arc<dyn ObjectStore>,
    name: &str,
    options: &CreateOptions,
    clock: &dyn Clock,
    uuid: Uuid,
) -> Result<ImageId> {
    let catalog = Catalog::new(store.clone());
    let id = options.id.clone().unwrap_or_else(|| ImageId(format!("{:014x}", uuid.as_u128() & ((1 << 56) - 1))));
    let record = image_record(store, &id, uuid, options, clock.now_ns()).await?;
    if catalog.id_of(name).await.is_ok() {
        return Err(Error::new(ErrorKind::Exists, format!("image {name:?} exists")));
    }
    let features = if record.data_pool == store.pool_id().0 {
        options.features & !Features::DATA_POOL
    } else {
        options.features | Features::DATA_POOL
    };
    let now = record.create_ns;
    let state = StateRecord { size: options.size, features, op_features: 0, flags: 0, access_ns: now, modify_ns: now };
    let log = LogRecord { replay_from: SegmentNo(1), clean: true, ..LogRecord::default() };
    let update = KvUpdate::default()
        .presence(KvPresence::MustCreate)
        .set(key::IMAGE, record.encode())
        .set(key::STATE, state.encode())
        .set(key::EPOCH, encode_epoch(Epoch(0)))
        .set(key::LOG, log.encode())
        .set(key::NAME, encode_text(name));
    let header: ObjectName = names::header(&id.0).into();
    store.kv_update(&header, update).await?;
    if let Err(error) = catalog.add(name, &id).await {
        let _ = store.remove(&header).await;
        return Err(error);
    }
    Ok(id)
}

async fn image_record(
    store: &Arc<dyn ObjectStore>,
    id: &ImageId,
    uuid: Uuid,
    options: &CreateOptions,
    create_ns: u64,
) -> Result<ImageRecord> {
    if !(12..=25).contains(&options.order) {
        return Err(Error::new(ErrorKind::Domain, format!("order {} is outside 12..=25", options.order)));
    }
    if options.size > MAX_IMAGE_BYTES {
        return Err(invalid(format!("{} bytes are more than the largest image ({MAX_IMAGE_BYTES})", options.size)));
    }
    let object = 1u64 << options.order;
    let stripe_unit = if options.stripe_unit == 0 { object } else { options.stripe_unit };
    let stripe_count = options.stripe_count.max(1);
    if stripe_unit > object || !object.is_multiple_of(stripe_unit) {
        return Err(invalid(format!("a stripe unit of {stripe_unit} does not divide objects of {object} bytes")));
    }
    if id.0.is_empty() || !id.0.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(invalid(format!("{:?} cannot be an image id", id.0)));
    }
    let data_pool = options.data_pool.unwrap_or(store.pool_id());
    // A pool that cannot be opened now would make an image that can never be written.
    loader::data_store(store, data_pool).await?;
    Ok(ImageRecord {
        uuid: ImageUuid(*uuid.as_bytes()),
        id: id.0.clone(),
        order: options.order,
        stripe_unit,
        stripe_count,
        data_pool: data_pool.0,
        create_ns,
    })
}

/// `NotFound`, `Busy`.
pub(crate) async fn remove(store: &Arc<dyn ObjectStore>, image: &ImageRef, progress: Progress<'_>) -> Result<()> {
    let found = loader::find(store, image).await?;
    let watchers = store.watchers(&found.objects.header()).await?;
    if let Some(watcher) = watchers.first() {
        let reason = format!("{}: in use by client.{} at {}", found.header.name, watcher.client, watcher.addr);
        return Err(Error::new(ErrorKind::Busy, reason));
    }
    let doomed = objects_of(&found).await?;
    let total = doomed.len() as u64 + 1;
    // The last chance to cancel without a trace.
    progress(0, total)?;
    let remove = |(store, name): (Arc<dyn ObjectStore>, ObjectName)| async move { store.remove(&name).await }.boxed();
    let removals: Vec<_> = doomed.into_iter().map(remove).collect();
    let mut removals = stream::iter(removals).buffer_unordered(PARALLEL_OPS);
    let mut done = 0;
    while let Some(result) = removals.next().await {
        match result {
            Err(error) if error.kind != StoreErrorKind::NotFound => return Err(error.into()),
            _ => done += 1,
        }
        progress(done, total)?;
    }
    let catalog = Catalog::new(store.clone());
    let name = catalog.name_of(&found.objects.id).await.unwrap_or(found.header.name.clone());
    store.remove(&found.objects.header()).await?;
    match catalog.remove(&name, &found.objects.id).await {
        Err(error) if error.kind != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // The image is gone: there is nothing left to cancel.
    let _ = progress(total, total);
    Ok(())
}

type Doomed = BTreeSet<(bool, ObjectName)>;

/// Every segment, tombstone and map page of an image. Damage does not keep an image from being removed: what cannot
/// be read is found by walking the pool.
async fn objects_of(found: &Found) -> Result<Vec<(Arc<dyn ObjectStore>, ObjectName)>> {
    let Found { header, objects } = found;
    let mut doomed = Doomed::new();
    if collect(found, &mut doomed).await.is_err() {
        for (is_data, store, prefix) in [
            (true, &objects.data, names::data_prefix(&objects.id.0)),
            (false, &objects.meta, names::map_prefix(&objects.id.0)),
        ] {
            let names = store.list(&format!("{prefix}.")).await?;
            doomed.extend(names.into_iter().map(|name| (is_data, name)));
        }
    }
    let starts = &header.log.epochs;
    for (start, next) in starts.iter().zip(starts.iter().skip(1)) {
        doomed.extend(tombstones(objects, start.epoch, next.first_segment).await?.into_iter().map(|name| (true, name)));
    }
    let store_of = |is_data| if is_data { objects.data.clone() } else { objects.meta.clone() };
    Ok(doomed.into_iter().map(|(is_data, name)| (store_of(is_data), name)).collect())
}

/// What takeovers put into the way of an old owner: a window of names from where the next one starts, and another one for each takeover
/// that did not finish.
async fn tombstones(objects: &Objects, epoch: Epoch, first: SegmentNo) -> Result<Vec<ObjectName>> {
    let mut found = Vec::new();
    let mut next = first.0;
    loop {
        let names: Vec<ObjectName> =
            (next..next + CREATE_WINDOW).map(|number| objects.segment(epoch, SegmentNo(number))).collect();
        let looks = names.iter().map(|name| objects.data.stat(name)).collect();
        let before = found.len();
        for (name, looked) in names.into_iter().zip(parallel::all(looks).await) {
            match looked {
                Ok(_) => found.push(name),
                Err(error) if error.kind == StoreErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        if found.len() == before {
            return Ok(found);
        }
        next += CREATE_WINDOW;
    }
}

async fn collect(found: &Found, doomed: &mut Doomed) -> Result<()> {
    let Found { header, objects } = found;
    let state = recovery::load_checkpoint(objects, &header.log, header.state.size, 0).await?;
    let tails = recovery::probe(objects, &header.log).await?;
    let listed = state.segments.entries().into_iter().map(|entry| entry.segment);
    for segment in listed.chain(tails.keys().copied()) {
        let Some(epoch) = header.log.epoch_of(segment) else { continue };
        doomed.insert((true, objects.segment(epoch, segment)));
    }
    doomed.extend(map_pages(objects, &header.log, &state).into_iter().map(|name| (false, name)));
    Ok(())
}

fn map_pages(objects: &Objects, log: &LogRecord, state: &crate::state::State) -> Vec<ObjectName> {
    let leaves = state.map.stored_leaves().map(|(_, at, _)| (at.checkpoint, at.page));
    let root = log
        .checkpoint
        .iter()
        .flat_map(|pointer| (0..pointer.root_pages).map(|index| (pointer.id, pointer.first_root_page + index)));
    let pages: BTreeSet<_> = leaves.chain(root).collect();
    pages.into_iter().map(|(id, page)| objects.page(id, page)).collect()
}
