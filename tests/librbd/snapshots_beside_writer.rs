//! One client writes, at default settings, and another takes snapshots of what it writes: each is a prefix of the order in which the
//! first wrote, none lies before the one taken earlier, and the writer never fails.
//!
//! `LSD_TEST_SNAPSHOTS` sets how many (20).
use super::crash_prefix::{DEPTH, ENDLESS, FLUSH_EVERY, last_number, number_from_environment};
use crate::common::{built, compiled_program, scratch_dir};
use std::time::Duration;

const SEED: &str = "6000";
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn each_snapshot_of_an_image_that_another_client_writes_is_a_prefix() {
    let ceph = requires_ceph!();
    // Large enough for the writer to fill whole segments besides.
    let disk = ceph.image("beside").create("128M");
    let dir = scratch_dir();
    let place = [disk.pool.as_str(), disk.name.as_str()];
    let (never, saved) = (dir.path().join("never"), dir.path().join("saved"));
    let prefix =
        |word: &str| ceph.client(compiled_program("prefix")).arg(word).args(place).arg(&never).timeout(PATIENCE);
    let mut writer = prefix("write").args([SEED, ENDLESS, DEPTH, FLUSH_EVERY]).start();
    writer.wait_for_text("flushed", PATIENCE);
    let count = number_from_environment("LSD_TEST_SNAPSHOTS", 20);
    let names: Vec<String> = (0..count).map(|at| format!("s{at}")).collect();
    let lsd = |words: &[&str]| ceph.client(built("lsd")).args(words).timeout(PATIENCE).ok();
    for name in &names {
        lsd(&["snap", "create", "--no-progress", &format!("{}@{name}", disk.spec())]);
    }
    assert!(writer.is_alive(), "the writer ended by itself");
    writer.kill();
    let mut before = 0;
    for name in &names {
        let looked = prefix("look").args([SEED, name.as_str()]).arg(&saved).run();
        assert_eq!(looked.code, Some(0), "snapshot {name} is no prefix: {looked}");
        let at = last_number(&looked, "prefix").unwrap();
        assert!(at >= before, "snapshot {name} ends at {at}, the one before it at {before}");
        before = at;
    }
    lsd(&["snap", "purge", "--no-progress", &disk.spec()]);
}
