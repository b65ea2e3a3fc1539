//! Round trips, golden bytes of every version, and decoders under arbitrary bytes.
use super::batch::{BATCH_HEADER_BYTES, Batch, BatchPlace, decode, encode};
use super::checkpoint::{LeafPlace, LeafPointer, PageIdentity, PageKind, PatchPointer, decode_page, encode_page};
use super::codec::crc32c;
use super::header::{
    CheckpointPointer, EpochStart, ImageRecord, LogRecord, MAX_TOMBS, StateRecord, Tomb, Tombs, decode_epoch,
    decode_requires, decode_text, encode_epoch, encode_requires, encode_text,
};
use super::record::{Record, RecordKind};
use super::root::{LeafEntry, Root, RootPages, SegmentEntry};
use super::segment::{Seal, SegmentIdentity, Summary, decode_seal, decode_summary, encode_seal, encode_summary};
use super::share::Share;
use super::*;
use crate::units::{CheckpointId, Epoch, LeafNo, Loc, SegmentNo, Seq};
use proptest::prelude::*;

const IDENTITY: SegmentIdentity =
    SegmentIdentity { image: ImageUuid(*b"0123456789abcdef"), epoch: Epoch(3), segment: SegmentNo(0x1234) };

fn sample_batch(records: usize) -> (Vec<u8>, Batch) {
    let data: Vec<u8> = (0..records * 512).map(|byte| byte as u8).collect();
    let list: Vec<Record> = (0..records)
        .map(|index| Record {
            offset: index as u64 * 1000,
            kind: RecordKind::Write {
                len: 512,
                data_offset: (BATCH_HEADER_BYTES + index * 512) as u32,
                data_crc: crc32c(&data[index * 512..][..512]),
            },
        })
        .chain([
            Record { offset: 1 << 30, kind: RecordKind::Discard { len: 1 << 40 } },
            Record { offset: 77, kind: RecordKind::WriteZeroes { len: 99 } },
            Record { offset: 5000, kind: RecordKind::Resize { size: 5000 } },
        ])
        .collect();
    let place = IDENTITY.place(8192);
    let batch = batch_of(place, Seq(1000), list);
    encoded(batch, &data)
}

fn batch_of(place: BatchPlace, first_seq: Seq, records: Vec<Record>) -> Batch {
    let timestamp_ns = 1_700_000_000_000_000_000;
    Batch { place, first_seq, timestamp_ns, durable: Seq(0), total_len: 0, records, share: None }
}

fn encoded(mut batch: Batch, data: &[u8]) -> (Vec<u8>, Batch) {
    let parts = encode(&batch, data.len() as u32, 4096);
    batch.total_len = parts.total_len;
    let bytes = [&parts.head[..], data, &parts.tail].concat();
    assert_eq!(bytes.len(), parts.total_len as usize);
    (bytes, batch)
}

/// A batch as garbage collection writes it: nothing but relocations.
fn sample_relocations() -> (Vec<u8>, Batch) {
    let data = [0x5a; 1536];
    let record = |offset, at: usize, len: usize, from| Record {
        offset,
        kind: RecordKind::Relocate {
            len: len as u32,
            data_offset: (BATCH_HEADER_BYTES + at) as u32,
            data_crc: crc32c(&data[at..at + len]),
            from,
        },
    };
    let records = vec![
        record(4096, 0, 1024, Loc::new(SegmentNo(7), 8192)),
        record(1 << 40, 1024, 512, Loc::new(SegmentNo(crate::units::MAX_SEGMENT_NO), 0x00ff_fe00)),
    ];
    let place = IDENTITY.place(0);
    encoded(batch_of(place, Seq(77), records), &data)
}

/// It says what was durable before it.
fn sample_durable() -> (Vec<u8>, Batch) {
    let record = Record { offset: 0, kind: RecordKind::Discard { len: 4096 } };
    let batch = batch_of(IDENTITY.place(0), Seq(1000), vec![record]);
    encoded(Batch { durable: Seq(998), ..batch }, &[])
}

