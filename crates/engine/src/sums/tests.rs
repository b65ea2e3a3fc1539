use super::*;

fn table(len: usize, value: u32) -> Table {
    Table::new(vec![value; len])
}

#[test]
fn an_own_segment_grows_until_it_is_sealed() {
    let sums = Sums::default();
    sums.extend(SegmentNo(4), &[1, 2]);
    assert_eq!(sums.lock().get(SegmentNo(4), 2), Some(Table::new(vec![1, 2])));
    assert_eq!(sums.lock().get(SegmentNo(4), 3), None, "blocks that it does not have yet");
    sums.extend(SegmentNo(4), &[3]);
    assert_eq!(*sums.seal(SegmentNo(4)), [1, 2, 3]);
    assert!(sums.lock().get(SegmentNo(4), 9).is_some(), "a sealed one is all there is");
    sums.forget(SegmentNo(4));
    assert_eq!(sums.lock().get(SegmentNo(4), 0), None);
}

#[test]
fn tables_stay_within_their_memory_and_open_ones_are_not_dropped() {
    let mut tables = Tables::default();
    let big = SUM_TABLES_BYTES / 4 / 4;
    tables.insert(SegmentNo(1), table(10, 1), false);
    for number in 2..20 {
        tables.insert(SegmentNo(number), table(big, 2), true);
        assert!(tables.bytes <= SUM_TABLES_BYTES);
    }
    assert!(tables.get(SegmentNo(1), 10).is_some());
    assert!(tables.get(SegmentNo(2), 1).is_none(), "the oldest is gone");
    assert!(tables.get(SegmentNo(17), 1).is_some());
    tables.insert(SegmentNo(20), table(big, 2), true);
    assert!(tables.get(SegmentNo(17), 1).is_some(), "one that was used stays longer");
    for number in 1..21 {
        tables.remove(SegmentNo(number));
    }
    assert_eq!((tables.bytes, tables.clock.len(), tables.by_segment.len()), (0, 0, 0));
}
