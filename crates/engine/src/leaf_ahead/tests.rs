use super::*;

fn asked(leaves: impl IntoIterator<Item = u32>) -> Vec<Range<u32>> {
    let mut ahead = LeafAhead::default();
    leaves.into_iter().filter_map(|leaf| ahead.observe(LeafNo(leaf))).collect()
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
