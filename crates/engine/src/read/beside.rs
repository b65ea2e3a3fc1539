//! What one map has and another has not.
//!
//! Owns: comparing where the bytes of leaves lie. Does not own: which leaves are compared (`image/beside.rs`), what was written in
//! between: bytes that a collection moved lie elsewhere, too.
use crate::Result;
use crate::objects::Objects;
use crate::shared::Shared;
use lsd_core::map::Extent;
use lsd_core::units::{LEAF_SPAN_BYTES, LeafNo, Loc};

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

/// A piece of the image that lies in one piece in either of two maps, or in none of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Beside {
    /// Byte address in the image.
    pub(crate) offset: u64,
    pub(crate) len: u64,
    pub(crate) ours: Option<Loc>,
    pub(crate) theirs: Option<Loc>,
}

/// Both maps of a range side by side, in the order of the image. Both begin in the same place; where one ends, it has nothing.
pub(crate) fn side_by_side(ours: &[Extent], theirs: &[Extent]) -> Vec<Beside> {
    let end = |extent: &Extent| extent.offset + extent.len;
    let part = |extent: &Extent, at: u64| Some(Loc(extent.loc?.0 + (at - extent.offset)));
    let (mut ours, mut theirs) = (ours.iter().peekable(), theirs.iter().peekable());
    let mut found = Vec::new();
    let first = |extent: Option<&&Extent>| extent.map(|extent| extent.offset);
    let mut at = first(ours.peek()).into_iter().chain(first(theirs.peek())).min().unwrap_or_default();
    loop {
        ours.next_if(|extent| end(extent) <= at);
        theirs.next_if(|extent| end(extent) <= at);
        let heads = [ours.peek(), theirs.peek()];
        let Some(next) =
            heads.iter().flatten().map(|extent| if extent.offset > at { extent.offset } else { end(extent) }).min()
        else {
            return found;
        };
        let [ours, theirs] =
            heads.map(|head| head.filter(|extent| extent.offset <= at).and_then(|extent| part(extent, at)));
        found.push(Beside { offset: at, len: next - at, ours, theirs });
        at = next;
    }
}

/// Bytes that lie somewhere in `ours`, and in `theirs` nowhere or elsewhere. Both are in order.
pub(crate) fn bytes_unlike(ours: &[Extent], theirs: &[Extent]) -> u64 {
    let is_unlike = |piece: &&Beside| piece.ours.is_some() && piece.ours != piece.theirs;
    side_by_side(ours, theirs).iter().filter(is_unlike).map(|piece| piece.len).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

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
