//! What the map costs: memory per extent, and rates (`cargo test --release --test map_cost -- --ignored --nocapture`).
use std::time::Instant;

use lsd_core::map::{ExtentMap, Leaf};
use lsd_core::units::{BLOCK_BYTES, LEAF_SPAN_BYTES, LeafNo, Loc, MAX_SEGMENT_BYTES, SegmentNo};

const EXTENTS: u64 = 1 << 20;
const IMAGE_BYTES: u64 = 64 << 30;

/// The same pseudo-random numbers in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((u128::from(self.0) * u128::from(limit)) >> 64) as u64
    }
}

/// Where the `n`th 4 KiB write of an image lands when 4 MiB segments are filled in order.
fn nth_loc(n: u64) -> Loc {
    Loc::new(SegmentNo(1 + n / 1000), 65536 + (n % 1000) as u32 * BLOCK_BYTES)
}

fn random_map(image_bytes: u64, extents: u64) -> ExtentMap<(u32, u32, u32)> {
    let (mut map, mut random, mut superseded) = (ExtentMap::new(), Random(1), Vec::new());
    for n in 0..extents {
        let block = random.below(image_bytes / u64::from(BLOCK_BYTES));
        map.set(block * u64::from(BLOCK_BYTES), BLOCK_BYTES, nth_loc(n), &mut superseded).unwrap();
        superseded.clear();
    }
    map
}

fn bytes_per_extent(map: &ExtentMap<(u32, u32, u32)>) -> f64 {
    map.heap_bytes() as f64 * f64::from(BLOCK_BYTES) / map.mapped_bytes() as f64
}

#[test]
fn random_blocks_cost_at_most_16_bytes_each() {
    // Sparse, about as full as runs get, and dense.
    for (image_bytes, extents) in [(IMAGE_BYTES, EXTENTS), (1 << 30, 180_000), (1 << 30, 600_000)] {
        let map = random_map(image_bytes, extents);
        let cost = bytes_per_extent(&map);
        println!("{} blocks over {} GiB: {cost:.2} bytes each", map.mapped_bytes() >> 12, image_bytes >> 30);
        assert!(cost <= 16.0, "{cost} bytes for each of {extents} random extents");
    }
}

#[test]
fn a_leaf_has_the_cheaper_form_at_every_fill() {
    let mut random = Random(3);
    let mut leaf = Leaf::default();
    for n in 0..20_000 {
        let block = random.below(4096) as u32;
        leaf.set(block * BLOCK_BYTES, BLOCK_BYTES, nth_loc(n * 2), &mut Vec::new());
        let blocks = leaf.mapped_bytes() / BLOCK_BYTES;
        assert!(blocks < 64 || leaf.heap_bytes() as u32 <= blocks * 15, "{} for {blocks}", leaf.heap_bytes());
    }
    // A sequential rewrite makes it one run again, and memory follows.
    leaf.set(0, LEAF_SPAN_BYTES, Loc::new(SegmentNo(5), MAX_SEGMENT_BYTES - LEAF_SPAN_BYTES), &mut Vec::new());
    assert_eq!(leaf.run_count(), 1);
    assert!(leaf.heap_bytes() < 200, "{}", leaf.heap_bytes());
}

#[test]
fn lengths_are_stored_only_while_some_run_is_not_a_block() {
    let mut leaf = Leaf::default();
    for n in 0..1000 {
        leaf.set(n * 2 * BLOCK_BYTES, BLOCK_BYTES, nth_loc(u64::from(n)), &mut Vec::new());
    }
    let blocks = leaf.heap_bytes();
    leaf.set(BLOCK_BYTES, 512, nth_loc(5000), &mut Vec::new());
    assert!(leaf.heap_bytes() >= blocks + 4000);
    leaf.set(BLOCK_BYTES, BLOCK_BYTES, nth_loc(5001), &mut Vec::new());
    assert!(leaf.heap_bytes() < blocks + 2000, "{} after {blocks}", leaf.heap_bytes());
}

