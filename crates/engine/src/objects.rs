//! The objects of one image in its pools: names applied to stores.
//!
//! Owns: which pool and which name. Does not own: formats, retries, ordering.
use crate::{ImageId, Result, parallel};
use bytes::Bytes;
use futures::FutureExt;
use lsd_core::format::checkpoint::{LeafPointer, PageIdentity};
use lsd_core::format::header::{decode_epoch, key};
use lsd_core::format::segment::SegmentIdentity;
use lsd_core::format::{ImageUuid, names};
use lsd_core::map::Leaf;
use lsd_core::units::{CheckpointId, Epoch, LeafNo, SegmentNo};
use lsd_store::{KvMap, ObjectName, ObjectStore, StoreError, StoreErrorKind};
use std::sync::Arc;

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Objects {
    pub(crate) meta: Arc<dyn ObjectStore>,
    pub(crate) data: Arc<dyn ObjectStore>,
    pub(crate) id: ImageId,
    pub(crate) uuid: ImageUuid,
}

impl Objects {
    pub(crate) fn header(&self) -> ObjectName {
        names::header(&self.id.0).into()
    }

    pub(crate) fn segment(&self, epoch: Epoch, segment: SegmentNo) -> ObjectName {
        names::segment(&self.id.0, epoch, segment).into()
    }

    pub(crate) fn page(&self, checkpoint: CheckpointId, page: u32) -> ObjectName {
        names::map_page(&self.id.0, checkpoint, page).into()
    }

    pub(crate) fn segment_identity(&self, epoch: Epoch, segment: SegmentNo) -> SegmentIdentity {
        SegmentIdentity { image: self.uuid, epoch, segment }
    }

    pub(crate) fn page_identity(&self, checkpoint: CheckpointId, page: u32) -> PageIdentity {
        PageIdentity { image: self.uuid, checkpoint, page }
    }

    /// Everything in the header.
    pub(crate) async fn read_header(&self) -> Result<KvMap> {
        Ok(self.meta.kv_get(&self.header(), "").await?)
    }

    /// The epoch in the header now.
    pub(crate) async fn read_epoch(&self) -> std::result::Result<Epoch, StoreError> {
        let header = self.header();
        let values = self.meta.kv_get(&header, key::EPOCH).await?;
        let value = values.get(key::EPOCH).map(|value| decode_epoch(value));
        let damaged = || {
            StoreError::new(StoreErrorKind::Invalid, "kv_get", header.0.clone())
                .with_detail("the epoch does not verify")
        };
        value.and_then(|value| value.ok()).ok_or_else(damaged)
    }

    /// One leaf of a checkpoint; its own checksum is checked.
    pub(crate) async fn read_leaf(&self, leaf: LeafNo, at: LeafPointer) -> Result<Leaf> {
        let name = self.page(at.checkpoint, at.page);
        let bytes: Bytes = self.meta.read(&name, u64::from(at.offset), u64::from(at.len)).await?;
        Leaf::decode(leaf, &bytes).map_err(|error| crate::error::corrupt(&name, error))
    }

    /// Several leaves, side by side.
    pub(crate) async fn read_leaves(&self, leaves: Vec<(LeafNo, LeafPointer)>) -> Result<Vec<LoadedLeaf>> {
        let read = |(leaf, at)| async move {
            let content = self.read_leaf(leaf, at).await?;
            Ok(LoadedLeaf { leaf, at, content })
        };
        parallel::try_all(leaves.into_iter().map(|leaf| read(leaf).boxed()).collect()).await
    }
}

/// A leaf with the place it was read from.
#[derive(Debug)]
pub(crate) struct LoadedLeaf {
    pub(crate) leaf: LeafNo,
    pub(crate) at: LeafPointer,
    pub(crate) content: Leaf,
}
