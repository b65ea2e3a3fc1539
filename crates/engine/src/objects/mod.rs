//! The objects of one image in its pools: names applied to stores.
//!
//! Owns: which pool and which name. Does not own: formats, retries, ordering.
pub(crate) mod base;
pub(crate) mod checksums;
pub(crate) mod described;
pub(crate) mod header;
pub(crate) mod line;
pub(crate) mod parallel;
pub(crate) mod pools;
pub(crate) mod room;

use crate::api::error::corrupt;
use crate::{ImageId, Result};
use bytes::Bytes;
use futures::FutureExt;
use lsd_core::format::checkpoint::{LeafPlace, LeafPointer, PageIdentity, PatchPointer};
use lsd_core::format::header::{decode_epoch, key};
use lsd_core::format::segment::SegmentIdentity;
use lsd_core::format::{ImageUuid, names};
use lsd_core::map::{BlockSet, ExtentMap, Leaf, Patch};
use lsd_core::units::{BLOCK_BYTES, CheckpointId, Epoch, LeafNo, SegmentNo};
use lsd_state::lineage::Home;
use lsd_store::{Base, KvMap, ObjectName, ObjectStore, StoreError, StoreErrorKind};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Leaves or patches of one page that are read in one operation.
const LEAVES_AT_ONCE: usize = 32;

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Objects {
    pub(crate) meta: Arc<dyn ObjectStore>,
    pub(crate) data: Arc<dyn ObjectStore>,
    pub(crate) id: ImageId,
    pub(crate) uuid: ImageUuid,
    pub(crate) line: line::Line,
    /// Of an open image that has one.
    pub(crate) base: Option<Arc<dyn Base>>,
}

impl Objects {
    pub(crate) fn header(&self) -> ObjectName {
        names::header(&self.id.0).into()
    }

    pub(crate) fn segment(&self, epoch: Epoch, segment: SegmentNo) -> ObjectName {
        names::segment(&self.id.0, epoch, segment).into()
    }

    /// A segment of the image or of an ancestor.
    pub(crate) fn segment_at(&self, home: Home, segment: SegmentNo) -> ObjectName {
        self.at(home.whose).segment(home.epoch, segment)
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

    /// Batches and sealing parts are multiples of this many bytes: of blocks, and of what the pool asks for.
    pub(crate) fn alignment(&self) -> u32 {
        lcm(self.data.limits().append_alignment.max(1), BLOCK_BYTES)
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

    /// Several leaves in this order, their bases and patches side by side, those of one page in few operations; each has its
    /// own checksum, which is checked.
    pub(crate) async fn read_leaves(&self, leaves: &[(LeafNo, LeafPlace)]) -> Result<Vec<LoadedLeaf>> {
        let mut by_page: BTreeMap<(CheckpointId, u32), Vec<LeafPointer>> = BTreeMap::new();
        for at in leaves.iter().flat_map(|(_, place)| place.pointers()) {
            by_page.entry((at.checkpoint, at.page)).or_default().push(at);
        }
        by_page.values_mut().for_each(|page| page.sort_unstable_by_key(|at| at.offset));
        let reads =
            by_page.values().flat_map(|page| page.chunks(LEAVES_AT_ONCE).map(|some| self.read_of_page(some).boxed()));
        let read = parallel::try_all(reads.collect()).await?.into_iter().flatten().collect();
        leaves.iter().map(|(leaf, place)| self.decode_leaf(*leaf, *place, &read)).collect()
    }

    /// The bytes at pointers into one page, in the order of their offsets; what lies side by side is read in one piece.
    async fn read_of_page(&self, pointers: &[LeafPointer]) -> Result<Vec<(LeafPointer, Bytes)>> {
        let Some(first) = pointers.first() else { return Ok(Vec::new()) };
        let runs: Vec<&[LeafPointer]> = pointers.chunk_by(|one, next| one.offset + one.len == next.offset).collect();
        let len = |run: &[LeafPointer]| run.iter().map(|at| u64::from(at.len)).sum();
        let ranges: Vec<_> = runs.iter().map(|run| (u64::from(run[0].offset), len(run))).collect();
        let among = self.of_page(first.checkpoint);
        let read = among.meta.read_many(&among.page(first.checkpoint, first.page), &ranges).await?;
        let cut = |(run, mut bytes): (&[LeafPointer], Bytes)| {
            // Less than wanted does not verify.
            let next = |at: &LeafPointer| (*at, bytes.split_to(bytes.len().min(at.len as usize)));
            run.iter().map(next).collect::<Vec<_>>()
        };
        Ok(runs.into_iter().zip(read).flat_map(cut).collect())
    }

    /// Puts leaves that were read into the map. `Corrupt`: one has not what the checkpoint says of it.
    pub(crate) fn install(&self, map: &mut ExtentMap<LeafPlace>, loaded: Vec<LoadedLeaf>) -> Result<()> {
        for LoadedLeaf { leaf, at, content, patched } in loaded {
            let latest = at.patch.map_or(at.base, |patch| patch.at);
            let bad = |error| corrupt(&self.page_at(latest), error);
            map.install(leaf, &at, content, patched).map_err(bad)?;
        }
        Ok(())
    }

    /// A page of the image or of an ancestor.
    fn page_at(&self, at: LeafPointer) -> ObjectName {
        self.of_page(at.checkpoint).page(at.checkpoint, at.page)
    }

    fn decode_leaf(&self, leaf: LeafNo, at: LeafPlace, read: &BTreeMap<LeafPointer, Bytes>) -> Result<LoadedLeaf> {
        let bytes = |at: &LeafPointer| read.get(at).map_or(&[][..], |bytes| bytes);
        let bad = |at: &LeafPointer, error| corrupt(&self.page_at(*at), error);
        let mut content = Leaf::decode(leaf, bytes(&at.base)).map_err(|error| bad(&at.base, error))?;
        let mut patched = None;
        if let Some(PatchPointer { at: patch_at, .. }) = &at.patch {
            let patch = Patch::decode(leaf, &at.base, bytes(patch_at)).map_err(|error| bad(patch_at, error))?;
            patch.apply(&mut content);
            patched = Some(patch.changed());
        }
        Ok(LoadedLeaf { leaf, at, content, patched })
    }
}

/// A leaf with the place it was read from.
#[derive(Debug)]
pub(crate) struct LoadedLeaf {
    pub(crate) leaf: LeafNo,
    pub(crate) at: LeafPlace,
    pub(crate) content: Leaf,
    /// The blocks of its patch, if it has one.
    pub(crate) patched: Option<BlockSet>,
}

fn lcm(a: u32, b: u32) -> u32 {
    let (mut x, mut y) = (a, b);
    while y != 0 {
        (x, y) = (y, x % y);
    }
    a / x * b
}
