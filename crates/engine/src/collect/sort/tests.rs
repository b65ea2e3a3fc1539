use super::*;

const BEFORE: SegmentNo = SegmentNo(100);

fn extent(offset: u64, len: u64, segment: u32) -> Extent {
    Extent { offset, len, loc: Some(Loc::new(SegmentNo(segment.into()), 4096)) }
}

fn offsets(extents: &[Extent]) -> Vec<u64> {
    scattered(extents, BEFORE).iter().map(|extent| extent.offset).collect()
}

#[test]
fn neighbours_in_the_image_are_scattered_when_both_are_short() {
    assert_eq!(offsets(&[extent(0, 4096, 1), extent(4096, 512, 2), extent(4608, 8192, 1)]), [0, 4096, 4608]);
    assert_eq!(offsets(&[extent(0, 4096, 1), extent(8192, 4096, 2)]), [0u64; 0], "nothing is between them to be read");
    assert_eq!(offsets(&[extent(0, 4096, 1), extent(4096, SORT_EXTENT_BYTES, 2), extent(69632, 4096, 3)]), [0u64; 0]);
}

#[test]
fn holes_and_what_replay_may_need_are_left_alone() {
    let hole = Extent { offset: 4096, len: 4096, loc: None };
    assert_eq!(offsets(&[extent(0, 4096, 1), hole, extent(8192, 4096, 2)]), [0u64; 0]);
    assert_eq!(
        offsets(&[extent(0, 4096, 1), extent(4096, 4096, 100), extent(8192, 4096, 2), extent(12288, 4096, 3)]),
        [8192, 12288]
    );
}
