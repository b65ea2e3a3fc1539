//! `qemu-img` on `rbd:` images: create, convert both ways, check, compare, info, resize, map, rm.
use crate::common::{Cmd, Image, pattern, scratch_dir};

fn qemu_img(image: &Image, args: &[&str]) -> Cmd {
    image.ceph.client("qemu-img").args(args)
}

#[test]
fn create_and_info() {
    let ceph = requires_ceph!();
    let image = ceph.image("info").create("3G");
    let info = qemu_img(&image, &["info", "--output=json", &image.qemu()]).ok().json();
    assert_eq!(info["virtual-size"], 3_u64 << 30);
    assert_eq!(info["format"], "raw");
}

#[test]
fn create_twice_says_that_it_exists() {
    let ceph = requires_ceph!();
    let image = ceph.image("twice").create("8M");
    qemu_img(&image, &["create", "-f", "raw", &image.qemu(), "8M"]).fails().says("File exists");
}

#[test]
fn a_file_converted_in_and_out_is_the_same() {
    let ceph = requires_ceph!();
    let dir = scratch_dir();
    let (file, back) = (dir.path().join("file"), dir.path().join("back"));
    // Data, a hole, data up to a length that is no multiple of anything but 512.
    let mut bytes = pattern(9 << 20, 1);
    bytes.resize(30 << 20, 0);
    bytes.extend(pattern((5 << 20) + 512 * 3, 2));
    std::fs::write(&file, &bytes).unwrap();

    let image = ceph.image("convert").fill_from(&file);
    image.read_to(&back);
    assert!(std::fs::read(&back).unwrap() == bytes, "the image gave back other bytes than went in");
    let compared = qemu_img(&image, &["compare", "-f", "raw", "-F", "raw"]).arg(&file).arg(image.qemu()).ok();
    compared.says("Images are identical");
}

#[test]
fn compare_finds_one_changed_byte() {
    let ceph = requires_ceph!();
    let dir = scratch_dir();
    let file = dir.path().join("file");
    let mut bytes = pattern(2 << 20, 3);
    std::fs::write(&file, &bytes).unwrap();
    let image = ceph.image("compare").fill_from(&file);
    bytes[1_500_000] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    let done = qemu_img(&image, &["compare", "-f", "raw", "-F", "raw"]).arg(&file).arg(image.qemu()).run();
    done.expect_code(1).says("Content mismatch at offset 1499648");
}

/// QEMU's own format, with its own consistency check, in an image that grows as QEMU writes beyond its end.
#[test]
fn qcow2_inside_the_image_checks_clean() {
    let ceph = requires_ceph!();
    let image = ceph.image("qcow2");
    qemu_img(&image, &["create", "-q", "-f", "qcow2", &image.qemu(), "40M"]).ok();
    let write = ["-f", "qcow2", "-c", "write -P 0x5a 1M 6M", "-c", "write -P 0x5b 20001k 3", "-c", "flush"];
    ceph.client("qemu-io").args(write).arg(image.qemu()).ok();
    qemu_img(&image, &["check", "-f", "qcow2", &image.qemu()]).ok().says("No errors were found");
    let read = ["-f", "qcow2", "-c", "read -P 0x5a 1M 6M", "-c", "read -P 0x5b 20001k 3", "-c", "read -P 0 8M 4M"];
    let text = ceph.client("qemu-io").args(read).arg(image.qemu()).ok();
    assert!(!text.text().contains("verification failed"), "{text}");
}

#[test]
fn resize_grows_with_zeros_and_shrinks() {
    let ceph = requires_ceph!();
    let image = ceph.image("resize").create("8M");
    image.qemu_io(&["write -P 0x11 0 8M", "flush"]);
    qemu_img(&image, &["resize", "-f", "raw", &image.qemu(), "20M"]).ok();
    image.qemu_io(&["read -P 0x11 0 8M", "read -P 0 8M 12M", "write -P 0x22 19M 1M"]);
    qemu_img(&image, &["resize", "-f", "raw", "--shrink", &image.qemu(), "4M"]).ok();
    qemu_img(&image, &["resize", "-f", "raw", &image.qemu(), "20M"]).ok();
    // What was cut off does not come back.
    image.qemu_io(&["read -P 0x11 0 4M", "read -P 0 4M 16M"]);
}

#[test]
fn map_shows_what_is_allocated() {
    let ceph = requires_ceph!();
    let image = ceph.image("map").create("64M");
    image.qemu_io(&["write -P 0x33 16M 8M", "flush"]);
    let map = qemu_img(&image, &["map", "-f", "raw", "--output=json", &image.qemu()]).ok().json();
    let data_at = |offset: u64| {
        let extents = map.as_array().unwrap();
        let holds = |e: &&serde_json::Value| {
            let start = e["start"].as_u64().unwrap();
            (start..start + e["length"].as_u64().unwrap()).contains(&offset)
        };
        extents.iter().find(holds).unwrap_or_else(|| panic!("{offset} is in no extent of {map}"))["data"].clone()
    };
    assert_eq!(data_at(0), false, "{map}");
    assert_eq!(data_at(20 << 20), true, "{map}");
    assert_eq!(data_at(40 << 20), false, "{map}");
}

#[test]
fn bench_writes_and_flushes() {
    let ceph = requires_ceph!();
    let image = ceph.image("bench").create("64M");
    let args = [
        "bench",
        "-q",
        "-f",
        "raw",
        "-w",
        "-t",
        "writeback",
        "-c",
        "2000",
        "-d",
        "16",
        "-s",
        "4096",
        "--flush-interval=100",
    ];
    qemu_img(&image, &args).arg(image.qemu()).ok();
}
