//! Ceph's own, unmodified `rbd-nbd` on our library, in a guest kernel (tests/vm), by itself and as `rbd device map -t nbd` calls it.
use crate::common::Ceph;

/// Runs a bash script in the guest, with our library first; `$1` is the image.
fn in_guest(ceph: &Ceph, script: &str, image: &str) {
    super::in_guest_on_library(ceph, &format!("modprobe nbd nbds_max=4; set -- '{image}'\n{script}"));
}

#[test]
fn a_whole_life_of_a_device() {
    let ceph = requires_ceph!();
    let image = ceph.image("rbd-nbd").create("256M");
    let script = r#"
        dev=$(rbd device map -t nbd "$1")
        [ "$(blockdev --getsize64 "$dev")" = $((256 << 20)) ]
        rbd device list -t nbd --format json | jq -e --arg dev "$dev" '.[] | select(.device == $dev and .pool == "rbd")'
        rbd status "$1" | grep watcher=
        mkfs.ext4 -q "$dev"
        mkdir -p /mnt/disk
        mount "$dev" /mnt/disk
        dd if=/dev/urandom of=/mnt/disk/file bs=1M count=32 conv=fsync
        sum=$(sha256sum </mnt/disk/file)
        fsfreeze -f /mnt/disk
        rbd snap create --no-progress "$1@s"
        fsfreeze -u /mnt/disk
        rbd resize --no-progress --size 384 "$1"
        for _ in $(seq 100); do [ "$(blockdev --getsize64 "$dev")" = $((384 << 20)) ] && break; sleep 0.1; done
        resize2fs "$dev"
        [ "$(df --output=size -m /mnt/disk | tail -1)" -gt 300 ]
        rm /mnt/disk/file
        fstrim -v /mnt/disk
        umount /mnt/disk
        fsck.ext4 -f -n "$dev"
        rbd device unmap -t nbd "$dev"
        dev=$(rbd-nbd map --read-only "$1@s")
        mount -o ro,noload "$dev" /mnt/disk
        [ "$sum" = "$(sha256sum </mnt/disk/file)" ]
        umount /mnt/disk
        rbd-nbd unmap "$dev"
        [ "$(rbd-nbd list-mapped | wc -l)" = 0 ]
        rbd snap rm --no-progress "$1@s"
    "#;
    in_guest(&ceph, script, &image.spec());
}
