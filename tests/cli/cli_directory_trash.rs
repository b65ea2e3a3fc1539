//! The trash by the `lsd` program on the directory store.
use crate::common::{Cmd, Finished, built, pattern, scratch_dir};
use serde_json::{Value, json};

fn lsd(args: &[&str]) -> Cmd {
    Cmd::new(built("lsd")).args(args)
}

struct Store(tempfile::TempDir);

impl Store {
    /// With images of 8 MiB.
    fn with(names: &[&str]) -> Self {
        let store = Self(scratch_dir());
        names.iter().for_each(|name| drop(lsd(&["create", "--size", "8M", &store.spec(name)]).ok()));
        store
    }

    /// Of an image by its name, of one in the trash by its id.
    fn spec(&self, name: &str) -> String {
        format!("{}/{name}", self.pool())
    }

    fn pool(&self) -> String {
        format!("dir:{}/store", self.0.path().display())
    }

    fn put(&self, name: &str, words: &[&str]) -> String {
        let id = lsd(&["info", &self.spec(name), "--format", "json"]).ok().json()["id"].as_str().unwrap().to_owned();
        lsd(&["trash", "mv", &self.spec(name)]).args(words).ok();
        id
    }

    fn trash(&self, words: &[&str]) -> Value {
        lsd(&["trash", "ls", &self.pool(), "--format", "json"]).args(words).ok().json()
    }

    fn names(&self) -> Vec<String> {
        let names = self.trash(&[]);
        let mut names: Vec<String> =
            names.as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    }

    fn purge(&self, words: &[&str]) -> Finished {
        lsd(&["trash", "purge", &self.pool()]).args(words).run()
    }
}

/// No file system is used to 0 %: all goes that has data, whatever its time; what has none makes no room.
#[test]
fn a_threshold_removes_what_has_time_left() {
    let store = Store::with(&["empty"]);
    let file = store.0.path().join("in");
    std::fs::write(&file, pattern(3 << 20, 82)).unwrap();
    lsd(&["import", "--no-progress", file.to_str().unwrap(), &store.spec("disk")]).ok();
    store.put("disk", &["--expires-at", "tomorrow"]);
    store.put("empty", &["--expires-at", "tomorrow"]);
    store.purge(&["--threshold", "1"]).expect_code(0);
    assert_eq!(store.names(), ["disk", "empty"]);
    store.purge(&["--threshold", "0"]).expect_code(0).says("\rRemoving images: 100% complete...done.\n");
    assert_eq!(store.names(), ["empty"]);
}

#[test]
fn what_comes_back_is_what_went_in() {
    let store = Store::with(&[]);
    let (file, out) = (store.0.path().join("in"), store.0.path().join("out"));
    let bytes = pattern(3 << 20, 81);
    std::fs::write(&file, &bytes).unwrap();
    lsd(&["import", "--no-progress", file.to_str().unwrap(), &store.spec("disk")]).ok();
    let id = store.put("disk", &["--expires-at", "2100-01-02 03:04:05"]);
    lsd(&["info", &store.spec("disk")]).run().expect_code(2);
    assert_eq!(lsd(&["ls", &store.pool()]).ok().text(), "");
    assert_eq!(lsd(&["trash", "ls", &store.pool()]).ok().text(), format!("{id} disk\n"));
    assert_eq!(store.trash(&[]), json!([{"id": id, "name": "disk"}]));
    let long = store.trash(&["-l"]);
    assert_eq!(
        (&long[0]["source"], &long[0]["status"]),
        (&json!("USER"), &json!("protected until Sat Jan  2 03:04:05 2100"))
    );
    let table = lsd(&["trash", "ls", "-la", &store.pool()]).ok().text();
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["ID", "NAME", "SOURCE", "DELETED_AT", "STATUS", "PARENT"]);
    assert_eq!(rows[1][..3], [&id, "disk", "USER"]);

    let by_id = |words: &[&str]| lsd(words).args([&format!("{}/", store.pool()), "--image-id", &id]);
    by_id(&["info"]).ok().says("rbd image 'disk':");
    by_id(&["status"]).ok().says("Watchers: none");

    lsd(&["create", "--size", "1M", &store.spec("disk")]).ok();
    let taken = lsd(&["trash", "restore", &store.spec(&id)]).run().expect_code(17);
    let words = "lsd: error: an image with the same name already exists, try again with a different name\n";
    assert_eq!(taken.errors(), words);
    let named = |name: &str| lsd(&["trash", "restore", &store.spec(&id), "--image", name]).run();
    named("a/b").expect_code(22).says("lsd: restore error: (22)");
    lsd(&["trash", "restore", &store.spec("nope")]).run().expect_code(2).says("error: image does not exist in trash\n");
    by_id(&["trash", "restore", "--image", "back"]).ok();
    lsd(&["export", "--no-progress", &store.spec("back"), out.to_str().unwrap()]).ok();
    assert!(std::fs::read(&out).unwrap() == bytes);
    assert_eq!(store.names(), [""; 0]);
    named("again").expect_code(2);
}

