use super::*;
use lsd_core::format::batch::Batch;
use lsd_core::format::record::{Record, RecordKind};
use lsd_core::units::Epoch;

fn table(len: usize, value: u32) -> Table {
    Table::new(vec![value; len])
}

#[test]
fn an_own_segment_grows_until_it_is_sealed() {
    let sums = ChecksumCache::default();
    sums.extend(SegmentNo(4), &[1, 2]);
    assert_eq!(sums.lock().get(SegmentNo(4), 2), Some(Table::new(vec![1, 2])));
    assert_eq!(sums.lock().get(SegmentNo(4), 3), Some(Table::new(vec![1, 2])), "the store has no more of it");
    assert_eq!(*sums.lock().learn(SegmentNo(4), table(1, 7), Segment::Open), [1, 2]);
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
    tables.insert(SegmentNo(1), table(10, 1), Segment::Open);
    for number in 2..20 {
        tables.insert(SegmentNo(number), table(big, 2), Segment::Sealed);
        assert!(tables.bytes <= SUM_TABLES_BYTES);
    }
    assert!(tables.get(SegmentNo(1), 10).is_some());
    assert!(tables.get(SegmentNo(2), 1).is_none(), "the oldest is gone");
    assert!(tables.get(SegmentNo(17), 1).is_some());
    tables.insert(SegmentNo(20), table(big, 2), Segment::Sealed);
    assert!(tables.get(SegmentNo(17), 1).is_some(), "one that was used stays longer");
    for number in 1..21 {
        tables.remove(SegmentNo(number));
    }
    assert_eq!((tables.bytes, tables.clock.len(), tables.by_segment.len()), (0, 0, 0));
}

/// Of a segment that was never sealed, where the batches' own checksums are all there is: of copies as of writes.
#[test]
fn damaged_data_of_any_kind_makes_its_blocks_unreadable_and_no_others() {
    let identity =
        SegmentIdentity { image: lsd_core::format::ImageUuid([3; 16]), epoch: Epoch(1), segment: SegmentNo(5) };
    let data = [vec![1u8; 4096], vec![2u8; 4096]];
    let from = lsd_core::units::Loc::new(SegmentNo(2), 4096);
    let kinds = [
        RecordKind::Write { len: 4096, data_offset: 4096, data_crc: crc32c(&data[0]) },
        RecordKind::Relocate { len: 4096, data_offset: 8192, data_crc: crc32c(&data[1]), from },
    ];
    let records = kinds.map(|kind| Record { offset: 0, kind });
    let planned = Batch {
        place: identity.place(0),
        first_seq: lsd_core::units::Seq(1),
        timestamp_ns: 0,
        durable: lsd_core::units::Seq(0),
        total_len: 0,
        records: records.to_vec(),
        share: None,
    };
    let parts = batch::encode(&planned, 8192, BLOCK_BYTES);
    let good = [parts.head, data.concat(), parts.tail].concat();
    for damaged in [1, 2] {
        let mut bytes = good.clone();
        bytes[damaged * 4096 + 7] ^= 1;
        let sums = sums_of_batches(&identity, &bytes, TailRule::Whole).unwrap();
        for (block, sum) in sums.iter().enumerate() {
            let is_right = crc32c(&bytes[block * 4096..][..4096]) == *sum;
            assert_eq!(is_right, block != damaged, "block {block} with damage in {damaged}");
        }
    }
}

#[test]
fn what_somebody_else_fills_is_read_again_when_it_has_grown() {
    let mut tables = Tables::default();
    assert_eq!(tables.learn(SegmentNo(1), table(2, 5), Segment::Open).len(), 2);
    assert!(tables.get(SegmentNo(1), 2).is_some());
    assert!(tables.get(SegmentNo(1), 3).is_none());
    assert_eq!(tables.learn(SegmentNo(1), table(3, 5), Segment::Open).len(), 3);
}
