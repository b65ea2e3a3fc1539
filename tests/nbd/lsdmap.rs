//! `lsdmap` in a guest kernel: images of its list are mapped, mounted, taken away; parameters, hooks, what is in use, what is wrong.
use crate::common::{Cmd, built};
use std::path::Path;
use std::time::Duration;

const GUEST_TIMEOUT: u64 = 170;

#[test]
fn images_of_the_list_are_mapped_mounted_and_taken_away() {
    let script = r#"
        mkdir -p /dev/shm/store /mnt/d /etc/ceph/lsd.d/dir:/dev/shm/store
        SPEC=dir:/dev/shm/store/disk
        lsd create --size 64M $SPEC
        lsd create --size 16M dir:/dev/shm/store/other
        printf '%s\n' '# a list' '' "$SPEC	cookie='a,b=c',try-netlink   # the disk" "dir:/dev/shm/store/other read-only" >/etc/ceph/lsdmap
        link=/dev/lsd/dir:/dev/shm/store/disk
        lsdmap map
        [ -b $link ]; [ -b /dev/lsd/dir:/dev/shm/store/other ]
        [ "$(blockdev --getro $link)" = 0 ]; [ "$(blockdev --getro /dev/lsd/dir:/dev/shm/store/other)" = 1 ]
        lsd-nbd list-mapped | grep -q 'a,b=c'
        mkfs.ext4 -q $link
        lsdmap unmap
        [ ! -e $link ]; [ -z "$(lsd-nbd list-mapped)" ]
        # At boot: mapped, mounted, and the hook is called.
        echo "$link /mnt/d ext4 noauto 0 0" >>/etc/fstab
        printf '#!/bin/sh\necho "$@" >>/tmp/hooked\n' >/etc/ceph/lsd.d/$SPEC; chmod +x /etc/ceph/lsd.d/$SPEC
        lsdmap map; lsdmap map
        mountpoint /mnt/d; echo words >/mnt/d/file
        [ "$(lsd-nbd list-mapped | grep -c /dev/nbd)" = 2 ]
        # One that is in use stays, and is told.
        (cd /mnt/d; sleep 300) & user=$!
        sleep 0.5
        if lsdmap unmap-all 2>/tmp/said; then exit 1; fi
        grep -q 'failed to unmount /mnt/d' /tmp/said; mountpoint /mnt/d
        [ "$(lsd-nbd list-mapped | grep -c /dev/nbd)" = 1 ]
        kill $user; wait $user || true
        lsdmap unmap-all
        [ -z "$(lsd-nbd list-mapped)" ]; [ "$(cat /tmp/hooked)" = "map $link
unmap $link
unmap $link" ]
        lsdmap map; [ "$(cat /mnt/d/file)" = words ]; lsdmap unmap-all
        # What is wrong does not keep the others away.
        sed -i '1i rbd/none id=nobody' /etc/ceph/lsdmap
        if CEPH_CONF=/dev/null lsdmap map 2>/tmp/said; then exit 1; fi
        grep -q 'failed to map rbd/none' /tmp/said; mountpoint /mnt/d
        lsdmap unmap
        if lsdmap bogus; then exit 1; fi
        LSDMAPFILE=/nowhere lsdmap map 2>&1 | grep 'there is no /nowhere'
    "#;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (programs, files) = (built("lsd"), root.join("packaging/files"));
    let path = format!("{}:{}:$PATH", programs.parent().unwrap().display(), files.display());
    Cmd::stock(root.join("tests/vm/run-in-guest"))
        .env("LSD_VM_CACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("vm"))
        .args(["-t", &GUEST_TIMEOUT.to_string(), "--", "bash", "-c"])
        .arg(format!("set -euxo pipefail; PATH={path}\n{script}"))
        .timeout(Duration::from_secs(GUEST_TIMEOUT + 30))
        .ok();
}
