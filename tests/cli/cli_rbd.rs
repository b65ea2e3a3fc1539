//! The `lsd` command on a cluster: rbd's words, output and exit codes, with stock `rbd` as the measure where it can be.
use crate::common::{Ceph, Cmd, Finished, Image, built, pattern, scratch_dir, wait_until};
use serde_json::Value;
use std::collections::BTreeSet;

/// On the cluster.
pub fn lsd(ceph: &Ceph, args: &[&str]) -> Cmd {
    ceph.client(built("lsd")).args(args)
}

fn json(ceph: &Ceph, args: &[&str]) -> Value {
    lsd(ceph, args).args(["--format", "json"]).ok().json()
}

fn keys(value: &Value) -> BTreeSet<String> {
    value.as_object().unwrap().keys().cloned().collect()
}

/// The same command by stock `rbd`, on an image of its own kind in the same pool.
fn stock(ceph: &Ceph, args: &[&str]) -> Finished {
    ceph.stock("rbd").args(args).run()
}

struct StockImage(Image);

impl StockImage {
    fn new(ceph: &Ceph) -> Self {
        let image = ceph.image("stock");
        assert_eq!(stock(ceph, &["create", "--size", "64M", &image.spec()]).code, Some(0));
        Self(image)
    }
}

impl Drop for StockImage {
    fn drop(&mut self) {
        stock(&self.0.ceph, &["rm", "--no-progress", &self.0.spec()]);
    }
}

#[test]
fn create_list_info_remove() {
    let ceph = requires_ceph!();
    let image = ceph.image("cli");
    lsd(&ceph, &["create", "--size", "1G", &image.spec()]).ok();
    assert!(lsd(&ceph, &["ls", "rbd"]).ok().text().lines().any(|line| line == image.name));
    let row = lsd(&ceph, &["ls", "-l", "-p", "rbd"]).ok().text();
    let row = row.lines().find(|line| line.starts_with(&image.name)).unwrap().to_owned();
    assert!(row.contains("1 GiB"), "{row}");
    let info = json(&ceph, &["info", &image.spec()]);
    assert_eq!(
        (&info["name"], &info["size"], &info["order"]),
        (&image.name.clone().into(), &(1_u64 << 30).into(), &22.into())
    );
    lsd(&ceph, &["rm", "--no-progress", &image.spec()]).ok();
    lsd(&ceph, &["info", &image.spec()]).run().expect_code(2);
    lsd(&ceph, &["info", "rbd/"]).run().expect_code(2).says("'rbd/' names no image: rbd/NAME is one in the pool rbd");
    lsd(&ceph, &["rm", &image.spec()]).run().expect_code(2).says("No such file or directory");
}

#[test]
fn info_and_ls_have_the_fields_of_stock_rbd() {
    let ceph = requires_ceph!();
    let image = ceph.image("cli").create("64M");
    let theirs = StockImage::new(&ceph);
    let stock_json = |args: &[&str]| stock(&ceph, &[args, &["--format", "json"]].concat()).json();
    let (ours, rbd) = (json(&ceph, &["info", &image.spec()]), stock_json(&["info", &theirs.0.spec()]));
    assert_eq!(keys(&ours), keys(&rbd), "ours {ours}, rbd's {rbd}");
    let row =
        |list: Value, name: &str| list.as_array().unwrap().iter().find(|row| row["image"] == name).unwrap().clone();
    let ours = row(json(&ceph, &["ls", "-l", "rbd"]), &image.name);
    let rbd = row(stock_json(&["ls", "-l", "rbd"]), &theirs.0.name);
    assert_eq!(keys(&ours), keys(&rbd), "ours {ours}, rbd's {rbd}");
    assert_eq!(ours["size"], rbd["size"]);
}

#[test]
fn import_and_export_by_file_and_by_pipe() {
    let ceph = requires_ceph!();
    let dir = scratch_dir();
    let (file, out) = (dir.path().join("file"), dir.path().join("out"));
    let mut bytes = pattern(5 << 20, 51);
    bytes.resize(17 << 20, 0);
    bytes.extend(pattern(1 << 20, 52));
    std::fs::write(&file, &bytes).unwrap();

    let image = ceph.image("import");
    lsd(&ceph, &["import", "--no-progress"]).arg(&file).arg(image.spec()).ok();
    lsd(&ceph, &["export", "--no-progress", &image.spec()]).arg(&out).ok();
    assert!(std::fs::read(&out).unwrap() == bytes);
    assert!(lsd(&ceph, &["export", "--no-progress", &image.spec(), "-"]).ok().stdout == bytes);

    let piped = ceph.image("piped");
    lsd(&ceph, &["import", "--no-progress", "-", &piped.spec()]).stdin(bytes.clone()).ok();
    assert!(lsd(&ceph, &["export", "--no-progress", &piped.spec(), "-"]).ok().stdout == bytes);
    // The hole is no data in the image, and none in the exported file.
    let used = json(&ceph, &["du", &image.spec()])["images"][0]["used_size"].as_u64().unwrap();
    assert!(used < 10 << 20, "{used} bytes used");
    use std::os::unix::fs::MetadataExt;
    assert!(std::fs::metadata(&out).unwrap().blocks() * 512 < 10 << 20, "the exported file has no hole");
}

#[test]
fn copy() {
    let ceph = requires_ceph!();
    let dir = scratch_dir();
    let file = dir.path().join("file");
    let bytes = pattern(6 << 20, 53);
    std::fs::write(&file, &bytes).unwrap();
    let (image, copy) = (ceph.image("source").fill_from(&file), ceph.image("copy"));
    lsd(&ceph, &["cp", "--no-progress", &image.spec(), &copy.spec()]).ok();
    assert!(lsd(&ceph, &["export", "--no-progress", &copy.spec(), "-"]).ok().stdout == bytes);
    lsd(&ceph, &["cp", "--no-progress", &image.spec(), &copy.spec()]).run().expect_code(17);
    let disk = format!("dir:{}/store/disk", dir.path().display());
    lsd(&ceph, &["cp", "--no-progress", &image.spec(), &disk]).ok();
    assert!(lsd(&ceph, &["export", "--no-progress", &disk, "-"]).ok().stdout == bytes);
}

