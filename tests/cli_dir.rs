//! The `lsd` command on the directory store: everything without a cluster.
mod common;
use common::{Cmd, built, pattern, scratch_dir};
use serde_json::Value;

fn lsd(args: &[&str]) -> Cmd {
    Cmd::new(built("lsd")).args(args)
}

fn json(args: &[&str]) -> Value {
    lsd(args).args(["--format", "json"]).ok().json()
}

struct Store(tempfile::TempDir);

impl Store {
    fn new() -> Self {
        Self(scratch_dir())
    }

    fn spec(&self, name: &str) -> String {
        format!("dir:{}/store/{name}", self.0.path().display())
    }

    fn file(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }
}

#[test]
fn create_list_info_resize_rename_remove() {
    let store = Store::new();
    let (one, two) = (store.spec("one"), store.spec("two"));
    lsd(&["create", "--size", "1G", &one]).ok();
    lsd(&["create", "--size", "2T", &two]).ok();
    let listed = lsd(&["ls", &store.spec("")]).ok().text();
    assert_eq!(listed.lines().collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(json(&["info", &two])["size"], 2_u64 << 40);
    lsd(&["resize", "--no-progress", "--size", "3G", &one]).ok();
    assert_eq!(json(&["info", &one])["size"], 3_u64 << 30);
    lsd(&["mv", &one, &store.spec("three")]).ok();
    lsd(&["info", &one]).run().expect_code(2);
    lsd(&["rm", "--no-progress", &two]).ok();
    assert_eq!(lsd(&["ls", &store.spec("")]).ok().text(), "three\n");
}

#[test]
fn import_export_copy() {
    let store = Store::new();
    let (disk, copy, file, out) = (store.spec("disk"), store.spec("copy"), store.file("in"), store.file("out"));
    let mut bytes = pattern(7 << 20, 61);
    bytes.resize(20 << 20, 0);
    bytes.extend(pattern(12345 * 512, 62));
    std::fs::write(&file, &bytes).unwrap();
    lsd(&["import", "--no-progress", &file, &disk]).ok();
    lsd(&["cp", "--no-progress", &disk, &copy]).ok();
    lsd(&["export", "--no-progress", &copy, &out]).ok();
    assert!(std::fs::read(&out).unwrap() == bytes);
}