/// The same records as a share of a group that has some more between them.
fn sample_share(records: usize) -> (Vec<u8>, Batch) {
    let (bytes, batch) = sample_batch(records);
    let steps: Vec<u32> = (0..batch.records.len() as u32).map(|index| 70_000 + index * 3).collect();
    let last = batch.records.iter().filter_map(Record::data).map(|data| data.offset + data.len).max();
    let data = bytes[BATCH_HEADER_BYTES..last.unwrap() as usize].to_vec();
    encoded(Batch { share: Some(Share { group_records: 80_000, steps }), ..batch }, &data)
}

fn sample_log() -> LogRecord {
    LogRecord {
        checkpoint: Some(CheckpointPointer {
            id: CheckpointId { epoch: 3, number: 9 },
            frontier: Seq(12345),
            first_root_page: 4,
            root_pages: 2,
        }),
        replay_from: SegmentNo(77),
        epochs: vec![
            EpochStart { epoch: Epoch(1), first_segment: SegmentNo(1), first_seq: Seq(1) },
            EpochStart { epoch: Epoch(3), first_segment: SegmentNo(50), first_seq: Seq(9000) },
        ],
        clean: true,
    }
}

fn sample_tombs() -> Tombs {
    let tomb = |epoch, first, next| Tomb { epoch: Epoch(epoch), first: SegmentNo(first), next: SegmentNo(next) };
    Tombs { known: Epoch(9), more: true, list: vec![tomb(1, 1, 50), tomb(3, 50, 50)] }
}

fn sample_image() -> ImageRecord {
    ImageRecord {
        uuid: IDENTITY.image,
        id: "10226b8b4567".into(),
        order: 22,
        stripe_unit: 1 << 22,
        stripe_count: 1,
        data_pool: -1,
        create_ns: 42,
    }
}

fn sample_root() -> Root {
    let base = LeafPointer { checkpoint: CheckpointId { epoch: 3, number: 8 }, page: 1, offset: 44, len: 120 };
    let at = LeafPlace { base, patch: None };
    Root {
        leaves: vec![LeafEntry { leaf: LeafNo(0), mapped: 4096, at }, LeafEntry { leaf: LeafNo(7), mapped: 1, at }],
        segments: vec![SegmentEntry { segment: SegmentNo(5), len: 8 << 20, live: 1 << 20, timestamp_ns: 6 }],
    }
}

/// The second leaf has a patch.
fn sample_patched_root() -> Root {
    let mut root = sample_root();
    let at = LeafPointer { checkpoint: CheckpointId { epoch: 4, number: 1 }, page: 3, offset: 99, len: 77 };
    root.leaves[1].at.patch = Some(PatchPointer { at, spent: 200 });
    root
}

fn root_page(root: &Root) -> Vec<u8> {
    encode_page(&PAGE, root.kind(), &root.encode())
}

fn decode_root(page: &[u8]) -> FormatResult<Root> {
    let mut pages = RootPages::default();
    pages.add(&PAGE, page)?;
    pages.decode()
}

const STATE: StateRecord =
    StateRecord { size: 1 << 40, features: 61, op_features: 0, flags: 0, access_ns: 1, modify_ns: 2 };
const PAGE: PageIdentity =
    PageIdentity { image: IDENTITY.image, checkpoint: CheckpointId { epoch: 3, number: 9 }, page: 2 };

