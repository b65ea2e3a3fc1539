//! Round trips, golden bytes of every version, and decoders under arbitrary bytes.
use super::batch::{BATCH_HEADER_BYTES, Batch, BatchPlace, decode, encode};
use super::checkpoint::{LeafPlace, LeafPointer, PageIdentity, PageKind, PatchPointer, decode_page, encode_page};
use super::codec::crc32c;
use super::header::{
    Ancestor, AncestryRecord, BaseRecord, CheckpointPointer, ChildRecord, EpochStart, GroupRef, GroupSnapRecord,
    GroupSnapState, ImagePlace, ImageRecord, LogRecord, MAX_TOMBS, MemberId, MemberRecord, MemberState,
    MigrationRecord, MigrationRole, MigrationState, SnapCounters, SnapNamespace, SnapRecord, StateRecord, Tomb, Tombs,
    TrashRecord, TrashSource, decode_epoch, decode_requires, decode_text, encode_epoch, encode_quiesce,
    encode_requires, encode_text,
};
use super::record::{Record, RecordKind};
use super::root::{LeafEntry, Moment, PinnedPage, Root, RootPages, SegmentEntry};
use super::segment::{Seal, SegmentIdentity, Summary, decode_seal, decode_summary, encode_seal, encode_summary};
use super::share::Share;
use super::*;
use crate::units::{CheckpointId, Epoch, LeafNo, Loc, SegmentNo, Seq, SnapId};
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

/// As the first version has it.
fn sample_root() -> Root {
    let base = LeafPointer { checkpoint: CheckpointId { epoch: 3, number: 8 }, page: 1, offset: 44, len: 120 };
    let at = LeafPlace { base, patch: None };
    let segment = SegmentEntry {
        segment: SegmentNo(5),
        len: 8 << 20,
        live: 1 << 20,
        timestamp_ns: 6,
        kept: 1 << 20,
        pins: 0,
        newest: None,
    };
    Root {
        moment: None,
        leaves: vec![LeafEntry { leaf: LeafNo(0), mapped: 4096, at }, LeafEntry { leaf: LeafNo(7), mapped: 1, at }],
        segments: vec![segment],
        pages: Vec::new(),
    }
}

/// As the third version has it: with a moment, and with what snapshots need.
fn sample_moment_root() -> Root {
    let mut root = sample_patched_root();
    root.moment = Some(Moment { size: 1 << 40, features: 61, time_ns: 7 });
    let pinned = SegmentEntry { live: 0, kept: 4096, pins: 2, newest: Some(Seq(99)), ..root.segments[0] };
    root.segments.push(SegmentEntry { segment: SegmentNo(6), ..pinned });
    root.pages = [(8, 1), (8, 2), (9, 0)]
        .map(|(number, page)| PinnedPage { checkpoint: CheckpointId { epoch: 3, number }, page, pins: 2 })
        .to_vec();
    root
}

fn sample_group() -> GroupRef {
    GroupRef { pool: -1, group: "4jf9cbmim2".into() }
}

fn sample_member(state: MemberState) -> MemberRecord {
    MemberRecord { id: MemberId { pool: 3, image: "0123456789".into() }, state }
}

fn sample_group_snapshot() -> GroupSnapRecord {
    let part = |pool, image: &str, id| (MemberId { pool, image: image.into() }, SnapId(id));
    let parts = vec![part(-1, "z", 4), part(3, "a", 0), part(3, "b", 9)];
    GroupSnapRecord { id: "s1".into(), name: "grüße".into(), state: GroupSnapState::Complete, time_ns: 5, parts }
}

fn sample_trash() -> TrashRecord {
    TrashRecord { source: TrashSource::User, name: "grüße".into(), deleted_ns: 5, deferred_until_ns: 6 }
}

