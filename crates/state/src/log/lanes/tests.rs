use super::*;

const SEGMENT: u32 = 1 << 20;

/// A lane whose segment has so many bytes and records.
fn lanes_with(len: u32, records: usize) -> Lanes {
    let mut lanes = Lanes::new(SegmentNo(1), SEGMENT, 1);
    let (number, _) = lanes.place(0);
    lanes.lanes[0].segment = Some(OpenSegment { number, len, records, batches: Vec::new() });
    lanes
}

#[test]
fn a_segment_of_large_writes_becomes_longer() {
    let long = SEGMENT + 4096;
    assert!(lanes_with(long, 4).end_if_full(0, 4096).is_none());
    // What begins with large writes has no room for small ones once it is longer than their segments.
    assert!(lanes_with(long, 64).end_if_full(0, 4096).is_some());
    assert!(lanes_with(SEGMENT * LARGE_RECORDS_FACTOR - 8192, 4).end_if_full(0, 8192).is_some());
}

#[test]
fn a_segment_that_may_not_have_another_full_batch_of_records_ends() {
    let most = MAX_SEGMENT_RECORDS - MAX_BATCH_RECORDS;
    let mut lanes = Lanes::new(SegmentNo(1), 8 << 20, 1);
    let (number, _) = lanes.place(0);
    for (records, ends) in [(most, false), (most + 1, true)] {
        lanes.lanes[0].segment = Some(OpenSegment { number, len: 1 << 20, records, batches: Vec::new() });
        assert_eq!(lanes.end_if_full(0, 4096).is_some(), ends, "{records}");
    }
}