/// Every structure with its golden file: released bytes stay readable for ever.
fn golden() -> Vec<(&'static str, Vec<u8>, &'static [u8])> {
    vec![
        ("batch", sample_batch(130).0, include_bytes!("../../testdata/v1/batch.bin")),
        (
            "summary",
            encode_summary(&IDENTITY, &[sample_batch(3).1, sample_batch(130).1], Seq(0), 4096),
            include_bytes!("../../testdata/v1/summary.bin"),
        ),
        ("header-image", sample_image().encode(), include_bytes!("../../testdata/v1/header-image.bin")),
        ("header-state", STATE.encode(), include_bytes!("../../testdata/v1/header-state.bin")),
        ("header-epoch", encode_epoch(Epoch(3)), include_bytes!("../../testdata/v1/header-epoch.bin")),
        ("header-log", sample_log().encode(), include_bytes!("../../testdata/v1/header-log.bin")),
        ("header-requires", encode_requires(5), include_bytes!("../../testdata/v1/header-requires.bin")),
        ("header-text", encode_text("grüße"), include_bytes!("../../testdata/v1/header-text.bin")),
        ("header-tombs", sample_tombs().encode(), include_bytes!("../../testdata/v1/header-tombs.bin")),
        ("root-page", root_page(&sample_root()), include_bytes!("../../testdata/v1/root-page.bin")),
        (
            "seal",
            encode_seal(&IDENTITY, &[1, 2, 0xffff_ffff], &[sample_batch(3).1, sample_batch(130).1], Seq(0), 4096),
            include_bytes!("../../testdata/v1/seal.bin"),
        ),
        ("share", sample_share(130).0, include_bytes!("../../testdata/v2/share.bin")),
        ("durable", sample_durable().0, include_bytes!("../../testdata/v2/durable.bin")),
        (
            "summary-durable",
            encode_summary(&IDENTITY, &[sample_durable().1], Seq(999), 4096),
            include_bytes!("../../testdata/v2/summary-durable.bin"),
        ),
        (
            "summary-shares",
            encode_summary(&IDENTITY, &[sample_batch(3).1, sample_share(130).1], Seq(0), 4096),
            include_bytes!("../../testdata/v2/summary-shares.bin"),
        ),
        ("relocations", sample_relocations().0, include_bytes!("../../testdata/v1/relocations.bin")),
        (
            "patched-root-page",
            root_page(&sample_patched_root()),
            include_bytes!("../../testdata/v2/patched-root-page.bin"),
        ),
    ]
}

/// Golden files of a second version, or with a field that was reserved in the first; all others are of the first.
const V2: &[&str] = &["durable", "patched-root-page", "share", "summary-durable", "summary-shares"];

#[test]
fn bytes_are_as_released() {
    // LSD_WRITE_GOLDEN=1 writes files that do not exist yet; it never changes one that does.
    for (name, bytes, kept) in golden() {
        if kept.is_empty() && std::env::var_os("LSD_WRITE_GOLDEN").is_some() {
            let version = if V2.contains(&name) { 2 } else { 1 };
            let path = format!("{}/testdata/v{version}/{name}.bin", env!("CARGO_MANIFEST_DIR"));
            std::fs::write(path, &bytes).unwrap();
            continue;
        }
        assert_eq!(bytes, kept, "{name}");
    }
}

#[test]
fn everything_comes_back() {
    let (bytes, batch) = sample_batch(130);
    assert_eq!(decode(&IDENTITY.place(8192), &bytes, true).unwrap(), batch);
    let (bytes, relocations) = sample_relocations();
    assert_eq!(decode(&IDENTITY.place(0), &bytes, true).unwrap(), relocations);
    let (bytes, share) = sample_share(130);
    assert_eq!(decode(&IDENTITY.place(8192), &bytes, true).unwrap(), share);
    let (bytes, durable) = sample_durable();
    assert_eq!(decode(&IDENTITY.place(0), &bytes, true).unwrap(), durable);
    let batches = vec![sample_batch(3).1, batch, relocations, share];
    let encoded = encode_summary(&IDENTITY, &batches, Seq(5), 4096);
    let summary = Summary { batches: batches.clone(), durable: Seq(5) };
    assert_eq!(decode_summary(&IDENTITY, &encoded).unwrap(), summary);
    let seal = encode_seal(&IDENTITY, &[7, 8], &batches, Seq(5), 4096);
    assert_eq!(decode_seal(&IDENTITY, &seal).unwrap(), Seal { sums: vec![7, 8], summary });
    assert!(decode_seal(&IDENTITY, &encoded).is_err(), "a summary alone");
    assert_eq!(ImageRecord::decode(&sample_image().encode()).unwrap(), sample_image());
    assert_eq!(StateRecord::decode(&STATE.encode()).unwrap(), STATE);
    assert_eq!(decode_epoch(&encode_epoch(Epoch(3))).unwrap(), Epoch(3));
    assert_eq!(LogRecord::decode(&sample_log().encode()).unwrap(), sample_log());
    assert_eq!(decode_requires(&encode_requires(5)).unwrap(), 5);
    assert_eq!(decode_text(&encode_text("grüße")).unwrap(), "grüße");
    assert_eq!(Tombs::decode(&sample_tombs().encode()).unwrap(), sample_tombs());
    for root in [sample_root(), sample_patched_root()] {
        assert_eq!(decode_root(&root_page(&root)).unwrap(), root);
    }
}

