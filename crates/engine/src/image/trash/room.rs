//! Which images of the trash make room where a pool is used to more than it should be.
//!
//! Owns: the choice, by librbd's rule. Does not own: removing them (`image/trash.rs`).
use super::TrashEntry;
use crate::image::Image;
use crate::objects::header::Header;
use crate::objects::pools::in_pool;
use crate::{Bases, Error, ErrorKind, ImageId, ImageRef, OpenOptions, Result};
use lsd_core::format::names;
use lsd_store::{ObjectName, ObjectStore, PoolId, PoolUse};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// For each pool with data of these images that is used to more than `share`: the first of them, in their order, up to what gives back
/// enough. One that nothing is known of makes no room.
pub(super) async fn to_remove(
    (store, bases): (&Arc<dyn ObjectStore>, &Bases),
    share: f64,
    entries: &[TrashEntry],
) -> Result<BTreeSet<ImageId>> {
    let mut by_pool: BTreeMap<PoolId, Vec<&ImageId>> = BTreeMap::new();
    for entry in entries {
        match data_pool(store, &entry.id).await {
            Ok(pool) => by_pool.entry(pool).or_default().push(&entry.id),
            Err(error) if is_lost(&error) => {}
            Err(error) => return Err(error),
        }
    }
    let mut wanted = BTreeSet::new();
    for (pool, images) in by_pool {
        let used = match used(store, pool).await {
            // The pool is gone, and what was in it.
            Err(error) if error.kind == ErrorKind::NotFound => continue,
            used => used?,
        };
        if used.share <= share {
            continue;
        }
        let need = (used.total as f64 * (used.share - share)) as u64;
        let mut given_back: u64 = 0;
        for image in images {
            match bytes_of(store, image, bases).await {
                // What gives back nothing makes no room.
                Ok(0) => continue,
                Ok(bytes) => given_back = given_back.saturating_add(bytes),
                Err(error) if is_lost(&error) => continue,
                Err(error) => return Err(error),
            }
            wanted.insert(image.clone());
            if given_back >= need {
                break;
            }
        }
    }
    Ok(wanted)
}

async fn used(store: &Arc<dyn ObjectStore>, pool: PoolId) -> Result<PoolUse> {
    Ok(in_pool(store, pool).await?.used().await?)
}

/// Gone, damaged, or of a kind that this process cannot open.
fn is_lost(error: &Error) -> bool {
    matches!(error.kind, ErrorKind::NotFound | ErrorKind::Corrupt | ErrorKind::Unsupported)
}

async fn data_pool(store: &Arc<dyn ObjectStore>, id: &ImageId) -> Result<PoolId> {
    let object: ObjectName = names::header(&id.0).into();
    let values = store.kv_get(&object, "").await?;
    Ok(PoolId(Header::decode(&object, &values)?.image.data_pool))
}

/// What its segments have, as its map knows them.
async fn bytes_of(store: &Arc<dyn ObjectStore>, id: &ImageId, bases: &Bases) -> Result<u64> {
    let options = OpenOptions { read_only: true, bases: bases.clone(), ..OpenOptions::default() };
    let image = Image::open(store, &ImageRef::Id(id.clone()), &options).await?;
    let stored = image.space().stored;
    image.close().await?;
    Ok(stored)
}
