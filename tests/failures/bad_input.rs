//! Names that do not exist, and objects that are damaged, of another image, or of something else: a clear error, never a
//! crash, and never other bytes than were written.
use crate::common::{Ceph, Cmd, Finished, Image, built, pattern, scratch_dir};
use std::path::Path;
use std::time::Duration;

const SIZE: usize = 12 << 20;

fn lsd(ceph: &Ceph, args: &[&str]) -> Cmd {
    ceph.client(built("lsd")).args(args)
}

fn image_id(image: &Image) -> String {
    lsd(&image.ceph, &["info", "--format", "json", &image.spec()]).ok().json()["id"].as_str().unwrap().to_owned()
}

/// The image's objects of one kind, in the order of their names.
fn objects(image: &Image, kind: &str) -> Vec<String> {
    let prefix = format!("lsd_{kind}.{}", image_id(image));
    let mut names = image.ceph.objects(&image.pool);
    names.retain(|name| name.starts_with(&prefix));
    names.sort();
    assert!(!names.is_empty(), "{} has no object {prefix}", image.spec());
    names
}

/// An image with `bytes` in it, closed.
fn filled(ceph: &Ceph, bytes: &[u8]) -> Image {
    let dir = scratch_dir();
    let file = dir.path().join("file");
    std::fs::write(&file, bytes).unwrap();
    ceph.image("bad").fill_from(&file)
}

/// Changes an object behind the library's back, in Python: `io` is the pool, `name` the object.
fn damage(image: &Image, object: &str, program: &str) {
    image.ceph.python(&image.pool, &format!("name = args[0]\n{program}")).arg(object).ok();
}

/// Reads the whole image in two ways; each gives the bytes that were written or fails by itself. Returns how many failed.
fn reads_right_or_fails(image: &Image, expected: &[u8]) -> usize {
    let dir = scratch_dir();
    let out = dir.path().join("out");
    let export = lsd(&image.ceph, &["export", "--no-progress", &image.spec()]).arg(&out).run();
    let exported = judge(export, &out, expected);
    let _ = std::fs::remove_file(&out);
    let convert =
        image.ceph.client("qemu-img").args(["convert", "-f", "raw", "-O", "raw", &image.qemu()]).arg(&out).run();
    usize::from(!exported) + usize::from(!judge(convert, &out, expected))
}

fn judge(done: Finished, out: &Path, expected: &[u8]) -> bool {
    let said = done.errors();
    assert!(!done.timed_out && done.signal.is_none() && !said.contains("panicked"), "a crash or a hang: {done}");
    if done.code == Some(0) {
        assert!(std::fs::read(out).unwrap() == expected, "success, and other bytes than were written: {done}");
        return true;
    }
    assert!(!said.trim().is_empty(), "a failure without a word: {done}");
    false
}

#[test]
fn an_unknown_image_is_not_found() {
    let ceph = requires_ceph!();
    lsd(&ceph, &["info", "rbd/no-such-image"]).run().expect_code(2).says("No such file or directory");
    let qemu = format!("rbd:rbd/no-such-image:conf={}", ceph.conf.display());
    ceph.client("qemu-img").args(["info", &qemu]).fails().says("error reading header from no-such-image: No such file");
}

#[test]
fn an_unknown_pool_is_not_found() {
    let ceph = requires_ceph!();
    lsd(&ceph, &["info", "no-such-pool/image"]).run().expect_code(2).says("No such file or directory");
    let qemu = format!("rbd:no-such-pool/image:conf={}", ceph.conf.display());
    ceph.client("qemu-img").args(["info", &qemu]).fails().says("error opening pool no-such-pool");
}

#[test]
fn an_unknown_snapshot_is_not_found() {
    let ceph = requires_ceph!();
    let image = ceph.image("bad").create("8M");
    lsd(&ceph, &["info", &format!("{}@none", image.spec())]).run().expect_code(2).says("No such file or directory");
    let qemu = format!("rbd:{}@none:conf={}", image.spec(), ceph.conf.display());
    ceph.client("qemu-img").args(["info", &qemu]).fails().says("No such file or directory");
}

