//! What comes before an image is deleted, and removing one whose header is damaged, gone or says that a removal was broken off: what
//! lies under its id is found by walking the pools.
//!
//! Owns: that nobody uses the image, taking it (rule 25 of `protocol.rs`), what is found by walking. Does not own: the order of
//! deletion, what a header that verifies leads to (`lifecycle/`).
use crate::api::limits::{LOCK_POLL, NOTIFY_TIMEOUT, WATCHER_PATIENCE};
use crate::catalog::groups;
use crate::lifecycle::{self, Doomed};
use crate::objects::header::{Header, check_understood, values_of};
use crate::objects::pools::place_of;
use crate::ownership::lock;
use crate::ownership::watch::{self, Asked};
use crate::recovery::open;
use crate::recovery::open::Found;
use crate::ties::stale::{Fate, fate};
use crate::{Bases, Catalog, Error, ErrorKind, Features, ImageId, ImageRef, Progress, Result};
use lsd_core::format::header::{ChildRecord, ImageRecord, TrashRecord, decode_epoch, encode_epoch, key};
use lsd_core::format::names;
use lsd_core::format::notice::{self, Answer, Notice};
use lsd_core::units::Epoch;
use lsd_store::{KvMap, KvPresence, KvUpdate, ObjectName, ObjectStore, PoolId, StoreErrorKind};
use std::sync::Arc;
use tokio::time::Instant;

/// Waits until nobody watches the header. `Busy`: somebody answers, or is silent for longer than a watch lasts. Who opened the image
/// read-only has no watch and is not in the way, as with librbd.
pub(crate) async fn until_unused(store: &Arc<dyn ObjectStore>, header: &ObjectName, name: &str) -> Result<()> {
    let deadline = Instant::now() + WATCHER_PATIENCE;
    loop {
        let Some(watcher) = store.watchers(header).await?.into_iter().next() else { return Ok(()) };
        let question = notice::encode(&Notice::WhoIsThere).into();
        let answers = store.notify(header, question, NOTIFY_TIMEOUT).await?.acks;
        // A client that died is seen as a watcher until its watch runs out; it does not answer.
        if !answers.is_empty() || Instant::now() >= deadline {
            let watcher = answers.into_iter().next().map_or(watcher, |(living, _)| living);
            let reason = format!("{name}: in use by client.{} at {}", watcher.client, watcher.addr);
            return Err(Error::new(ErrorKind::Busy, reason));
        }
        tokio::time::sleep(LOCK_POLL).await;
    }
}

/// `Busy`: a client that lives keeps the image's lock, as librbd has it of an image that loses its name. An owner gives it away when it
/// is asked. What does not verify is nobody's.
pub(crate) async fn check_not_kept(store: &Arc<dyn ObjectStore>, id: &ImageId, name: &str) -> Result<()> {
    let Ok(found) = open::find(store, &ImageRef::Id(id.clone())).await else {
        return until_unused(store, &names::header(&id.0).into(), name).await;
    };
    // Without the feature a lock is a note to people, as with librbd.
    if found.header.state.features & Features::EXCLUSIVE_LOCK == 0 {
        return Ok(());
    }
    let Some(holder) = lock::managed_holder(&found.objects).await? else { return Ok(()) };
    match watch::ask_holder(&found.objects, &Notice::LockWanted, &holder).await? {
        Asked::Answered(Some(Answer::Keeps)) => {
            let reason = format!("{name}: {} at {} keeps the lock", holder.client, holder.addr);
            Err(Error::new(ErrorKind::Busy, reason))
        }
        Asked::Answered(_) | Asked::Silent => Ok(()),
    }
}

/// `Busy`: it is in a migration. What does not verify is in none.
pub(crate) async fn check_not_migrating(store: &Arc<dyn ObjectStore>, id: &ImageId) -> Result<()> {
    match open::find(store, &ImageRef::Id(id.clone())).await {
        Ok(found) => found.header.check_not_migrating(),
        Err(_) => Ok(()),
    }
}

