//! Large and small writes in every mixture, at default settings but for the collector, which has always something to do: fio with
//! mixed sizes, `qemu-img convert` beside small writes to the same image, an import. Every image opens again with every byte.
//!
//! `LSD_TEST_MIXED_ROUNDS` sets the number of rounds (1), `LSD_TEST_SEED` the first seed.
use crate::common::{Ceph, Cmd, Image, built, pattern, scratch_dir, tests_own_library};
use std::path::Path;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(300);
/// Batches of small writes come behind large ones, and segments end at any length.
const MIXED: &str = "--bssplit=4k/70:16k/10:64k/5:256k/5:1m/10";
const FILE_BYTES: usize = 48 << 20;
const BESIDE: &str = "512m";

fn number_from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map(|text| text.parse().expect(name)).unwrap_or(default)
}

/// A fio job on the image. fio leaves files in its working directory, hence `dir`.
fn fio(image: &Image, dir: &Path, name: &str, options: &[&str]) -> Cmd {
    let base = ["--ioengine=rbd", "--clientname=admin", "--verify=crc32c", "--verify_fatal=1"];
    let place = [format!("--name={name}"), format!("--pool={}", image.pool), format!("--rbdname={}", image.name)];
    image.ceph.client("fio").args(base).args(place).args(options).dir(dir).timeout(TIMEOUT)
}

fn lsd(image: &Image, words: &[&str]) -> Cmd {
    image.ceph.client(built("lsd")).args(words).timeout(TIMEOUT)
}

fn round(ceph: &Ceph, seed: u64) {
    let dir = scratch_dir();
    let (file, back) = (dir.path().join("file"), dir.path().join("back"));
    std::fs::write(&file, pattern(FILE_BYTES, seed)).unwrap();
    let (mixed, beside) = (ceph.image("mixed").create("1G"), ceph.image("beside").create("1G"));
    let imported = ceph.image("imported");
    let seed = format!("--randseed={seed}");
    let random = ["--rw=randwrite", MIXED, "--iodepth=32", "--size=512m", "--io_size=384m", &seed];
    let small = ["--rw=randwrite", "--bs=4k", "--iodepth=16", "--offset", BESIDE, "--size=32m", &seed];

    // What is overwritten afterwards is garbage.
    let filled = ["--rw=write", "--bs=1m", "--iodepth=8", "--size=512m", "--do_verify=0", "--end_fsync=1"];
    fio(&mixed, dir.path(), "fill", &filled).ok();

    // Side by side: one image written by fio alone, one by two clients that take it from each other, one import.
    let writers = [
        fio(&mixed, dir.path(), "mixed", &[&random[..], &["--do_verify=0", "--fsync=500", "--end_fsync=1"]].concat()),
        fio(&beside, dir.path(), "beside", &[&small[..], &["--do_verify=0", "--fsync=300", "--end_fsync=1"]].concat()),
        beside
            .ceph
            .client("qemu-img")
            .args(["convert", "-n", "-W", "-m", "8", "-f", "raw", "-O", "raw"])
            .arg(&file)
            .arg(beside.qemu()),
        lsd(&imported, &["import"]).arg(&file).arg(imported.spec()),
    ];
    let running: Vec<_> = writers.into_iter().map(Cmd::start).collect();
    for writer in running {
        writer.wait(TIMEOUT).expect_code(0);
    }

    for image in [&mixed, &beside, &imported] {
        lsd(image, &["check", &image.spec()]).ok();
    }
    fio(&mixed, dir.path(), "mixed", &[&random[..], &["--verify_only=1"]].concat()).ok();
    fio(&beside, dir.path(), "beside", &[&small[..], &["--verify_only=1"]].concat()).ok();
    beside.read_to(&back);
    let expected = std::fs::read(&file).unwrap();
    assert!(
        std::fs::read(&back).unwrap()[..FILE_BYTES] == expected,
        "what was converted is not there beside small writes"
    );
    imported.read_to(&back);
    assert!(std::fs::read(&back).unwrap() == expected, "what was imported is not there");
}

#[test]
fn no_mixture_of_sizes_loses_an_image() {
    let logs = scratch_dir();
    let log = logs.path().join("log");
    let ceph = requires_ceph!().with_client_conf(&[
        "lsd_gc_least_live_bytes = 1048576",
        "lsd_gc_start_percent = 20",
        "lsd_gc_stop_percent = 10",
        "lsd_log_level = debug",
        &format!("lsd_log_file = {}", log.display()),
    ]);
    let first = number_from_environment("LSD_TEST_SEED", 1);
    for seed in first..first + number_from_environment("LSD_TEST_MIXED_ROUNDS", 1) {
        round(&ceph, seed);
    }
    let told = std::fs::read_to_string(&log).unwrap_or_default();
    assert!(!tests_own_library() || told.contains("a round of collection"), "nothing was collected meanwhile");
}
