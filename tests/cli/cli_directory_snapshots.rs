//! Snapshots by the `lsd` program on the directory store: what is printed of them, what they take, and a look inside.
use crate::common::{Cmd, built, pattern, scratch_dir};
use serde_json::{Value, json};
use std::path::PathBuf;

const MIB: u64 = 1 << 20;

/// An image of 16 MiB: 5 MiB were written, then snapshot `one` was taken, then 2 MiB were written over and 1 MiB beside, then snapshot
/// `two` was taken, then 1 MiB was given up.
pub struct Store {
    pub dir: tempfile::TempDir,
    pub spec: String,
}

fn lsd(args: &[&str]) -> Cmd {
    Cmd::new(built("lsd")).args(args)
}

impl Store {
    pub fn new() -> Self {
        let dir = scratch_dir();
        let spec = format!("dir:{}/store/disk", dir.path().display());
        let store = Self { dir, spec };
        lsd(&["create", "--size", "16M", &store.spec]).ok();
        store.write(&["write -P 1 0 5M"]);
        lsd(&["snap", "create", "--no-progress", &store.at("one")]).ok();
        store.write(&["write -P 2 4M 2M", "write -P 2 8M 1M"]);
        lsd(&["snap", "create", "--no-progress", &store.at("two")]).ok();
        store.write(&["discard 0 1M"]);
        store
    }

    pub fn at(&self, snapshot: &str) -> String {
        format!("{}@{snapshot}", self.spec)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs commands of qemu-io on the image, through a server of its own.
    pub fn write(&self, commands: &[&str]) {
        let socket = self.path("s");
        let mut server =
            Cmd::new(built("lsd-nbd")).args(["serve", "--socket"]).arg(&socket).arg(format!("d={}", self.spec)).start();
        server.wait_for_text("nbd+unix", std::time::Duration::from_secs(15));
        let mut cmd = Cmd::new("qemu-io").args(["-f", "raw", "-d", "unmap"]);
        for command in commands {
            cmd = cmd.args(["-c", command]);
        }
        cmd.args(["-c", "flush"]).arg(format!("nbd+unix:///d?socket={}", socket.display())).ok();
        server.stop().expect_code(0);
    }

    pub fn json(&self, words: &[&str], spec: &str) -> Value {
        lsd(words).args([spec, "--format", "json"]).ok().json()
    }
}

#[test]
fn snapshots_are_listed() {
    let store = Store::new();
    lsd(&["snap", "protect", &store.at("two")]).ok();
    let table = lsd(&["snap", "ls", &store.spec]).ok().text();
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["SNAPID", "NAME", "SIZE", "PROTECTED", "TIMESTAMP"]);
    assert_eq!(&rows[1][..4], ["1", "one", "16", "MiB"]);
    assert_eq!(&rows[2][..5], ["2", "two", "16", "MiB", "yes"]);
    let list = store.json(&["snap", "ls", "--all"], &store.spec);
    assert_eq!(list[1]["protected"], "true");
    assert_eq!(list[1]["namespace"], json!({"type": "user"}));
    let xml = lsd(&["snap", "ls", &store.spec, "--format", "xml"]).ok().text();
    assert!(xml.starts_with("<snapshots><snapshot><id>1</id><name>one</name><size>16777216</size>"), "{xml}");

    let info = store.json(&["info"], &store.spec);
    assert_eq!((&info["snapshot_count"], info.get("protected")), (&2.into(), None));
    assert_eq!(store.json(&["info"], &store.at("one"))["protected"], "false");
    lsd(&["info", &store.at("two")]).ok().says("\tprotected: True\n");
    lsd(&["snap", "limit", "set", "--limit", "7", &store.spec]).ok();
    lsd(&["info", &store.spec]).ok().says("\tsnapshot_limit: 7\n");
    let pool = format!("dir:{}/store", store.dir.path().display());
    let long = lsd(&["ls", "-l", &pool]).ok().text();
    let names: Vec<&str> = long.lines().map(|line| line.split("  ").next().unwrap()).collect();
    assert_eq!(names, ["NAME", "disk", "disk@one", "disk@two"], "{long}");
    let purged = lsd(&["snap", "purge", &store.spec]).ok();
    let words = "lsd: error removing snapshot(s) 'two', which is protected - these must be unprotected with \
                 `lsd snap unprotect`.\n";
    assert_eq!(purged.text(), words);
    assert!(purged.errors().ends_with("\rRemoving all snapshots: 50% complete...failed.\n"), "{purged}");
}

