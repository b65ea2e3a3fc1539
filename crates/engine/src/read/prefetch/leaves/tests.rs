use super::*;
use lsd_core::format::checkpoint::LeafPointer;
use lsd_core::units::CheckpointId;

fn asked(leaves: impl IntoIterator<Item = u32>) -> Vec<Range<u32>> {
    asked_by(IN_ORDER_LEAST_BYTES, leaves)
}

/// Operations of `len` bytes.
fn asked_by(len: u64, leaves: impl IntoIterator<Item = u32>) -> Vec<Range<u32>> {
    let mut ahead = LeafAhead::default();
    leaves.into_iter().filter_map(|leaf| ahead.observe(LeafNo(leaf), len)).collect()
}

#[test]
fn in_order_each_leaf_is_asked_for_once_and_in_time() {
    let asked = asked((0..20).flat_map(|leaf| [leaf; 3]));
    assert_eq!(asked[0], 2..2 + LEAVES_AHEAD);
    for pair in asked.windows(2) {
        assert_eq!(pair[0].end, pair[1].start);
    }
}

#[test]
fn operations_that_overtake_each_other_are_still_in_order() {
    assert_eq!(asked([0, 1, 0, 1, 1, 0, 2, 1, 2]), [2..2 + LEAVES_AHEAD, 2 + LEAVES_AHEAD..3 + LEAVES_AHEAD]);
}

#[test]
fn a_jump_asks_for_nothing_and_begins_anew() {
    assert!(asked((0..100).map(|index| index * 7919 % 97 * 3)).is_empty());
    assert_eq!(asked([50, 51, 3, 4]), [52..52 + LEAVES_AHEAD, 5..5 + LEAVES_AHEAD]);
}

#[test]
fn small_operations_that_come_upon_the_next_leaf_by_chance_ask_for_nothing() {
    assert!(asked_by(4096, (0..100).flat_map(|index| [index * 7919 % 97 * 3, index * 7919 % 97 * 3 + 1])).is_empty());
    assert!(asked_by(IN_ORDER_LEAST_BYTES / 4, [0, 0, 1]).is_empty());
    assert_eq!(asked_by(IN_ORDER_LEAST_BYTES / 4, [0, 0, 0, 1]).first(), Some(&(2..2 + LEAVES_AHEAD)));
}

/// A map of leaves (number, page, bytes), none of them in memory.
fn map(leaves: &[(u32, u32, u32)]) -> ExtentMap<LeafPlace> {
    let mut map = ExtentMap::new();
    map.load_root(leaves.iter().map(|&(leaf, page, len)| (LeafNo(leaf), place(page, len), 4096)));
    map
}

fn place(page: u32, len: u32) -> LeafPlace {
    let checkpoint = CheckpointId { epoch: 1, number: 1 };
    LeafPlace { base: LeafPointer { checkpoint, page, offset: 44, len }, patch: None }
}

fn loaded_together(leaves: &[(u32, u32, u32)], size: u64, needed: (u32, u32, u32)) -> Vec<u32> {
    let (leaf, page, len) = needed;
    together(&map(leaves), size, (LeafNo(leaf), place(page, len))).iter().map(|(leaf, _)| leaf.0).collect()
}

#[test]
fn small_leaves_of_one_page_come_together() {
    let leaves: Vec<_> = (0..100).map(|leaf| (leaf, u32::from(leaf >= 40), 130)).collect();
    let size = 200 * u64::from(LEAF_SPAN_BYTES);
    assert_eq!(loaded_together(&leaves, size, leaves[33]), [33, 32, 34, 35, 36, 37, 38, 39]);
    assert_eq!(loaded_together(&leaves, 3 * u64::from(LEAF_SPAN_BYTES) - 1, leaves[1]), [1, 0, 2]);
    let large: Vec<_> = (0..10).map(|leaf| (leaf, 0, LEAVES_TOGETHER_BYTES / 3)).collect();
    assert_eq!(loaded_together(&large, size, large[5]), [5, 0, 1]);
    let largest = (0, 0, LEAVES_TOGETHER_BYTES + 1);
    assert_eq!(loaded_together(&[largest, (1, 0, 130)], size, largest), [0]);
}
