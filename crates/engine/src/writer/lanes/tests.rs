use super::*;
use lsd_core::format::ImageUuid;
use lsd_core::format::batch::BatchPlace;
use lsd_core::format::record::{Record, RecordKind};
use lsd_core::units::{Epoch, Seq};

const SEGMENT: u32 = 1 << 20;

/// Fills one segment with batches of so many bytes and records: its length when it ends.
fn length_at_end(bytes: u32, records: usize) -> u32 {
    let mut lanes = Lanes::new(SegmentNo(1), SEGMENT, 1);
    let record = Record { offset: 0, kind: RecordKind::Write { len: 4096, data_offset: 4096, data_crc: 0 } };
    loop {
        let (segment, offset, room) = lanes.place(0);
        assert!(room + BATCH_HEADER_BYTES as u32 >= bytes, "no room where the segment did not end");
        let place = BatchPlace { image: ImageUuid([0; 16]), epoch: Epoch(1), segment, offset };
        let records = vec![record; records];
        let batch = Batch { place, first_seq: Seq(1), timestamp_ns: 0, total_len: bytes, records, share: None };
        lanes.add(0, &Arc::new(batch));
        if let Some(Ended { segment, seal_len }) = lanes.end_if_full(0, bytes) {
            return segment.len + seal_len;
        }
    }
}

#[test]
fn a_segment_of_large_writes_becomes_longer() {
    let small = length_at_end(LARGE_RECORD_BYTES, 2);
    assert!((SEGMENT / 2..=SEGMENT).contains(&small), "{small}");
    let large = length_at_end(LARGE_RECORD_BYTES, 1);
    assert!((SEGMENT + 1..=SEGMENT * LARGE_RECORDS_FACTOR).contains(&large), "{large}");
}

/// What begins with large writes has no room for small ones once it is longer than their segments.
#[test]
fn small_writes_end_a_long_segment() {
    let mut lanes = Lanes::new(SegmentNo(1), SEGMENT, 1);
    let (number, ..) = lanes.place(0);
    lanes.lanes[0].segment = Some(OpenSegment { number, len: SEGMENT + 4096, records: 4, batches: Vec::new() });
    assert!(lanes.end_if_full(0, 4096).is_none());
    lanes.lanes[0].segment.as_mut().unwrap().records = 64;
    assert!(lanes.end_if_full(0, 4096).is_some());
}
