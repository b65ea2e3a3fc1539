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
use std::collections::BTreeMap;
use std::sync::Arc;

/// Leaves of one page that are read in one operation.
const LEAVES_AT_ONCE: usize = 32;

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

    /// Several leaves, side by side, those of one page in few operations; each has its own checksum, which is checked.
    pub(crate) async fn read_leaves(&self, leaves: Vec<(LeafNo, LeafPointer)>) -> Result<Vec<LoadedLeaf>> {
        let mut by_page: BTreeMap<(CheckpointId, u32), Vec<(LeafNo, LeafPointer)>> = BTreeMap::new();
        for leaf in leaves {
            by_page.entry((leaf.1.checkpoint, leaf.1.page)).or_default().push(leaf);
        }
        let reads = by_page.iter().flat_map(|(page, leaves)| {
            leaves.chunks(LEAVES_AT_ONCE).map(|some| self.read_of_page(self.page(page.0, page.1), some).boxed())
        });
        let read = parallel::try_all(reads.collect()).await?;
        Ok(read.into_iter().flatten().collect())
    }

    async fn read_of_page(&self, name: ObjectName, leaves: &[(LeafNo, LeafPointer)]) -> Result<Vec<LoadedLeaf>> {
        let ranges: Vec<_> = leaves.iter().map(|(_, at)| (u64::from(at.offset), u64::from(at.len))).collect();
        let read = self.meta.read_many(&name, &ranges).await?;
        let decode = |(&(leaf, at), bytes): (&(LeafNo, LeafPointer), Bytes)| {
            let content = Leaf::decode(leaf, &bytes).map_err(|error| crate::error::corrupt(&name, error))?;
            Ok(LoadedLeaf { leaf, at, content })
        };
        leaves.iter().zip(read).map(decode).collect()
    }
}

/// A leaf with the place it was read from.
#[derive(Debug)]
pub(crate) struct LoadedLeaf {
    pub(crate) leaf: LeafNo,
    pub(crate) at: LeafPointer,
    pub(crate) content: Leaf,
}