fn sample_snapshot(namespace: SnapNamespace) -> SnapRecord {
    SnapRecord {
        id: SnapId(7),
        namespace,
        name: "before grüße".into(),
        is_protected: true,
        is_removing: false,
        size: 1 << 40,
        features: 61,
        flags: 0,
        time_ns: 5,
        root: sample_log().checkpoint.unwrap(),
        // As it was written before there were clones.
        overlap: None,
        last_segment: SegmentNo(0),
        children: 0,
        strict_children: 0,
    }
}

fn sample_snapshot_with_clones() -> SnapRecord {
    let snapshot = sample_snapshot(SnapNamespace::User);
    SnapRecord { overlap: Some(1 << 30), last_segment: SegmentNo(41), children: 3, strict_children: 1, ..snapshot }
}

fn sample_place() -> ImagePlace {
    ImagePlace { pool: 4, namespace: "grün".into(), id: "abc".into() }
}

fn sample_ancestry() -> AncestryRecord {
    let ancestor = |last_segment, number| Ancestor {
        place: sample_place(),
        uuid: ImageUuid([9; 16]),
        data_pool: -1,
        last_segment: SegmentNo(last_segment),
        last_checkpoint: CheckpointId { epoch: 2, number },
        epochs: sample_log().epochs,
    };
    AncestryRecord { snapshot: SnapId(7), overlap: Some(5), ancestors: vec![ancestor(40, 1), ancestor(40, 2)] }
}

fn sample_migration(role: MigrationRole, state: MigrationState) -> MigrationRecord {
    MigrationRecord {
        role,
        state,
        description: "42% complete".into(),
        other: sample_place(),
        name: "alt".into(),
        flatten: true,
        last_snapshot: SnapId(7),
        source: sample_ancestry().ancestors.remove(1),
        kind: None,
    }
}

/// Of an image whose source is none of lsd.
fn sample_foreign_migration() -> MigrationRecord {
    let migration = sample_migration(MigrationRole::Destination, MigrationState::Committing);
    MigrationRecord { kind: Some("rbd".into()), ..migration }
}

fn sample_base() -> BaseRecord {
    let text = |text: &str| text.to_owned();
    let (size, overlap) = (7 << 30, 5 << 30);
    BaseRecord { kind: text("file"), spec: text("/srv/grün.raw"), identity: text("mtime=5.000000007"), size, overlap }
}

/// What a base had, and beside it a copy as collection makes it.
fn sample_brought() -> (Vec<u8>, Batch) {
    let (_, batch) = sample_relocations();
    let mut records = batch.records;
    if let RecordKind::Relocate { from, .. } = &mut records[0].kind {
        *from = Loc::NOWHERE;
    }
    encoded(batch_of(IDENTITY.place(0), Seq(77), records), &[0x5a; 1536])
}

fn sample_child() -> ChildRecord {
    ChildRecord { snapshot: SnapId(7), place: sample_place(), is_strict: true, time_ns: 5 }
}

/// The second leaf has a patch, as the second version has it.
fn sample_patched_root() -> Root {
    let mut root = sample_root();
    let at = LeafPointer { checkpoint: CheckpointId { epoch: 4, number: 1 }, page: 3, offset: 99, len: 77 };
    root.leaves[1].at.patch = Some(PatchPointer { at, spent: 200 });
    root
}