#[test]
fn each_snapshot_takes_what_the_one_before_has_not() {
    let store = Store::new();
    let usage = |words: &[&str], spec: &str| -> Vec<(Value, u64)> {
        let images = store.json(&[&["du"], words].concat(), spec)["images"].clone();
        let row = |row: &Value| (row["snapshot"].clone(), row["used_size"].as_u64().unwrap() / MIB);
        images.as_array().unwrap().iter().map(row).collect()
    };
    let (one, two, head) = ((json!("one"), 5), (json!("two"), 3), (Value::Null, 0));
    assert_eq!(usage(&[], &store.spec), [one.clone(), two.clone(), head.clone()]);
    assert_eq!(usage(&[], &store.at("one")), std::slice::from_ref(&one));
    assert_eq!(usage(&[], &store.at("two")), [one, two.clone()]);
    assert_eq!(usage(&["--from-snap", "one"], &store.spec), [two, head]);
    assert_eq!(usage(&["--merge-snapshots"], &store.spec), [(Value::Null, 8)]);
    store.write(&["write -P 9 15M 1M"]);
    let text = lsd(&["du", &store.spec]).ok().text();
    let wanted = "NAME      PROVISIONED  USED \ndisk@one       16 MiB  5 MiB\ndisk@two       16 MiB  3 MiB\n\
                  disk           16 MiB  1 MiB\n<TOTAL>        16 MiB  9 MiB\n";
    assert_eq!(text, wanted);
    let long = lsd(&["du", "--long", &store.spec]).ok().text();
    assert!(long.lines().nth(1).unwrap().trim_end().ends_with("5 MiB"), "{long}");
    lsd(&["du", &store.at("never")]).run().expect_code(2).says("specified snapshot is not found.\n");
}

#[test]
fn the_extents_of_a_snapshot_are_its_own() {
    let store = Store::new();
    let ranges = |spec: &str| -> Vec<(u64, u64)> {
        let list = store.json(&["diff", "--whole-object"], spec);
        let range =
            |extent: &Value| (extent["offset"].as_u64().unwrap() / MIB, extent["length"].as_u64().unwrap() / MIB);
        list.as_array().unwrap().iter().map(range).collect()
    };
    assert_eq!(ranges(&store.at("one")), [(0, 4), (4, 4)]);
    assert_eq!(ranges(&store.at("two")), [(0, 4), (4, 4), (8, 4)]);
    let since = |spec: &str, from: &str| lsd(&["diff", spec, "--from-snap", from]).ok().text();
    let head = "Offset   Length   Type\n";
    assert_eq!(since(&store.at("two"), "one"), format!("{head}4194304  2097152  data\n8388608  1048576  data\n"));
    assert_eq!(since(&store.spec, "two"), "Offset  Length   Type\n0       1048576  zero\n");
    assert_eq!(since(&store.at("one"), "one"), "");
    // The object has data left.
    let whole = store.json(&["diff", "--whole-object", "--from-snap", "two"], &store.spec);
    assert_eq!(whole, json!([{"offset": 0, "length": 4 * MIB, "exists": "true"}]));
    lsd(&["diff", &store.at("one"), "--from-snap", "two"]).run().expect_code(22).says("diff error: (22)");
    lsd(&["diff", &store.spec, "--from-snap", "never"]).run().expect_code(2).says("diff error: (2)");
}

#[test]
fn a_look_inside_shows_what_snapshots_keep() {
    let store = Store::new();
    let header = store.json(&["inspect", "header"], &store.spec);
    assert_eq!(header["requires"], json!(["snapshots", "clones"]));
    assert_eq!(header["snapshot_counters"], json!({"last_id": 2, "last_id_at_rollback": 0}));
    let snapshots = header["snapshots"].as_array().unwrap();
    let names: Vec<&Value> = snapshots.iter().map(|snapshot| &snapshot["name"]).collect();
    assert_eq!(names, ["one", "two"]);
    assert_eq!((&snapshots[0]["namespace"], &snapshots[0]["removing"]), (&"user".into(), &false.into()));
    assert_eq!(snapshots[0]["size"], 16 * MIB);
    lsd(&["inspect", "header", &store.spec]).ok().says("snapshots: (id 1 name one namespace user protected false");

    let map = store.json(&["inspect", "map"], &store.spec);
    assert_eq!((&map["mapped"], &map["moment"]["size"]), (&(6 * MIB).into(), &(16 * MIB).into()));
    let of_one = store.json(&["inspect", "map"], &store.at("one"));
    assert_eq!((&of_one["mapped"], &of_one["checkpoint"]), (&(5 * MIB).into(), &snapshots[0]["checkpoint"]["id"]));
    let extents = store.json(&["inspect", "map", "--leaf", "0"], &store.at("one"));
    let mapped: u64 = extents.as_array().unwrap().iter().map(|extent| extent["length"].as_u64().unwrap()).sum();
    assert_eq!(mapped, 5 * MIB);
    lsd(&["inspect", "map", &store.at("never")]).run().expect_code(2).says("snapshot does not exist.");
    lsd(&["inspect", "header", &store.at("one")]).run().expect_code(22);

    // The first segments have the bytes of both snapshots.
    let segments = store.json(&["inspect", "map", "--segments"], &store.spec);
    let first = &segments[0];
    assert_eq!(first["pins"], 2, "{segments}");
    assert!(first["kept"].as_u64() >= first["live"].as_u64() && first["newest_seq"].is_u64(), "{segments}");
    let table = lsd(&["inspect", "map", "--segments", &store.spec]).ok().text();
    let headings: Vec<&str> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(headings, ["SEGMENT", "EPOCH", "LENGTH", "LIVE", "LIVE%", "KEPT", "PINS", "NEWEST", "WRITTEN"]);
    let pages = store.json(&["inspect", "map", "--pages"], &store.spec);
    assert!(!pages.as_array().unwrap().is_empty() && pages[0]["pins"].as_u64() > Some(0), "{pages}");
    // The others are let go.
    assert_eq!(map["pinned_pages"], pages.as_array().unwrap().iter().filter(|page| page["pins"] != 0).count());
    lsd(&["inspect", "map", "--pages", &store.spec]).ok().says(pages[0]["object"].as_str().unwrap());
}

