use super::*;
use lsd_core::format::header::CheckpointPointer;
use lsd_core::units::Seq;

fn log() -> LogRecord {
    let id = CheckpointId { epoch: 3, number: 7 };
    let checkpoint = CheckpointPointer { id, frontier: Seq(9), first_root_page: 4, root_pages: 2 };
    LogRecord { checkpoint: Some(checkpoint), replay_from: SegmentNo(5), ..LogRecord::default() }
}

fn entry(segment: u64, live: u32, pins: u32) -> SegmentEntry {
    SegmentEntry { segment: SegmentNo(segment), len: 8192, live, timestamp_ns: 0, kept: live, pins, newest: None }
}

#[test]
fn what_a_snapshot_needs_stays() {
    assert_eq!(Pins::of_log(&log()).segment(&entry(4, 0, 1)), Some(Pin::Snapshot));
    let id = CheckpointId { epoch: 2, number: 1 };
    let root = CheckpointPointer { id, frontier: Seq(5), first_root_page: 8, root_pages: 2 };
    let mut snapshots = SnapshotPins::default();
    snapshots.add(SnapId(1), root, &BTreeSet::from([(id, 3), (id, 4)]));
    snapshots.add(SnapId(2), root, &BTreeSet::from([(id, 4)]));
    let pinned = |snapshots: &SnapshotPins| {
        let pins = Pins::new(&log(), BTreeSet::new(), snapshots.clone());
        [3, 4, 7, 8, 9, 10].map(|page| pins.page((id, page)) == Some(Pin::Snapshot))
    };
    assert_eq!(pinned(&snapshots), [true, true, false, true, true, false]);
    snapshots.remove(SnapId(1), &BTreeSet::from([(id, 3), (id, 4)]));
    assert_eq!(pinned(&snapshots), [false, true, false, true, true, false], "the other one has the same root");
    snapshots.remove(SnapId(2), &BTreeSet::from([(id, 4)]));
    assert_eq!(pinned(&snapshots), [false; 6]);
}

#[test]
fn nothing_that_replay_reads_is_deleted() {
    let pins = Pins::of_log(&log());
    let entry = |segment, live| entry(segment, live, 0);
    assert_eq!(pins.segment(&entry(4, 0)), None);
    assert_eq!(pins.segment(&entry(5, 0)), Some(Pin::Replay));
    assert_eq!(pins.segment(&entry(4, 1)), Some(Pin::Map));
}

#[test]
fn pages_of_leaves_and_of_the_root_stay() {
    let (id, older) = (CheckpointId { epoch: 3, number: 7 }, CheckpointId { epoch: 3, number: 6 });
    let pins = Pins::new(&log(), BTreeSet::from([(older, 2)]), SnapshotPins::default());
    assert_eq!(pins.page((older, 2)), Some(Pin::Map));
    assert_eq!(pins.page((older, 3)), None);
    assert_eq!([3, 4, 5, 6].map(|page| pins.page((id, page)).is_some()), [false, true, true, false]);
}

#[test]
fn who_did_not_look_at_the_map_deletes_no_page() {
    let id = CheckpointId { epoch: 1, number: 1 };
    assert_eq!(Pins::of_log(&log()).page((id, 0)), Some(Pin::Unknown));
}
