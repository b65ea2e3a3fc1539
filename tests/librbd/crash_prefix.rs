//! `kill -9` of a client in the middle of overlapping writes, 16 in flight: after reopening, everything that was flushed is
//! there, and what is there is a prefix of the order in which the client wrote. Stock librbd fails this one.
//!
//! `LSD_TEST_KILL_ROUNDS` sets the number of kills (3), `LSD_TEST_SEED` the first seed; each round goes on with the image
//! that the round before left. `LSD_TEST_KEEP=1` leaves the image of a failed round and the state before it where they are.
//! The same on the directory store: `crates/engine/tests/kill_rounds.rs`.
use crate::common::{Ceph, Cmd, Finished, Image, compiled_program, scratch_dir};
use std::path::Path;
use std::time::Duration;

pub(super) const DEPTH: &str = "16";
pub(super) const FLUSH_EVERY: &str = "150";
/// More operations than a client can send before it is killed.
pub(super) const ENDLESS: &str = "100000000";
const NEVER_FLUSH: &str = ENDLESS;
/// Small segments, a checkpoint for each megabyte of log, and garbage that is never worth keeping.
pub(super) const BUSY_BEHIND: [&str; 3] =
    ["lsd_segment_bytes = 1048576", "lsd_checkpoint_log_bytes = 1048576", "lsd_gc_least_live_bytes = 1048576"];

pub(super) fn number_from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map(|text| text.parse().expect(name)).unwrap_or(default)
}

fn prefix(image: &Image, words: &[&str], state: &Path, more: &[&str]) -> Cmd {
    let place = [image.pool.as_str(), image.name.as_str()];
    image.ceph.client(compiled_program("prefix")).args(words).args(place).arg(state).args(more)
}

/// The number in the last whole line that begins with `word`.
pub(super) fn last_number(done: &Finished, word: &str) -> Option<u64> {
    let text = done.text();
    let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
    whole.lines().rev().find_map(|line| line.strip_prefix(word)?.trim().parse().ok())
}

fn check(image: &Image, state: &Path, seed: u64, flushed: u64) -> Finished {
    prefix(image, &["check"], state, &[&seed.to_string(), &flushed.to_string()]).run()
}

/// One kill, `delay` after the first flush; returns how many operations were flushed and how many survived, or what is wrong.
fn kill_round(
    image: &Image,
    state: &Path,
    seed: u64,
    delay: Duration,
    flush_every: &str,
) -> Result<(u64, u64), String> {
    let mut writer = prefix(image, &["write"], state, &[&seed.to_string(), ENDLESS, DEPTH, flush_every]).start();
    writer.wait_for_text("flushed", Duration::from_secs(60));
    std::thread::sleep(delay);
    let killed = writer.kill();
    assert_eq!(killed.signal, Some(9), "the writer ended by itself: {killed}");
    let flushed = last_number(&killed, "flushed").unwrap();
    let checked = check(image, state, seed, flushed);
    if checked.code != Some(0) {
        return Err(format!("seed {seed}, killed after {delay:?}, {flushed} flushed: {checked}"));
    }
    Ok((flushed, last_number(&checked, "prefix").unwrap()))
}

/// In an image of this size the writer fills whole segments besides, of large and small writes.
const MIXED_SIZES: &str = "128M";
const SMALL: &str = "16M";

fn small_image(ceph: &Ceph) -> Image {
    ceph.image("prefix").create(SMALL)
}

/// Kills one writer after the other, on one image.
fn kill_rounds(ceph: &Ceph, size: &str, flush_every: &str) {
    let image = ceph.image("prefix").create(size);
    let dir = scratch_dir();
    let state = dir.path().join("state");
    let first = number_from_environment("LSD_TEST_SEED", 1000);
    for seed in first..first + number_from_environment("LSD_TEST_KILL_ROUNDS", 3) {
        let delay = Duration::from_millis(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) % 2000);
        match kill_round(&image, &state, seed, delay, flush_every) {
            Ok((flushed, survived)) => {
                println!("{} seed {seed}: killed after {delay:?}, {flushed} flushed, {survived} survived", image.name);
            }
            Err(violation) => {
                let kept = std::env::var_os("LSD_TEST_KEEP").map(|_| {
                    let kept = format!("; kept: image {} and {}", image.spec(), dir.keep().display());
                    std::mem::forget(image);
                    kept
                });
                panic!("{violation}{}", kept.unwrap_or_default());
            }
        }
    }
}

#[test]
fn what_survives_kill_9_is_a_prefix_with_all_that_was_flushed() {
    kill_rounds(&requires_ceph!().with_short_watches(), MIXED_SIZES, FLUSH_EVERY);
}

#[test]
fn the_same_while_checkpoints_are_written_and_garbage_is_collected() {
    kill_rounds(&requires_ceph!().with_short_watches().with_client_conf(&BUSY_BEHIND), SMALL, FLUSH_EVERY);
}

/// Nothing but the age of a write makes it durable.
#[test]
fn a_prefix_survives_kill_9_of_a_writer_that_never_flushes() {
    kill_rounds(&requires_ceph!().with_short_watches().with_client_conf(&BUSY_BEHIND), SMALL, NEVER_FLUSH);
}

#[test]
fn everything_is_there_after_a_clean_end() {
    let ceph = requires_ceph!();
    let image = small_image(&ceph);
    let dir = scratch_dir();
    let state = dir.path().join("state");
    let done = prefix(&image, &["write"], &state, &["7", "3000", DEPTH, FLUSH_EVERY]).ok();
    assert_eq!(last_number(&done, "done"), Some(3000));
    assert_eq!(last_number(&check(&image, &state, 7, 3000).expect_code(0), "prefix"), Some(3000));
}

/// The check itself: one sector put back to what it was before must be found.
#[test]
fn the_check_finds_a_single_lost_sector() {
    let ceph = requires_ceph!();
    let image = small_image(&ceph);
    let dir = scratch_dir();
    let (state, copy) = (dir.path().join("state"), dir.path().join("copy"));
    // One at a time, so that this holds for any library.
    prefix(&image, &["write"], &state, &["8", "400", "1", "50"]).ok();
    image.read_to(&copy);
    let bytes = std::fs::read(&copy).unwrap();
    let written = bytes.chunks(512).rposition(|sector| sector.iter().any(|byte| *byte != 0)).unwrap();
    check(&image, &dir.path().join("other"), 8, 400).expect_code(0);
    image.qemu_io(&[&format!("write -z {} 512", written * 512), "flush"]);
    check(&image, &state, 8, 400).expect_code(1).says("not a prefix");
}
