//! The `lsd` command on the directory store: everything without a cluster.
use crate::common::{Cmd, built, pattern, scratch_dir};
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

/// Only what makes an image makes a store, in a folder that is there; everything else says what is wrong.
#[test]
fn a_store_is_made_by_no_mistake() {
    let dir = scratch_dir();
    let folder = dir.path().join("folder");
    std::fs::create_dir(&folder).unwrap();
    let (pool, image) = (format!("dir:{}", folder.display()), format!("dir:{}/x", folder.display()));
    let commands: [&[&str]; 10] = [
        &["ls", &pool],
        &["ls", "-l", &pool],
        &["du", &format!("{pool}/")],
        &["du", &image],
        &["info", &image],
        &["status", &image],
        &["rm", &image],
        &["check", &image],
        &["export", &image, "-"],
        &["resize", "--size", "1G", &image],
    ];
    for command in commands {
        let done = lsd(command).fails();
        assert!(done.errors().contains("it is not a directory store"), "{command:?}: {done}");
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "{command:?} left something");
    }
    let missing = format!("dir:{}/not mounted/store/x", dir.path().display());
    lsd(&["create", "--size", "1G", &missing]).run().expect_code(2).says("the folder for it does not exist");
    lsd(&["import", "--no-progress", "-", &missing]).run().expect_code(2);
    assert!(!dir.path().join("not mounted").exists());
}

/// A store is never an image of the folder around it.
#[test]
fn a_store_is_not_taken_for_an_image() {
    let store = Store::new();
    lsd(&["create", "--size", "8M", &store.spec("disk")]).ok();
    let bare = format!("dir:{}/store", store.0.path().display());
    for spec in [bare.clone(), format!("{bare}/")] {
        lsd(&["create", "--size", "1G", &spec]).run().expect_code(22).says("image name was not specified");
        lsd(&["rm", &spec]).run().expect_code(22).says("image name was not specified");
        assert_eq!(lsd(&["ls", &spec]).ok().text(), "disk\n");
        assert!(lsd(&["du", &spec]).ok().text().contains("disk"));
    }
    assert_eq!(std::fs::read_dir(store.0.path()).unwrap().count(), 1, "nothing was made beside the store");
    lsd(&["info", &store.spec("disk")]).ok();
    std::fs::remove_file(store.0.path().join("store/lsd-store")).unwrap();
    lsd(&["info", &store.spec("disk")]).run().expect_code(22).says("its marker lsd-store is missing");
    lsd(&["create", "--size", "1G", &store.spec("new")]).run().expect_code(22).says("has no lsd-store");
}

/// A snapshot or a backup is mounted without the permission to write.
#[test]
fn a_store_on_a_read_only_mount_is_read() {
    let store = Store::new();
    let (disk, file, out) = (store.spec("disk"), store.file("in"), store.file("out"));
    std::fs::write(&file, pattern(9 << 20, 71)).unwrap();
    lsd(&["import", "--no-progress", &file, &disk]).ok();
    let mounted = store.file("mounted");
    std::fs::create_dir(&mounted).unwrap();
    let run = |program: &str, args: &[&str]| drop(Cmd::stock(program).args(args).ok());
    run("mount", &["--bind", &store.file("store"), &mounted]);
    run("mount", &["-o", "remount,ro,bind", &mounted]);
    let (pool, disk) = (format!("dir:{mounted}"), format!("dir:{mounted}/disk"));
    let commands: [&[&str]; 6] = [
        &["ls", "-l", &pool],
        &["du", &pool],
        &["info", &disk],
        &["check", &disk],
        &["status", &disk],
        &["export", "--no-progress", &disk, &out],
    ];
    let done: Vec<_> = commands.iter().map(|command| lsd(command).run()).collect();
    let refused = lsd(&["resize", "--no-progress", "--size", "1G", &disk]).run();
    run("umount", &["-l", &mounted]);
    done.into_iter().for_each(|done| drop(done.expect_code(0)));
    assert!(refused.errors().contains("failed") || refused.errors().contains("error"), "{refused}");
    assert!(std::fs::read(&out).unwrap() == std::fs::read(&file).unwrap());
}