#[test]
fn a_name_that_is_there_cannot_be_made_again() {
    let ceph = requires_ceph!();
    let image = ceph.image("bad").create("8M");
    lsd(&ceph, &["create", "--size", "8M", &image.spec()]).run().expect_code(17).says("File exists");
}

#[test]
fn a_directory_that_is_no_store_is_refused() {
    let dir = scratch_dir();
    std::fs::write(dir.path().join("lsd_header.1"), b"what is this").unwrap();
    let spec = format!("dir:{}/image", dir.path().display());
    Cmd::new(built("lsd")).args(["info", &spec]).fails().says("error");
    let none = format!("dir:{}/none/image", dir.path().display());
    Cmd::new(built("lsd")).args(["info", &none]).run().expect_code(2).says("No such file or directory");
}

/// Sizes, options and words that make no sense: refused before anything is changed.
#[test]
fn arguments_without_sense_are_refused() {
    let ceph = requires_ceph!();
    for args in [
        &["create", "rbd/x"][..],
        &["create", "--size", "-5", "rbd/x"],
        &["create", "--size", "1M", "--order", "60", "rbd/x"],
        &["create", "--size", "99999999999999999999G", "rbd/x"],
        &["resize", "--size", "nonsense", "rbd/x"],
        &["no-such-command"],
        &["info"],
        &["info", "rbd/a/b/c/d"],
    ] {
        let done = lsd(&ceph, args).fails();
        assert!(!done.errors().trim().is_empty() && !done.errors().contains("panicked"), "{done}");
    }
    lsd(&ceph, &["info", "rbd/x"]).run().expect_code(2);
}

/// Reads the values of a header; with `change` also writes them back, changed.
const HEADER_VALUES: &str = "
import base64
def values():
    with rados.ReadOpCtx() as op:
        found, _ = io.get_omap_vals(op, '', '', 100)
        io.operate_read_op(op, name)
        return dict(found)
def put(key, value):
    with rados.WriteOpCtx() as op:
        io.set_omap(op, (key,), (bytes(value),))
        io.operate_write_op(op, name)
";

#[test]
fn damaged_header_values_are_an_error() {
    let ceph = requires_ceph!();
    let bytes = pattern(SIZE, 31);
    let image = filled(&ceph, &bytes);
    let header = objects(&image, "header").remove(0);
    let save =
        format!("name = args[0]{HEADER_VALUES}print({{k: base64.b64encode(v).decode() for k, v in values().items()}})");
    let saved = ceph.python(&image.pool, &save).arg(&header).ok().text();
    for change in
        ["value[0] ^= 1", "value[-1] ^= 0x80", "value[12] ^= 4", "del value[len(value)//2:]", "value[:] = b''"]
    {
        for key in ["image", "log", "state"] {
            damage(
                &image,
                &header,
                &format!("{HEADER_VALUES}value = bytearray(values()['{key}'])\n{change}\nput('{key}', value)"),
            );
            assert_eq!(reads_right_or_fails(&image, &bytes), 2, "{key}, {change}: the damage was not noticed");
            lsd(&ceph, &["info", &image.spec()]).fails();
            let restore = format!("for key, value in {}.items(): put(key, base64.b64decode(value))", saved.trim());
            damage(&image, &header, &format!("{HEADER_VALUES}{restore}"));
        }
    }
    assert_eq!(reads_right_or_fails(&image, &bytes), 0, "put right, it does not read");
}

#[test]
fn a_header_that_is_gone_is_not_found() {
    let ceph = requires_ceph!();
    let bytes = pattern(1 << 20, 32);
    let image = filled(&ceph, &bytes);
    let header = objects(&image, "header").remove(0);
    damage(&image, &header, "io.remove_object(name)");
    assert_eq!(reads_right_or_fails(&image, &bytes), 2);
    lsd(&ceph, &["info", &image.spec()]).fails().says("No such file or directory");
    lsd(&ceph, &["rm", "--no-progress", &image.spec()]).ok();
}

