//! How parents and clones are named: where `children`, `info`, `ls -l` and `tree` show one.
use lsd_engine::{ErrorKind, Image, Parent};
use lsd_store::{ObjectStore, PoolId};
use std::sync::Arc;

/// Where an image is, in names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kin {
    /// A directory's path.
    pub pool: String,
    pub namespace: String,
    pub image: String,
    in_directory: bool,
}

impl Kin {
    /// `store`: any of the cluster.
    pub async fn of(
        store: &Arc<dyn ObjectStore>,
        pool: PoolId,
        namespace: &str,
        image: &str,
    ) -> lsd_engine::Result<Self> {
        let its = if pool == store.pool_id() { store.clone() } else { store.open_pool(pool).await? };
        Ok(Self {
            pool: its.pool_name(),
            namespace: namespace.to_owned(),
            image: image.to_owned(),
            in_directory: pool.0 < 0,
        })
    }

    /// As it can be given to a command.
    pub fn spec(&self) -> String {
        let Self { pool, namespace, image, in_directory } = self;
        match (in_directory, namespace.is_empty()) {
            (true, _) => format!("dir:{pool}/{image}"),
            (false, true) => format!("{pool}/{image}"),
            (false, false) => format!("{pool}/{namespace}/{image}"),
        }
    }
}

/// The parent of what the handle shows, unless nothing of it is seen any more: rbd shows none then.
pub async fn overlapping_parent(
    store: &Arc<dyn ObjectStore>,
    image: &Image,
) -> lsd_engine::Result<Option<(Kin, Parent)>> {
    let parent = match image.parent().await {
        Ok(parent) => parent,
        Err(error) if error.kind == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let kin = Kin::of(store, parent.pool, &parent.namespace, &parent.name).await?;
    Ok(Some((kin, parent)))
}
