use super::*;
use lsd_core::format::ImageUuid;
use lsd_core::format::header::ImagePlace;
use lsd_core::units::Seq;

fn start(epoch: u64, first_segment: u64) -> EpochStart {
    EpochStart { epoch: Epoch(epoch), first_segment: SegmentNo(first_segment), first_seq: Seq(first_segment) }
}

fn ancestor(id: &str, last_segment: u64, last_checkpoint: (u32, u32), epochs: Vec<EpochStart>) -> Ancestor {
    Ancestor {
        place: ImagePlace { pool: 1, namespace: String::new(), id: id.into() },
        uuid: ImageUuid([0; 16]),
        data_pool: 1,
        last_segment: SegmentNo(last_segment),
        last_checkpoint: CheckpointId { epoch: last_checkpoint.0, number: last_checkpoint.1 },
        epochs,
    }
}

/// The parent wrote nothing between its own cloning and its child's.
#[test]
fn each_number_belongs_to_one_image_of_the_line() {
    let line = Ancestors::new(vec![
        ancestor("first", 10, (2, 7), vec![start(1, 1), start(2, 6)]),
        ancestor("second", 10, (3, 1), vec![]),
        ancestor("third", 15, (5, 2), vec![start(4, 11), start(5, 13)]),
    ]);
    let log = LogRecord { epochs: vec![start(6, 16)], ..LogRecord::default() };
    let lineage = Lineage::new(line.clone(), &log);
    let home = |whose, epoch| Some(Home { whose, epoch: Epoch(epoch) });
    for (segment, expected) in [
        (0, None),
        (1, home(Whose::Ancestor(0), 1)),
        (10, home(Whose::Ancestor(0), 2)),
        (11, home(Whose::Ancestor(2), 4)),
        (15, home(Whose::Ancestor(2), 5)),
        (16, home(Whose::Own, 6)),
        (1 << 39, home(Whose::Own, 6)),
    ] {
        assert_eq!(lineage.home(SegmentNo(segment)), expected, "segment {segment}");
    }
    let page = |epoch, number| line.of_checkpoint(CheckpointId { epoch, number });
    assert_eq!([page(1, 900), page(2, 7)], [Whose::Ancestor(0); 2]);
    assert_eq!([page(2, 8), page(3, 1)], [Whose::Ancestor(1); 2]);
    assert_eq!([page(3, 2), page(5, 2)], [Whose::Ancestor(2); 2]);
    assert_eq!([page(5, 3), page(6, 1)], [Whose::Own; 2]);
}

#[test]
fn without_ancestors_everything_is_an_images_own() {
    let log = LogRecord { epochs: vec![start(1, 1)], ..LogRecord::default() };
    let lineage = Lineage::new(Ancestors::default(), &log);
    assert_eq!(lineage.home(SegmentNo(0)), None);
    assert_eq!(lineage.home(SegmentNo(1)), Some(Home { whose: Whose::Own, epoch: Epoch(1) }));
    assert!(lineage.is_own(SegmentNo(7)));
}