#[test]
fn a_date_is_one_that_date_knows_and_to_come() {
    let store = Store::with(&["disk"]);
    let spec = store.spec("disk");
    let refused = |date: &str, words: &str| {
        lsd(&["trash", "mv", &spec, "--expires-at", date]).run().expect_code(22).says(words);
        assert_eq!(store.names(), [""; 0], "{date}");
    };
    for date in ["+3600", "soon", "2030-13-01"] {
        refused(date, "lsd: error calling /bin/date: (22) Invalid argument\n");
    }
    for date in ["yesterday", "2000-01-01", "1960-01-01"] {
        refused(date, "lsd: cannot use a date in the past as an expiration date\n");
    }
    refused("2999-01-01", "lsd: an expiration date must be before the year 2554\n");
    for (date, is_protected) in [("now", false), ("2 hours", true), ("tomorrow", true), ("2100-01-01", true)] {
        let id = store.put("disk", &["--expires-at", date]);
        let status = store.trash(&["-l"])[0]["status"].as_str().unwrap().to_owned();
        assert_eq!(status.starts_with("protected until"), is_protected, "{date}: {status}");
        lsd(&["trash", "restore", &store.spec(&id)]).ok();
    }
    let id = store.put("disk", &["--expires-at", "2 hours"]);
    store.purge(&["--expired-before", "1 hour"]).expect_code(0);
    store.purge(&["--expired-before", "1960-01-01"]).expect_code(0);
    assert_eq!(store.names(), ["disk"]);
    store.purge(&["--expired-before", "soon"]).expect_code(22).says("error calling /bin/date: (22)");
    store.purge(&["--expired-before", "3 hours"]).expect_code(0);
    assert_eq!(store.names(), [""; 0]);
    lsd(&["trash", "rm", &store.spec(&id)])
        .run()
        .expect_code(2)
        .says("lsd: remove error: (2) No such file or directory");
}

#[test]
fn what_is_protected_has_snapshots_or_is_open_stays() {
    let store = Store::with(&["late", "kept", "a", "open"]);
    lsd(&["snap", "create", "--no-progress", &format!("{}@s", store.spec("kept"))]).ok();
    let socket = store.0.path().join("s");
    let mut server =
        Cmd::new(built("lsd-nbd")).args(["serve", "--socket"]).arg(&socket).arg(store.spec("open")).start();
    server.wait_for_text("nbd+unix", std::time::Duration::from_secs(15));
    let open = store.put("open", &[]);
    lsd(&["trash", "rm", "--no-progress", &store.spec(&open)]).run().expect_code(16);
    server.stop().expect_code(0);
    let late = store.put("late", &["--expires-at", "tomorrow"]);
    let kept = store.put("kept", &[]);
    store.put("a", &[]);
    let refused = lsd(&["trash", "rm", &store.spec(&late)]).run().expect_code(1);
    let words = "\nDeferment time has not expired, please use --force if you really want to remove the image\n\
                 \rRemoving image: 0% complete...failed.\n";
    assert_eq!(refused.errors(), words);
    let refused = lsd(&["trash", "rm", "--no-progress", "--force", &store.spec(&kept)]).run().expect_code(39);
    let words =
        "lsd: image has snapshots - these must be deleted with 'lsd snap purge' before the image can be removed.\n";
    assert_eq!(refused.errors(), words);
    store.purge(&["--threshold", "1"]).expect_code(0);
    store.purge(&["--threshold", "1.5"]).expect_code(22);
    assert_eq!(store.names(), ["a", "kept", "late", "open"]);
    let purged = store.purge(&[]).expect_code(39);
    purged.says("Removing images: 66% complete...failed.\n");
    purged.says("lsd: some expired images could not be removed\nEnsure that they are closed/unmapped, ");
    assert_eq!(store.names(), ["kept", "late"]);
    lsd(&["snap", "purge", "--no-progress", &format!("{}/", store.pool()), "--image-id", &kept]).ok();
    store.purge(&[]).expect_code(0).says("\rRemoving images: 100% complete...done.\n");
    lsd(&["trash", "rm", "--force", &store.spec(&late)]).ok().says("\rRemoving image: 100% complete...done.\n");
    assert_eq!(lsd(&["trash", "ls", "-l", &store.pool()]).ok().text(), "");
}
