use super::*;
use crate::units::LEAF_SPAN_BYTES;
use proptest::prelude::*;

fn members(set: &BlockSet) -> Vec<u32> {
    set.ranges().flatten().collect()
}

#[test]
fn the_whole_leaf_and_its_ends() {
    let mut set = BlockSet::default();
    assert_eq!((set.count(), set.ranges().next()), (0, None));
    set.insert(LEAF_SPAN_BYTES - 1, 1);
    set.insert(4095, 2);
    set.insert(8192, 0);
    assert_eq!((set.count(), members(&set)), (3, vec![0, 1, 4095]));
    set.insert(0, LEAF_SPAN_BYTES);
    assert_eq!((set.count(), set.ranges().next(), set.ranges().count()), (4096, Some(0..4096), 1));
}

proptest! {
    #[test]
    fn a_set_has_what_was_inserted(ranges in prop::collection::vec((0u32..LEAF_SPAN_BYTES, 0u32..3_000_000), 0..40)) {
        let (mut set, mut model) = (BlockSet::default(), std::collections::BTreeSet::new());
        for (start, len) in ranges {
            let len = len.min(LEAF_SPAN_BYTES - start);
            set.insert(start, len);
            model.extend(start / BLOCK_BYTES..if len == 0 { 0 } else { (start + len - 1) / BLOCK_BYTES + 1 });
        }
        prop_assert_eq!(set.count() as usize, model.len());
        prop_assert_eq!(members(&set), model.into_iter().collect::<Vec<_>>());
    }
}
