use super::*;
use crate::limits::MIN_BATCH_ROOM_BYTES;
use crate::log::budget::Budget;
use crate::log::group::OpenBatch;
use crate::log::{Piece, Stream};
use bytes::Bytes;
use lsd_core::format::ImageUuid;
use lsd_core::format::batch::{BatchPlace, MAX_BATCH_DATA_BYTES};
use lsd_core::format::record::{Record, RecordKind};
use lsd_core::units::{Epoch, SegmentNo, Seq};

const MIB: u32 = 1 << 20;

/// One batch with so many writes of `len` bytes, where the segment has `room` left.
fn group(writes: u32, len: u32, room: u32) -> OpenGroup {
    let place = BatchPlace { image: ImageUuid([0; 16]), epoch: Epoch(1), segment: SegmentNo(1), offset: 0 };
    // Beside the data: a header page, and the checksums and the summary of a segment with little else.
    let most = room + (32 << 10);
    let budget = Budget { len: 0, batches: 0, records: 0, most, alignment: 4096 };
    let mut batch = OpenBatch::new(Stream::Fresh, 0, place, budget);
    for step in 0..writes {
        let (data_offset, _) = batch.push_data(Piece { data: Bytes::from(vec![0; len as usize]), sums: None });
        batch.push(step, Record { offset: 0, kind: RecordKind::Write { len, data_offset, data_crc: 0 } });
    }
    OpenGroup { first_seq: Seq(1), batches: vec![batch] }
}

fn in_flight(batches: &[u32]) -> InFlight {
    let mut flow = InFlight::default();
    batches.iter().for_each(|bytes| flow.add(*bytes));
    flow
}

#[test]
fn the_more_is_in_flight_the_larger_a_batch_becomes() {
    let sent_at = |flow: &InFlight| {
        (1..=64)
            .map(|count| count * BATCH_EAGER_BYTES / 4)
            .find(|bytes| flow.is_worth_sending(&group(bytes / 4096, 4096, MAX_BATCH_DATA_BYTES)))
    };
    assert_eq!(sent_at(&in_flight(&[])), Some(BATCH_EAGER_BYTES));
    assert_eq!(sent_at(&in_flight(&[4096])), Some(BATCH_TARGET_BYTES));
    assert_eq!(sent_at(&in_flight(&[4096, 4096])), Some(MAX_BATCH_DATA_BYTES));
    assert_eq!(sent_at(&in_flight(&[MAX_BATCH_DATA_BYTES])), Some(MAX_BATCH_DATA_BYTES));
}

#[test]
fn a_batch_without_room_for_another_like_its_largest_write_is_full() {
    let busy = in_flight(&[MAX_BATCH_DATA_BYTES; 2]);
    assert!(!busy.is_worth_sending(&group(2, MIB, 3 * MIB + MIN_BATCH_ROOM_BYTES)));
    assert!(busy.is_worth_sending(&group(3, MIB, 3 * MIB + MIN_BATCH_ROOM_BYTES)));
}

#[test]
fn those_who_wait_gather_behind_four_small_batches_or_a_full_one_and_never_behind_nothing() {
    assert!(in_flight(&[4096; 3]).admits_wanted());
    assert!(!in_flight(&[4096; 4]).admits_wanted());
    assert!(in_flight(&[3 * MIB]).admits_wanted());
    let mut full = in_flight(&[3 * MIB, MIB]);
    assert!(!full.admits_wanted());
    full.remove(MIB);
    assert!(full.admits_wanted());
    full.remove(3 * MIB);
    assert!(full.admits_wanted());
}
