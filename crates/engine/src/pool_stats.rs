//! What there is in a pool and namespace: images, their sizes and snapshots, and the same of its trash.
//!
//! Owns: counting. Does not own: which images there are (`catalog/`), what a header says (`objects/header.rs`).
use crate::api::error::corrupt;
use crate::objects::header::Snapshots;
use crate::objects::parallel;
use crate::{Catalog, ImageId, Result, compiled_here};
use futures::future::BoxFuture;
use lsd_core::format::header::{StateRecord, key};
use lsd_core::format::names;
use lsd_store::{ObjectName, ObjectStore, StoreErrorKind};
use std::sync::Arc;

/// Of images, or of those in the trash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImageCounts {
    pub images: u64,
    /// Bytes that the images have.
    pub provisioned_bytes: u64,
    /// The same where the largest of an image and its snapshots counts.
    pub max_provisioned_bytes: u64,
    pub snapshots: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStats {
    pub images: ImageCounts,
    pub trash: ImageCounts,
}

impl PoolStats {
    /// Counts what is in a pool and namespace. An image that is removed meanwhile does not count.
    #[compiled_here]
    pub async fn of(store: &Arc<dyn ObjectStore>) -> Result<Self> {
        let catalog = Catalog::new(store.clone());
        let images = catalog.list().await?.into_iter().map(|entry| entry.id);
        let trash = catalog.trash().await?.into_iter().map(|(id, _)| id);
        Ok(Self { images: counts(store, images).await?, trash: counts(store, trash).await? })
    }
}

async fn counts(store: &Arc<dyn ObjectStore>, images: impl Iterator<Item = ImageId>) -> Result<ImageCounts> {
    let of = |id: ImageId| -> BoxFuture<'_, Result<ImageCounts>> { Box::pin(of_image(store, id)) };
    let each = parallel::try_all(images.map(of).collect()).await?;
    let sum = |sum: ImageCounts, one: ImageCounts| ImageCounts {
        images: sum.images + one.images,
        provisioned_bytes: sum.provisioned_bytes.saturating_add(one.provisioned_bytes),
        max_provisioned_bytes: sum.max_provisioned_bytes.saturating_add(one.max_provisioned_bytes),
        snapshots: sum.snapshots + one.snapshots,
    };
    Ok(each.into_iter().fold(ImageCounts::default(), sum))
}

async fn of_image(store: &Arc<dyn ObjectStore>, id: ImageId) -> Result<ImageCounts> {
    let header: ObjectName = names::header(&id.0).into();
    let values = match store.kv_get(&header, "").await {
        Err(error) if error.kind == StoreErrorKind::NotFound => return Ok(ImageCounts::default()),
        values => values?,
    };
    let state = values.get(key::STATE).map(|value| StateRecord::decode(value)).transpose();
    let Some(state) = state.map_err(|error| corrupt(&header, error))? else { return Ok(ImageCounts::default()) };
    let snapshots = Snapshots::decode(&values).map_err(|error| corrupt(&header, error))?;
    let largest = snapshots.usable().map(|snapshot| snapshot.size).fold(state.size, u64::max);
    Ok(ImageCounts {
        images: 1,
        provisioned_bytes: state.size,
        max_provisioned_bytes: largest,
        snapshots: snapshots.usable().count() as u64,
    })
}
