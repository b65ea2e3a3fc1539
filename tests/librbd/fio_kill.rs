//! `kill -9` of fio while it writes through the rbd engine, then the image is opened again.
//! A sequential writer makes the order visible: what survives must be an unbroken run of blocks from the start.
use crate::common::{Cmd, Image, scratch_dir};
use std::time::Duration;

const BLOCK: usize = 4096;
/// The blocks that fio may write: the image is a little larger.
const FIO_BLOCKS: usize = (256 << 20) / BLOCK;
/// fio's mark at the start of every block it writes for verification.
const FIO_MAGIC: [u8; 2] = 0xacca_u16.to_le_bytes();
/// Slow enough that no library fills the image before the kill.
const RATE: &str = "--rate_iops=20000";

fn fio(image: &Image, options: &[&str]) -> Cmd {
    let place = [format!("--pool={}", image.pool), format!("--rbdname={}", image.name)];
    let base = ["--name=job", "--ioengine=rbd", "--clientname=admin", "--bs=4k", "--size=256m", "--verify=crc32c"];
    image.ceph.client("fio").args(base).args(place).args(options).timeout(Duration::from_secs(120))
}

fn killed_while(image: &Image, options: &[&str]) {
    let dir = scratch_dir();
    let job = fio(image, options).args(["--do_verify=0", "--iodepth=16", "--fsync=200", RATE]).dir(dir.path()).start();
    std::thread::sleep(Duration::from_millis(2500));
    let killed = job.kill();
    assert_eq!(killed.signal, Some(9), "fio ended by itself: {killed}");
    // A new writer, beyond what fio wrote: from here on nothing that fio still had on its way can land.
    image.qemu_io(&["write -z 256M 4k", "flush"]);
}

/// Which blocks of the image fio wrote.
fn written_blocks(image: &Image) -> Vec<bool> {
    let dir = scratch_dir();
    let file = dir.path().join("image");
    image.read_to(&file);
    let bytes = std::fs::read(&file).unwrap();
    bytes.chunks(BLOCK).map(|block| block.iter().any(|byte| *byte != 0)).collect()
}

#[test]
fn a_killed_sequential_writer_leaves_an_unbroken_run() {
    let ceph = requires_ceph!().with_short_watches();
    let image = ceph.image("fio-run").create("257M");
    killed_while(&image, &["--rw=write"]);
    let written = written_blocks(&image);
    let run = written[..FIO_BLOCKS]
        .iter()
        .position(|written| !written)
        .expect("fio wrote the whole image before it was killed");
    assert!(run > 0, "nothing was written before the kill: this showed nothing");
    let beyond = written[run..].iter().filter(|written| **written).count();
    assert_eq!(beyond, 0, "{run} blocks from the start, then a hole, then {beyond} more");
    verify(&image, &["--rw=write", &format!("--io_size={}", run * BLOCK)], 0);
}

#[test]
fn a_killed_random_writer_leaves_whole_blocks() {
    let ceph = requires_ceph!().with_short_watches();
    let image = ceph.image("fio-random").create("257M");
    killed_while(&image, &["--rw=randwrite"]);
    let written = written_blocks(&image).iter().filter(|written| **written).count();
    assert!(written > 0, "nothing was written before the kill: this showed nothing");
    verify(&image, &["--rw=randwrite"], FIO_BLOCKS - written);
    // And the image takes new work.
    let dir = scratch_dir();
    fio(&image, &["--rw=randwrite", "--io_size=16m", "--iodepth=16", "--verify_fatal=1"]).dir(dir.path()).ok();
}

/// fio's own verification of every block; exactly `unwritten` of them may be zeros, and nothing else may be wrong.
fn verify(image: &Image, options: &[&str], unwritten: usize) {
    let dir = scratch_dir();
    let tolerant = ["--verify_only=1", "--continue_on_error=verify", "--iodepth=32", "--verify_fatal=0"];
    let done = fio(image, options).args(tolerant).arg("--output-format=json").dir(dir.path()).run();
    assert!(!done.timed_out && done.signal.is_none(), "{done}");
    let zeros = format!("bad magic header 0, wanted {:x}", u16::from_le_bytes(FIO_MAGIC));
    let complaints = done.errors();
    let wrong: Vec<&str> =
        complaints.lines().filter(|line| line.contains("verify") && !line.contains(&zeros)).collect();
    assert!(
        wrong.is_empty(),
        "{} blocks are neither zeros nor what fio wrote: {:?}",
        wrong.len(),
        &wrong[..wrong.len().min(5)]
    );
    // The count is the job's: under load fio does not print every complaint.
    let text = done.text();
    let json: serde_json::Value = serde_json::from_str(&text[text.find('{').expect("fio's JSON")..]).unwrap();
    assert_eq!(
        json["jobs"][0]["total_err"].as_u64().unwrap_or(0),
        unwritten as u64,
        "blocks that fio found to be zeros: {done}"
    );
}
