//! `lsd check` and `lsd rm --force` on images that were damaged behind the store's back: what is said, which ranges, which exit
//! code, what `--repair` puts right, and that nothing that can be read is lost by it.
use crate::common::{Ceph, Cmd, Finished, Image, built, pattern, scratch_dir};
use lsd_core::format::names;
use lsd_core::units::{Epoch, SegmentNo};
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;

const SIZE: usize = 12 << 20;
/// From the start of a file of the directory store to its payload.
const PAYLOAD_AT: usize = 4096;

/// Exit code and report.
fn report(done: &Finished) -> (i32, Value) {
    assert!(!done.errors().contains("panicked"), "{done}");
    (done.code.unwrap(), done.json())
}

fn kinds(report: &Value) -> Vec<&str> {
    report["findings"].as_array().unwrap().iter().map(|finding| finding["kind"].as_str().unwrap()).collect()
}

fn hit_bytes(report: &Value) -> u64 {
    let findings = report["findings"].as_array().unwrap().iter();
    findings.flat_map(|found| found["ranges"].as_array().unwrap()).map(|range| range["length"].as_u64().unwrap()).sum()
}

/// An image in a directory of its own.
struct InDirectory {
    dir: tempfile::TempDir,
    bytes: Vec<u8>,
}

impl InDirectory {
    fn new(seed: u64) -> Self {
        let (dir, bytes) = (scratch_dir(), pattern(SIZE, seed));
        let image = Self { dir, bytes };
        let file = image.dir.path().join("file");
        std::fs::write(&file, &image.bytes).unwrap();
        image.lsd(&["import", "--no-progress", file.to_str().unwrap(), &image.spec()]).ok();
        image
    }

    fn spec(&self) -> String {
        format!("dir:{}/store/disk", self.dir.path().display())
    }

    fn lsd(&self, args: &[&str]) -> Cmd {
        Cmd::new(built("lsd")).args(args)
    }

    fn check(&self, options: &[&str]) -> (i32, Value) {
        report(&self.lsd(&["check", "--no-progress", "--format", "json", &self.spec()]).args(options).run())
    }

    /// Files of one kind of object, the largest last.
    fn files(&self, kind: &str) -> Vec<PathBuf> {
        let all = std::fs::read_dir(self.dir.path().join("store/objects")).unwrap().map(|entry| entry.unwrap().path());
        let is_kind = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with(&format!("lsd_{kind}."));
        let mut files: Vec<PathBuf> = all.filter(is_kind).collect();
        files.sort_by_key(|file| (std::fs::metadata(file).unwrap().len(), file.clone()));
        files
    }

    fn exports(&self) -> Finished {
        let out = self.dir.path().join("out");
        let _ = std::fs::remove_file(&out);
        self.lsd(&["export", "--no-progress", &self.spec()]).arg(out).run()
    }

    fn content(&self) -> Vec<u8> {
        assert_eq!(self.exports().code, Some(0));
        std::fs::read(self.dir.path().join("out")).unwrap()
    }
}

fn flip(file: &PathBuf, payload_offset: usize) {
    let mut bytes = std::fs::read(file).unwrap();
    bytes[PAYLOAD_AT + payload_offset] ^= 1;
    std::fs::write(file, bytes).unwrap();
}

#[test]
fn a_sound_image_is_sound() {
    let image = InDirectory::new(1);
    let (code, report) = image.check(&[]);
    assert_eq!((code, kinds(&report)), (0, vec![]));
    assert_eq!(report["checked"]["mapped_bytes"], SIZE);
    let plain = image.lsd(&["check", &image.spec()]).ok();
    plain.says("No errors were found on the image.");
    assert_eq!(image.check(&["--repair"]).0, 0);
    assert!(image.content() == image.bytes);
}

#[test]
fn what_cannot_be_checked_is_no_result() {
    let image = InDirectory::new(2);
    image.lsd(&["check", &format!("{}x", image.spec())]).run().expect_code(1).says("No such file or directory");
    image.lsd(&["check"]).run().expect_code(1).says("image name was not specified");
    let words = "--discard-damaged only works with --repair";
    image.lsd(&["check", "--discard-damaged", &image.spec()]).run().expect_code(1).says(words);
}

/// A flipped bit in the data: found with its range, left to readers, and given up when told.
#[test]
fn a_flipped_bit_of_data_is_found_with_its_range() {
    let image = InDirectory::new(3);
    flip(image.files("data").last().unwrap(), 4096 + 777);
    let (code, before) = image.check(&[]);
    assert_eq!((code, kinds(&before)), (2, vec!["data"]));
    let hit = &before["findings"][0]["ranges"][0];
    let (offset, len) = (hit["offset"].as_u64().unwrap() as usize, hit["length"].as_u64().unwrap() as usize);
    assert!(len > 0 && len <= 1 << 20, "{before}");
    image.lsd(&["check", &image.spec()]).run().expect_code(2);
    let hint = "'lsd check --repair --discard-damaged' gives it up: that cannot be undone.";
    let words = |options: &[&str]| image.lsd(&["check", "--no-progress", &image.spec()]).args(options).run();
    words(&["--repair"]).expect_code(2).says(hint);
    assert!(!words(&[]).text().contains(hint), "nobody has tried yet");
    let (_, mended) = image.check(&["--repair", "--discard-damaged"]);
    assert_eq!(hit_bytes(&mended["repair"]["after"]), 0, "{mended}");
    let mut expected = image.bytes.clone();
    expected[offset..offset + len].fill(0);
    assert!(image.content() == expected);
}

