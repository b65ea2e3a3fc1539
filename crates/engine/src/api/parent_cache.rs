//! What handles of one process have read of a parent, kept once for all its clones: a hundred disks of one stock image share its blocks.
//!
//! Owns: which handles share what, and for how long. Does not own: what of it stays (`lsd_state::buffers`), what is read (`read/`).
//!
//! A parent's data never changes below a snapshot, and a location of it has one content for good. So nothing here is ever out of date,
//! and it makes no difference which clone has read it.
use bytes::Bytes;
use lsd_core::format::ImageUuid;
use lsd_core::units::Loc;
use lsd_state::buffers::{Buffers, Cached, Keep};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// The parents of a cluster's images that are open in a process. Handles that are opened with the same one share them. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct ParentCache(Arc<Mutex<HashMap<ImageUuid, Weak<ParentData>>>>);

impl ParentCache {
    /// What is in memory of a parent and the images above it: their locations differ. It goes with the last handle.
    pub(crate) fn of(&self, parent: ImageUuid, capacity: u64) -> Arc<ParentData> {
        let mut parents = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let data = match parents.get(&parent).and_then(Weak::upgrade) {
            Some(data) => data,
            None => {
                let data = Arc::new(ParentData(Mutex::new((0, Buffers::new(0)))));
                parents.retain(|_, data| data.strong_count() > 0);
                parents.insert(parent, Arc::downgrade(&data));
                data
            }
        };
        data.make_room(capacity);
        data
    }
}

/// With the capacity, bytes: as much as the most that one of the handles has.
#[derive(Debug)]
pub(crate) struct ParentData(Mutex<(u64, Buffers)>);

impl ParentData {
    fn lock(&self) -> MutexGuard<'_, (u64, Buffers)> {
        // Every change is complete in itself.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn make_room(&self, capacity: u64) {
        let (most, buffers) = &mut *self.lock();
        if capacity > *most {
            *most = capacity;
            buffers.set_capacity(capacity);
        }
    }

    /// As [`Buffers::lookup`].
    pub(crate) fn lookup(&self, loc: Loc, len: u32, out: &mut Vec<Cached>) {
        self.lock().1.lookup(loc, len, out);
    }

    /// As [`Buffers::offer`], of bytes whose checksums were right.
    pub(crate) fn offer(&self, loc: Loc, bytes: Bytes, keep: Keep) {
        self.lock().1.offer(loc, bytes, keep);
    }

    pub(crate) fn clear(&self) {
        self.lock().1.clear_clean();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: ImageUuid = ImageUuid([1; 16]);

    fn hits(data: &ParentData, len: u32) -> bool {
        let mut found = Vec::new();
        data.lookup(Loc(4096), len, &mut found);
        matches!(&found[..], [Cached::Hit(_)])
    }

    #[test]
    fn handles_of_one_parent_share_what_they_read_until_the_last_is_gone() {
        let cache = ParentCache::default();
        let (one, other) = (cache.of(PARENT, 1 << 20), cache.of(PARENT, 4096));
        one.offer(Loc(4096), Bytes::from(vec![7; 4096]), Keep::Always);
        assert!(hits(&other, 4096), "the smaller one does not make it smaller");
        assert!(!hits(&cache.of(ImageUuid([2; 16]), 1 << 20), 4096), "another parent's data is its own");
        drop(one);
        assert!(hits(&cache.of(PARENT, 0), 4096));
        drop(other);
        assert!(!hits(&cache.of(PARENT, 1 << 20), 4096));
        assert_eq!(cache.0.lock().unwrap().len(), 1);
    }
}
