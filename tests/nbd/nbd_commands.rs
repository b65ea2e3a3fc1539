//! `lsd-nbd map`, `unmap` and `list-mapped` on the directory store in a guest kernel: what they print, and what is left
//! when things go wrong.
use crate::common::{Cmd, Finished, built};
use std::path::Path;
use std::time::Duration;

const GUEST_TIMEOUT: u64 = 120;

/// Runs a bash script in the guest, with a 64 MiB image `$SPEC`; a command behind `fails` has to fail, with 1.
fn in_guest(script: &str) -> Finished {
    let guest = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vm/run-in-guest");
    let prelude = r#"set -euxo pipefail
        fails() { local code=0; "$@" 2>/tmp/said || code=$?; cat /tmp/said; [ $code = 1 ]; }
        says() { grep -qxF "$1" /tmp/said; }
        mkdir /dev/shm/store
        SPEC=dir:/dev/shm/store/disk
        $LSD create --size 64M $SPEC
    "#;
    let (lsd, nbd) = (built("lsd"), built("lsd-nbd"));
    let script = format!("LSD={}; NBD={}\n{prelude}\n{script}", lsd.display(), nbd.display());
    Cmd::stock(guest)
        .env("LSD_VM_CACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("vm"))
        .args(["-t", &GUEST_TIMEOUT.to_string(), "--", "bash", "-c", &script])
        .timeout(Duration::from_secs(GUEST_TIMEOUT + 30))
        .ok()
}

#[test]
fn devices_are_listed_and_found_by_image_or_device() {
    in_guest(
        r#"
        [ "$($NBD list-mapped)" = "" ]
        [ "$($NBD list-mapped --format json)" = "[]" ]
        # The driver is loaded by map.
        dev=$($NBD map $SPEC --cookie a-cookie --show-cookie)
        [ "$dev" = "/dev/nbd0 a-cookie" ]
        pid=$(cat /sys/block/nbd0/pid)
        row='{"id":'$pid',"pool":"dir:/dev/shm/store","namespace":"","image":"disk","snap":"","device":"/dev/nbd0","cookie":"a-cookie"}'
        [ "$($NBD list-mapped --format json)" = "[$row]" ]
        [ "$($NBD list-mapped | awk 'NR == 1 { print $1, $6 } NR == 2 { print $1, $6 }' | paste -s)" = "id device	$pid /dev/nbd0" ]
        # The daemon has let go of its caller.
        [ "$(ps -o sid= -p $pid | tr -d ' ')" = $pid ]
        [ "$(readlink /proc/$pid/fd/0 /proc/$pid/fd/1 /proc/$pid/fd/2 | sort -u)" = /dev/null ]
        cd /dev/shm
        $NBD unmap dir:store/../store/disk
        fails $NBD unmap $SPEC; says "lsd-nbd: $SPEC is not mapped"
        # A device that is free already is what was asked for, as for rbd-nbd.
        $NBD unmap /dev/nbd0; rbd-nbd unmap /dev/nbd0
        fails rbd-nbd unmap /dev/nbd99; fails $NBD unmap /dev/nbd99
        fails $NBD unmap /dev/sda; says "lsd-nbd: invalid device path: /dev/sda (expected /dev/nbd{num})"
        [ ! -e /proc/$pid ]
        dev=$($NBD map --device /dev/nbd9 $SPEC)
        [ "$dev" = /dev/nbd9 ]
        $NBD unmap /dev/nbd9
        "#,
    );
}

#[test]
fn map_says_what_is_wrong_and_leaves_nothing() {
    in_guest(
        r#"
        fails $NBD map dir:/dev/shm/store/none; says "lsd-nbd: error opening image none: (2) No such file or directory"
        fails $NBD map $SPEC@snap
        fails $NBD map --device /dev/sda $SPEC; says "lsd-nbd: invalid device path: /dev/sda (expected /dev/nbd{num})"
        fails $NBD map; says "lsd-nbd: must specify image-or-snap-spec"
        fails $NBD map $SPEC more; says "lsd-nbd: unknown args: more"
        fails $NBD attach --device /dev/nbd0 $SPEC
        $LSD create --size 8M dir:/dev/shm/store/other
        $NBD map --device /dev/nbd3 $SPEC
        fails $NBD map --device /dev/nbd3 dir:/dev/shm/store/other; grep -q 'failed to map: .*busy' /tmp/said
        [ "$($NBD list-mapped --format json | jq length)" = 1 ]
        [ "$(pgrep -c lsd-nbd)" = 1 ]
        # Another program's device is not ours to take down.
        head -c 1M /dev/zero >/tmp/file
        qemu-nbd -c /dev/nbd1 -f raw /tmp/file
        until [ -e /sys/block/nbd1/pid ]; do sleep 0.05; done
        fails $NBD unmap /dev/nbd1; says "lsd-nbd: /dev/nbd1 is not mapped"
        [ -e /sys/block/nbd1/pid ]
        "#,
    );
}

#[test]
fn signals_end_a_device_and_a_killed_daemon_can_be_cleared() {
    in_guest(
        r#"
        dev=$($NBD map $SPEC)
        head -c 1M /dev/urandom >/tmp/data
        dd if=/tmp/data of=$dev bs=64k oflag=direct status=none
        pid=$(cat /sys/block/nbd0/pid)
        kill -TERM $pid
        while [ -e /proc/$pid ]; do sleep 0.05; done
        [ ! -e /sys/block/nbd0/pid ]
        # Closed in order: what was written without a flush is there.
        dev=$($NBD map --exclusive $SPEC)
        cmp -n 1M $dev /tmp/data
        dd if=/tmp/data of=$dev bs=64k seek=16 oflag=direct conv=fsync status=none
        kill -KILL $(cat /sys/block/nbd0/pid)
        sleep 0.3
        [ "$($NBD list-mapped)" = "" ]
        $NBD unmap $dev
        dev=$($NBD map --read-only $SPEC)
        cmp -n 2M $dev <(cat /tmp/data /tmp/data)
        [ "$(cat /sys/block/nbd0/ro)" = 1 ]
        $NBD unmap $dev
        "#,
    );
}

#[test]
fn an_exclusive_device_is_the_only_writer() {
    in_guest(
        r#"
        head -c 64k /dev/urandom >/tmp/data
        write() { dd if=/tmp/data of=$1 bs=64k oflag=direct conv=fsync status=none; }
        one=$($NBD map --exclusive $SPEC)
        two=$($NBD map --device /dev/nbd5 $SPEC)
        write $one
        fails write $two; grep -q 'Input/output error' /tmp/said
        fails $NBD map --exclusive $SPEC
        grep -q 'failed to acquire exclusive lock: (30) Read-only file system' /tmp/said
        write $one
        $NBD unmap $one
        # The lock went with the device.
        one=$($NBD map --exclusive $SPEC)
        cmp -n 64k $one /tmp/data
        $NBD unmap $one
        $NBD unmap $two
        "#,
    );
}

#[test]
fn a_device_in_use_is_not_taken_away() {
    in_guest(
        r#"
        dev=$($NBD map $SPEC)
        mkfs.ext4 -q $dev
        mkdir /tmp/mnt
        mount $dev /tmp/mnt
        echo kept >/tmp/mnt/file
        words="unmount it first, or give up what is not written by --force"
        fails $NBD unmap $dev; says "lsd-nbd: $dev is in use (mounted on /tmp/mnt): $words"
        fails $NBD unmap $SPEC; says "lsd-nbd: $dev is in use (mounted on /tmp/mnt): $words"
        [ "$(cat /tmp/mnt/file)" = kept ]
        umount /tmp/mnt
        $NBD unmap $dev
        dev=$($NBD map $SPEC)
        mount $dev /tmp/mnt
        [ "$(cat /tmp/mnt/file)" = kept ]
        pid=$(cat /sys/block/nbd0/pid)
        $NBD unmap --force $dev
        [ ! -e /proc/$pid ]
        "#,
    );
}

#[test]
fn foreground_stays_until_it_is_unmapped() {
    in_guest(
        r#"
        $NBD -f map $SPEC >/tmp/out &
        until [ -s /tmp/out ]; do sleep 0.05; done
        [ "$(cat /tmp/out)" = /dev/nbd0 ]
        [ "$($NBD list-mapped --format json | jq .[0].id)" = $! ]
        $NBD unmap /dev/nbd0
        wait $!
        "#,
    );
}

#[test]
fn a_device_follows_the_size_of_its_image() {
    in_guest(
        r#"
        dev=$($NBD map $SPEC)
        for size in 100 30; do
            $LSD resize --size ${size}M --allow-shrink --no-progress $SPEC
            for _ in $(seq 100); do
                [ "$(blockdev --getsize64 $dev)" != $((size << 20)) ] || break
                sleep 0.1
            done
            [ "$(blockdev --getsize64 $dev)" = $((size << 20)) ]
        done
        head -c 1M /dev/urandom >/tmp/data
        dd if=/tmp/data of=$dev bs=1M seek=29 oflag=direct conv=fsync status=none
        cmp -n 1M -i 29M:0 $dev /tmp/data
        $NBD unmap $dev
        "#,
    );
}

/// The daemon has let go of the standard error of its caller.
#[test]
fn a_daemon_writes_the_log_to_the_end() {
    in_guest(
        r#"
        $NBD map $SPEC --log-level info --log-file /dev/shm/log
        grep -F ' INFO lsd::api: mapped image=disk device=/dev/nbd0 op=map' /dev/shm/log
        $NBD unmap $SPEC
        grep -F ' INFO lsd::api: unmapped image=disk device=/dev/nbd0 op=unmap' /dev/shm/log
        "#,
    );
}