/// Python that takes bytes away from a segment.
const LOSSES: [(&str, &str); 4] = [
    ("cut to a third", "io.trunc(name, io.stat(name)[0] // 3)"),
    ("cut to nothing", "io.trunc(name, 0)"),
    ("gone", "io.remove_object(name)"),
    ("replaced by something short", "io.write_full(name, b'this is no segment')"),
];

/// Python that changes bytes of a segment and leaves its length.
const CHANGES: [(&str, &str); 3] = [
    // Three, so far apart that not all of them are in a page that reads do not touch: a batch's header.
    (
        "flipped bits",
        "for at in (lambda m: (m, m + 3072, m + 9000))(io.stat(name)[0] // 2): b = io.read(name, 1, at); io.write(name, bytes([b[0] ^ 1]), at)",
    ),
    ("64 KiB of zeros", "io.write(name, bytes(65536), io.stat(name)[0] // 2)"),
    ("something else", "io.write(name, b'this is no segment ' * (io.stat(name)[0] // 19), 0)"),
];

/// Damages the largest segment of a new image for each entry; a full read must notice every one.
fn every_damage_is_noticed(damages: &[(&str, &str)]) {
    let ceph = requires_ceph!();
    let bytes = pattern(SIZE, 33);
    for (what, program) in damages {
        let image = filled(&ceph, &bytes);
        let largest = objects(&image, "data").into_iter().max_by_key(|name| size_of(&image, name)).unwrap();
        damage(&image, &largest, program);
        assert_eq!(reads_right_or_fails(&image, &bytes), 2, "{what}: the damage of {largest} was not noticed");
    }
}

#[test]
fn segments_with_missing_bytes_are_an_error() {
    every_damage_is_noticed(&LOSSES);
}

#[test]
fn segments_with_changed_bytes_are_an_error() {
    every_damage_is_noticed(&CHANGES);
}

fn size_of(image: &Image, object: &str) -> u64 {
    let stat = image.ceph.rados(&image.pool).args(["stat", object]).ok().text();
    stat.trim().rsplit(' ').next().unwrap().parse().unwrap()
}

/// A segment of another image under the name of ours: its bytes verify, and are not ours.
#[test]
fn a_segment_of_another_image_is_an_error() {
    let ceph = requires_ceph!();
    let bytes = pattern(SIZE, 34);
    let (image, other) = (filled(&ceph, &bytes), filled(&ceph, &pattern(SIZE, 35)));
    for (ours, theirs) in objects(&image, "data").iter().zip(objects(&other, "data")) {
        damage(&image, ours, &format!("other = '{theirs}'\nio.write_full(name, io.read(other, io.stat(other)[0]))"));
    }
    assert_eq!(reads_right_or_fails(&image, &bytes), 2, "another image's segments were taken for ours");
}

/// Checkpoints may be rebuilt from the log, so a damaged one need not be an error; it must not be believed.
#[test]
fn damaged_map_pages_are_not_believed() {
    let ceph = requires_ceph!();
    let bytes = pattern(SIZE, 36);
    for program in [
        "b = io.read(name, 1, 40); io.write(name, bytes([b[0] ^ 1]), 40)",
        "b = io.read(name, 1, io.stat(name)[0] - 1); io.write(name, bytes([b[0] ^ 0x10]), io.stat(name)[0] - 1)",
        "io.trunc(name, io.stat(name)[0] // 2)",
        "io.remove_object(name)",
        "io.write_full(name, bytes(100000))",
    ] {
        let image = filled(&ceph, &bytes);
        for page in objects(&image, "map") {
            damage(&image, &page, program);
        }
        reads_right_or_fails(&image, &bytes);
        // And a writer does not make it worse: it works on the right bytes, or says that it cannot.
        let write = ["-f", "raw", "-c", "write -P 1 0 4k", "-c", "flush"];
        let done = image.ceph.client("qemu-io").args(write).arg(image.qemu()).timeout(Duration::from_secs(60)).run();
        assert!(!done.timed_out && done.signal.is_none() && !done.errors().contains("panicked"), "{done}");
        let mut after = bytes.clone();
        after[..4096].fill(1);
        reads_right_or_fails(&image, if done.code == Some(0) { &after } else { &bytes });
    }
}