fn root_page(root: &Root) -> Vec<u8> {
    encode_page(&PAGE, PageKind::MomentRoot, &root.encode())
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
        (
            "moment-root-page",
            root_page(&sample_moment_root()),
            include_bytes!("../../testdata/v3/moment-root-page.bin"),
        ),
        (
            "header-snapshot",
            sample_snapshot(SnapNamespace::User).encode(),
            include_bytes!("../../testdata/v3/header-snapshot.bin"),
        ),
        (
            "header-snapshot-clones",
            sample_snapshot_with_clones().encode(),
            include_bytes!("../../testdata/v3/header-snapshot-clones.bin"),
        ),
        ("header-ancestry", sample_ancestry().encode(), include_bytes!("../../testdata/v3/header-ancestry.bin")),
        ("header-child", sample_child().encode(), include_bytes!("../../testdata/v3/header-child.bin")),
        (
            "header-migration",
            sample_migration(MigrationRole::Destination, MigrationState::Executing).encode(),
            include_bytes!("../../testdata/v3/header-migration.bin"),
        ),
        (
            "header-migration-foreign",
            sample_foreign_migration().encode(),
            include_bytes!("../../testdata/v4/header-migration-foreign.bin"),
        ),
        (
            "header-snapshots",
            SnapCounters { last: SnapId(7), limit: Some(9), rolled_back: SnapId(3) }.encode(),
            include_bytes!("../../testdata/v3/header-snapshots.bin"),
        ),
        ("header-group", sample_group().encode(), include_bytes!("../../testdata/v3/header-group.bin")),
        (
            "header-group-member",
            sample_member(MemberState::Incomplete).encode(),
            include_bytes!("../../testdata/v3/header-group-member.bin"),
        ),
        (
            "header-group-snapshot",
            sample_group_snapshot().encode(),
            include_bytes!("../../testdata/v3/header-group-snapshot.bin"),
        ),
        ("header-quiesce", encode_quiesce(7), include_bytes!("../../testdata/v3/header-quiesce.bin")),
        ("directory-trash", sample_trash().encode(), include_bytes!("../../testdata/v3/directory-trash.bin")),
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
        ("header-base", sample_base().encode(), include_bytes!("../../testdata/v4/header-base.bin")),
        ("brought", sample_brought().0, include_bytes!("../../testdata/v4/brought.bin")),
    ]
}

/// Golden files of a second version, or with a field that was reserved in the first; all others are of the first.
const V2: &[&str] = &["durable", "share", "summary-durable", "summary-shares"];
const V3: &[&str] = &[
    "moment-root-page",
    "header-snapshot",
    "header-snapshot-clones",
    "header-ancestry",
    "header-child",
    "header-migration",
    "header-snapshots",
    "header-group",
    "header-group-member",
    "header-group-snapshot",
    "header-quiesce",
    "directory-trash",
];
/// Those of images with a base.
const V4: &[&str] = &["header-base", "header-migration-foreign", "brought"];
/// Roots as they were written before there were moments: they are only read now.
const ROOT_V1: &[u8] = include_bytes!("../../testdata/v1/root-page.bin");
const ROOT_V2: &[u8] = include_bytes!("../../testdata/v2/patched-root-page.bin");