/// `InGroup`: the image is in a group that is there.
pub(crate) async fn check_in_no_group(store: &Arc<dyn ObjectStore>, header: &Header) -> Result<()> {
    let Some(group) = &header.group else { return Ok(()) };
    match groups::is_there(store, group).await? {
        true => Err(Error::new(ErrorKind::InGroup, format!("{}: the image is in a group", header.name))),
        false => Ok(()),
    }
}

/// Cuts off an owner whose watch has run out. `Busy`: one that lives, or a lock that was taken by hand and counts.
pub(crate) async fn evict_owner(found: &Found) -> Result<()> {
    match lock::evict_dead(&found.objects, &found.header.name).await {
        // Without the feature a lock is a note to people, as with librbd.
        Err(error) if error.kind == ErrorKind::Busy => match found.header.state.features & Features::EXCLUSIVE_LOCK {
            0 => Ok(()),
            _ => Err(error),
        },
        evicted => evicted,
    }
}

/// Rule 25. From here on nobody opens the image, and nobody who has it open becomes its owner or changes its header. Returns the mark of
/// this removal, which no other one makes; `None`: another removal was faster, and has taken it. `Busy`: somebody became its owner, or it
/// came back from the trash, since `values` were read.
pub(crate) async fn take(store: &Arc<dyn ObjectStore>, header: &ObjectName, values: &KvMap) -> Result<Option<Vec<u8>>> {
    let seen = values.get(key::EPOCH).cloned().unwrap_or_default();
    let mut update = KvUpdate::default()
        .presence(KvPresence::MustExist)
        .expect(key::EPOCH, seen.clone())
        // Rule 48: it did not come back from the trash since.
        .expect(key::RESTORED, values.get(key::RESTORED).cloned().unwrap_or_default())
        .expect(key::REMOVING, values.get(key::REMOVING).cloned().unwrap_or_default());
    let mut epoch = Epoch::default();
    if let Ok(last) = decode_epoch(&seen) {
        // The last of all epochs stays: then the mark alone keeps the next owner out.
        epoch = Epoch((last.0 + 1).min(u64::from(u32::MAX)));
        update = update.set(key::EPOCH, encode_epoch(epoch));
    }
    let mark = encode_epoch(epoch);
    match store.kv_update(header, update.set(key::REMOVING, mark.clone())).await {
        Ok(()) => Ok(Some(mark)),
        Err(error) if error.kind == StoreErrorKind::Stale => {
            // Another removal is as good as this one.
            if store.kv_get(header, key::REMOVING).await?.contains_key(key::REMOVING) {
                return Ok(None);
            }
            let reason = "another client has opened the image for writing, or brought it back from the trash";
            Err(Error::new(ErrorKind::Busy, format!("{header}: {reason}")))
        }
        Err(error) => Err(error.into()),
    }
}