#[test]
fn resize_asks_before_it_shrinks() {
    let ceph = requires_ceph!();
    let image = ceph.image("resize").create("8M");
    lsd(&ceph, &["resize", "--no-progress", "--size", "16M", &image.spec()]).ok();
    assert_eq!(json(&ceph, &["info", &image.spec()])["size"], 16 << 20);
    let theirs = StockImage::new(&ceph);
    let refused = stock(&ceph, &["resize", "--size", "4M", &theirs.0.spec()]);
    lsd(&ceph, &["resize", "--size", "4M", &image.spec()])
        .run()
        .expect_code(refused.code.unwrap())
        .says("--allow-shrink");
    lsd(&ceph, &["resize", "--no-progress", "--allow-shrink", "--size", "4M", &image.spec()]).ok();
    assert_eq!(json(&ceph, &["info", &image.spec()])["size"], 4 << 20);
}

#[test]
fn rename_keeps_the_content() {
    let ceph = requires_ceph!();
    let (image, renamed) = (ceph.image("before").create("8M"), ceph.image("after"));
    image.qemu_io(&["write -P 0x77 0 8M", "flush"]);
    lsd(&ceph, &["mv", &image.spec(), &renamed.spec()]).ok();
    lsd(&ceph, &["info", &image.spec()]).run().expect_code(2);
    renamed.qemu_io(&["read -P 0x77 0 8M"]);
}

#[test]
fn image_meta() {
    let ceph = requires_ceph!();
    let image = ceph.image("meta").create("8M");
    lsd(&ceph, &["image-meta", "set", &image.spec(), "owner", "somebody else"]).ok();
    lsd(&ceph, &["image-meta", "set", &image.spec(), "purpose", "test"]).ok();
    assert_eq!(lsd(&ceph, &["image-meta", "get", &image.spec(), "owner"]).ok().text().trim(), "somebody else");
    let list = json(&ceph, &["image-meta", "list", &image.spec()]);
    assert_eq!(list, serde_json::json!({"owner": "somebody else", "purpose": "test"}));
    lsd(&ceph, &["image-meta", "remove", &image.spec(), "owner"]).ok();
    lsd(&ceph, &["image-meta", "get", &image.spec(), "owner"]).run().expect_code(2);
}

#[test]
fn status_names_the_watchers_and_a_used_image_is_not_removed() {
    let ceph = requires_ceph!();
    let image = ceph.image("used").create("64M");
    assert_eq!(json(&ceph, &["status", &image.spec()])["watchers"], serde_json::json!([]));
    let qemu_io =
        ceph.client("qemu-io").args(["-f", "raw", "-c", "write 0 4k", "-c", "sleep 20000"]).arg(image.qemu()).start();
    let watched = || json(&ceph, &["status", &image.spec()])["watchers"].as_array().unwrap().len() == 1;
    wait_until("the client watches", std::time::Duration::from_secs(15), watched);
    wait_until("it tells of its write", std::time::Duration::from_secs(15), || {
        let client = &json(&ceph, &["perf", &image.spec()])[0];
        assert!(client["address"].as_str().is_some_and(|address| !address.is_empty()), "{client}");
        client["counters"]["io"]["writes"] == 1
    });
    lsd(&ceph, &["rm", "--no-progress", &image.spec()]).run().expect_code(16).says("image still has watchers");
    qemu_io.kill();
}

#[test]
fn bench_writes_what_it_says() {
    let ceph = requires_ceph!();
    let image = ceph.image("bench").create("64M");
    let bench = ["bench", "--io-type", "write", "--io-size", "16K", "--io-threads", "8", "--io-total", "16M"];
    lsd(&ceph, &bench).arg(image.spec()).ok().says("elapsed");
    assert_eq!(json(&ceph, &["du", &image.spec()])["images"][0]["used_size"], 16 << 20);
}

#[test]
fn python_rbd_lists_what_lsd_made() {
    let ceph = requires_ceph!();
    let image = ceph.image("python");
    lsd(&ceph, &["create", "--size", "8M", &image.spec()]).ok();
    let listed = ceph.python("rbd", "print(*rbd.RBD().list(io), sep='\\n')").ok().text();
    assert!(listed.lines().any(|line| line == image.name), "{listed}");
}

#[test]
fn an_image_in_a_namespace() {
    let ceph = requires_ceph!();
    let namespace = format!("space{}", std::process::id());
    ceph.python("rbd", "rbd.RBD().namespace_create(io, args[0])").arg(&namespace).ok();
    let spec = format!("rbd/{namespace}/image");
    lsd(&ceph, &["create", "--size", "8M", &spec]).ok();
    assert_eq!(lsd(&ceph, &["ls", "--pool", "rbd", "--namespace", &namespace]).ok().text(), "image\n");
    assert!(!lsd(&ceph, &["ls", "rbd"]).ok().text().lines().any(|line| line == "image"));
    let qemu = format!("rbd:{spec}:conf={}", ceph.conf.display());
    ceph.client("qemu-io").args(["-f", "raw", "-c", "write -P 3 0 1M", "-c", "read -P 3 0 1M", &qemu]).ok();
    lsd(&ceph, &["rm", "--no-progress", &spec]).ok();
    ceph.python("rbd", "rbd.RBD().namespace_remove(io, args[0])").arg(&namespace).ok();
}
