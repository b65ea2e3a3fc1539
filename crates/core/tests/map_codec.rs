//! The bytes of a leaf: kept as released, and whatever else is read is an error, never a panic.
use lsd_core::map::{LEAF_HEADER_BYTES, Leaf, MapError, Run};
use lsd_core::units::{BLOCK_BYTES, LEAF_SPAN_BYTES, LeafNo, Loc, SegmentNo};
use proptest::prelude::*;

const LEAF: LeafNo = LeafNo(0x0102_0304);

fn leaf(runs: &[(u32, u32, u64, u32)]) -> Leaf {
    let mut leaf = Leaf::default();
    for &(start, len, segment, offset) in runs {
        leaf.set(start, len, Loc::new(SegmentNo(segment), offset), &mut Vec::new());
    }
    leaf
}

fn encoded(leaf: &Leaf) -> Vec<u8> {
    let mut bytes = Vec::new();
    leaf.encode(LEAF, &mut bytes);
    bytes
}

fn runs_leaf() -> Leaf {
    leaf(&[
        (0, 1, 1, 0),
        (512, 4096, 2, 77),
        (8192, 65536, (1 << 40) - 1, 4096),
        (LEAF_SPAN_BYTES - 3, 3, 7, 0xff_fffd),
    ])
}

/// More runs than the dense form costs: every block but some, none next to the bytes before it.
fn dense_leaf() -> Leaf {
    let blocks = (0..LEAF_SPAN_BYTES / BLOCK_BYTES).filter(|block| block % 5 != 3);
    leaf(
        &blocks
            .map(|block| (block * BLOCK_BYTES, BLOCK_BYTES, 9 + u64::from(block % 2), block * 512))
            .collect::<Vec<_>>(),
    )
}

/// Blocks anywhere in some segments, with holes: what random writes leave.
fn packed_leaf() -> Leaf {
    let blocks = (0..LEAF_SPAN_BYTES / BLOCK_BYTES).filter(|block| block % 7 != 3);
    let place = |block: u32| (u64::from(block * 31 % 200) + (1 << 33), (block * 37 % 4096) * BLOCK_BYTES);
    let at = |block| (block * BLOCK_BYTES, BLOCK_BYTES, place(block).0, place(block).1);
    leaf(&blocks.map(at).collect::<Vec<_>>())
}