#[test]
fn patches_are_refused_where_none_may_be() {
    let (plain, patched) = (sample_root(), sample_patched_root());
    let refused = |page: &[u8]| decode_page(&PAGE, PageKind::Root, page).unwrap_err().why;
    assert_eq!(refused(&root_page(&patched)), Refusal::Version(2), "a reader that does not know patches");
    assert!(Root::decode(PageKind::Root, &patched.encode()).is_err());
    assert!(Root::decode(PageKind::PatchedRoot, &plain.encode()).is_err());
    let bytes = patched.encode();
    let patch_at = bytes.len() - 28;
    for (leaf, why) in [(1u32, "of no leaf"), (0, "good"), (8, "of no leaf")] {
        let mut bytes = bytes.clone();
        bytes[patch_at..patch_at + 4].copy_from_slice(&leaf.to_le_bytes());
        assert_eq!(Root::decode(PageKind::PatchedRoot, &bytes).is_ok(), why == "good", "leaf {leaf}: {why}");
    }
    let mut twice = bytes.clone();
    twice[8] = 2;
    twice.extend_from_slice(&bytes[patch_at..]);
    assert!(Root::decode(PageKind::PatchedRoot, &twice).is_err());
    let none = [&plain.encode()[..8], &[0; 4], &plain.encode()[8..]].concat();
    assert_eq!(Root::decode(PageKind::PatchedRoot, &none).unwrap_err().why, Refusal::Value("patches"));
    // The pages of one root are all of one version.
    let mut pages = RootPages::default();
    pages.add(&PAGE, &root_page(&plain)).unwrap();
    assert!(pages.add(&PAGE, &root_page(&patched)).is_err());
}

#[test]
fn bytes_of_another_place_are_refused() {
    let (bytes, _) = sample_batch(3);
    let foreign = |place| decode(&place, &bytes, true).unwrap_err().why;
    let other_image = SegmentIdentity { image: ImageUuid([1; 16]), ..IDENTITY };
    assert_eq!(foreign(other_image.place(8192)), Refusal::Foreign("image"));
    assert_eq!(foreign(SegmentIdentity { epoch: Epoch(4), ..IDENTITY }.place(8192)), Refusal::Foreign("epoch"));
    assert_eq!(foreign(IDENTITY.place(4096)), Refusal::Foreign("offset"));
}

#[test]
fn a_share_that_makes_no_sense_is_refused() {
    let (bytes, batch) = sample_share(130);
    let refused = |at: usize, value: &[u8]| {
        let mut bytes = bytes.clone();
        bytes[at..at + value.len()].copy_from_slice(value);
        mend_checksum(&mut bytes, 8, BATCH_HEADER_BYTES);
        decode(&batch.place, &bytes, true).unwrap_err().why
    };
    let step_of_second = 128 + 32 + 29;
    assert_eq!(refused(step_of_second, &70_000u32.to_le_bytes()[..3]), Refusal::Value("step"), "twice");
    assert_eq!(refused(step_of_second, &80_000u32.to_le_bytes()[..3]), Refusal::Value("step"), "beyond the group");
    assert_eq!(refused(80, &[0; 4]), Refusal::Value("records of the group"), "version 2 and no group");
    assert_eq!(refused(80, &((1u32 << 24) + 1).to_le_bytes()), Refusal::Value("records of the group"));
    assert_eq!(refused(4, &[1]), Refusal::Value("records of the group"), "version 1 and a group");
    assert_eq!(refused(56, &(u64::MAX - 70_000).to_le_bytes()), Refusal::Value("record count"), "no last sequence");
}

