//! What one map has and another has not.
//!
//! Owns: comparing where the bytes of leaves lie. Does not own: which leaves are compared (`image/beside.rs`), what was written in
//! between: bytes that a collection moved lie elsewhere, too.
use crate::Result;
use crate::objects::Objects;
use crate::shared::Shared;
use lsd_core::map::Extent;
use lsd_core::units::{LEAF_SPAN_BYTES, LeafNo};

/// Where the bytes of some leaves lie, leaf by leaf. `NotFound` as for a read.
pub(crate) async fn locations(objects: &Objects, shared: &Shared, leaves: &[LeafNo]) -> Result<Vec<Vec<Extent>>> {
    loop {
        let missing: Vec<_> = {
            let state = shared.lock();
            let range = |leaf: &LeafNo| {
                let len = state.view.size.saturating_sub(leaf.start()).min(u64::from(LEAF_SPAN_BYTES));
                (leaf.start(), len)
            };
            let found = |leaf: &LeafNo| {
                let ((offset, len), mut extents) = (range(leaf), Vec::new());
                state.view.map.lookup(offset, len, &mut extents).map(|()| extents)
            };
            if let Ok(found) = leaves.iter().map(found).collect() {
                return Ok(found);
            }
            leaves.iter().map(range).flat_map(|(offset, len)| state.view.map.missing(offset, len)).collect()
        };
        shared.load_leaves(objects, missing).await?;
    }
}

/// Bytes that lie somewhere in `ours`, and in `theirs` nowhere or elsewhere. Both are in order.
pub(crate) fn bytes_unlike(ours: &[Extent], theirs: &[Extent]) -> u64 {
    let end = |extent: &Extent| extent.offset + extent.len;
    let mut theirs = theirs.iter().peekable();
    let mut bytes = 0;
    for our in ours {
        let Some(loc) = our.loc else { continue };
        bytes += our.len;
        while let Some(their) = theirs.peek() {
            let (from, to) = (our.offset.max(their.offset), end(our).min(end(their)));
            let is_there = |at: u64| at + (from - their.offset) == loc.0 + (from - our.offset);
            if from < to && their.loc.is_some_and(|their| is_there(their.0)) {
                bytes -= to - from;
            }
            if end(their) > end(our) {
                break;
            }
            theirs.next();
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use lsd_core::units::Loc;

    fn extents(list: &[(u64, u64, Option<u64>)]) -> Vec<Extent> {
        list.iter().map(|&(offset, len, loc)| Extent { offset, len, loc: loc.map(Loc) }).collect()
    }

    #[test]
    fn bytes_count_that_lie_elsewhere_or_nowhere_in_the_other_map() {
        let ours = extents(&[(0, 10, Some(100)), (10, 10, None), (20, 20, Some(200)), (40, 5, Some(900))]);
        assert_eq!(bytes_unlike(&ours, &[]), 35);
        assert_eq!(bytes_unlike(&ours, &ours), 0);
        assert_eq!(bytes_unlike(&[], &ours), 0);
        // All of it elsewhere; holes of the other; the same places in other pieces.
        assert_eq!(bytes_unlike(&ours, &extents(&[(0, 50, Some(5000))])), 35);
        assert_eq!(bytes_unlike(&ours, &extents(&[(0, 50, None)])), 35);
        let pieces = [(0, 4, Some(100)), (4, 20, Some(104)), (24, 6, Some(204)), (30, 12, None), (42, 3, Some(902))];
        assert_eq!(bytes_unlike(&ours, &extents(&pieces)), 4 + 10 + 2);
        // What only the other has does not count.
        assert_eq!(bytes_unlike(&extents(&[(0, 50, None)]), &ours), 0);
    }
}