#[test]
fn a_damaged_map_of_a_snapshot_is_found() {
    let store = Store::new();
    let sound = lsd(&["check", "--no-progress", &store.spec]).ok();
    sound.says("No errors were found on the image.");
    let header = store.json(&["inspect", "header"], &store.spec);
    let checkpoint = &header["snapshots"][0]["checkpoint"];
    let (id, page) = (checkpoint["id"].as_str().unwrap(), checkpoint["first_root_page"].as_u64().unwrap());
    let root = format!("{id}.{page:08x}");
    let object = find(&store.path("store"), &|name| name.contains(&root));
    let mut bytes = std::fs::read(&object).unwrap();
    let near_end = bytes.len() - 10;
    bytes[near_end] ^= 0xff;
    std::fs::write(&object, bytes).unwrap();
    let report = store_check(&store);
    let finding = report["findings"].as_array().unwrap().iter().find(|finding| finding["kind"] == "snapshot");
    let message = finding.unwrap_or_else(|| panic!("{report}"))["message"].as_str().unwrap();
    assert!(message.starts_with("the snapshot 'one' cannot be read as a whole: "), "{message}");
    lsd(&["info", &store.at("one")]).run().expect_code(5);
    lsd(&["info", &store.at("two")]).ok();
}

fn store_check(store: &Store) -> Value {
    lsd(&["check", "--no-progress", &store.spec, "--format", "json"]).run().expect_code(2).json()
}

/// The one file of a store whose name fits.
fn find(dir: &std::path::Path, fits: &dyn Fn(&str) -> bool) -> PathBuf {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_path_buf()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
            match entry.file_type().unwrap().is_dir() {
                true => dirs.push(entry.path()),
                false if fits(&entry.file_name().to_string_lossy()) => found.push(entry.path()),
                false => {}
            }
        }
    }
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[test]
fn what_a_snapshot_had_is_exported() {
    let store = Store::new();
    let exported = |spec: &str| lsd(&["export", "--no-progress", spec, "-"]).ok().stdout;
    let (one, two, now) = (exported(&store.at("one")), exported(&store.at("two")), exported(&store.spec));
    let at = |bytes: &[u8]| [0, 4, 5, 8].map(|mib| bytes[mib * MIB as usize]);
    assert_eq!((at(&one), at(&two), at(&now)), ([1, 1, 0, 0], [1, 2, 2, 2], [0, 2, 2, 2]));
    let rolled_back = lsd(&["snap", "rollback", &store.at("one")]).ok();
    assert!(rolled_back.errors().ends_with("\rRolling back to snapshot: 100% complete...done.\n"), "{rolled_back}");
    assert!(exported(&store.spec) == one);
    assert!(exported(&store.at("two")) == two, "the younger snapshot stays");
    // A fresh image under the same name has none of it.
    lsd(&["snap", "purge", "--no-progress", &store.spec]).ok();
    lsd(&["rm", "--no-progress", &store.spec]).ok();
    let file = store.path("file");
    std::fs::write(&file, pattern(MIB as usize, 3)).unwrap();
    lsd(&["import", "--no-progress", file.to_str().unwrap(), &store.spec]).ok();
    assert_eq!(lsd(&["snap", "ls", &store.spec]).ok().text(), "");
}
