//! The objects of an image's ancestors: a clone reads theirs as it does its own.
//!
//! Owns: which of them a segment or a page is among, opening their pools. Does not own: whose a number is (`lsd_state::lineage`).
//! Nothing of an ancestor is ever changed through this.
use crate::objects::Objects;
use crate::objects::pools::open_place;
use crate::{ImageId, Result};
use lsd_core::format::checkpoint::LeafPlace;
use lsd_core::format::header::{Ancestor, AncestryRecord};
use lsd_core::units::CheckpointId;
use lsd_state::lineage::{Ancestors, Whose};
use lsd_state::pins::{PageKey, leaf_pages};
use lsd_store::ObjectStore;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line {
    ancestors: Ancestors,
    objects: Arc<[Objects]>,
}

impl Line {
    /// `NotFound`: a pool is gone.
    pub(crate) async fn open(store: &Arc<dyn ObjectStore>, ancestry: Option<&AncestryRecord>) -> Result<Self> {
        let Some(ancestry) = ancestry else { return Ok(Self::default()) };
        // A chain of a hundred clones is most often in one pool.
        let mut pools: BTreeMap<(i64, String), Arc<dyn ObjectStore>> = BTreeMap::new();
        let mut objects = Vec::with_capacity(ancestry.ancestors.len());
        for Ancestor { place, uuid, data_pool, .. } in &ancestry.ancestors {
            let mut stores = Vec::with_capacity(2);
            for pool in [place.pool, *data_pool] {
                let key = (pool, place.namespace.clone());
                if !pools.contains_key(&key) {
                    let opened = open_place(store, pool, &place.namespace).await?;
                    pools.insert(key.clone(), opened);
                }
                stores.extend(pools.get(&key).cloned());
            }
            let [meta, data] = [0, 1].map(|index: usize| stores[index].clone());
            objects.push(Objects { meta, data, id: ImageId(place.id.clone()), uuid: *uuid, line: Self::default() });
        }
        Ok(Self { ancestors: Ancestors::new(ancestry.ancestors.clone()), objects: objects.into() })
    }
}

impl Objects {
    /// Whose numbers are whose.
    pub(crate) fn ancestors(&self) -> Ancestors {
        self.line.ancestors.clone()
    }

    /// Those of the image itself or of an ancestor.
    pub(crate) fn at(&self, whose: Whose) -> &Objects {
        match whose {
            Whose::Own => self,
            Whose::Ancestor(index) => self.line.objects.get(usize::from(index)).unwrap_or(self),
        }
    }

    /// Those that the pages of a checkpoint are among.
    pub(crate) fn of_page(&self, checkpoint: CheckpointId) -> &Objects {
        self.at(self.line.ancestors.of_checkpoint(checkpoint))
    }

    /// Its pages are the image's own: nobody else's may be counted or deleted.
    pub(crate) fn has_page(&self, checkpoint: CheckpointId) -> bool {
        self.line.ancestors.of_checkpoint(checkpoint) == Whose::Own
    }

    /// The image's own pages that leaves are in: an ancestor's are kept by the snapshot that the image is a clone of.
    pub(crate) fn own_pages<'a>(&self, leaves: impl Iterator<Item = &'a LeafPlace>) -> BTreeSet<PageKey> {
        leaves.flat_map(leaf_pages).filter(|(id, _)| self.has_page(*id)).collect()
    }
}
