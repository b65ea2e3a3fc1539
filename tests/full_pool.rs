//! A pool that reaches its quota while a client writes: the client gets an error or waits, as with stock librbd, and
//! nothing that was flushed is lost.
mod common;
use common::{Ceph, Image, pattern, scratch_dir, wait_until};
use std::time::Duration;

const POOL: &str = "quota-test";
const QUOTA: u64 = 24 << 20;

struct Pool<'a>(&'a Ceph);

impl Drop for Pool<'_> {
    fn drop(&mut self) {
        self.0.remove_pool(POOL);
    }
}

fn set_quota(ceph: &Ceph, bytes: u64) {
    ceph.stock("ceph").args(["osd", "pool", "set-quota", POOL, "max_bytes", &bytes.to_string()]).ok();
}

fn pool_is_full(ceph: &Ceph) -> bool {
    let dump = ceph.stock("ceph").args(["osd", "pool", "ls", "detail"]).ok().text();
    dump.lines().any(|line| line.contains(POOL) && line.contains("full_quota"))
}

fn qemu_io(image: &Image, commands: &[&str]) -> common::Cmd {
    let args = commands.iter().flat_map(|command| ["-c", command]);
    image.ceph.client("qemu-io").args(["-f", "raw", "-t", "writeback"]).args(args).arg(image.qemu())
}

#[test]
fn nothing_flushed_is_lost_when_the_pool_is_full() {
    let ceph = requires_ceph!();
    ceph.make_pool(POOL);
    let _pool = Pool(&ceph);
    set_quota(&ceph, QUOTA);
    let image = ceph.image_in(POOL, "full").create("256M");
    image.qemu_io(&["write -P 0x11 0 30M", "flush"]);
    wait_until("the monitor marks the pool full", Duration::from_secs(60), || pool_is_full(&ceph));

    // A write to the full pool must not be acknowledged as durable. librados lets it wait for space or fails it.
    let blocked = qemu_io(&image, &["write -P 0x22 64M 8M", "flush"]).timeout(Duration::from_secs(12)).run();
    assert!(
        !blocked.errors().contains("panicked") && blocked.signal != Some(6) && blocked.signal != Some(11),
        "{blocked}"
    );
    assert!(
        blocked.timed_out || blocked.code != Some(0) || blocked.text().contains("failed"),
        "success on a full pool: {blocked}"
    );

    // What was flushed is readable while the pool is full.
    let dir = scratch_dir();
    let out = dir.path().join("out");
    image.read_to(&out);
    let bytes = std::fs::read(&out).unwrap();
    assert!(bytes[..30 << 20].iter().all(|byte| *byte == 0x11), "flushed data is not there");

    // Space again: the image works as before.
    set_quota(&ceph, 0);
    wait_until("the pool has space again", Duration::from_secs(60), || !pool_is_full(&ceph));
    let file = dir.path().join("file");
    std::fs::write(&file, pattern(1 << 20, 41)).unwrap();
    let write = format!("write -s {} 128M 1M", file.display());
    qemu_io(&image, &[&write, "flush"]).timeout(Duration::from_secs(90)).ok();
    image.qemu_io(&["read -P 0x11 0 30M"]);
}
