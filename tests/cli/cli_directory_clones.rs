//! Clones by the `lsd` program on the directory store: made, shown, flattened, copied, and what is refused.
use crate::common::{Cmd, built, pattern, scratch_dir};
use serde_json::{Value, json};

/// `base` with 5 MiB, a snapshot `s` of it, and a clone `kid`.
struct Store {
    dir: tempfile::TempDir,
    content: Vec<u8>,
}

fn lsd(args: &[&str]) -> Cmd {
    Cmd::new(built("lsd")).args(args)
}

impl Store {
    fn new() -> Self {
        let store = Self { dir: scratch_dir(), content: pattern(5 << 20, 9) };
        std::fs::write(store.dir.path().join("in"), &store.content).unwrap();
        let file = store.dir.path().join("in").display().to_string();
        lsd(&["import", "--no-progress", &file, &store.of("base")]).ok();
        lsd(&["snap", "create", "--no-progress", &store.of("base@s")]).ok();
        lsd(&["clone", &store.of("base@s"), "kid"]).ok();
        store
    }

    fn path(&self) -> String {
        format!("{}/store", self.dir.path().display())
    }

    fn of(&self, image: &str) -> String {
        format!("dir:{}/{image}", self.path())
    }

    fn json(&self, words: &[&str], image: &str) -> Value {
        lsd(words).args([&self.of(image), "--format", "json"]).ok().json()
    }

    fn content(&self, image: &str) -> Vec<u8> {
        lsd(&["export", "--no-progress", &self.of(image), "-"]).ok().stdout
    }
}

#[test]
fn a_clone_is_shown_with_its_parent() {
    let store = Store::new();
    assert!(store.content("kid") == store.content, "a clone begins as its parent's snapshot");
    let shown = lsd(&["info", &store.of("kid")]).ok();
    shown.says(&format!("\tparent: {}\n", store.of("base@s"))).says("\toverlap: 5 MiB\n");
    shown.says("\top_features: clone-child\n");
    let parent = &store.json(&["info"], "kid")["parent"];
    assert_eq!(
        (&parent["pool"], &parent["image"], &parent["snapshot"]),
        (&json!(store.path()), &json!("base"), &json!("s"))
    );
    assert_eq!((&parent["overlap"], &parent["trash"]), (&json!(5 << 20), &json!(false)));
    assert_eq!(lsd(&["children", &store.of("base")]).ok().text(), format!("{}\n", store.of("kid")));
    let pool = format!("dir:{}", store.path());
    lsd(&["ls", "-l", &pool]).ok().says(&format!("kid     5 MiB  {}", store.of("base@s")));
    let trees = lsd(&["tree", &store.of("kid")]).ok().text();
    let (base, kid) = (store.of("base"), store.of("kid"));
    assert_eq!(trees, format!("{base} (5 MiB)\n  @s\n    {kid} (5 MiB, this image)\n"));
}

#[test]
fn a_snapshot_with_clones_goes_out_of_sight_and_is_kept() {
    let store = Store::new();
    lsd(&["snap", "rm", "--no-progress", &store.of("base@s")]).ok();
    assert_eq!(lsd(&["snap", "ls", &store.of("base")]).ok().text(), "");
    lsd(&["snap", "ls", "--all", &store.of("base")]).ok().says("trash (s)");
    let all = store.json(&["snap", "ls", "--all"], "base");
    assert_eq!(all[0]["namespace"], json!({"type": "trash", "original_name": "s"}));
    let refused = lsd(&["rm", "--no-progress", &store.of("base")]).run().expect_code(39);
    refused.says("image has snapshots with linked clones - these must be deleted or flattened");
    let id = all[0]["id"].to_string();
    lsd(&["snap", "rm", "--snap-id", &id, &store.of("base")]).run().expect_code(16);
    assert!(store.content("kid") == store.content);
    lsd(&["rm", "--no-progress", &store.of("kid")]).ok();
    lsd(&["rm", "--no-progress", &store.of("base")]).ok();
}

#[test]
fn a_clone_is_flattened_by_hand_and_by_force() {
    let store = Store::new();
    lsd(&["clone", &store.of("base@s"), &store.of("other")]).ok();
    let flattened = lsd(&["flatten", &store.of("kid")]).ok();
    assert!(flattened.errors().ends_with("\rImage flatten: 100% complete...done.\n"), "{flattened}");
    lsd(&["flatten", "--no-progress", &store.of("kid")]).run().expect_code(22).says("lsd: flatten error: (22)");
    assert_eq!(store.json(&["info"], "kid").get("parent"), None);
    lsd(&["snap", "rm", "--force", "--no-progress", &store.of("base@s")]).ok();
    lsd(&["rm", "--no-progress", &store.of("base")]).ok();
    for image in ["kid", "other"] {
        assert!(store.content(image) == store.content, "{image}");
        lsd(&["check", &store.of(image)]).ok();
    }
}

#[test]
fn a_deep_copy_has_the_snapshots_and_stays_a_clone() {
    let store = Store::new();
    lsd(&["snap", "create", "--no-progress", &store.of("kid@a")]).ok();
    lsd(&["resize", "--no-progress", "--allow-shrink", "--size", "2M", &store.of("kid")]).ok();
    lsd(&["deep", "cp", "--no-progress", &store.of("kid"), "copy"]).ok();
    lsd(&["deep", "cp", "--no-progress", "--flatten", &store.of("kid"), "flat"]).ok();
    for (image, is_clone) in [("copy", true), ("flat", false)] {
        assert!(store.content(&format!("{image}@a")) == store.content, "{image}");
        assert!(store.content(image) == store.content[..2 << 20], "{image}");
        assert_eq!(store.json(&["info"], image).get("parent").is_some(), is_clone, "{image}");
        lsd(&["check", &store.of(image)]).ok();
    }
    let children = store.json(&["children"], "base");
    let names: Vec<&Value> = children.as_array().unwrap().iter().map(|child| &child["image"]).collect();
    assert_eq!(names, ["copy", "kid"]);
    // Of another directory it cannot be a clone.
    let other = format!("dir:{}/elsewhere/copy", store.dir.path().display());
    lsd(&["deep", "cp", "--no-progress", &store.of("kid"), &other])
        .run()
        .expect_code(22)
        .says("deep copy failed: (22)");
    lsd(&["deep", "cp", "--no-progress", "--flatten", &store.of("kid"), &other]).ok();
    assert!(lsd(&["export", "--no-progress", &format!("{other}@a"), "-"]).ok().stdout == store.content);
}

#[test]
fn what_cannot_be_cloned_is_refused() {
    let store = Store::new();
    let clone = |from: &str, to: &str| lsd(&["clone", &store.of(from), to]).run();
    clone("base@none", "x").expect_code(2).says("lsd: clone error: (2) No such file or directory");
    clone("base@s", "kid").expect_code(17).says("lsd: clone error: (17) File exists");
    clone("base", "x").expect_code(22).says("lsd: snapshot name was not specified");
    let strict = lsd(&["clone", "--rbd-default-clone-format", "1", &store.of("base@s"), "x"]).run();
    strict.expect_code(22).says("parent snapshot must be protected");
    let strange = lsd(&["clone", "--rbd-default-clone-format", "3", &store.of("base@s"), "x"]).run();
    strange.expect_code(22).says("there is no clone format '3'");
    lsd(&["create", "--size", "1M", &format!("dir:{}/elsewhere/there", store.dir.path().display())]).ok();
    let elsewhere = format!("dir:{}/elsewhere/x", store.dir.path().display());
    clone("base@s", &elsewhere).expect_code(22).says("in the cluster or directory of its parent");
}
