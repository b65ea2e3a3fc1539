//! Seeds that once found something, and that a seed says everything about its run.
use lsd_sim::run;

/// What each of them found.
const FOUND: &[(u64, &str)] = &[
    (9, "the summary of a segment that a checkpoint had deleted already: the image failed for good"),
    (27, "a resize whose answer was lost: the header had another size than the owner"),
    (72, "a compare-and-write and the hand-over that waited for it waited for each other"),
    (116, "a taker that was overtaken buried the same names for ever"),
    (155, "a taker that was too slow: it was told that a segment is missing"),
    (192, "a segment that the old owner created late, below the last one seen: a flushed write was lost"),
    (
        226,
        "a taker deleted the tombstones of one that did not finish: a client that was cut off was told of durability",
    ),
    (264, "a resize whose answer was lost, and writes beyond the size that the header had"),
    (296, "tombstones in a full pool"),
    (531, "a taker that was overtaken while it read was told that its image is missing"),
    (2548, "an owner that was replaced looked for a leaf that a later owner had deleted, for ever"),
    (4558, "a write met a leaf that the owner had deleted to whom it had just given the image: no such object"),
    (6518, "a reader opened while the owner deleted what the log began with: it saw an image that ended before"),
    (
        4383,
        "small segments that end in the middle of copies: the collector saw a gain and copied the same blocks for ever",
    ),
    (179, "a table of checksums that was read took the place of one that its owner was filling"),
    (1_000_351, "a snapshot was opened while it was removed: its map was called damaged"),
    (
        1_001_053,
        "an owner got the image back and carried out what it had been asked before: a removed snapshot was there again",
    ),
];

#[test]
fn what_was_found_stays_away() {
    for (seed, what) in FOUND {
        let outcome = run(*seed, false);
        assert!(outcome.failure.is_none(), "{what}: {}", outcome.failure.unwrap());
    }
}

#[test]
fn a_seed_repeats_exactly() {
    for seed in 1..6 {
        let (first, second) = (run(seed, false), run(seed, false));
        assert_eq!(first, second);
        assert!(first.coverage.events > 500, "seed {seed} hardly did anything: {}", first.coverage);
    }
    assert_ne!(run(1, false).trace_hash, run(2, false).trace_hash);
}
