//! Removing an image whose header is damaged or gone: what lies under its id is found by walking the pools.
//!
//! Owns: what is found. Does not own: the order of deletion
//! (`lifecycle.rs`), images whose header verifies.
use crate::header::check_understood;
use crate::lifecycle::{self, Doomed};
use crate::{Catalog, Error, ErrorKind, ImageId, ImageRef, Progress, Result, loader};
use lsd_core::format::header::{ImageRecord, key};
use lsd_core::format::names;
use lsd_store::{KvMap, ObjectName, ObjectStore, PoolId, StoreErrorKind};
use std::sync::Arc;

/// Removes the image whatever its header says: every object under its id in the header's pool, and in the data pool where the
/// header still names one. `NotFound`; `Busy` (somebody has it open).
pub(crate) async fn remove_by_walking(
    store: &Arc<dyn ObjectStore>,
    image: &ImageRef,
    progress: Progress<'_>,
) -> Result<()> {
    let id = loader::resolve(store, image).await?;
    let header: ObjectName = names::header(&id.0).into();
    let values = match store.kv_get(&header, "").await {
        Ok(values) => Some(values),
        Err(error) if error.kind == StoreErrorKind::NotFound => None,
        Err(error) => return Err(error.into()),
    };
    if let Some(values) = &values {
        check_understood(&header, values)?;
    }
    let has_header = values.is_some();
    if has_header {
        lifecycle::check_unwatched(store, &header, &id.0).await?;
    }
    let mut pools = vec![store.clone()];
    if let Some(data) = data_pool(store, &values.unwrap_or_default()).await? {
        pools.push(data);
    }
    let doomed = objects_under(&pools, &id).await?;
    let catalog = Catalog::new(store.clone());
    let name = match catalog.name_of(&id).await {
        Ok(name) => Some(name),
        Err(error) if error.kind == ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    if !has_header && name.is_none() && doomed.is_empty() {
        return Err(Error::new(ErrorKind::NotFound, format!("no image {:?}", id.0)));
    }
    lifecycle::delete(store, &id, name, doomed, progress).await
}

/// The pool of the segments, if it is another and the header can still say so.
async fn data_pool(store: &Arc<dyn ObjectStore>, values: &KvMap) -> Result<Option<Arc<dyn ObjectStore>>> {
    let record = values.get(key::IMAGE).and_then(|value| ImageRecord::decode(value).ok());
    match record.map(|record| PoolId(record.data_pool)) {
        Some(pool) if pool != store.pool_id() => Ok(Some(store.open_pool(pool).await?)),
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
