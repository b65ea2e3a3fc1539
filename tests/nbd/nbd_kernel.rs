//! `lsd-nbd map` in a guest kernel (tests/vm): a whole life of a block device, from map to unmap.
use crate::common::{Ceph, Finished, built};

/// Runs a bash script in the guest; `$1` is the image.
fn in_guest(ceph: &Ceph, script: &str, image: &str) -> Finished {
    super::in_guest_with(ceph, &format!("modprobe nbd nbds_max=4; set -- '{image}'\n{script}"))
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

/// The calls of ceph-csi's rbd-nbd mounter, by the name that it calls, with the options and the parsing that it has: map, list, a
/// node plug-in that is started again (the processes of the old one are dead) and attaches, expand, unmap by device.
#[test]
fn ceph_csi_maps_heals_expands_and_unmaps() {
    let ceph = requires_ceph!();
    let ceph = ceph.with_short_watches();
    let image = ceph.image("csi");
    ceph.client(built("lsd")).args(["create", "--size", "128M", &image.spec()]).ok();
    ceph.client(built("lsd")).args(["snap", "create", "--no-progress", &format!("{}@s", image.spec())]).ok();
    let script = r#"
        mkdir /dev/shm/bin /dev/shm/log; ln -s $NBD /dev/shm/bin/rbd-nbd; export PATH=/dev/shm/bin:$PATH
        keyring=$(sed -n 's/^ *keyring *= *//p' $CEPH_CONF | head -1)
        sed -n 's/.*key *= *//p' $keyring | head -1 >/dev/shm/key
        mons=$(sed -n 's/^ *mon[ _]host *= *//p' $CEPH_CONF | head -1)
        csi="--id admin -m $mons --keyfile=/dev/shm/key --log-file /dev/shm/log/csi.log"
        nbd="--try-netlink --reattach-timeout=300 --io-timeout=0 --cookie=0001-volume"
        rbd-nbd --help | grep -q -- --cookie
        dev=$(rbd-nbd $csi map $1 $nbd)
        [ -b $dev ]
        find_device() { # as waitForPath does: pool, namespace and image have to be those
            rbd-nbd list-mapped --format=json | jq -r --arg pool ${1%%/*} --arg image ${1##*/} \
                '.[] | select(.pool == $pool and .namespace == "" and .image == $image and .snap == "") | .device'
        }
        [ "$(find_device $1)" = $dev ]
        rbd-nbd list-mapped --format=json | jq -e '.[0] | (.id | type) == "number" and .cookie == "0001-volume"'
        mkfs.ext4 -q -m0 -Enodiscard,lazy_itable_init=1,lazy_journal_init=1 $dev
        mkdir /tmp/mnt
        mount -o _netdev,discard $dev /tmp/mnt
        head -c 8M /dev/urandom >/tmp/mnt/file; sync
        sum=$(sha256sum </tmp/mnt/file)
        kill -9 $(rbd-nbd list-mapped --format=json | jq '.[0].id')
        echo 3 >/proc/sys/vm/drop_caches
        # The healer.
        [ "$(rbd-nbd $csi attach $1 --device $dev $nbd)" = $dev ]
        [ "$(sha256sum </tmp/mnt/file)" = "$sum" ]
        [ "$(find_device $1)" = $dev ]
        $LSD resize --size 192M --no-progress $1
        for _ in $(seq 100); do [ "$(blockdev --getsize64 $dev)" != $((192 << 20)) ] || break; sleep 0.1; done
        resize2fs $dev
        [ $(($(stat -f -c '%b * %S' /tmp/mnt))) -gt $((160 << 20)) ]
        snap=$(rbd-nbd $csi map $1@s --try-netlink --read-only)
        [ "$(cat /sys/block/${snap#/dev/}/ro)" = 1 ]
        cmp -n 1M $snap /dev/zero
        rbd-nbd unmap $snap
        rm /tmp/mnt/file; fstrim -v /tmp/mnt
        umount /tmp/mnt
        fsck.ext4 -fn $dev
        rbd-nbd unmap $dev
        fails rbd-nbd unmap $1; says "rbd-nbd: $1 is not mapped"
        grep -E '^[0-9-]+T[0-9:.]+Z +INFO lsd::api: mapped image=' /dev/shm/log/csi.log
    "#;
    in_guest(&ceph, script, &image.spec());
    ceph.client(built("lsd")).args(["snap", "rm", "--no-progress", &format!("{}@s", image.spec())]).ok();
}
