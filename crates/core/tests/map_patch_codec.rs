//! The bytes of a patch: kept as released, and whatever else is read is an error, never a panic.
use lsd_core::format::checkpoint::LeafPointer;
use lsd_core::map::{BlockSet, ExtentMap, Leaf, MapError, Patch};
use lsd_core::units::{BLOCK_BYTES, CheckpointId, LEAF_SPAN_BYTES, LeafNo, Loc, SegmentNo};
use proptest::prelude::*;

const LEAF: LeafNo = LeafNo(0x0102_0304);
const BASE: LeafPointer =
    LeafPointer { checkpoint: CheckpointId { epoch: 3, number: 8 }, page: 1, offset: 44, len: 12_345 };
/// Of the sample: four blocks in three segments, and two holes.
const GROUPS: usize = 52;
const ENTRIES: usize = GROUPS + 3 * 6;
const LEN: usize = ENTRIES + 6 * 3;

/// A leaf that was stored after `change`, and the blocks that this touched, if it was whole ones.
fn changed_if_blocks(change: impl FnOnce(&mut ExtentMap<()>)) -> (Leaf, Option<BlockSet>) {
    let mut map = ExtentMap::new();
    for block in 0..200 {
        map.set(block * 8192, BLOCK_BYTES, Loc::new(SegmentNo(9), 4096), &mut Vec::new()).unwrap();
    }
    for (leaf, snapshot) in map.take_dirty() {
        map.commit_stored(leaf, Some(()), snapshot.id());
    }
    change(&mut map);
    let (_, snapshot) = map.take_dirty().remove(0);
    ((*snapshot.content).clone(), snapshot.changed().cloned())
}

fn changed(change: impl FnOnce(&mut ExtentMap<()>)) -> (Leaf, BlockSet) {
    let (leaf, blocks) = changed_if_blocks(change);
    (leaf, blocks.unwrap())
}

fn sample() -> Patch {
    let (leaf, changed) = changed(|map| {
        let mut set = |block: u64, segment, offset| {
            let loc = Loc::new(SegmentNo(segment), offset);
            map.set(block * u64::from(BLOCK_BYTES), BLOCK_BYTES, loc, &mut Vec::new()).unwrap();
        };
        set(4095, 1 << 33, 0xff_f000);
        set(7, (1 << 33) + 1, 0);
        set(6, 1 << 33, 8192);
        set(100, (1 << 33) + 77_000, 4096);
        map.clear(16 * 4096, 4096, &mut Vec::new()).unwrap();
        map.clear(4 * 4096, 4096, &mut Vec::new()).unwrap();
    });
    Patch::of(&leaf, &changed).unwrap()
}

fn encoded(patch: &Patch) -> Vec<u8> {
    let mut bytes = Vec::new();
    patch.encode(LEAF, &BASE, &mut bytes);
    assert_eq!(bytes.len(), patch.encoded_bytes());
    bytes
}

fn repair_checksum(bytes: &mut [u8]) {
    if bytes.len() >= 20 {
        let crc = lsd_core::format::codec::crc32c_with_hole(bytes, 16);
        bytes[16..20].copy_from_slice(&crc.to_le_bytes());
    }
}

fn decode_with(at: usize, value: &[u8]) -> Result<Patch, MapError> {
    let mut bytes = encoded(&sample());
    bytes[at..at + value.len()].copy_from_slice(value);
    repair_checksum(&mut bytes);
    Patch::decode(LEAF, &BASE, &bytes)
}

