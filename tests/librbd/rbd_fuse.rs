//! Debian's `rbd-fuse` on the tested library: images of a pool as files.
use crate::common::{Ceph, Cmd, Running, pattern, scratch_dir, wait_until};
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

struct Mount<'a> {
    dir: &'a Path,
    daemon: Option<Running>,
}

impl<'a> Mount<'a> {
    fn new(ceph: &Ceph, pool: &str, dir: &'a Path) -> Self {
        let daemon = ceph.client("rbd-fuse").arg("-f").arg("-c").arg(&ceph.conf).args(["-p", pool]).arg(dir).start();
        let mounted = || std::fs::read_to_string("/proc/mounts").unwrap().contains(&format!(" {} fuse", dir.display()));
        wait_until("rbd-fuse mounts", Duration::from_secs(30), mounted);
        Self { dir, daemon: Some(daemon) }
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        Cmd::stock("umount").arg(self.dir).run();
        // It closes the images after the mount is gone.
        let done = self.daemon.take().map(|daemon| daemon.wait(Duration::from_secs(30)));
        assert!(
            std::thread::panicking() || done.as_ref().is_some_and(|done| done.code == Some(0)),
            "{}",
            done.unwrap()
        );
    }
}

#[test]
fn an_image_is_a_file() {
    let ceph = requires_ceph!();
    let image = ceph.image("fuse").create("32M");
    let bytes = pattern(3 << 20, 11);
    let dir = scratch_dir();
    {
        let mount = Mount::new(&ceph, "rbd", dir.path());
        let names: Vec<_> = mount.dir.read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(names.iter().any(|name| name == image.name.as_str()), "{names:?}");
        let file = OpenOptions::new().read(true).write(true).open(mount.dir.join(&image.name)).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 32 << 20);
        file.write_all_at(&bytes, 5_000_001).unwrap();
        file.sync_all().unwrap();
        let mut back = vec![0; bytes.len()];
        file.read_exact_at(&mut back, 5_000_001).unwrap();
        assert!(back == bytes, "read back other bytes");
    }
    let file = dir.path().join("out");
    image.read_to(&file);
    let whole = std::fs::read(&file).unwrap();
    assert!(whole[5_000_001..5_000_001 + bytes.len()] == bytes, "after unmounting, the image holds other bytes");
    assert!(whole[..5_000_001].iter().all(|byte| *byte == 0));
}
