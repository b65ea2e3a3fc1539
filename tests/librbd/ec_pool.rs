//! An image whose log lies in an erasure-coded pool without overwrites.
use crate::common::{Ceph, Image, built, pattern, scratch_dir};
use std::time::Duration;

const DATA_POOL: &str = "rbd-ec";

fn image(ceph: &Ceph, size: &str) -> Image {
    let image = ceph.image("ec");
    ceph.client(built("lsd")).args(["create", "--size", size, "--data-pool", DATA_POOL, &image.spec()]).ok();
    image
}

/// The bytes of the image's log in the data pool, and whether any of it is in the other pool.
fn log_objects(image: &Image) -> (usize, usize) {
    let info = image.ceph.client(built("lsd")).args(["info", "--format", "json", &image.spec()]).ok().json();
    assert_eq!(info["data_pool"], DATA_POOL, "{info}");
    let prefix = format!("lsd_data.{}", info["id"].as_str().unwrap());
    let count = |pool: &str| image.ceph.objects(pool).iter().filter(|name| name.starts_with(&prefix)).count();
    (count(DATA_POOL), count(&image.pool))
}

#[test]
fn the_pool_takes_no_overwrites() {
    let ceph = requires_ceph!();
    let pools = ceph.stock("ceph").args(["osd", "pool", "ls", "detail"]).ok().text();
    let line =
        pools.lines().find(|line| line.contains(DATA_POOL)).unwrap_or_else(|| panic!("no pool {DATA_POOL}: {pools}"));
    assert!(line.contains("erasure") && !line.contains("ec_overwrites"), "{line}");
}

#[test]
fn patterns_unaligned_writes_and_discards() {
    let ceph = requires_ceph!();
    let image = image(&ceph, "64M");
    let commands = [
        "write -P 0x10 0 20M",
        "write -P 0x11 513 1",
        "write -P 0x12 70001 12345",
        "discard 8M 4M",
        "write -z 1M 1M",
        "flush",
        "read -P 0x10 0 513",
        "read -P 0x11 513 1",
        "read -P 0x12 70001 12345",
        "read -P 0 1M 1M",
        "read -P 0x10 2M 6M",
        "read -P 0 8M 4M",
        "read -P 0x10 12M 8M",
    ];
    image.qemu_io(&commands);
    image.qemu_io(&commands[6..]);
    let (in_data_pool, elsewhere) = log_objects(&image);
    assert!(
        in_data_pool > 0 && elsewhere == 0,
        "{in_data_pool} log objects in {DATA_POOL}, {elsewhere} in {}",
        image.pool
    );
}

#[test]
fn import_and_export() {
    let ceph = requires_ceph!();
    let dir = scratch_dir();
    let file = dir.path().join("file");
    let bytes = pattern((9 << 20) + 512, 71);
    std::fs::write(&file, &bytes).unwrap();
    let image = ceph.image("ec-import");
    let import = ceph.client(built("lsd")).args(["import", "--no-progress", "--data-pool", DATA_POOL]);
    import.arg(&file).arg(image.spec()).ok();
    let export = ceph.client(built("lsd")).args(["export", "--no-progress", &image.spec(), "-"]);
    assert!(export.ok().stdout == bytes);
}

#[test]
fn fio_verifies() {
    let ceph = requires_ceph!();
    let image = image(&ceph, "256M");
    let dir = scratch_dir();
    let place =
        ["--name=job", "--ioengine=rbd", "--clientname=admin", "--pool=rbd", &format!("--rbdname={}", image.name)];
    let job = ["--rw=randwrite", "--bssplit=4k/50:16k/30:128k/20", "--iodepth=16", "--size=96m", "--fsync=64"];
    let verify = ["--verify=crc32c", "--verify_fatal=1"];
    let fio = ceph.client("fio").args(place).args(job).args(verify).dir(dir.path());
    fio.timeout(Duration::from_secs(180)).ok();
}

#[test]
fn removing_the_image_empties_both_pools() {
    let ceph = requires_ceph!();
    let image = image(&ceph, "32M");
    image.qemu_io(&["write -P 1 0 16M", "flush"]);
    let id = ceph.client(built("lsd")).args(["info", "--format", "json", &image.spec()]).ok().json()["id"].clone();
    ceph.client(built("lsd")).args(["rm", "--no-progress", &image.spec()]).ok();
    for pool in [DATA_POOL, "rbd"] {
        let left: Vec<_> = ceph.objects(pool).into_iter().filter(|name| name.contains(id.as_str().unwrap())).collect();
        assert!(left.is_empty(), "left in {pool}: {left:?}");
    }
}
