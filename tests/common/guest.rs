//! What the tests with a real guest share: a kernel, and disks with a system on them.
use super::{Ceph, Cmd, Image, scratch_dir};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Debian's kernel and the initramfs, unpacked once for a checkout.
pub fn debian_kernel() -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("debian-kernel");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vm/debian-kernel");
    Cmd::stock(script).arg(&dir).timeout(Duration::from_secs(300)).ok();
    dir
}

/// An image with an ext4 file system that holds the guest's whole system: busybox, and `program` as its first process.
pub fn system_disk(ceph: &Ceph, program: &str) -> Image {
    let dir = scratch_dir();
    let root = dir.path().join("root");
    for folder in ["bin", "sbin", "proc", "dev", "sys"] {
        std::fs::create_dir_all(root.join(folder)).unwrap();
    }
    std::fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
    for applet in Cmd::stock("/bin/busybox").arg("--list").ok().text().lines().filter(|name| *name != "busybox") {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(applet)).unwrap();
    }
    let init = root.join("sbin/init");
    std::fs::write(&init, program).unwrap();
    std::fs::set_permissions(&init, std::fs::Permissions::from_mode(0o755)).unwrap();
    let file = dir.path().join("disk");
    Cmd::stock("truncate").args(["-s", "512M"]).arg(&file).ok();
    Cmd::stock("mkfs.ext4").args(["-q", "-F", "-d"]).arg(&root).arg(&file).ok();
    ceph.image("guest").fill_from(&file)
}