#[test]
fn bytes_of_version_1_are_as_released() {
    // LSD_WRITE_GOLDEN=1 writes the file if it does not exist yet.
    let path = format!("{}/testdata/v1/patch.bin", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("LSD_WRITE_GOLDEN").is_some() && !std::fs::exists(&path).unwrap() {
        std::fs::write(&path, encoded(&sample())).unwrap();
    }
    let golden = std::fs::read(&path).unwrap();
    assert!(encoded(&sample()) == golden, "not encoded as released");
    assert_eq!(Patch::decode(LEAF, &BASE, &golden), Ok(sample()));
    assert_eq!(golden.len(), LEN);
}

/// The same with blocks that are zeroed beside holes.
fn zeroed_sample() -> Patch {
    let (leaf, changed) = changed(|map| {
        map.clear(16 * 4096, 4096, &mut Vec::new()).unwrap();
        map.keep_zeroed_below(1 << 30);
        map.clear(15 * 4096, 4096, &mut Vec::new()).unwrap();
        map.clear(17 * 4096, 2 * 4096, &mut Vec::new()).unwrap();
        map.set(19 * 4096, 4096, Loc::new(SegmentNo(2), 8192), &mut Vec::new()).unwrap();
    });
    Patch::of(&leaf, &changed).unwrap()
}

#[test]
fn bytes_of_version_2_are_as_released() {
    let path = format!("{}/testdata/v4/patch-zeroed.bin", env!("CARGO_MANIFEST_DIR"));
    let mut bytes = encoded(&zeroed_sample());
    if std::env::var_os("LSD_WRITE_GOLDEN").is_some() && !std::fs::exists(&path).unwrap() {
        std::fs::write(&path, &bytes).unwrap();
    }
    assert!(std::fs::read(&path).unwrap() == bytes, "not encoded as released");
    assert_eq!(Patch::decode(LEAF, &BASE, &bytes), Ok(zeroed_sample()));
    // Version 1 has no zeroed blocks, and no version has others that are in no segment.
    let decode_as = |bytes: &mut Vec<u8>, at: usize, value: u8| {
        bytes[at] = value;
        repair_checksum(bytes);
        Patch::decode(LEAF, &BASE, bytes)
    };
    let entry = |index| Err(MapError::Entry { leaf: LEAF, index });
    assert_eq!(decode_as(&mut bytes.clone(), 4, 1), entry(1));
    let last = bytes.len() - 3;
    assert_eq!(decode_as(&mut bytes, last, 2), entry(4));
}

#[test]
fn a_patch_makes_of_its_base_the_leaf_that_it_was_made_of() {
    let (before, _) = changed(|map| map.set(0, 4096, Loc::new(SegmentNo(9), 4096), &mut Vec::new()).unwrap());
    let (after, blocks) = changed(|map| {
        map.set(3 << 12, 20 << 12, Loc::new(SegmentNo(2), 8192), &mut Vec::new()).unwrap();
        map.clear(90 << 12, 9 << 12, &mut Vec::new()).unwrap();
    });
    assert_eq!(blocks.count(), 29);
    let patch = Patch::of(&after, &blocks).unwrap();
    let mut patched = before.clone();
    patch.apply(&mut patched);
    assert!(patched.runs().eq(after.runs()));
    assert_eq!((patch.changed(), patched.mapped_bytes()), (blocks, after.mapped_bytes()));
}

#[test]
fn what_a_patch_cannot_say_is_in_none() {
    let patch_of = |offset: u64, len: u32, loc: Loc| {
        let (leaf, blocks) = changed_if_blocks(|map| map.set(offset, len, loc, &mut Vec::new()).unwrap());
        Patch::of(&leaf, &blocks?)
    };
    let loc = |offset| Loc::new(SegmentNo(5), offset);
    assert!(patch_of(8192, 4096, loc(4096)).is_some());
    assert!(patch_of(8192, 4096, loc(4608)).is_none(), "data that is no block of its segment");
    assert!(patch_of(4096 + 512, 512, loc(4096)).is_none(), "a part of a block");
    assert!(patch_of(8192 + 512, 8192, loc(4096)).is_none(), "over a border of blocks");
    let (leaf, blocks) = changed(|map| {
        map.set(4096, 4096, Loc::new(SegmentNo(1), 4096), &mut Vec::new()).unwrap();
        map.set(3 * 4096, 4096, Loc::new(SegmentNo((1 << 32) + 1), 4096), &mut Vec::new()).unwrap();
    });
    assert!(Patch::of(&leaf, &blocks).is_none(), "segments too far apart");
    assert!(Patch::of(&leaf, &BlockSet::default()).is_none(), "nothing");
}

#[test]
fn what_is_not_a_patch_is_refused_for_its_reason() {
    let refused = |at: usize, value: &[u8]| decode_with(at, value).unwrap_err();
    assert_eq!(refused(0, b"LSDL"), MapError::Magic { leaf: LEAF, found: u32::from_le_bytes(*b"LSDL") });
    assert_eq!(refused(4, &[3, 0]), MapError::Version { leaf: LEAF, found: 3 });
    let entry = |index| MapError::Entry { leaf: LEAF, index };
    assert_eq!(refused(6, &[1, 0]), entry(0), "reserved");
    assert_eq!(refused(8, &[5, 3, 2, 1]), MapError::OtherLeaf { leaf: LEAF, found: LeafNo(0x0102_0305) });
    let length = |expected| MapError::Length { leaf: LEAF, found: LEN, expected };
    assert_eq!(refused(12, &[7, 0, 0, 0]), length(LEN as u64 + 3));
    assert_eq!(refused(12, &[0xff; 4]), length(ENTRIES as u64 + 3 * u64::from(u32::MAX)));
    assert_eq!(refused(48, &[0xff; 4]), length(52 + 6 * 3 + 6 * u64::from(u32::MAX)));
    for at in (20..40).step_by(4) {
        assert_eq!(refused(at, &[0xee; 4]), MapError::OtherBase { leaf: LEAF }, "field of the base at {at}");
    }
    assert_eq!(refused(40, &0u64.to_le_bytes()), entry(0), "segment 0");
    assert_eq!(refused(40, &(1u64 << 40).to_le_bytes()), entry(0), "beyond the last segment");
    assert_eq!(refused(40, &u64::MAX.to_le_bytes()), entry(0), "far beyond it");
    assert_eq!(refused(GROUPS, &[1]), entry(0), "the lowest is not there");
    assert_eq!(refused(GROUPS + 6, &[0]), entry(0), "not ascending");
    assert_eq!(refused(GROUPS + 4, &[0, 0]), entry(0), "a segment without entries");
    assert_eq!(refused(GROUPS + 16, &[9, 0]), entry(4), "more entries than there are");
    assert_eq!(refused(ENTRIES, &[0, 0xf0, 0xff]), entry(1), "not ascending in a segment");
    assert_eq!(refused(ENTRIES + 6, &[0, 0x60, 0]), entry(1), "a block in two segments");
    assert_eq!(refused(ENTRIES + 12, &[1, 0x40, 0]), entry(4), "a hole with a place");
    assert_eq!(refused(ENTRIES + 15, &[0, 0x40, 0]), entry(5), "a hole twice");
}

#[test]
fn counts_that_no_leaf_has_are_refused() {
    let mut none = encoded(&sample());
    none.truncate(GROUPS);
    none[12..16].fill(0);
    none[40..52].fill(0);
    repair_checksum(&mut none);
    assert_eq!(Patch::decode(LEAF, &BASE, &none), Err(MapError::Entry { leaf: LEAF, index: 0 }));
    // Holes only, and a lowest segment all the same.
    let mut hole = none.clone();
    hole[12] = 1;
    hole.extend_from_slice(&[0, 0x40, 0]);
    repair_checksum(&mut hole);
    assert!(Patch::decode(LEAF, &BASE, &hole).is_ok());
    hole[40] = 1;
    repair_checksum(&mut hole);
    assert!(Patch::decode(LEAF, &BASE, &hole).is_err());
}

#[test]
fn every_flipped_bit_and_every_truncation_is_noticed() {
    let bytes = encoded(&sample());
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(Patch::decode(LEAF, &BASE, &damaged).is_err(), "bit {bit}");
    }
    for len in 0..bytes.len() {
        assert!(Patch::decode(LEAF, &BASE, &bytes[..len]).is_err(), "length {len}");
    }
    assert!(Patch::decode(LEAF, &BASE, &[&bytes[..], &[0]].concat()).is_err(), "a byte too many");
    assert!(Leaf::decode(LEAF, &bytes).is_err(), "a patch is no leaf");
}