#[test]
fn a_relocation_from_nowhere_is_refused() {
    let (bytes, batch) = sample_relocations();
    for from in [0, 99, Loc::new(SegmentNo(7), 0x00ff_ffff).0] {
        let mut bytes = bytes.clone();
        bytes[128 + 8..128 + 16].copy_from_slice(&u64::to_le_bytes(from));
        mend_checksum(&mut bytes, 8, BATCH_HEADER_BYTES);
        let refused = decode(&batch.place, &bytes, true).unwrap_err();
        assert_eq!(refused.why, Refusal::Value("kind"), "from {from:#x}");
    }
}

#[test]
fn epochs_own_ranges_of_segment_numbers() {
    let log = sample_log();
    assert_eq!(log.epoch_of(SegmentNo(49)), Some(Epoch(1)));
    assert_eq!(log.epoch_of(SegmentNo(50)), Some(Epoch(3)));
    assert_eq!(log.epoch_of(SegmentNo(0)), None);
}

#[test]
fn epochs_stay_as_long_as_something_of_them_is_left() {
    let start =
        |epoch, first| EpochStart { epoch: Epoch(epoch), first_segment: SegmentNo(first), first_seq: Seq(first) };
    // Epoch 3 has made no segment.
    let epochs = vec![start(1, 1), start(2, 10), start(3, 20), start(4, 20), start(6, 30)];
    let log = LogRecord { epochs, ..LogRecord::default() };
    let needed = |replay_from, segments: &[u64]| -> Vec<u64> {
        let kept = log.epochs_needed(SegmentNo(replay_from), segments.iter().map(|no| SegmentNo(*no)));
        let pruned = LogRecord { epochs: kept.clone(), ..LogRecord::default() };
        for no in segments.iter().copied().chain(replay_from..40).map(SegmentNo) {
            assert_eq!(pruned.epoch_of(no), log.epoch_of(no), "segment {no} under another name");
        }
        kept.into_iter().map(|start| start.epoch.0).collect()
    };
    assert_eq!(needed(30, &[]), [6]);
    assert_eq!(needed(99, &[]), [6], "the owner's own, whatever it has written");
    assert_eq!(needed(30, &[9, 20, 29]), [1, 4, 6]);
    assert_eq!(needed(25, &[10]), [2, 4, 6]);
    assert_eq!(needed(1, &[]), [1, 2, 3, 4, 6]);
    assert!(LogRecord::default().epochs_needed(SegmentNo(1), [SegmentNo(5)].into_iter()).is_empty());
}

