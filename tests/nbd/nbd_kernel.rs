//! `lsd-nbd map` in a guest kernel (tests/vm): a whole life of a block device, from map to unmap.
use crate::common::{Ceph, Cmd, Finished, built};
use std::path::{Path, PathBuf};
use std::time::Duration;

const GUEST_TIMEOUT: u64 = 240;

/// Runs a bash script in the guest; `$NBD` is lsd-nbd, `$1` the image.
fn in_guest(ceph: &Ceph, script: &str, image: &str) -> Finished {
    let script = format!("set -eux; NBD={}; modprobe nbd nbds_max=4\n{script}", built("lsd-nbd").display());
    run_in_guest(Cmd::stock, ceph, &script, image)
}

/// Runs a bash script in the guest, which has the library path that `command` gives; `$1` is the image.
pub fn run_in_guest(command: fn(PathBuf) -> Cmd, ceph: &Ceph, script: &str, image: &str) -> Finished {
    command(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vm/run-in-guest"))
        .env("CEPH_CONF", &ceph.conf)
        .env("LSD_VM_CACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("vm"))
        .args(["-t", &GUEST_TIMEOUT.to_string(), "--", "bash", "-c", script, "bash", image])
        .timeout(Duration::from_secs(GUEST_TIMEOUT + 30))
        .ok()
}

#[test]
fn map_mkfs_mount_write_fsck_fstrim_unmap() {
    let ceph = requires_ceph!();
    let image = ceph.image("mapped").create("512M");
    let script = r#"
        dev=$($NBD map "$1" --try-netlink)
        [ -b "$dev" ]
        [ "$(blockdev --getsize64 "$dev")" = $((512 << 20)) ]
        $NBD list-mapped
        $NBD list-mapped --format json | jq -e --arg dev "$dev" '.[] | select(.device == $dev and .pool == "rbd")'
        mkfs.ext4 -q "$dev"
        mkdir -p /mnt/disk
        mount "$dev" /mnt/disk
        dd if=/dev/urandom of=/mnt/disk/file bs=1M count=64 conv=fsync
        sum=$(sha256sum </mnt/disk/file)
        umount /mnt/disk
        fsck.ext4 -f -n "$dev"
        $NBD unmap "$dev"
        dev=$($NBD map "$1" --try-netlink)
        mount -o discard "$dev" /mnt/disk
        [ "$sum" = "$(sha256sum </mnt/disk/file)" ]
        rm /mnt/disk/file
        fstrim -v /mnt/disk
        umount /mnt/disk
        fsck.ext4 -f -n "$dev"
        $NBD unmap "$1"
        [ "$($NBD list-mapped | wc -l)" = 0 ]
    "#;
    in_guest(&ceph, script, &image.spec()).says("trimmed");
}

#[test]
fn the_ioctl_way_and_a_chosen_device() {
    let ceph = requires_ceph!();
    let image = ceph.image("ioctl").create("64M");
    let script = r#"
        dev=$($NBD map --device /dev/nbd2 "$1")
        [ "$dev" = /dev/nbd2 ]
        dd if=/dev/urandom of=/tmp/data bs=64k count=100
        dd if=/tmp/data of="$dev" bs=64k oflag=direct conv=fsync
        $NBD unmap "$dev"
        dev=$($NBD map --device /dev/nbd1 --read-only "$1")
        cmp -n $((100 * 65536)) "$dev" /tmp/data
        ! dd if=/tmp/data of="$dev" bs=64k count=1 oflag=direct
        $NBD unmap "$dev"
    "#;
    in_guest(&ceph, script, &image.spec());
}