#[test]
fn sectors_that_drive_a_leaf_out_of_the_dense_form_do_not_convert_it_each_time() {
    let mut leaf = Leaf::default();
    let mut random = Random(4);
    for n in 0..20_000 {
        leaf.set(random.below(4096) as u32 * BLOCK_BYTES, BLOCK_BYTES, nth_loc(n * 2), &mut Vec::new());
    }
    let (mut conversions, mut dense) = (0, true);
    for n in 0..10_000 {
        let block = random.below(4096) as u32 * BLOCK_BYTES;
        leaf.set(block, 512, nth_loc(n * 2), &mut Vec::new());
        leaf.set(block, BLOCK_BYTES, nth_loc(n * 2 + 50_000), &mut Vec::new());
        let is_dense = leaf.heap_bytes() == 4096 * 8;
        conversions += u32::from(is_dense != dense);
        dense = is_dense;
    }
    assert!((1..200).contains(&conversions), "{conversions}");
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

fn report(what: &str, count: u64, began: Instant) {
    let seconds = began.elapsed().as_secs_f64();
    println!("{what}: {:.2} M/s ({:.0} ns)", count as f64 / seconds / 1e6, seconds * 1e9 / count as f64);
}

#[test]
#[ignore = "prints rates; for a release build on a quiet machine"]
fn rates() {
    let resident = resident_kib();
    let began = Instant::now();
    let mut map = random_map(IMAGE_BYTES, EXTENTS);
    report("insert, random 4 KiB over 64 GiB", EXTENTS, began);
    let (mut random, mut superseded, mut found) = (Random(2), Vec::new(), Vec::new());
    println!("memory: {:.2} bytes each, {} KiB resident", bytes_per_extent(&map), resident_kib() - resident);

    let offsets: Vec<u64> = (0..EXTENTS).map(|_| random.below(IMAGE_BYTES >> 12) << 12).collect();
    let began = Instant::now();
    for &offset in &offsets {
        found.clear();
        map.lookup(offset, 4096, &mut found).unwrap();
    }
    report("lookup, random 4 KiB", EXTENTS, began);

    let began = Instant::now();
    for (n, &offset) in offsets.iter().enumerate() {
        superseded.clear();
        map.set(offset, 4096, nth_loc(EXTENTS + n as u64), &mut superseded).unwrap();
    }
    report("insert the second million", EXTENTS, began);
    let began = Instant::now();
    for (n, &offset) in offsets.iter().enumerate() {
        superseded.clear();
        map.set(offset, 4096, nth_loc(2 * EXTENTS + n as u64), &mut superseded).unwrap();
    }
    report("overwrite", EXTENTS, began);

    let began = Instant::now();
    let taken = map.take_dirty();
    let (mut bytes, mut ends) = (Vec::new(), Vec::new());
    for (leaf, snapshot) in &taken {
        snapshot.content.encode(*leaf, &mut bytes);
        ends.push(bytes.len());
    }
    report("snapshot and encode, extents", 2 * EXTENTS, began);
    let began = Instant::now();
    let mut at = 0;
    for ((leaf, _), end) in taken.iter().zip(ends) {
        Leaf::decode(*leaf, &bytes[at..end]).unwrap();
        at = end;
    }
    report("decode, extents", 2 * EXTENTS, began);
    dense_rates();
}

fn dense_rates() {
    let began = Instant::now();
    let mut map = random_map(4 << 30, 4 * EXTENTS);
    report("insert, random 4 KiB over 4 GiB, 4 times its blocks", 4 * EXTENTS, began);
    let (mut random, mut superseded, mut found) = (Random(7), Vec::new(), Vec::new());
    let began = Instant::now();
    for _ in 0..EXTENTS {
        found.clear();
        map.lookup(random.below((4 << 30) >> 12) << 12, 4096, &mut found).unwrap();
    }
    report("lookup in it", EXTENTS, began);
    let began = Instant::now();
    for n in 0..EXTENTS {
        superseded.clear();
        map.set(n * 65536 % (4 << 30), 65536, Loc::new(SegmentNo(n + 1), 0), &mut superseded).unwrap();
    }
    report("sequential 64 KiB over it", EXTENTS, began);

    let (mut sectors, sector_count) = (Leaf::default(), 200_000);
    let began = Instant::now();
    for n in 0..sector_count {
        superseded.clear();
        sectors.set(random.below(32768) as u32 * 512, 512, nth_loc(n * 2), &mut superseded);
    }
    report("one leaf, random 512 bytes", sector_count, began);
    assert_eq!(LeafNo::of(4 << 30).0, 256);
}
