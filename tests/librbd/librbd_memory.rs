//! The programs of the C API, which together call every function that is not refused, under a memory checker: no invalid
//! access, no use of what was never written, and no memory that nobody can give back any more.
//!
//! What is still reachable at the end does not count: the library's threads live as long as the process, and librados keeps
//! memory of its own. That it does not grow is `soak.rs`.
use crate::common::{Ceph, Cmd, Finished, Turn, compiled_program, tests_own_library};
use std::path::Path;
use std::time::Duration;

const PROGRAMS: [&str; 15] = [
    "capi_rules",
    "capi_aio",
    "capi_more",
    "capi_snapshots",
    "capi_clones",
    "capi_migration",
    "capi_quiesce",
    "capi_locks",
    "capi_trash",
    "capi_groups",
    "capi_config",
    "capi_hygiene",
    "capi_misuse",
    "capi_threads",
    "capi_callbacks",
];
/// Exit code of the checker where it found something.
const FOUND: i32 = 99;
const TIMEOUT: Duration = Duration::from_secs(300);

fn checked(ceph: &Ceph, program: &str, image: &str, more: &[&str]) -> Cmd {
    let kinds = "definite,indirect";
    ceph.client("valgrind")
        .args(["--quiet", "--leak-check=full", "--fair-sched=yes", "--num-callers=40"])
        // A third of a start is spent on them. Stacks lack what was inlined, and errors are as many as before.
        .arg("--read-inline-info=no")
        .arg(format!("--show-leak-kinds={kinds}"))
        .arg(format!("--errors-for-leak-kinds={kinds}"))
        .arg(format!("--error-exitcode={FOUND}"))
        .arg(compiled_program(program))
        .args(["rbd", image])
        .args(more)
        .env("LSD_OWN", "1")
        .timeout(TIMEOUT)
}

fn run(program: &str) {
    let Some(ceph) = Ceph::of_this_run(program, Turn::shared) else { return };
    if tests_own_library() {
        let image = ceph.image(program);
        checked(&ceph, program, &image.name, &[]).ok();
    }
}

#[test]
fn synchronous_calls() {
    run("capi_rules");
}

#[test]
fn asynchronous_calls() {
    run("capi_aio");
}

#[test]
fn copies_watches_and_newer_calls() {
    run("capi_more");
}

#[test]
fn snapshots() {
    run("capi_snapshots");
}

#[test]
fn being_quiet() {
    run("capi_quiesce");
}

#[test]
fn clones() {
    run("capi_clones");
}

#[test]
fn migrations() {
    run("capi_migration");
}

#[test]
fn locks() {
    run("capi_locks");
}

#[test]
fn the_trash() {
    run("capi_trash");
}

#[test]
fn groups() {
    run("capi_groups");
}

#[test]
fn settings_and_upkeep() {
    run("capi_config");
}

#[test]
fn misuse_of_handles_and_arguments() {
    run("capi_hygiene");
    run("capi_misuse");
}

#[test]
fn threads_and_calls_from_callbacks() {
    run("capi_threads");
    run("capi_callbacks");
}

/// Every row of docs/COMPAT.md that says that a function does something is shown by one of the programs above.
#[test]
fn the_programs_call_the_whole_real_api() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources = PROGRAMS.map(|name| std::fs::read_to_string(root.join(format!("tests/programs/{name}.c"))).unwrap());
    let all = sources.concat();
    let called: Vec<&str> = all.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    let table = std::fs::read_to_string(root.join("docs/COMPAT.md")).unwrap();
    let mut real = 0;
    for line in table.lines().filter(|line| line.starts_with("| `rbd_")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let function = cells[1].trim_matches('`');
        if matches!(cells[2], "real" | "differs") {
            assert!(called.contains(&function), "no program calls {function}");
            real += 1;
        }
    }
    assert!(real > 100, "the table has another form: {real} rows");
}

/// The check itself, on programs that are wrong: it ends with its own exit code and says where.
#[test]
fn the_check_finds_leaks_overruns_and_freed_buffers() {
    let ceph = requires_ceph!();
    if !tests_own_library() {
        return;
    }
    let found = |how: &str| -> Finished {
        let image = ceph.image(how);
        checked(&ceph, "capi_wrong", &image.name, &[how]).run().expect_code(FOUND)
    };
    found("leak").says("definitely lost").says("rbd_watchers_list");
    found("overrun").says("Invalid write").says("0 bytes after a block of size 100");
    found("released").says("Invalid write").says("a block of size 4,096 free'd");
}
