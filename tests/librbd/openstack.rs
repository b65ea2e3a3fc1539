//! OpenStack's own code for RBD, unchanged, on the tested library: Cinder's volume driver, Glance's store, Nova's calls for disks.
//!
//! Owns: their run, and that each step ends as `FAIL_HERE` says; with the system's library (`LSD_TEST_LIBDIR=`) each passes. Does
//! not own: the steps (`tests/openstack/*.py`), nor the packages (`tests/openstack/fetch`).
use crate::common::{Ceph, Cmd, Finished, built, scratch_dir, tests_own_library};
use std::path::{Path, PathBuf};
use std::time::Duration;

const FETCH_TIMEOUT: Duration = Duration::from_secs(300);
/// 45 s for the longest on two idle cores.
const TIMEOUT: Duration = Duration::from_secs(400);

/// Steps that do not pass with our library, the words of their errors, and the reason.
const FAIL_HERE: [(&str, &str, &str); 0] = [];

fn tools() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/openstack")
}

/// The python with OpenStack's packages, fetched the first time.
fn python() -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("openstack");
    let done = Cmd::stock(tools().join("fetch")).arg(&dir).timeout(FETCH_TIMEOUT).ok();
    PathBuf::from(done.text().trim())
}

/// Each step, with why it failed if it did; `None` where the program did not come to its end.
fn ends(told: &str) -> Option<Vec<(&str, Option<&str>)>> {
    let mut steps = Vec::new();
    for line in told.lines() {
        if let Some(name) = line.strip_prefix("passed ") {
            steps.push((name, None));
        } else if let Some((name, error)) = line.strip_prefix("failed ").and_then(|rest| rest.split_once(": ")) {
            steps.push((name, Some(error)));
        } else if line == "end" {
            return Some(steps);
        }
    }
    None
}

/// What ended in another way than it should.
fn offences(steps: &[(&str, Option<&str>)], fail_here: &[(&str, &str, &str)]) -> Vec<String> {
    let mut offences = Vec::new();
    for (name, error) in steps {
        match (error, fail_here.iter().find(|(step, ..)| step == name)) {
            (None, None) => {}
            (Some(error), Some((_, words, _))) if error.contains(words) => {}
            (Some(error), _) => offences.push(format!("{name} failed: {error}")),
            (None, Some((.., reason))) => offences.push(format!("{name} passed, and is listed as failing: {reason}")),
        }
    }
    offences
}

/// The services end their pools and users themselves, unless they are killed.
fn remove_what_is_left(ceph: &Ceph, process: u32) {
    let pools = ceph.stock("ceph").args(["osd", "pool", "ls"]).ok().text();
    let of_process = format!("-{process}");
    for pool in pools.lines().filter(|pool| pool.starts_with("os-") && pool.ends_with(&of_process)) {
        ceph.remove_pool(pool);
    }
    for service in ["cinder", "cinder-backup", "glance", "narrow", "nova"] {
        ceph.stock("ceph").args(["auth", "rm", &format!("client.{service}{process}")]).run();
    }
}

/// Runs a program of `tests/openstack`, all its steps or those that are named, and says how many there were.
fn run(program: &str, steps: &[&str], client_conf: &str) {
    let ceph = requires_ceph!();
    let python = python();
    let bin = scratch_dir();
    let mut path = std::env::var("PATH").unwrap_or_default();
    if tests_own_library() {
        // What calls the command `rbd` finds ours.
        std::os::unix::fs::symlink(built("lsd"), bin.path().join("rbd")).unwrap();
        path = format!("{}:{path}", bin.path().display());
    }
    let running = ceph
        .client(python)
        .arg(tools().join(program))
        .args(steps)
        .env("PATH", path)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("LSD_CLIENT_CONF", client_conf)
        .start();
    let process = running.pid();
    let done = running.wait(TIMEOUT);
    if done.code != Some(0) {
        remove_what_is_left(&ceph, process);
    }
    check(&done);
}

fn check(done: &Finished) {
    let told = done.text();
    let steps =
        ends(&told).filter(|_| done.code == Some(0)).unwrap_or_else(|| panic!("it did not come to its end: {done}"));
    assert!(!steps.is_empty(), "no step ran: {done}");
    println!("{} steps in {:?}", steps.len(), done.took);
    let offences = offences(&steps, if tests_own_library() { &FAIL_HERE } else { &[] });
    assert!(offences.is_empty(), "{}\n{done}", offences.join("\n"));
}

#[test]
fn cinder_makes_snapshots_clones_and_moves_volumes() {
    run("cinder_volumes.py", &[], "");
}

/// Clones of format 1 keep their parent's snapshot: Cinder flattens them before it deletes that.
#[test]
fn cinder_with_clones_of_format_1() {
    let steps = ["a_snapshot_with_children_is_deleted", "a_chain_of_clones_is_cut_at_its_depth"];
    run("cinder_volumes.py", &steps, "rbd_default_clone_format = 1");
}

#[test]
fn cinder_with_images_types_and_volumes_of_others() {
    run("cinder_services.py", &[], "");
}

#[test]
fn cinder_backs_volumes_up() {
    run("cinder_backups.py", &[], "");
}

#[test]
fn glance_stores_images() {
    run("glance_images.py", &[], "");
}

#[test]
fn nova_makes_disks() {
    run("nova_disks.py", &[], "");
}

#[test]
fn an_end_that_is_not_right_is_seen() {
    let list = [("one", "no room", "why")];
    let told = "passed none\nfailed one: f.py:1: Error: there is no room\nfailed two: f.py:2: Error: no\nend\n";
    let steps = ends(told).unwrap();
    assert_eq!(offences(&steps, &list), ["two failed: f.py:2: Error: no"]);
    assert_eq!(offences(&steps, &[]), ["one failed: f.py:1: Error: there is no room", "two failed: f.py:2: Error: no"]);
    assert_eq!(offences(&[("one", None)], &list), ["one passed, and is listed as failing: why"]);
    assert_eq!(offences(&[("one", Some("other words"))], &list), ["one failed: other words"]);
    assert_eq!(ends("passed none\n"), None);
}
