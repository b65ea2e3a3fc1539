use super::*;
use crate::format::ImageUuid;
use crate::format::batch::BatchPlace;
use crate::format::codec::crc32c;
use crate::format::record::{Record, RecordKind};
use crate::format::share::Share;
use crate::units::{Epoch, SegmentNo};

const IMAGE: ImageUuid = ImageUuid([7; 16]);

fn batch(epoch: u64, segment: u64, first: u64, records: usize) -> Batch {
    Batch {
        place: BatchPlace { image: IMAGE, epoch: Epoch(epoch), segment: SegmentNo(segment), offset: 0 },
        first_seq: Seq(first),
        timestamp_ns: 0,
        durable: Seq(0),
        total_len: 4096,
        records: vec![Record { offset: 0, kind: RecordKind::Discard { len: 1 } }; records],
        share: None,
    }
}

/// A share of a group of `records` from `first` on.
fn share(segment: u64, first: u64, records: u32, steps: &[u32]) -> Batch {
    let share = Some(Share { group_records: records, steps: steps.to_vec() });
    Batch { share, ..batch(1, segment, first, steps.len()) }
}

fn start(epoch: u64, first_segment: u64, first_seq: u64) -> EpochStart {
    EpochStart { epoch: Epoch(epoch), first_segment: SegmentNo(first_segment), first_seq: Seq(first_seq) }
}

#[test]
fn order_of_discovery_does_not_matter() {
    let log = join(vec![batch(1, 2, 4, 2), batch(1, 1, 1, 3), batch(1, 1, 6, 1)], Seq(0), &[start(1, 1, 1)]).unwrap();
    assert_eq!(log.end, Seq(6));
    assert_eq!(log.batches.iter().map(|b| b.first_seq.0).collect::<Vec<_>>(), [1, 4, 6]);
}

#[test]
fn what_lies_beyond_a_gap_does_not_count() {
    let log = join(vec![batch(1, 1, 1, 3), batch(1, 2, 5, 1)], Seq(0), &[start(1, 1, 1)]).unwrap();
    assert_eq!((log.end, log.dropped), (Seq(3), 1));
}

#[test]
fn what_the_checkpoint_covers_is_skipped() {
    let log = join(vec![batch(1, 1, 1, 3), batch(1, 1, 4, 1)], Seq(3), &[start(1, 1, 1)]).unwrap();
    assert_eq!((log.end, log.batches.len(), log.dropped), (Seq(4), 1, 0));
}

#[test]
fn a_batch_that_the_takeover_did_not_see_does_not_count() {
    // Epoch 1 wrote 1..=3; the takeover saw that; then 4 of epoch 1 arrived late, beside the new owner's 4.
    let found = vec![batch(1, 1, 1, 3), batch(1, 2, 4, 1), batch(2, 3, 4, 2)];
    let log = join(found, Seq(0), &[start(1, 1, 1), start(2, 3, 4)]).unwrap();
    assert_eq!(log.batches.iter().map(|b| b.place.epoch.0).collect::<Vec<_>>(), [1, 2]);
    assert_eq!((log.end, log.dropped), (Seq(5), 1));
}

#[test]
fn two_batches_for_one_sequence_are_an_error() {
    assert!(join(vec![batch(1, 1, 1, 3), batch(1, 2, 3, 1)], Seq(0), &[start(1, 1, 1)]).is_err());
}

#[test]
fn a_group_counts_when_all_of_it_is_there() {
    let (hot, cold) = (share(1, 4, 5, &[0, 3]), share(2, 4, 5, &[1, 2, 4]));
    let (before, after) = (batch(1, 3, 1, 3), batch(1, 3, 9, 1));
    let all = vec![after.clone(), cold.clone(), before.clone(), hot.clone()];
    let log = join(all, Seq(0), &[start(1, 1, 1)]).unwrap();
    assert_eq!((log.end, log.dropped, log.groups().count()), (Seq(9), 0, 3));
    let group = log.groups().nth(1).unwrap();
    let order: Vec<u64> = in_order(group).iter().map(|(_, batch, _)| batch.place.segment.0).collect();
    assert_eq!(order, [1, 2, 2, 1, 2]);

    for missing in [&hot, &cold] {
        let found = vec![after.clone(), before.clone(), (*missing).clone()];
        let log = join(found, Seq(0), &[start(1, 1, 1)]).unwrap();
        assert_eq!((log.end, log.dropped), (Seq(3), 2), "a group that is not all there ends the log");
    }
}

#[test]
fn a_group_that_the_checkpoint_covers_is_skipped_whole() {
    let log = join(vec![share(1, 4, 2, &[0]), batch(1, 2, 6, 1)], Seq(5), &[start(1, 1, 1)]).unwrap();
    assert_eq!((log.end, log.dropped), (Seq(6), 0));
}

#[test]
fn two_shares_with_the_same_sequence_are_an_error() {
    let found = vec![share(1, 1, 4, &[0, 1]), share(2, 1, 4, &[1, 3])];
    assert!(join(found, Seq(0), &[start(1, 1, 1)]).is_err());
}

#[test]
fn a_torn_tail_ends_an_open_segment_only_where_it_may() {
    let identity = SegmentIdentity { image: IMAGE, epoch: Epoch(1), segment: SegmentNo(9) };
    let data = vec![5u8; 4096];
    let records =
        [Record { offset: 0, kind: RecordKind::Write { len: 4096, data_offset: 4096, data_crc: crc32c(&data) } }];
    let mut bytes = Vec::new();
    for seq in [1, 2] {
        let place = identity.place(bytes.len() as u32);
        let planned = Batch { place, durable: Seq(seq - 1), records: records.to_vec(), ..batch(1, 9, seq, 1) };
        let encoded = batch::encode(&planned, 4096, 1);
        bytes.extend_from_slice(&encoded.head);
        bytes.extend_from_slice(&data);
        bytes.extend_from_slice(&encoded.tail);
    }
    let scan = |bytes: &[u8], rule| {
        scan_segment(&identity, bytes, rule).map(|found| (found.batches.len(), found.torn_at, found.durable))
    };
    assert_eq!(scan(&bytes, TailRule::Whole), Ok((2, None, Seq(1))));
    let torn = &bytes[..bytes.len() - 100];
    assert_eq!(scan(torn, TailRule::MayBeTorn), Ok((1, Some(8192), Seq(1))), "what its header says still counts");
    assert_eq!(scan(&bytes[..8192 + 100], TailRule::MayBeTorn), Ok((1, Some(8192), Seq(0))));
    assert!(scan(torn, TailRule::Whole).is_err());
    let mut flipped = bytes.clone();
    flipped[4096 + 10] ^= 1;
    assert!(scan(&flipped, TailRule::Whole).is_err());
    // Behind the damage stands that the damaged one was durable.
    assert_eq!(scan(&flipped, TailRule::MayBeTorn), Ok((0, Some(0), Seq(1))));
}

#[test]
fn a_log_must_reach_what_its_writers_said_was_durable() {
    let mut promises = Promises::default();
    assert_eq!(promises.reach(&[start(1, 1, 1)]), Seq(0));
    promises.add(Epoch(1), Seq(7));
    promises.add(Epoch(1), Seq(4));
    assert_eq!(promises.reach(&[start(1, 1, 1)]), Seq(7));
    assert_eq!(promises.reach(&[start(1, 1, 1), start(2, 3, 6)]), Seq(5), "given up by who began there");
    promises.add(Epoch(2), Seq(9));
    promises.add(Epoch(3), Seq(99));
    assert_eq!(promises.reach(&[start(1, 1, 1), start(2, 3, 6)]), Seq(9));
}