/// The map is made again from the log where the log is whole.
#[test]
fn a_damaged_or_missing_map_is_made_again() {
    for remove in [false, true] {
        for page in 0..2 {
            let image = InDirectory::new(4);
            let files = image.files("map");
            if remove {
                std::fs::remove_file(&files[page]).unwrap();
            } else {
                flip(&files[page], 100);
            }
            let (code, report) = image.check(&[]);
            assert_eq!(code, 2, "{report}");
            assert!(kinds(&report).iter().any(|kind| ["root", "page", "leaf"].contains(kind)), "{report}");
            let (code, mended) = image.check(&["--repair"]);
            assert_eq!((code, kinds(&mended["repair"]["after"])), (0, vec![]), "{mended}");
            assert!(image.content() == image.bytes);
        }
    }
}

#[test]
fn a_missing_segment_is_found_with_its_ranges() {
    let image = InDirectory::new(5);
    std::fs::remove_file(image.files("data").last().unwrap()).unwrap();
    let (code, report) = image.check(&[]);
    assert_eq!((code, kinds(&report)), (2, vec!["segment_gone"]));
    assert!(hit_bytes(&report) > 0);
    let (code, mended) = image.check(&["--repair", "--discard-damaged"]);
    assert_eq!(code, 0, "{mended}");
    let content = image.content();
    let blocks = content.chunks(4096).zip(image.bytes.chunks(4096));
    let given_up = blocks.filter(|(found, _)| found.iter().all(|byte| *byte == 0)).count() as u64 * 4096;
    let kept = content.chunks(4096).zip(image.bytes.chunks(4096)).filter(|(found, expected)| found == expected);
    assert_eq!((given_up, kept.count() as u64 * 4096), (hit_bytes(&report), SIZE as u64 - hit_bytes(&report)));
}

#[test]
fn a_damaged_header_is_named_and_removed_by_force() {
    let image = InDirectory::new(6);
    let header = image.files("header").remove(0);
    let whole = std::fs::read(&header).unwrap();
    let mut bytes = whole.clone();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&header, bytes).unwrap();
    image.lsd(&["check", &image.spec()]).fails();
    image.lsd(&["rm", "--no-progress", &image.spec()]).fails();
    std::fs::write(&header, whole).unwrap();
    assert_eq!(image.check(&[]).0, 0);
    image.lsd(&["rm", "--no-progress", "--force", &image.spec()]).ok();
    assert_eq!((image.files("data").len(), image.files("map").len(), image.files("header").len()), (0, 0, 0));
}

/// An image of this cluster that holds `bytes`.
pub(super) fn in_cluster(ceph: &Ceph, bytes: &[u8]) -> Image {
    let dir = scratch_dir();
    let file = dir.path().join("file");
    std::fs::write(&file, bytes).unwrap();
    ceph.image("check").fill_from(&file)
}

fn lsd(image: &Image, args: &[&str]) -> Cmd {
    image.ceph.client(built("lsd")).args(args)
}

fn check(image: &Image, options: &[&str]) -> (i32, Value) {
    report(&lsd(image, &["check", "--no-progress", "--format", "json", &image.spec()]).args(options).run())
}

fn id_of(image: &Image) -> String {
    lsd(image, &["info", "--format", "json", &image.spec()]).ok().json()["id"].as_str().unwrap().to_owned()
}

pub(super) fn objects(image: &Image, kind: &str) -> Vec<String> {
    let prefix = format!("lsd_{kind}.{}", id_of(image));
    let mut names = image.ceph.objects(&image.pool);
    names.retain(|name| name.starts_with(&prefix));
    names.sort();
    names
}

fn assert_reads(image: &Image, bytes: &[u8]) {
    let dir = scratch_dir();
    let out = dir.path().join("out");
    image.read_to(&out);
    assert!(std::fs::read(&out).unwrap() == bytes, "other bytes than were written");
}

