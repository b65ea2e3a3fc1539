//! `fio --ioengine=rbd`: random mixed sizes, every block verified by checksum.
use crate::common::{Ceph, Finished, Image, scratch_dir};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(240);

/// A fio job on the image. fio leaves files in its working directory, hence a scratch one.
fn fio(image: &Image, options: &[&str]) -> Finished {
    let dir = scratch_dir();
    let base = ["--name=job", "--ioengine=rbd", "--clientname=admin", "--group_reporting", "--output-format=json"];
    let place = [format!("--pool={}", image.pool), format!("--rbdname={}", image.name)];
    let done = image.ceph.client("fio").args(base).args(place).args(options).dir(dir.path()).timeout(TIMEOUT).ok();
    let json: serde_json::Value = serde_json::from_str(done.text().trim_start_matches(|c| c != '{')).unwrap();
    assert_eq!(json["jobs"][0]["error"], 0, "{done}");
    done
}

fn image(ceph: &Ceph, name: &str) -> Image {
    ceph.image(name).create("512M")
}

const MIXED: &str = "--bssplit=512/5:4k/45:8k/10:16k/10:24k/5:64k/15:256k/8:1m/2";

#[test]
fn random_mixed_sizes_verify() {
    let ceph = requires_ceph!();
    let image = image(&ceph, "mixed");
    let options = ["--rw=randwrite", MIXED, "--iodepth=32", "--size=256m", "--io_size=192m", "--randseed=7"];
    fio(&image, &[&options[..], &["--verify=crc32c", "--verify_fatal=1", "--fsync=64", "--do_verify=1"]].concat());
}

#[test]
fn verify_in_the_same_run_as_writing() {
    let ceph = requires_ceph!();
    let image = image(&ceph, "backlog");
    let options = ["--rw=randwrite", MIXED, "--iodepth=16", "--size=96m", "--randseed=8", "--verify=crc32c"];
    fio(&image, &[&options[..], &["--verify_fatal=1", "--verify_backlog=256", "--fsync=32"]].concat());
}

/// Verified by a second process, so that nothing in memory helps.
#[test]
fn a_second_process_verifies_the_first_one() {
    let ceph = requires_ceph!();
    let image = image(&ceph, "second");
    let options = ["--rw=randwrite", "--bs=4k", "--iodepth=32", "--size=64m", "--randseed=9", "--verify=crc32c"];
    fio(&image, &[&options[..], &["--do_verify=0", "--end_fsync=1"]].concat());
    fio(&image, &[&options[..], &["--verify_only=1", "--verify_fatal=1"]].concat());
}

#[test]
fn reads_and_writes_mixed_with_trims() {
    let ceph = requires_ceph!();
    let image = image(&ceph, "trims");
    fio(&image, &["--rw=write", "--bs=1m", "--iodepth=8", "--size=256m", "--end_fsync=1"]);
    fio(&image, &["--rw=randrw", "--bs=4k", "--iodepth=32", "--size=256m", "--io_size=32m", "--fsync=100"]);
    fio(&image, &["--rw=trimwrite", "--bs=64k", "--iodepth=16", "--size=64m"]);
}