#[test]
fn tombstones_are_noted_where_an_owner_did_not_give_the_image_back() {
    let start =
        |epoch, first| EpochStart { epoch: Epoch(epoch), first_segment: SegmentNo(first), first_seq: Seq(first) };
    let mut log = LogRecord { epochs: vec![start(1, 1), start(2, 10)], clean: false, ..LogRecord::default() };
    let epochs = |tombs: &Tombs| tombs.list.iter().map(|tomb| tomb.epoch.0).collect::<Vec<_>>();
    let tombs = Tombs::default().with_takeover(&log, Epoch(4), SegmentNo(20));
    assert_eq!(epochs(&tombs), [1, 2], "what an earlier version did, and the new one");
    log.epochs.push(start(4, 20));
    assert_eq!(tombs.clone().with(&log), tombs, "the same again is nothing new");
    log.clean = true;
    let tombs = tombs.with_takeover(&log, Epoch(5), SegmentNo(30));
    assert_eq!(epochs(&tombs), [1, 2]);
    log = LogRecord { epochs: vec![start(5, 30), start(6, 40), start(7, 50)], clean: false, ..log };
    let tombs = tombs.with_takeover(&log, Epoch(8), SegmentNo(60));
    assert_eq!(epochs(&tombs), [1, 2, 5, 6, 7], "an earlier version had it in between");
    let mut tombs = tombs;
    for epoch in 8..8 + MAX_TOMBS as u64 {
        log = LogRecord { epochs: vec![start(epoch, epoch * 10)], ..log };
        tombs = tombs.with_takeover(&log, Epoch(epoch + 1), SegmentNo(epoch * 10 + 10));
    }
    assert!(tombs.more && tombs.list.len() == MAX_TOMBS, "the first ones are given up");
    assert_eq!(Tombs::decode(&tombs.encode()).unwrap(), tombs);
}

fn decode_everything(bytes: &[u8]) {
    let _ = decode(&IDENTITY.place(8192), bytes, true);
    let _ = decode_seal(&IDENTITY, bytes);
    let _ = decode_summary(&IDENTITY, bytes);
    let _ = ImageRecord::decode(bytes);
    let _ = StateRecord::decode(bytes);
    let _ = decode_epoch(bytes);
    let _ = LogRecord::decode(bytes);
    let _ = decode_requires(bytes);
    let _ = Tombs::decode(bytes);
    let _ = decode_text(bytes);
    let _ = decode_root(bytes);
    let _ = Root::decode(PageKind::Root, bytes);
    let _ = Root::decode(PageKind::PatchedRoot, bytes);
}

/// Makes a mutated structure pass its checksum, so that the fields behind it are reached.
fn mend_checksum(bytes: &mut [u8], at: usize, covered: usize) {
    if covered <= bytes.len() && at + 4 <= covered {
        let crc = super::codec::crc32c_with_hole(&bytes[..covered], at);
        bytes[at..at + 4].copy_from_slice(&crc.to_le_bytes());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..6000)) {
        decode_everything(&bytes);
    }

    #[test]
    fn mutated_structures_are_refused_or_valid(
        which in 0usize..15, edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(), shorten in any::<bool>(), mend in any::<bool>(),
    ) {
        let (_, original, _) = golden().swap_remove(which);
        let mut bytes = original.clone();
        for (at, value) in edits {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if shorten {
            bytes.truncate(cut.index(bytes.len()));
        }
        let changed = bytes != original;
        if mend && changed {
            let is_batch = which == 0 || which == 9;
            let covered = if is_batch { BATCH_HEADER_BYTES } else { bytes.len() };
            mend_checksum(&mut bytes, if is_batch || which == 1 { 8 } else { 12 }, covered);
        } else if changed && ((2..8).contains(&which) || which == 10) {
            // One checksum covers the whole of these: every change is noticed.
            let accepted = match which {
                2 => ImageRecord::decode(&bytes).is_ok(),
                3 => StateRecord::decode(&bytes).is_ok(),
                4 => decode_epoch(&bytes).is_ok(),
                5 => LogRecord::decode(&bytes).is_ok(),
                6 => decode_text(&bytes).is_ok(),
                _ => decode_root(&bytes).is_ok(),
            };
            prop_assert!(!accepted);
        }
        decode_everything(&bytes);
    }
}

#[test]
fn a_new_id_takes_ten_characters_whatever_is_drawn() {
    assert_eq!((names::new_id(0), names::new_id(36_u64.pow(10) - 1)), ("0".repeat(10), "z".repeat(10)));
    assert_eq!(names::new_id(35 + 36 * 10), "za00000000");
    assert_eq!(names::new_id(u64::MAX).len(), 10);
    let segment = names::segment(&names::new_id(u64::MAX), Epoch(u32::MAX.into()), SegmentNo(u32::MAX.into()));
    assert_eq!(segment.len(), 39, "{segment}");
}
