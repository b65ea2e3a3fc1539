//! `lsd-nbd map`, `unmap` and `list-mapped` on the directory store in a guest kernel: what they print, and what is left
//! when things go wrong. What `attach` and `detach` do is in `nbd_attach.rs`.
use super::in_guest;

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
        # An empty cell is empty, as in rbd-nbd; but for the snapshot's.
        [ "$($NBD list-mapped | awk 'NR == 1 { print $1, $6 } NR == 2 { print $1, $4, $5 }' | paste -s)" = "id device	$pid - /dev/nbd0" ]
        # The daemon has let go of its caller.
        [ "$(ps -o sid= -p $pid | tr -d ' ')" = $pid ]
        [ "$(readlink /proc/$pid/fd/0 /proc/$pid/fd/1 /proc/$pid/fd/2 | sort -u)" = /dev/null ]
        cd /dev/shm
        $NBD unmap dir:store/../store/disk
        fails $NBD unmap $SPEC; says "lsd-nbd: $SPEC is not mapped"
        # A device that is free already is what was asked for, as for rbd-nbd.
        $NBD unmap /dev/nbd0; rbd-nbd unmap /dev/nbd0
        fails rbd-nbd unmap /dev/nbd99
        fails $NBD unmap /dev/nbd99; says "lsd-nbd: failed to open device: /dev/nbd99"
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
        $NBD unmap --force /dev/nbd1
        [ ! -e /sys/block/nbd1/pid ]
        "#,
    );
}

#[test]
fn a_signal_closes_the_image_and_a_killed_daemon_can_be_cleared() {
    in_guest(
        r#"
        dev=$($NBD map $SPEC)
        head -c 1M /dev/urandom >/tmp/data
        dd if=/tmp/data of=$dev bs=64k oflag=direct status=none
        pid=$(cat /sys/block/nbd0/pid)
        kill -TERM $pid
        while [ -e /proc/$pid ]; do sleep 0.05; done
        # The device waits for another process, as rbd-nbd's.
        [ -e /sys/block/nbd0/pid ]
        [ "$($NBD list-mapped)" = "" ]
        $NBD unmap $dev
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
        # It has ended; its parent may not have collected it yet.
        for _ in $(seq 100); do [ -e /proc/$pid ] || break; sleep 0.05; done
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

#[test]
fn a_snapshot_by_name_or_id_and_a_device_without_discards() {
    in_guest(
        r#"
        head -c 1M /dev/urandom >/tmp/data
        dev=$($NBD map $SPEC --notrim)
        [ "$(cat /sys/block/nbd0/queue/discard_max_bytes)" = 0 ]
        dd if=/tmp/data of=$dev bs=64k oflag=direct conv=fsync status=none
        $NBD unmap $dev
        $LSD snap create --no-progress $SPEC@s
        id=$($LSD snap ls --format json $SPEC | jq .[0].id)
        dev=$($NBD map $SPEC)
        [ "$(cat /sys/block/nbd0/queue/discard_max_bytes)" != 0 ]
        blkdiscard $dev
        named=$($NBD map $SPEC@s)
        numbered=$($NBD map $SPEC --snap-id $id)
        for snapshot in $named $numbered; do
            cmp -n 1M $snapshot /tmp/data
            [ "$(cat /sys/block/${snapshot#/dev/}/ro)" = 1 ]
        done
        [ "$($NBD list-mapped --format json | jq -r '.[].snap' | paste -s -d,)" = ",s,@$id" ]
        fails $NBD map $SPEC@s --snap-id $id; says "lsd-nbd: use either snapname or snapid, not both"
        fails $NBD map $SPEC --snap-id 999; says "error setting snapshot context: (2) No such file or directory"
        $NBD unmap $SPEC --snap-id $id
        fails $NBD unmap $SPEC --device /dev/nbd7; says "lsd-nbd: $SPEC is not mapped"
        $NBD unmap $SPEC@s
        $NBD unmap $SPEC
        [ "$($NBD list-mapped)" = "" ]
        "#,
    );
}

#[test]
fn several_connections_serve_one_device() {
    in_guest(
        r#"
        sockets() { ls -l /proc/$(cat /sys/block/nbd0/pid)/fd | grep -c 'socket:'; }
        dev=$($NBD map $SPEC)
        with_one=$(sockets)
        $NBD unmap $dev
        dev=$($NBD map $SPEC --connections 3 --pid-file /dev/shm/pid)
        pid=$(cat /sys/block/nbd0/pid)
        [ "$(cat /dev/shm/pid)" = $pid ]
        [ $(sockets) = $((with_one + 2)) ]
        fio --name=v --filename=$dev --size=8M --rw=randwrite --bs=8k --ioengine=libaio --iodepth=16 --numjobs=3 \
            --offset_increment=8M --direct=1 --verify=crc32c --minimal >/dev/null
        $NBD unmap $dev
        [ ! -e /proc/$pid ] && [ ! -e /dev/shm/pid ]
        "#,
    );
}

/// The words and places of rbd: `rbd` calls the program beside it.
#[test]
fn lsd_maps_as_rbd_does() {
    in_guest(
        r#"
        dev=$($LSD device map $SPEC --cookie c --show-cookie -o io-timeout=9,notrim)
        [ "$dev" = "/dev/nbd0 c" ]
        pid=$(cat /sys/block/nbd0/pid)
        tr '\0' ' ' </proc/$pid/cmdline | grep -F " map $SPEC --show-cookie --cookie c --io-timeout=9 --notrim "
        [ "$($LSD showmapped --format json)" = "$($NBD list-mapped --format json)" ]
        [ "$($LSD device list -t nbd)" = "$($NBD list-mapped)" ]
        $LSD device detach -t nbd $SPEC
        code=0; $LSD device attach $SPEC --device /dev/nbd0 2>/tmp/said || code=$?
        [ $code = 22 ]; says "lsd: must specify --cookie <arg> or --force to proceed"
        [ "$($LSD device attach $SPEC --device /dev/nbd0 --cookie c)" = /dev/nbd0 ]
        $LSD unmap /dev/nbd0
        code=0; $LSD unmap $SPEC 2>/tmp/said || code=$?
        [ $code = 22 ]; says "lsd-nbd: $SPEC is not mapped"
        says "lsd: lsd-nbd failed with error: $(realpath $NBD): exit status: 1"
        code=0; $LSD map -t krbd $SPEC 2>/tmp/said || code=$?
        [ $code = 95 ]
        # In the place of both.
        mkdir /dev/shm/bin; ln -s $LSD /dev/shm/bin/rbd; ln -s $NBD /dev/shm/bin/rbd-nbd
        export PATH=/dev/shm/bin:$PATH
        [ "$(rbd map $SPEC --device-type nbd)" = /dev/nbd0 ]
        [ "$(rbd device list --format=json --device-type nbd | jq -r '.[0].device')" = /dev/nbd0 ]
        rbd unmap --device-type nbd $SPEC
        code=0; rbd unmap --device-type nbd $SPEC 2>/tmp/said || code=$?
        [ $code = 22 ]; says "rbd-nbd: $SPEC is not mapped"
        fails rbd-nbd unmap $SPEC; says "rbd-nbd: $SPEC is not mapped"
        rbd-nbd --help | grep -q -- '--cookie'
        rbd-nbd --help | head -1 | grep -q '^Usage: rbd-nbd '
        "#,
    );
}
