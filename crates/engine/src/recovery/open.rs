//! Opening: from a store and a reference to everything an image handle needs.
use crate::objects::Objects;
use crate::objects::header::Header;
use crate::objects::line::Line;
use crate::objects::pools::in_pool;
use crate::recovery::{self, ReadLog, Tails, snapshot};
use crate::{Catalog, Error, ErrorKind, ImageId, ImageRef, Result, Settings, SnapRef};
use lsd_core::format::header::SnapRecord;
use lsd_state::protocol;
use lsd_state::state::Rest;
use lsd_state::state::State;
use lsd_store::{ObjectStore, PoolId};
use std::sync::Arc;

/// A header and the objects it describes.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) header: Header,
    pub(crate) objects: Objects,
}

/// `NotFound`: no such name. Whether there is an image of that id is not looked at.
pub(crate) async fn resolve(store: &Arc<dyn ObjectStore>, image: &ImageRef) -> Result<ImageId> {
    match image {
        ImageRef::Id(id) => Ok(id.clone()),
        ImageRef::Name(name) => Catalog::new(store.clone()).id_of(name).await,
    }
}

/// `NotFound`: no such image, or it is being removed. `Corrupt`: its header does not verify.
pub(crate) async fn find(store: &Arc<dyn ObjectStore>, image: &ImageRef) -> Result<Found> {
    let id = resolve(store, image).await?;
    let object = lsd_core::format::names::header(&id.0).into();
    let header = Header::decode(&object, &store.kv_get(&object, "").await?)?.in_use()?;
    described_by(store, header).await
}

/// What a header describes.
pub(crate) async fn described_by(store: &Arc<dyn ObjectStore>, header: Header) -> Result<Found> {
    let objects = objects_of(store, &header).await?;
    Ok(Found { header, objects })
}

/// The objects that a header leads to, its ancestors' included.
pub(crate) async fn objects_of(store: &Arc<dyn ObjectStore>, header: &Header) -> Result<Objects> {
    let data = in_pool(store, PoolId(header.image.data_pool)).await?;
    let line = Line::open(store, header).await?;
    let id = ImageId(header.image.id.clone());
    Ok(Objects { meta: store.clone(), data, id, uuid: header.image.uuid, line, base: None })
}

/// How often a load is tried again because the owner moved the image on under it: an owner that writes as fast as it can may commit a
/// checkpoint in about the time of a load.
const LOAD_TRIES: u32 = 64;

/// The image as its last durable state has it, the segments which that was read from, and the header it belongs to.
/// A live owner may delete what an old header names, so it is loaded again if the header says by then that the log begins elsewhere.
pub(crate) async fn load_steadily(found: &Found, settings: &Settings) -> Result<(State, Tails, Header)> {
    let mut header = found.header.clone();
    for _ in 0..LOAD_TRIES {
        let loaded = load(&found.objects, &header, settings).await;
        if loaded.is_ok() && header.log.clean {
            return loaded.map(|(state, tails)| (state, tails, header));
        }
        // Rule 12: segments that were deleted before they were looked for look like the end of the log, which is no error.
        let fresh = Header::read(&found.objects).await?;
        if fresh.log == header.log {
            return loaded.map(|(state, tails)| (state, tails, header));
        }
        header = fresh;
    }
    Err(Error::new(ErrorKind::Busy, format!("{} changes faster than it can be read", found.objects.header())))
}

/// The image as a snapshot has it, in the same words: nothing is behind it in the log. `NotFound`: it was removed meanwhile.
pub(crate) async fn load_snapshot(
    objects: &Objects,
    mut header: Header,
    mut snapshot: SnapRecord,
    settings: &Settings,
) -> Result<(State, Tails, Header)> {
    for _ in 0..LOAD_TRIES {
        let error = match snapshot::state(objects, &header, &snapshot, settings.cache_bytes).await {
            Ok(state) => return Ok((state, Tails::new(), header)),
            Err(error) if error.kind == ErrorKind::Corrupt => error,
            Err(error) => return Err(error),
        };
        // Its map may have gone with it since the header was read, or lie elsewhere by now.
        header = Header::read(objects).await?;
        let fresh = header.snapshots.find(&SnapRef::Id(snapshot.id.0))?;
        if fresh.root == snapshot.root {
            return Err(error);
        }
        snapshot = fresh;
    }
    Err(Error::new(ErrorKind::Busy, format!("{} changes faster than it can be read", objects.header())))
}

/// Of an image that may be written meanwhile.
async fn load(objects: &Objects, header: &Header, settings: &Settings) -> Result<(State, Tails)> {
    let tails = recovery::probe(objects, &header.log).await?;
    let read = recovery::read_log(objects, &header.log, &tails).await?;
    let Some(lost) = read.lost() else { return Ok((state_of(objects, header, &tails, &read, settings).await?, tails)) };
    // A living owner goes on appending: a segment that was looked at late may speak of records in one that was looked at before
    // they came. Whatever was durable then is there when all are looked at again.
    let again = recovery::probe(objects, &header.log).await?;
    let read = recovery::read_log(objects, &header.log, &again).await?;
    if protocol::is_lost(read.log.end, lost.reach) {
        return Err(lost.error(objects, &header.log, &again, &read.torn));
    }
    Ok((state_of(objects, header, &again, &read, settings).await?, again))
}

/// The image from its checkpoint and exactly these segments, to which nobody appends any more.
pub(crate) async fn load_with(objects: &Objects, header: &Header, tails: &Tails, settings: &Settings) -> Result<State> {
    let read = recovery::read_log(objects, &header.log, tails).await?;
    if let Some(lost) = read.lost() {
        return Err(lost.error(objects, &header.log, tails, &read.torn));
    }
    state_of(objects, header, tails, &read, settings).await
}

async fn state_of(
    objects: &Objects,
    header: &Header,
    tails: &Tails,
    read: &ReadLog,
    settings: &Settings,
) -> Result<State> {
    let mut state = recovery::load_checkpoint(objects, header, &header.log, settings.cache_bytes).await?;
    recovery::apply_log(objects, &mut state, &read.log, tails).await?;
    state.rest = Rest { ahead: read.log.ahead.clone(), torn: read.torn.clone() };
    Ok(state)
}