/// `LSD_WRITE_GOLDEN=1` writes a fixture that does not exist yet.
fn assert_golden(name: &str, leaf: &Leaf) {
    let path = format!("{}/testdata/{name}.bin", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("LSD_WRITE_GOLDEN").is_some() && !std::fs::exists(&path).unwrap() {
        std::fs::write(&path, encoded(leaf)).unwrap();
    }
    let golden = std::fs::read(&path).unwrap();
    assert!(encoded(leaf) == golden, "{name} is not encoded as released");
    assert!(Leaf::decode(LEAF, &golden).unwrap().entries().eq(leaf.entries()), "{name} is not read as released");
}

#[test]
fn bytes_of_version_1_are_as_released() {
    assert_golden("v1/leaf-empty", &Leaf::default());
    assert_golden("v1/leaf-runs", &runs_leaf());
    assert_golden("v1/leaf-dense", &dense_leaf());
    assert_golden("v1/leaf-packed", &packed_leaf());
}

/// Something of it is zeroed: bytes, a block, many blocks.
fn zeroed(mut leaf: Leaf) -> Leaf {
    for (start, len) in [(3 * BLOCK_BYTES, BLOCK_BYTES), (40 * BLOCK_BYTES, 60 * BLOCK_BYTES)] {
        leaf.zero(start, len, &mut Vec::new());
    }
    leaf
}

#[test]
fn bytes_of_version_2_are_as_released() {
    let mut runs = zeroed(runs_leaf());
    runs.zero(512 + 4096, 17, &mut Vec::new());
    for (name, leaf) in [("runs", runs), ("dense", zeroed(dense_leaf())), ("packed", zeroed(packed_leaf()))] {
        assert_golden(&format!("v4/leaf-zeroed-{name}"), &leaf);
        let bytes = encoded(&leaf);
        assert_eq!(bytes[4..6], [2, 0], "older versions would take it for damaged");
        let cleared = |mut leaf: Leaf| {
            leaf.clear(3 * BLOCK_BYTES, BLOCK_BYTES, &mut Vec::new());
            leaf
        };
        let decoded = Leaf::decode(LEAF, &bytes).unwrap();
        assert!(!cleared(decoded.clone()).entries().eq(decoded.entries()), "zeroed is not a hole");
        assert_eq!(decoded.mapped_bytes(), leaf.mapped_bytes());
        // The same bytes as version 1.
        let error = decode_patched(&leaf, 4, &[1, 0]).unwrap_err();
        assert!(matches!(error, MapError::Entry { .. }), "{name}: {error}");
    }
    let mut nothing = Leaf::default();
    nothing.zero(0, LEAF_SPAN_BYTES, &mut Vec::new());
    assert_eq!((encoded(&nothing).len(), nothing.mapped_bytes(), nothing.is_empty()), (36, 0, false));
    assert_eq!((nothing.runs().count(), nothing.entries().count()), (0, 1));
}

#[test]
fn the_smaller_form_is_written() {
    assert_eq!(encoded(&Leaf::default()).len(), LEAF_HEADER_BYTES);
    assert_eq!(encoded(&runs_leaf()).len(), LEAF_HEADER_BYTES + 4 * 16);
    assert_eq!(encoded(&dense_leaf()).len(), LEAF_HEADER_BYTES + 4096 * 8);
    let block = |block: u32| (block * 2 * BLOCK_BYTES, BLOCK_BYTES, 1, block * BLOCK_BYTES);
    let some = |blocks: u32| leaf(&(0..blocks).map(block).collect::<Vec<_>>());
    assert_eq!(encoded(&some(769)).len(), LEAF_HEADER_BYTES + 769 * 16, "as many bytes as the packed form");
    assert_eq!(encoded(&some(770)).len(), LEAF_HEADER_BYTES + 12 + 4 + 4096 * 3);
    assert_eq!(encoded(&packed_leaf()).len(), LEAF_HEADER_BYTES + 12 + 200 * 4 + 4096 * 3);
    let (mut unaligned, dense) = (dense_leaf(), dense_leaf());
    unaligned.clear(0, 512, &mut Vec::new());
    assert_eq!(encoded(&unaligned).len(), LEAF_HEADER_BYTES + dense.runs().count() * 16);
}

/// Writes `value` at `at`, makes the checksum right again, and decodes.
fn decode_patched(leaf: &Leaf, at: usize, value: &[u8]) -> Result<Leaf, MapError> {
    let mut bytes = encoded(leaf);
    bytes[at..at + value.len()].copy_from_slice(value);
    repair_checksum(&mut bytes);
    Leaf::decode(LEAF, &bytes)
}

fn repair_checksum(bytes: &mut [u8]) {
    bytes[16..20].fill(0);
    let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32;
    bytes[16..20].copy_from_slice(&crc.to_le_bytes());
}

#[test]
fn what_is_not_a_leaf_is_refused_for_its_reason() {
    let (runs, dense) = (runs_leaf(), dense_leaf());
    let patched = |at: usize, value: &[u8]| decode_patched(&runs, at, value).unwrap_err();
    assert_eq!(patched(0, b"LSDH"), MapError::Magic { leaf: LEAF, found: u32::from_le_bytes(*b"LSDH") });
    assert_eq!(patched(4, &[3, 0]), MapError::Version { leaf: LEAF, found: 3 });
    assert_eq!(patched(6, &[3, 0]), MapError::Form { leaf: LEAF, found: 3 });
    assert_eq!(patched(8, &[5, 3, 2, 1]), MapError::OtherLeaf { leaf: LEAF, found: LeafNo(0x0102_0305) });
    assert_eq!(patched(12, &[5, 0, 0, 0]), MapError::Length { leaf: LEAF, found: 84, expected: 100 });
    let huge = 20 + 16 * u64::from(u32::MAX);
    assert_eq!(patched(12, &[0xff; 4]), MapError::Length { leaf: LEAF, found: 84, expected: huge });
    let entry = |index| MapError::Entry { leaf: LEAF, index };
    assert_eq!(patched(20 + 4, &0u32.to_le_bytes()), entry(0), "length 0");
    assert_eq!(patched(20 + 4, &513u32.to_le_bytes()), entry(1), "overlap");
    assert_eq!(patched(20 + 16, &0u32.to_le_bytes()), entry(1), "not ascending");
    assert_eq!(patched(20 + 48 + 4, &4u32.to_le_bytes()), entry(3), "beyond the leaf");
    assert_eq!(patched(20 + 48, &u32::MAX.to_le_bytes()), entry(3), "far beyond the leaf");
    assert_eq!(patched(20 + 8, &0u64.to_le_bytes()), entry(0), "nowhere");
    assert_eq!(patched(20 + 8, &5u64.to_le_bytes()), entry(0), "segment 0");
    assert_eq!(patched(20 + 8, &1u64.to_le_bytes()), entry(0), "zeroed, in version 1");
    let zeroed = zeroed(runs_leaf());
    assert_eq!(decode_patched(&zeroed, 20 + 8, &2u64.to_le_bytes()).unwrap_err(), entry(0), "segment 0 in version 2");
    assert_eq!(patched(20 + 48 + 8, &(7u64 << 24 | 0xff_fffe).to_le_bytes()), entry(3), "beyond the segment");
    let dense_patched = |at: usize, value: u64| decode_patched(&dense, at, &value.to_le_bytes());
    assert_eq!(dense_patched(20 + 8, 4096).unwrap_err(), entry(1), "segment 0");
    assert_eq!(dense_patched(20 + 8, 1 << 24 | 0xff_f001).unwrap_err(), entry(1), "beyond the segment");
    assert!(dense_patched(20 + 8, 1 << 24 | 0xff_f000).is_ok(), "the last block of a segment");
    let short = decode_patched(&dense, 12, &4095u32.to_le_bytes()).unwrap_err();
    assert_eq!(short, MapError::Length { leaf: LEAF, found: 20 + 32768, expected: 20 + 32768 });
}

#[test]
fn a_packed_leaf_that_is_wrong_is_refused_for_its_reason() {
    let packed = packed_leaf();
    let patched = |at: usize, value: &[u8]| decode_patched(&packed, at, value);
    let entry = |index| Err(MapError::Entry { leaf: LEAF, index });
    let kept = |decoded: Result<Leaf, MapError>| decoded.map(|leaf| leaf.mapped_bytes());
    let (lowest, segments, entries) = (20, 20 + 12, 20 + 12 + 200 * 4);
    assert_eq!(kept(patched(lowest, &0u64.to_le_bytes())), entry(0), "segment 0");
    assert_eq!(kept(patched(lowest, &(1u64 << 40).to_le_bytes())), entry(0), "beyond the last segment");
    assert_eq!(kept(patched(lowest, &u64::MAX.to_le_bytes())), entry(0), "far beyond it");
    assert_eq!(kept(patched(segments, &1u32.to_le_bytes())), entry(0), "the lowest is not there");
    assert_eq!(kept(patched(segments + 8, &1u32.to_le_bytes())), entry(0), "not ascending");
    assert_eq!(kept(patched(entries + 6, &[0, 0x10 * 9, 0x0c])), entry(2), "the 201st of 200 segments");
    assert_eq!(kept(patched(entries + 6, &[1, 0, 0])), entry(2), "a hole with a place");
    let length = |count: u64| Err(MapError::Length { leaf: LEAF, found: entries + 12288, expected: 12320 + count * 4 });
    for count in [0, 199, 201, 4096, u32::MAX] {
        assert_eq!(kept(patched(lowest + 8, &count.to_le_bytes())), length(count.into()));
    }
    for len in [20, 31, 32, entries, entries + 12287] {
        let mut bytes = encoded(&packed)[..len].to_vec();
        repair_checksum(&mut bytes);
        assert!(matches!(Leaf::decode(LEAF, &bytes), Err(MapError::Length { .. })), "{len} bytes");
    }
}

#[test]
fn segments_too_many_or_too_far_apart_are_not_packed() {
    let blocks = 0..LEAF_SPAN_BYTES / BLOCK_BYTES;
    let at = |block: u32, segment| (block * BLOCK_BYTES, BLOCK_BYTES, segment, 4096);
    for (what, step) in [("4096 segments", 1), ("numbers beyond 32 bits", 1 << 21)] {
        let leaf = leaf(&blocks.clone().map(|block| at(block, 1 + u64::from(block) * step)).collect::<Vec<_>>());
        assert_eq!(encoded(&leaf).len(), LEAF_HEADER_BYTES + 4096 * 8, "{what}");
    }
    let most = leaf(&blocks.map(|block| at(block, 1 + u64::from(block.min(4094)))).collect::<Vec<_>>());
    assert_eq!(encoded(&most).len(), LEAF_HEADER_BYTES + 12 + 4095 * 4 + 4096 * 3);
    check_valid(&most).unwrap();
}

#[test]
fn every_flipped_bit_and_every_truncation_is_noticed() {
    let bytes = encoded(&runs_leaf());
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(Leaf::decode(LEAF, &damaged).is_err(), "bit {bit}");
    }
    for len in 0..bytes.len() {
        assert!(Leaf::decode(LEAF, &bytes[..len]).is_err(), "length {len}");
    }
    assert!(Leaf::decode(LEAF, &[&bytes[..], &[0]].concat()).is_err(), "a byte too many");
}

