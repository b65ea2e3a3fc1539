//! `qemu-io` patterns on `rbd:` images, each read back and verified by QEMU.

#[test]
fn what_was_written_reads_back_after_reopen() {
    let ceph = requires_ceph!();
    let image = ceph.image("io").create("256M");
    image.qemu_io(&["write -P 0xa1 0 4k", "write -P 0xa2 4k 64k", "write -P 0xa3 100M 12M", "read -P 0xa3 100M 12M"]);
    image.qemu_io(&[
        "read -P 0xa1 0 4k",
        "read -P 0xa2 4k 64k",
        "read -P 0 68k 1M",
        "read -P 0xa3 100M 12M",
        "read -P 0 112M 144M",
    ]);
}

#[test]
fn unaligned_writes_leave_their_neighbours() {
    let ceph = requires_ceph!();
    let image = ceph.image("unaligned").create("32M");
    image.qemu_io(&[
        "write -P 0x10 0 1M",
        "write -P 0x11 513 1",
        "write -P 0x12 4095 2",
        "write -P 0x13 70001 12345",
        "flush",
    ]);
    let verify = [
        "read -P 0x10 0 513",
        "read -P 0x11 513 1",
        "read -P 0x10 514 3581",
        "read -P 0x12 4095 2",
        "read -P 0x10 4097 65904",
        "read -P 0x13 70001 12345",
        "read -P 0x10 82346 4096",
    ];
    image.qemu_io(&verify);
    image.qemu_io(&verify);
}

#[test]
fn write_zeroes_reads_as_zeros() {
    let ceph = requires_ceph!();
    let image = ceph.image("zeroes").create("64M");
    let commands = [
        "write -P 0x21 0 32M",
        "write -z 4M 4M",
        "write -z 1000 3000",
        "write -z -u 16M 8M",
        "read -P 0x21 0 1000",
        "read -P 0 1000 3000",
        "read -P 0x21 4000 4190304",
        "read -P 0 4M 4M",
        "read -P 0x21 8M 8M",
        "read -P 0 16M 8M",
        "read -P 0x21 24M 8M",
    ];
    image.qemu_io(&commands);
    image.qemu_io(&commands[4..]);
}

/// Discards of whole 4 MiB objects: smaller ones may be dropped (`rbd_skip_partial_discard`).
#[test]
fn discard_of_whole_objects_reads_as_zeros() {
    let ceph = requires_ceph!();
    let image = ceph.image("discard").create("64M");
    let commands = [
        "write -P 0x31 0 64M",
        "discard 8M 16M",
        "flush",
        "read -P 0x31 0 8M",
        "read -P 0 8M 16M",
        "read -P 0x31 24M 40M",
    ];
    image.qemu_io(&commands);
    image.qemu_io(&commands[3..]);
}

#[test]
fn overlapping_writes_in_flight_keep_their_order() {
    let ceph = requires_ceph!();
    let image = ceph.image("overlap").create("16M");
    let mut commands: Vec<String> = Vec::new();
    for round in 0..40 {
        commands.push(format!("aio_write -P {} {} 64k", 1 + round, (round % 5) * 4096));
    }
    commands.push("aio_flush".into());
    // The last writer of each block: rounds 35 to 39 start at 0, 4k .. 16k, and a later one lies over an earlier one.
    for (block, round) in [(0, 35), (1, 36), (2, 37), (3, 38), (4, 39)] {
        commands.push(format!("read -P {} {} 4k", 1 + round, block * 4096));
    }
    commands.push("read -P 40 16k 64k".into());
    image.qemu_io(&commands.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn vectored_writes_and_reads() {
    let ceph = requires_ceph!();
    let image = ceph.image("vectored").create("16M");
    image.qemu_io(&["writev -P 0x41 1M 4k 8k 512 64k", "readv -P 0x41 1M 64k 4k 8k 512", "flush"]);
}

#[test]
fn force_unit_access_survives_reopen() {
    let ceph = requires_ceph!();
    let image = ceph.image("fua").create("16M");
    image.qemu_io(&["write -f -P 0x51 0 1M", "write -f -P 0x52 512k 4k"]);
    image.qemu_io(&["read -P 0x51 0 512k", "read -P 0x52 512k 4k", "read -P 0x51 516k 508k"]);
}

#[test]
fn a_write_beyond_the_end_fails() {
    let ceph = requires_ceph!();
    let image = ceph.image("beyond").create("1M");
    let done = ceph.client("qemu-io").args(["-f", "raw", "-c", "write -P 1 1M 4k"]).arg(image.qemu()).fails();
    done.says("Input/output error");
}
