//! `lsd-nbd attach` and `detach` in a guest kernel: a device outlives the process behind it, and its file system loses nothing.
use super::in_guest;
use crate::common::built;

/// Kills of a daemon while there is I/O; the long form has 20.
fn kills() -> u32 {
    std::env::var("LSD_TEST_NBD_KILLS").map_or(3, |text| text.parse().unwrap())
}

#[test]
fn a_device_is_handed_from_process_to_process() {
    in_guest(
        r#"
        dev=$($NBD map $SPEC --cookie a-cookie)
        first=$(cat /sys/block/nbd0/pid)
        fails $NBD attach $SPEC; says "lsd-nbd: must specify device to attach"
        fails $NBD attach $SPEC --device $dev; says "lsd-nbd: must specify cookie to attach"
        fails $NBD attach $SPEC --device $dev --cookie other; says "lsd-nbd: cookie mismatch"
        fails $NBD attach $SPEC --device /dev/nbd1 --cookie other; says "lsd-nbd: kernel does not have cookie support"
        fails $NBD attach $SPEC --device /dev/nbd1
        fails $NBD attach $SPEC --device $dev --cookie a-cookie; says "lsd-nbd: $dev has process $first connected"
        fails $NBD detach /dev/nbd1; says "lsd-nbd: no process attached to /dev/nbd1 found"
        mkfs.ext4 -q $dev
        mkdir /tmp/mnt
        mount $dev /tmp/mnt
        head -c 4M /dev/urandom >/tmp/mnt/file
        sum=$(sha256sum </tmp/mnt/file)
        $NBD detach $SPEC
        [ ! -e /proc/$first ]
        fails $NBD detach $SPEC; says "lsd-nbd: $SPEC is not mapped"
        [ "$($NBD list-mapped)" = "" ]
        # What is asked now waits.
        (sync; echo 3 >/proc/sys/vm/drop_caches; sha256sum </tmp/mnt/file >/tmp/sum) & reader=$!
        sleep 1
        [ "$($NBD attach $SPEC --device $dev --cookie a-cookie --show-cookie)" = "$dev a-cookie" ]
        wait $reader
        [ "$(cat /tmp/sum)" = "$sum" ]
        second=$($NBD list-mapped --format json | jq '.[0].id')
        [ $second != $first ] && [ -e /proc/$second ]
        # sysfs has the first process's number for good.
        [ "$(cat /sys/block/nbd0/pid)" = $first ]
        fails $NBD attach $SPEC --device $dev --cookie a-cookie; says "lsd-nbd: $dev has process $second connected"
        $LSD resize --size 96M --no-progress $SPEC
        for _ in $(seq 100); do [ "$(blockdev --getsize64 $dev)" != $((96 << 20)) ] || break; sleep 0.1; done
        resize2fs $dev
        [ $(($(stat -f -c '%b * %S' /tmp/mnt))) -gt $((80 << 20)) ]
        umount /tmp/mnt
        fsck.ext4 -fn $dev
        $NBD detach $dev
        [ "$($NBD attach $SPEC --device $dev --cookie a-cookie)" = $dev ]
        $NBD unmap $SPEC
        [ "$($NBD list-mapped)" = "" ]
        [ ! -e /sys/block/nbd0/pid ]
        ! dmesg | grep -E 'I/O error|EXT4-fs error'
        "#,
    );
}

/// `kill -9` with requests in flight, and another process in its place. `$FIO` checks what it wrote as it goes. What was sent to
/// the dead process is sent again when the request's time-out has passed.
pub const KILLS: &str = r#"
    dev=$($NBD map $SPEC --cookie volume --io-timeout 20 --reattach-timeout 120 $CONF)
    mkfs.ext4 -q $dev
    mkdir /tmp/mnt
    mount $dev /tmp/mnt
    check() {
        while [ ! -e /dev/shm/stop ]; do
            fio --name=v --directory=/tmp/mnt --size=24M --rw=randwrite --bsrange=4k-32k --ioengine=libaio \
                --iodepth=16 --direct=1 --fsync=64 --verify=crc32c --verify_backlog=512 --verify_fatal=1 --minimal
            rounds=$((rounds + 1)); echo $rounds >/dev/shm/rounds
        done
    }
    (set -e; rounds=0; check) >/dev/shm/fio 2>&1 & load=$!
    for kill in $(seq $KILLS); do
        sleep $((1 + RANDOM % 3)).$((RANDOM % 10))
        kill -0 $load
        pid=$($NBD list-mapped --format json | jq '.[0].id')
        kill -9 $pid
        # Longer than nothing, shorter than the device waits.
        sleep $((RANDOM % 2))
        [ "$($NBD attach $SPEC --device $dev --cookie volume --io-timeout 20 --reattach-timeout 120 $CONF)" = $dev ]
        # It works again before the next one is killed.
        dd if=/dev/urandom of=/tmp/mnt/other bs=64k count=8 conv=fsync status=none
    done
    touch /dev/shm/stop
    wait $load || { cat /dev/shm/fio; false; }
    [ "$(cat /dev/shm/rounds)" -ge 1 ]
    umount /tmp/mnt
    fsck.ext4 -fn $dev
    $NBD unmap $SPEC
    ! dmesg | grep -E 'I/O error|EXT4-fs error'
"#;

#[test]
fn a_killed_process_is_replaced_under_load() {
    in_guest(&format!("KILLS={}; CONF=; {KILLS}", kills()));
}

/// On the cluster; with watches as short as tests have them, so that who is dead counts as dead within the request's time-out.
#[test]
fn a_killed_process_is_replaced_under_load_on_the_cluster() {
    let ceph = requires_ceph!();
    let ceph = ceph.with_short_watches();
    let image = ceph.image("killed");
    ceph.client(built("lsd")).args(["create", "--size", "128M", &image.spec()]).ok();
    super::in_guest_with(&ceph, &format!("SPEC={}; KILLS={}; CONF=; {KILLS}", image.spec(), kills()));
}