/// Whatever decodes can be applied, and encodes to the same bytes.
fn check_valid(patch: &Patch, bytes: &[u8]) -> Result<(), TestCaseError> {
    prop_assert_eq!(encoded(patch), bytes);
    let mut leaf = Leaf::default();
    leaf.set(1000, LEAF_SPAN_BYTES - 2000, Loc(1 << 24), &mut Vec::new());
    patch.apply(&mut leaf);
    prop_assert_eq!(&Patch::of(&leaf, &patch.changed()).unwrap(), patch);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Patch::decode(LEAF, &BASE, &bytes).is_err());
    }

    /// A real patch with bytes changed behind the checksum's back.
    #[test]
    fn mutated(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        in_entries: bool, cut: Option<prop::sample::Index>,
    ) {
        let mut bytes = encoded(&sample());
        for (at, value) in &changes {
            let at = if in_entries { ENTRIES + at.index(LEN - ENTRIES) } else { at.index(LEN) };
            bytes[at] = *value;
        }
        bytes.truncate(cut.map_or(bytes.len(), |cut| cut.index(bytes.len())));
        repair_checksum(&mut bytes);
        if let Ok(decoded) = Patch::decode(LEAF, &BASE, &bytes) {
            check_valid(&decoded, &bytes)?;
        }
    }
}