/// Whatever decodes is a leaf: sorted, inside its span, and encodes to what decodes to the same.
fn check_valid(decoded: &Leaf) -> Result<(), TestCaseError> {
    let mut end = 0;
    for Run { start, len, loc } in decoded.entries() {
        prop_assert!(start >= end && len > 0 && start + len <= LEAF_SPAN_BYTES);
        prop_assert!(loc == Loc::ZEROED || (loc.segment().0 > 0 && loc.offset() + len <= 1 << 24));
        end = start + len;
    }
    let again = Leaf::decode(LEAF, &encoded(decoded)).unwrap();
    prop_assert!(again.entries().eq(decoded.entries()));
    prop_assert_eq!(again.mapped_bytes(), decoded.mapped_bytes());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Leaf::decode(LEAF, &bytes).is_err());
    }

    /// A right header and checksum before entries that are small random numbers, so that many are almost valid.
    #[test]
    fn random_entries(entries in prop::collection::vec((0u32..64, 0u32..8, 0u64..8, 0u32..40), 0..12), near_end: bool) {
        let mut bytes = encoded(&Leaf::default());
        bytes[12..16].copy_from_slice(&(entries.len() as u32).to_le_bytes());
        let base = if near_end { (1 << 24) - 32 } else { 0 };
        let mut ascending = entries;
        ascending.sort_unstable();
        for (start, len, segment, offset) in ascending {
            bytes.extend_from_slice(&(base + start).to_le_bytes());
            bytes.extend_from_slice(&len.to_le_bytes());
            bytes.extend_from_slice(&(segment << 24 | u64::from(base + offset)).to_le_bytes());
        }
        repair_checksum(&mut bytes);
        if let Ok(decoded) = Leaf::decode(LEAF, &bytes) {
            check_valid(&decoded)?;
        }
    }

    /// Real leaves with bytes changed behind the checksum's back.
    #[test]
    fn mutated(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4), cut: Option<prop::sample::Index>) {
        let mut bytes = encoded(&runs_leaf());
        for (at, value) in &changes {
            let at = at.index(bytes.len());
            bytes[at] = *value;
        }
        bytes.truncate(cut.map_or(bytes.len(), |cut| cut.index(bytes.len())));
        if bytes.len() >= LEAF_HEADER_BYTES {
            repair_checksum(&mut bytes);
        }
        if let Ok(decoded) = Leaf::decode(LEAF, &bytes) {
            check_valid(&decoded)?;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn mutated_dense(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4), packed: bool, zeroes: bool) {
        let leaf = if packed { packed_leaf() } else { dense_leaf() };
        let mut bytes = encoded(&if zeroes { zeroed(leaf) } else { leaf });
        for (at, value) in &changes {
            let at = at.index(bytes.len());
            bytes[at] = *value;
        }
        repair_checksum(&mut bytes);
        if let Ok(decoded) = Leaf::decode(LEAF, &bytes) {
            check_valid(&decoded)?;
        }
    }
}
