//! A real guest lives on an image: unmodified qemu-system boots Debian's kernel with its root file system on
//! `rbd:pool/image`, the guest writes files and syncs them, and a second boot finds them.
use crate::common::{Cmd, Image, debian_kernel, scratch_dir, system_disk};
use std::path::Path;
use std::time::Duration;

/// An emulated boot takes 8 s on an idle machine.
const BOOT_TIMEOUT: Duration = Duration::from_secs(240);

/// The guest's whole system: busybox and this program as its first process. The word on the kernel's command line says
/// which boot it is.
const INIT: &str = r#"#!/bin/busybox sh
export PATH=/bin
mount -t proc proc /proc
mount -t devtmpfs dev /dev
step() { echo "guest: $*"; }
fail() { echo "guest: FAILED $*"; poweroff -f; }
case $(cat /proc/cmdline) in
*lsd.boot=first*)
    mkdir /data || fail mkdir
    for n in 1 2 3 4 5 6 7 8; do
        dd if=/dev/urandom of=/data/file$n bs=64k count=$((n * 8)) conv=fsync 2>/dev/null || fail write
    done
    for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        echo "line $n" | dd of=/data/journal oflag=append conv=notrunc,fsync 2>/dev/null || fail fsync
    done
    rm /data/file3 && mv /data/file4 /data/renamed || fail rename
    sha256sum /data/file* /data/renamed /data/journal >/sums && sync /sums || fail sums
    ;;
*lsd.boot=second*)
    sha256sum -c /sums || fail sums differ
    [ "$(wc -l </data/journal)" = 20 ] || fail journal
    [ ! -e /data/file3 ] || fail a removed file is back
    ;;
*) fail no boot word ;;
esac
sync
mount -o remount,ro /
step "done with $(uname -r)"
poweroff -f
"#;

fn boot(image: &Image, kernel: &Path, word: &str) -> String {
    let append = format!("console=ttyS0 quiet panic=-1 mitigations=off lsd.boot={word}");
    let drive = format!("file={},if=virtio,format=raw,cache=writeback,discard=unmap", image.qemu());
    let done = image
        .ceph
        .client("qemu-system-x86_64")
        .args(["-accel", "tcg", "-cpu", "max", "-M", "q35", "-m", "384", "-nodefaults", "-display", "none"])
        .args(["-no-reboot", "-serial", "stdio", "-append", &append, "-drive", &drive])
        .arg("-kernel")
        .arg(kernel.join("vmlinuz"))
        .arg("-initrd")
        .arg(kernel.join("initrd"))
        .timeout(BOOT_TIMEOUT)
        .ok();
    assert!(done.text().contains("guest: done with") && !done.text().contains("FAILED"), "boot {word}: {done}");
    done.text()
}

#[test]
fn a_guest_finds_its_files_at_the_second_boot() {
    let ceph = requires_ceph!();
    let kernel = debian_kernel();
    let image = system_disk(&ceph, INIT);
    boot(&image, &kernel, "first");
    boot(&image, &kernel, "second");
    // The file system as a whole, looked at from outside.
    let dir = scratch_dir();
    let file = dir.path().join("disk");
    image.read_to(&file);
    Cmd::stock("fsck.ext4").args(["-f", "-n"]).arg(&file).ok();
}