#[test]
fn objects_of_the_cluster_that_are_overwritten_or_removed() {
    let ceph = requires_ceph!();
    let bytes = pattern(SIZE, 41);
    let junk = scratch_dir();
    let junk_file = junk.path().join("junk");
    std::fs::write(&junk_file, vec![7; 100_000]).unwrap();
    // What is done to the first object of a kind, and what the check may call it.
    let damages: [(&str, &[&str], &[&str]); 5] = [
        ("data", &["put", "OBJECT", "FILE"], &["tail", "batch", "summary"]),
        ("data", &["rm", "OBJECT"], &["segment_gone"]),
        ("data", &["setxattr", "OBJECT", "lsd.tail", "short"], &["tail"]),
        ("map", &["put", "OBJECT", "FILE"], &["page", "leaf"]),
        ("map", &["rm", "OBJECT"], &["page"]),
    ];
    for (kind, command, expected) in damages {
        let image = in_cluster(&ceph, &bytes);
        assert_eq!(check(&image, &[]).0, 0);
        let object = objects(&image, kind).remove(0);
        let words = command.iter().map(|word| match *word {
            "OBJECT" => object.clone(),
            "FILE" => junk_file.display().to_string(),
            word => word.to_owned(),
        });
        ceph.rados(&image.pool).args(words).ok();
        let (code, report) = check(&image, &[]);
        assert_eq!(code, 2, "{command:?}: {report}");
        assert!(kinds(&report).iter().any(|kind| expected.contains(kind)), "{command:?}: {report}");
        assert!(report["findings"].as_array().unwrap().iter().any(|found| found["object"] == object), "{report}");
        let (code, mended) = check(&image, &["--repair"]);
        if kind == "map" {
            assert_eq!(code, 0, "{command:?}: {mended}");
            assert_reads(&image, &bytes);
        }
    }
}

#[test]
fn objects_that_nothing_needs_are_found_and_deleted() {
    let ceph = requires_ceph!();
    let bytes = pattern(SIZE, 42);
    let image = in_cluster(&ceph, &bytes);
    let junk = scratch_dir();
    let file = junk.path().join("junk");
    std::fs::write(&file, b"junk").unwrap();
    let id = id_of(&image);
    let segment = names::segment(&id, Epoch(1), SegmentNo(0xfff));
    for name in [format!("lsd_map.{id}.0000000100000077.00000000"), segment] {
        ceph.rados(&image.pool).args(["put", &name]).arg(&file).ok();
    }
    let (code, report) = check(&image, &[]);
    assert_eq!((code, kinds(&report)), (3, vec!["orphan_page", "orphan_segment"]));
    let (code, mended) = check(&image, &["--repair"]);
    assert_eq!((code, mended["repair"]["deleted"].as_u64()), (0, Some(2)));
    assert_reads(&image, &bytes);
}

#[test]
fn a_damaged_header_of_the_cluster_is_removed_by_force_only() {
    let ceph = requires_ceph!();
    let image = in_cluster(&ceph, &pattern(SIZE, 43));
    let id = id_of(&image);
    ceph.rados(&image.pool).args(["setomapval", &format!("lsd_header.{id}"), "log", "nonsense"]).ok();
    let (code, report) = check(&image, &[]);
    assert_eq!((code, kinds(&report)), (2, vec!["header_value"]));
    lsd(&image, &["rm", "--no-progress", &image.spec()]).run().expect_code(5).says("--force");
    lsd(&image, &["rm", "--no-progress", "--force", &image.spec()]).ok();
    assert!(ceph.objects(&image.pool).iter().all(|name| !name.contains(&id)));
    lsd(&image, &["info", &image.spec()]).run().expect_code(2);
}

/// The image of a client at work can be checked, and is not repaired.
#[test]
fn an_image_in_use_is_checked_and_not_repaired() {
    let ceph = requires_ceph!().with_short_watches();
    let image = in_cluster(&ceph, &pattern(SIZE, 44));
    let orphan = format!("lsd_map.{}.0000000100000077.00000000", id_of(&image));
    ceph.rados(&image.pool).args(["create", &orphan]).ok();
    let writes = "import time\nimage = rbd.Image(io, args[0])\nnumber = 0\nwhile True:\n    \
        image.write(bytes([number % 251]) * 65536, number * 65536 % (12 << 20))\n    image.flush()\n    number += 1\n    \
        if number == 10: print('at work', flush=True)\n    time.sleep(0.005)\n";
    let mut writer = ceph.python(&image.pool, writes).arg(&image.name).start();
    writer.wait_for_text("at work", Duration::from_secs(30));
    for _ in 0..4 {
        let (code, report) = check(&image, &[]);
        // The log is read while it grows: of two batches that arrive meanwhile, only the second may be seen.
        let found: Vec<&str> = kinds(&report).into_iter().filter(|kind| *kind != "gap").collect();
        assert_eq!((code, found, &report["in_use"]), (3, vec!["orphan_page"], &Value::Bool(true)), "{report}");
    }
    lsd(&image, &["check", "--repair", &image.spec()]).run().expect_code(1).says("in use");
    assert!(writer.is_alive(), "the writer was disturbed");
    writer.kill();
    assert!(ceph.objects(&image.pool).contains(&orphan));
}
