//! A pool that reaches its quota while a client writes: the client gets an error or waits, as with stock librbd, and
//! nothing that was flushed is lost.
use crate::common::{Ceph, Cmd, Image, pattern, scratch_dir, wait_until};
use std::time::Duration;

const QUOTA: u64 = 24 << 20;

pub(super) struct Pool<'a> {
    ceph: &'a Ceph,
    name: &'a str,
}

impl Drop for Pool<'_> {
    fn drop(&mut self) {
        self.ceph.remove_pool(self.name);
    }
}

impl<'a> Pool<'a> {
    pub(super) fn new(ceph: &'a Ceph, name: &'a str) -> Self {
        ceph.make_pool(name);
        let pool = Self { ceph, name };
        pool.set_quota(QUOTA);
        pool
    }

    pub(super) fn set_quota(&self, bytes: u64) {
        let bytes = bytes.to_string();
        self.ceph.stock("ceph").args(["osd", "pool", "set-quota", self.name, "max_bytes", &bytes]).ok();
    }

    fn is_full(&self) -> bool {
        let dump = self.ceph.stock("ceph").args(["osd", "pool", "ls", "detail"]).ok().text();
        dump.lines().any(|line| line.contains(&format!("'{}'", self.name)) && line.contains("full_quota"))
    }

    /// An image with 30 MiB of 0x11, which is more than the pool may have.
    pub(super) fn filled_image(&self) -> Image {
        let image = self.ceph.image_in(self.name, "full").create("256M");
        image.qemu_io(&["write -P 0x11 0 30M", "flush"]);
        wait_until("the monitor marks the pool full", Duration::from_secs(60), || self.is_full());
        image
    }
}

fn qemu_io(image: &Image, commands: &[&str]) -> Cmd {
    let args = commands.iter().flat_map(|command| ["-c", command]);
    image.ceph.client("qemu-io").args(["-f", "raw", "-t", "writeback"]).args(args).arg(image.qemu())
}

#[test]
fn nothing_flushed_is_lost_when_the_pool_is_full() {
    let ceph = requires_ceph!();
    let pool = Pool::new(&ceph, "quota-test");
    let image = pool.filled_image();

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
    pool.set_quota(0);
    wait_until("the pool has space again", Duration::from_secs(60), || !pool.is_full());
    let file = dir.path().join("file");
    std::fs::write(&file, pattern(1 << 20, 41)).unwrap();
    let write = format!("write -s {} 128M 1M", file.display());
    qemu_io(&image, &[&write, "flush"]).timeout(Duration::from_secs(90)).ok();
    image.qemu_io(&["read -P 0x11 0 30M"]);
}

/// Nobody raises the quota: the guest discards, and what it discarded is deleted.
#[test]
fn a_discard_makes_room_in_a_full_pool() {
    let ceph = requires_ceph!();
    let pool = Pool::new(&ceph, "quota-discard");
    let image = pool.filled_image();
    let stuck = qemu_io(&image, &["write -P 0x22 64M 4M", "flush"]).timeout(Duration::from_secs(60)).run();
    assert!(stuck.code != Some(0) || stuck.text().contains("failed"), "success on a full pool: {stuck}");
    let freed = qemu_io(&image, &["discard 0 28M", "flush"]).timeout(Duration::from_secs(60)).ok();
    assert!(!freed.text().contains("failed"), "{freed}");
    wait_until("the pool has space again", Duration::from_secs(90), || !pool.is_full());
    qemu_io(&image, &["write -P 0x33 100M 4M", "flush"]).timeout(Duration::from_secs(60)).ok();
    image.qemu_io(&["read -P 0 0 28M", "read -P 0x11 28M 2M", "read -P 0x33 100M 4M"]);
}
