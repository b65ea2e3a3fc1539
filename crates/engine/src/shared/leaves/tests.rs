use super::*;
use lsd_core::format::checkpoint::LeafPointer;
use lsd_core::units::CheckpointId;

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
