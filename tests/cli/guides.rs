//! The commands of docs/guides/beside-rbd.md that move an image to lsd and back, as they stand there.
//!
//! Owns: that the page is right. Does not own: that the formats fit each other (`cli_diffs.rs`), guests that run
//! (`tests/librbd/live_migration.rs`).
use crate::common::{Ceph, Cmd, Finished, built};
use std::path::Path;

/// The commands under a heading.
fn commands(heading: &str) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/guides/beside-rbd.md");
    let page = std::fs::read_to_string(page).unwrap();
    let part = page.split(heading).nth(1).unwrap_or_else(|| panic!("no heading {heading}"));
    let part = part.split("\n##").next().unwrap();
    let lines: Vec<&str> = part.lines().filter_map(|line| line.strip_prefix("    ")).collect();
    assert!(!lines.is_empty(), "no commands under {heading}");
    lines.join("\n")
}

/// A pool that goes with the test; the page calls it `vm`.
struct Pool {
    ceph: Ceph,
    name: String,
}

impl Pool {
    fn new(ceph: &Ceph, hint: &str) -> Self {
        let name = format!("guide-{hint}-{}", std::process::id());
        ceph.make_pool(&name);
        let pool = Self { ceph: ceph.clone(), name };
        pool.run(
            "rbd create --size 32M vm/old
             rbd bench --io-type write --io-size 64K --io-total 4M --io-pattern rand vm/old
             rbd snap create vm/old@kept
             rbd bench --io-type write --io-size 4K --io-total 1M --io-pattern rand vm/old
             rbd image-meta set vm/old key value",
        );
        pool
    }

    /// With `lsd` of this build and Ceph's `rbd` on its own library, as on a host where the switch is off.
    #[track_caller]
    fn run(&self, script: &str) -> Finished {
        let bin = built("lsd").parent().unwrap().display().to_string();
        let path = format!("{bin}:{}", std::env::var("PATH").unwrap());
        let script = script.replace("vm/", &format!("{}/", self.name));
        Cmd::stock("bash")
            .args(["-euxo", "pipefail", "-c", &script])
            .env("PATH", path)
            .env("CEPH_CONF", &self.ceph.conf)
            .ok()
    }

    /// Each word names an image or a snapshot to be read by `lsd`, or by `rbd` if it begins with `rbd:`.
    fn all_are_equal(&self, names: &[&str]) {
        let sum = |name: &&str| match name.strip_prefix("rbd:") {
            Some(name) => self.run(&format!("rbd export --no-progress vm/{name} - | sha256sum")).text(),
            None => self.run(&format!("lsd export --no-progress vm/{name} - | sha256sum")).text(),
        };
        let sums: Vec<String> = names.iter().map(sum).collect();
        assert!(sums.iter().all(|sum| *sum == sums[0]), "{names:?}: {sums:?}");
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.ceph.remove_pool(&self.name);
    }
}

#[test]
fn an_image_that_nobody_writes_moves_and_comes_back() {
    let pool = Pool::new(&requires_ceph!(), "still");
    pool.run(&commands("### One that nobody writes"));
    pool.all_are_equal(&["old", "rbd:old-rbd", "rbd:back"]);
    pool.all_are_equal(&["old@kept", "rbd:old-rbd@kept", "rbd:back@kept"]);
    for program in ["lsd image-meta get vm/old", "rbd image-meta get vm/back"] {
        assert_eq!(pool.run(&format!("{program} key")).text().trim(), "value");
    }
    pool.run("lsd check --no-progress vm/old");
}

#[test]
fn an_image_that_is_written_moves_with_a_short_stop() {
    let pool = Pool::new(&requires_ceph!(), "stop");
    let script = commands("### One with a short stop");
    let (stop, write) = ("# stop whoever writes", "rbd bench --io-type write --io-size 64K --io-total 2M vm/old");
    assert!(script.contains(stop), "{script}");
    pool.run(&script.replace(stop, write));
    pool.all_are_equal(&["old", "rbd:old-rbd@move2", "rbd:old-rbd"]);
    pool.all_are_equal(&["old@kept", "rbd:old-rbd@kept"]);
    assert!(!pool.run("lsd snap ls vm/old").text().contains("move"));
    pool.run("lsd check --no-progress vm/old");
}
