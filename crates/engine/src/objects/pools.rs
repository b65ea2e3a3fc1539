//! Other pools of the cluster, and where an image is to who is elsewhere.
//!
//! Owns: that the store itself is used where it is the pool. Does not own: opening one (`lsd_store::Pools`).
use crate::objects::Objects;
use crate::{Error, ErrorKind, ImageId, Result};
use lsd_core::format::header::ImagePlace;
use lsd_store::{ObjectStore, PoolId};
use std::sync::Arc;

/// Another pool in the same namespace, or the store itself. `NotFound`: it is gone.
pub(crate) async fn in_pool(store: &Arc<dyn ObjectStore>, pool: PoolId) -> Result<Arc<dyn ObjectStore>> {
    if pool == store.pool_id() { Ok(store.clone()) } else { Ok(store.open_pool(pool).await?) }
}

/// A pool's namespace, from any other of the cluster. `NotFound`, `Unsupported`.
pub(crate) async fn open_place(
    store: &Arc<dyn ObjectStore>,
    pool: i64,
    namespace: &str,
) -> Result<Arc<dyn ObjectStore>> {
    if pool == store.pool_id().0 && namespace == store.namespace() {
        return Ok(store.clone());
    }
    let opened = store.open_namespace(PoolId(pool), namespace).await;
    opened.map_err(|error| match Error::from(error) {
        error if error.kind == ErrorKind::NotFound => {
            Error::new(ErrorKind::NotFound, format!("the pool {pool} of a parent or a clone is gone"))
        }
        error => error,
    })
}

/// Where an image of this store is.
pub(crate) fn place_of(store: &Arc<dyn ObjectStore>, id: &ImageId) -> ImagePlace {
    ImagePlace { pool: store.pool_id().0, namespace: store.namespace(), id: id.0.clone() }
}

impl Objects {
    pub(crate) fn place(&self) -> ImagePlace {
        place_of(&self.meta, &self.id)
    }
}
