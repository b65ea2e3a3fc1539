use super::{Heat, Temperature};
use crate::units::LeafNo;

const LIVE: u64 = 4 << 30;

/// 64 leaves, written in turn; leaf n gets `weight(n)` writes a turn.
fn written(turns: u64, weight: impl Fn(u32) -> u64) -> Heat {
    let mut heat = Heat::default();
    for _ in 0..turns {
        for leaf in 0..64 {
            (0..weight(leaf)).for_each(|_| heat.note(LeafNo(leaf), 64 << 10, LIVE));
        }
    }
    heat
}

#[test]
fn nothing_stands_out_where_all_is_written_alike() {
    let heat = written(500, |_| 1);
    assert!((0..64).all(|leaf| heat.temperature(LeafNo(leaf), 64) == Temperature::Even));
}

#[test]
fn four_fifths_of_the_writes_make_a_fifth_of_the_image_hot() {
    let heat = written(200, |leaf| if leaf < 13 { 16 } else { 1 });
    assert!((0..13).all(|leaf| heat.temperature(LeafNo(leaf), 64) == Temperature::Hot));
    assert!((13..64).all(|leaf| heat.temperature(LeafNo(leaf), 64) == Temperature::Cold));
}

#[test]
fn too_little_says_nothing() {
    let heat = written(1, |leaf| if leaf < 13 { 16 } else { 1 });
    assert!((0..64).all(|leaf| heat.temperature(LeafNo(leaf), 64) == Temperature::Even));
    assert_eq!(Heat::default().temperature(LeafNo(0), 0), Temperature::Even);
}

#[test]
fn what_was_hot_cools() {
    let mut heat = written(200, |leaf| if leaf < 13 { 16 } else { 1 });
    for turn in 0..40_000u32 {
        heat.note(LeafNo(32 + turn % 13), 64 << 10, LIVE);
    }
    assert_eq!(heat.temperature(LeafNo(0), 64), Temperature::Cold);
    assert_eq!(heat.temperature(LeafNo(32), 64), Temperature::Hot);
}