/// `Busy`: the image is not in the trash any more, or not as it was when somebody chose to remove it.
pub(crate) async fn check_in_trash(store: &Arc<dyn ObjectStore>, id: &ImageId, record: &TrashRecord) -> Result<()> {
    match Catalog::new(store.clone()).trashed(id).await {
        Ok(found) if found == *record => return Ok(()),
        Err(error) if error.kind != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let reason = format!("{}: it is not in the trash any more as it was", record.name);
    Err(Error::new(ErrorKind::Busy, reason))
}

/// Rule 48: [`check_in_trash`] behind the taking of an image that was free. One that was brought back is given back, unless another removal
/// has taken it since: that one finds out by itself, and may have begun to delete.
pub(crate) async fn check_still_in_trash(
    store: &Arc<dyn ObjectStore>,
    id: &ImageId,
    (record, mark): (&TrashRecord, Vec<u8>),
) -> Result<()> {
    let Err(error) = check_in_trash(store, id, record).await else { return Ok(()) };
    let header: ObjectName = names::header(&id.0).into();
    let update = KvUpdate::default().presence(KvPresence::MustExist).expect(key::REMOVING, mark).remove(key::REMOVING);
    match store.kv_update(&header, update).await {
        Err(error) if error.kind != StoreErrorKind::Stale => Err(error.into()),
        _ => Err(error),
    }
}

/// Rule 48, of an image that another removal has taken. That may go on meanwhile, or be broken off: from here on it does not give the image
/// back, and what it has deleted already is gone, so this one does not either. `Busy`.
pub(crate) async fn take_over(
    store: &Arc<dyn ObjectStore>,
    id: &ImageId,
    (record, values): (&TrashRecord, &KvMap),
) -> Result<()> {
    // Before, too: one that was brought back is left to who has taken it, and gives it back.
    check_in_trash(store, id, record).await?;
    if take(store, &names::header(&id.0).into(), values).await?.is_none() {
        return Err(Error::new(ErrorKind::Busy, format!("{}: others remove it", record.name)));
    }
    check_in_trash(store, id, record).await
}

/// Removes the image whatever its header says: every object under its id in the header's pool, and in the data pool where the
/// header still names one. `NotFound`; `Busy` (somebody has it open).
pub(crate) async fn remove_by_walking(
    store: &Arc<dyn ObjectStore>,
    image: &ImageRef,
    bases: &Bases,
    progress: Progress<'_>,
) -> Result<()> {
    let id = open::resolve(store, image).await?;
    let header: ObjectName = names::header(&id.0).into();
    let values = values_of(store, &header).await?;
    if let Some(values) = &values {
        check_understood(&header, values)?;
        if let Ok(header) = Header::decode(&header, values) {
            header.check_not_migrating()?;
        }
        check_no_clones(store, &id, values).await?;
    }
    let to_take = values.as_ref().filter(|values| !values.contains_key(key::REMOVING));
    if to_take.is_some() {
        until_unused(store, &header, &id.0).await?;
    }
    let mut pools = vec![store.clone()];
    if let Some(data) = data_pool(store, values.as_ref().unwrap_or(&KvMap::default())).await? {
        pools.push(data);
    }
    let mut doomed = objects_under(&pools, &id).await?;
    let catalog = Catalog::new(store.clone());
    let name = match catalog.name_of(&id).await {
        Ok(name) => Some(name),
        Err(error) if error.kind == ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    if values.is_none() && name.is_none() && doomed.is_empty() {
        return Err(Error::new(ErrorKind::NotFound, format!("no image {:?}", id.0)));
    }
    progress(0, doomed.len() as u64 + 1)?;
    if let Some(values) = to_take {
        take(store, &header, values).await?;
        // Whoever was the owner until then may have written on.
        doomed = objects_under(&pools, &id).await?;
    }
    lifecycle::delete((store, &id), name, doomed, bases, progress).await
}

/// `NotEmpty`: other images read what is to be removed, whatever else of its header is damaged.
async fn check_no_clones(store: &Arc<dyn ObjectStore>, id: &ImageId, values: &KvMap) -> Result<()> {
    let place = place_of(store, id);
    let entries = values.iter().filter(|(name, _)| name.starts_with(key::CHILD));
    for child in entries.filter_map(|(_, value)| ChildRecord::decode(value).ok()) {
        if fate(store, &place, &child).await?.0 == Fate::Lives {
            let reason = format!("{id}: the image has clones, {} for one", child.place.id);
            return Err(Error::new(ErrorKind::NotEmpty, reason));
        }
    }
    Ok(())
}

/// The pool of the segments, if it is another and the header can still say so.
async fn data_pool(store: &Arc<dyn ObjectStore>, values: &KvMap) -> Result<Option<Arc<dyn ObjectStore>>> {
    let record = values.get(key::IMAGE).and_then(|value| ImageRecord::decode(value).ok());
    match record.map(|record| PoolId(record.data_pool)) {
        Some(pool) if pool != store.pool_id() => match store.open_pool(pool).await {
            // It is gone, and what was in it.
            Err(error) if error.kind == StoreErrorKind::NotFound => Ok(None),
            opened => Ok(Some(opened?)),
        },
        _ => Ok(None),
    }
}

async fn objects_under(pools: &[Arc<dyn ObjectStore>], id: &ImageId) -> Result<Doomed> {
    let mut found = Doomed::new();
    for pool in pools {
        for prefix in [names::data_prefix(&id.0), names::map_prefix(&id.0)] {
            let names = pool.list(&format!("{prefix}.")).await?;
            found.extend(names.into_iter().map(|name| (pool.clone(), name)));
        }
    }
    Ok(found)
}
