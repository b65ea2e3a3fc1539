use super::*;

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
