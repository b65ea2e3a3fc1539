use super::*;

#[test]
fn the_window_counts_from_the_oldest_number_that_is_not_there() {
    assert!(may_create(SegmentNo(10), SegmentNo(10)));
    assert!(may_create(SegmentNo(10 + CREATE_WINDOW - 1), SegmentNo(10)));
    assert!(!may_create(SegmentNo(10 + CREATE_WINDOW), SegmentNo(10)));
}

#[test]
fn tombstones_cover_everything_the_old_owner_may_create() {
    // The old owner's oldest uncreated number is at most the one after the last seen.
    let last_seen = SegmentNo(41);
    let range = tombstone_range(SegmentNo(40), last_seen);
    assert_eq!(*range.start(), 40, "numbers that were left out are taken as well");
    assert!(may_create(SegmentNo(*range.end()), last_seen.next()));
    assert!(!may_create(SegmentNo(range.end() + 1), last_seen.next()));
}

#[test]
fn a_checkpoint_waits_for_everything_it_covers() {
    assert!(may_commit_checkpoint(Seq(7), Seq(7)));
    assert!(!may_commit_checkpoint(Seq(8), Seq(7)));
}