#[test]
fn bytes_are_as_released() {
    // LSD_WRITE_GOLDEN=1 writes files that do not exist yet; it never changes one that does.
    for (name, bytes, kept) in golden() {
        if kept.is_empty() && std::env::var_os("LSD_WRITE_GOLDEN").is_some() {
            let later = [V2, V3, V4].iter().position(|names| names.contains(&name));
            let version = later.map_or(1, |later| later + 2);
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
    let (bytes, brought) = sample_brought();
    assert_eq!(decode(&IDENTITY.place(0), &bytes, true).unwrap(), brought);
    assert_eq!(BaseRecord::decode(&sample_base().encode()).unwrap(), sample_base());
    for wrong in [
        BaseRecord { overlap: sample_base().size + 1, ..sample_base() },
        BaseRecord { kind: String::new(), ..sample_base() },
    ] {
        assert!(BaseRecord::decode(&wrong.encode()).is_err(), "{wrong:?}");
    }
    assert_eq!(ImageRecord::decode(&sample_image().encode()).unwrap(), sample_image());
    assert_eq!(StateRecord::decode(&STATE.encode()).unwrap(), STATE);
    assert_eq!(decode_epoch(&encode_epoch(Epoch(3))).unwrap(), Epoch(3));
    assert_eq!(LogRecord::decode(&sample_log().encode()).unwrap(), sample_log());
    assert_eq!(decode_requires(&encode_requires(5)).unwrap(), 5);
    assert_eq!(decode_text(&encode_text("grüße")).unwrap(), "grüße");
    assert_eq!(Tombs::decode(&sample_tombs().encode()).unwrap(), sample_tombs());
    assert_eq!(decode_root(&root_page(&sample_moment_root())).unwrap(), sample_moment_root());
    assert_eq!(decode_root(ROOT_V1).unwrap(), sample_root(), "version 1");
    assert_eq!(decode_root(ROOT_V2).unwrap(), sample_patched_root(), "version 2");
    let group = SnapNamespace::Group { pool: -1, group: "g".into(), group_snapshot: "s".into() };
    for namespace in [SnapNamespace::User, group, SnapNamespace::Trash { name: "it was".into() }] {
        let snapshot = sample_snapshot(namespace);
        assert_eq!(SnapRecord::decode(&snapshot.encode()).unwrap(), snapshot);
    }
    let with_clones = sample_snapshot_with_clones();
    assert_eq!(SnapRecord::decode(&with_clones.encode()).unwrap(), with_clones);
    for overlap in [None, Some(0)] {
        let ancestry = AncestryRecord { overlap, ..sample_ancestry() };
        assert_eq!(AncestryRecord::decode(&ancestry.encode()).unwrap(), ancestry);
    }
    use MigrationState::{Aborting, Executed, Executing, Prepared, Preparing, Returned};
    for state in [Preparing, Prepared, Executing, Executed, Aborting, Returned] {
        for role in [MigrationRole::Source, MigrationRole::Destination] {
            let migration = sample_migration(role, state);
            assert_eq!(MigrationRecord::decode(&migration.encode()).unwrap(), migration);
        }
    }
    let foreign = sample_foreign_migration();
    assert_eq!(MigrationRecord::decode(&foreign.encode()).unwrap(), foreign);
    assert_eq!(ChildRecord::decode(&sample_child().encode()).unwrap(), sample_child());
    assert_eq!(TrashRecord::decode(&sample_trash().encode()).unwrap(), sample_trash());
    assert_eq!(GroupRef::decode(&sample_group().encode()).unwrap(), sample_group());
    for state in [MemberState::Attached, MemberState::Incomplete] {
        assert_eq!(MemberRecord::decode(&sample_member(state).encode()).unwrap(), sample_member(state));
    }
    assert_eq!(GroupSnapRecord::decode(&sample_group_snapshot().encode()).unwrap(), sample_group_snapshot());
    for limit in [None, Some(0)] {
        let counters = SnapCounters { last: SnapId(7), limit, rolled_back: SnapId(3) };
        assert_eq!(SnapCounters::decode(&counters.encode()).unwrap(), counters);
    }
}

/// The payloads of the old roots, behind the pages' own headers.
fn old_root(page: &[u8]) -> Vec<u8> {
    page[super::checkpoint::PAGE_HEADER_BYTES..].to_vec()
}

#[test]
fn what_snapshots_need_is_refused_where_it_makes_no_sense() {
    let root = sample_moment_root();
    let refused = |change: &dyn Fn(&mut Root)| {
        let mut root = root.clone();
        change(&mut root);
        Root::decode(PageKind::MomentRoot, &root.encode()).unwrap_err().why
    };
    assert_eq!(refused(&|root| root.segments[0].kept += 1), Refusal::Value("segment entry"), "kept by nothing");
    assert_eq!(refused(&|root| root.segments[1].kept = root.segments[1].len + 1), Refusal::Value("segment entry"));
    assert_eq!(refused(&|root| root.segments[1].live = 8192), Refusal::Value("segment entry"), "live and not kept");
    assert_eq!(refused(&|root| root.pages.swap(0, 1)), Refusal::Value("page order"));
    assert_eq!(refused(&|root| root.moment.as_mut().unwrap().size = u64::MAX), Refusal::Value("size"));
    let older = decode_page(&PAGE, PageKind::PatchedRoot, &root_page(&root)).unwrap_err().why;
    assert_eq!(older, Refusal::Version(3), "a reader that does not know moments");
}

#[test]
fn patches_are_refused_where_none_may_be() {
    let (plain, bytes) = (old_root(ROOT_V1), old_root(ROOT_V2));
    let refused = |page: &[u8]| decode_page(&PAGE, PageKind::Root, page).unwrap_err().why;
    assert_eq!(refused(ROOT_V2), Refusal::Version(2), "a reader that does not know patches");
    assert!(Root::decode(PageKind::Root, &bytes).is_err());
    assert!(Root::decode(PageKind::PatchedRoot, &plain).is_err());
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
    let none = [&plain[..8], &[0; 4], &plain[8..]].concat();
    assert_eq!(Root::decode(PageKind::PatchedRoot, &none).unwrap_err().why, Refusal::Value("patches"));
    // The pages of one root are all of one version.
    let mut pages = RootPages::default();
    pages.add(&PAGE, ROOT_V1).unwrap();
    assert!(pages.add(&PAGE, ROOT_V2).is_err());
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
    let _ = Root::decode(PageKind::MomentRoot, bytes);
    let _ = SnapRecord::decode(bytes);
    let _ = SnapCounters::decode(bytes);
    let _ = TrashRecord::decode(bytes);
    let _ = GroupRef::decode(bytes);
    let _ = MemberRecord::decode(bytes);
    let _ = GroupSnapRecord::decode(bytes);
    let _ = MigrationRecord::decode(bytes);
    let _ = BaseRecord::decode(bytes);
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
        which in any::<prop::sample::Index>(), edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(), shorten in any::<bool>(), mend in any::<bool>(),
    ) {
        let mut golden = golden();
        let (name, original, _) = golden.swap_remove(which.index(golden.len()));
        let mut bytes = original.clone();
        for (at, value) in edits {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if shorten {
            bytes.truncate(cut.index(bytes.len()));
        }
        let changed = bytes != original;
        let in_envelope = name.starts_with("header") || name.starts_with("directory") || name.ends_with("root-page");
        if mend && changed {
            let is_summary = name.starts_with("summary");
            let covered = if in_envelope || is_summary { bytes.len() } else { BATCH_HEADER_BYTES };
            mend_checksum(&mut bytes, if in_envelope { 12 } else { 8 }, covered);
        } else if changed && in_envelope {
            // One checksum covers the whole of these: every change is noticed.
            let accepted = match name {
                "header-image" => ImageRecord::decode(&bytes).is_ok(),
                "header-state" => StateRecord::decode(&bytes).is_ok(),
                "header-epoch" => decode_epoch(&bytes).is_ok(),
                "header-log" => LogRecord::decode(&bytes).is_ok(),
                "header-requires" => decode_requires(&bytes).is_ok(),
                "header-text" => decode_text(&bytes).is_ok(),
                "header-tombs" => Tombs::decode(&bytes).is_ok(),
                "header-snapshot-clones" => SnapRecord::decode(&bytes).is_ok(),
                "header-ancestry" => AncestryRecord::decode(&bytes).is_ok(),
                "header-child" => ChildRecord::decode(&bytes).is_ok(),
                "header-snapshot" => SnapRecord::decode(&bytes).is_ok(),
                "header-base" => BaseRecord::decode(&bytes).is_ok(),
                "header-group" => GroupRef::decode(&bytes).is_ok(),
                "header-group-member" => MemberRecord::decode(&bytes).is_ok(),
                "header-group-snapshot" => GroupSnapRecord::decode(&bytes).is_ok(),
                "directory-trash" => TrashRecord::decode(&bytes).is_ok(),
                "header-snapshots" => SnapCounters::decode(&bytes).is_ok(),
                _ => decode_root(&bytes).is_ok(),
            };
            prop_assert!(!accepted, "{name}");
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
