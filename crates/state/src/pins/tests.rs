use super::*;
use lsd_core::format::header::CheckpointPointer;
use lsd_core::units::Seq;

fn log() -> LogRecord {
    let id = CheckpointId { epoch: 3, number: 7 };
    let checkpoint = CheckpointPointer { id, frontier: Seq(9), first_root_page: 4, root_pages: 2 };
    LogRecord { checkpoint: Some(checkpoint), replay_from: SegmentNo(5), ..LogRecord::default() }
}

#[test]
fn nothing_that_replay_reads_is_deleted() {
    let pins = Pins::of_log(&log());
    let entry = |segment, live| SegmentEntry { segment: SegmentNo(segment), len: 8192, live, timestamp_ns: 0 };
    assert_eq!(pins.segment(&entry(4, 0)), None);
    assert_eq!(pins.segment(&entry(5, 0)), Some(Pin::Replay));
    assert_eq!(pins.segment(&entry(4, 1)), Some(Pin::Map));
}

#[test]
fn pages_of_leaves_and_of_the_root_stay() {
    let (id, older) = (CheckpointId { epoch: 3, number: 7 }, CheckpointId { epoch: 3, number: 6 });
    let pins = Pins::new(&log(), BTreeSet::from([(older, 2)]));
    assert_eq!(pins.page((older, 2)), Some(Pin::Map));
    assert_eq!(pins.page((older, 3)), None);
    assert_eq!([3, 4, 5, 6].map(|page| pins.page((id, page)).is_some()), [false, true, true, false]);
}

#[test]
fn who_did_not_look_at_the_map_deletes_no_page() {
    let id = CheckpointId { epoch: 1, number: 1 };
    assert_eq!(Pins::of_log(&log()).page((id, 0)), Some(Pin::Unknown));
}
