//! Ceph's own test scripts for its command `rbd` (qa/workunits/rbd), with the unmodified `rbd` on the tested library, and with `lsd`
//! in its place.
//!
//! Owns: their run, one by one, and that each ends as `ceph_workunits.left_out` beside this file says, or `ceph_workunits_lsd.left_out`. Does
//! not own: the scripts, which are fetched (`tests/ceph_sources`, `tests/ceph_workunits/SUMS`). Some remove the pool `rbd`, so they
//! have a cluster of their own.
//!
//! A unit is a script, or a function that `cli_generic.sh` calls. One that is not in the list passes. `LSD_TEST_CEPH_WORKUNITS` names a
//! folder with the scripts where they cannot be fetched. With `lsd` only short units run, or all with `LSD_TEST_CEPH_WORKUNITS_LSD=1`,
//! and then nothing else.
use crate::common::{Ceph, Cmd, Finished, OwnCluster, built, scratch_dir, tests_own_library};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const LEFT_OUT: &str = include_str!("ceph_workunits.left_out");
const LEFT_OUT_WITH_LSD: &str = include_str!("ceph_workunits_lsd.left_out");
/// Units that `lsd` runs each time: all of them take too long.
const SHORT_WITH_LSD: [&str; 3] = ["test_pool_image_args", "test_rename", "test_locking"];
const FETCH_TIMEOUT: Duration = Duration::from_secs(300);
/// The longest takes 100 s on two idle cores, and other tests run beside it.
const UNIT_TIMEOUT: Duration = Duration::from_secs(900);
/// Each of them is run as a whole; `cli_generic.sh` function by function.
const WHOLE: [&str; 5] = ["import_export", "rbd_groups", "merge_diff", "diff", "permissions"];
const BY_FUNCTION: &str = "cli_generic";
const HELPERS: &str = "ceph-helpers.sh";

/// What the scripts call `rbd`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rbd {
    /// Debian's, on the library of this build.
    OnOurs,
    /// Debian's, on the library that `LSD_TEST_LIBDIR` names.
    OnStock,
    Lsd,
}

struct Unit {
    name: String,
    script: String,
}

/// What the list says.
#[derive(Default)]
struct LeftOut<'a> {
    /// How units end that do not pass.
    outcomes: BTreeMap<&'a str, &'a str>,
    /// Lines that are not run with our library: the unit, and a part of the line.
    lines: Vec<(&'a str, &'a str)>,
}

fn left_out(list: &str, rbd: Rbd) -> LeftOut<'_> {
    let mut found = LeftOut::default();
    for line in list.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(rest) = line.strip_prefix("line ") {
            let (unit, rest) = rest.split_once(' ').expect("a unit, a part of the line, ##, a reason");
            let (part, _reason) = rest.split_once(" ## ").expect("a part of the line, ##, a reason");
            if rbd != Rbd::OnStock {
                found.lines.push((unit, part.trim()));
            }
            continue;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let (outcomes, name) = match (rbd, &words[..]) {
            (Rbd::Lsd, [with_lsd, name, _reason, ..]) => ([*with_lsd, "failed"], *name),
            (Rbd::OnOurs, [here, stock, name, _reason, ..]) => ([*here, *stock], *name),
            (Rbd::OnStock, [here, stock, name, _reason, ..]) => ([*stock, *here], *name),
            _ => panic!("outcomes, a name and a reason, not {line:?}"),
        };
        let known = |word: &str| ["passed", "failed", "skipped"].contains(&word);
        assert!(outcomes.iter().all(|word| known(word)) && outcomes != ["passed"; 2], "no such outcomes: {line:?}");
        assert!(found.outcomes.insert(name, outcomes[0]).is_none(), "{name} is there twice");
    }
    found
}

/// The functions that a script calls at its end, each as a script that calls nothing else.
fn by_function(script: &str, text: &str) -> Vec<Unit> {
    let is_call = |line: &str| line.starts_with("test_") && !line.contains('(');
    let is_setting = |line: &str| line.starts_with("RBD_CREATE_ARGS=");
    let common: String =
        text.lines().filter(|line| !is_call(line) && !is_setting(line)).map(|line| format!("{line}\n")).collect();
    let (mut setting, mut times, mut units) = ("", BTreeMap::<&str, u32>::new(), Vec::new());
    for line in text.lines() {
        if is_setting(line) {
            setting = line;
        } else if is_call(line) {
            let time = times.entry(line).and_modify(|times| *times += 1).or_insert(1);
            let suffix = if *time > 1 { format!("_{time}") } else { String::new() };
            units.push(Unit {
                name: format!("{script}::{line}{suffix}"),
                script: format!("{common}\n{setting}\n{line}\necho OK\n"),
            });
        }
    }
    units
}

/// A script without the lines that the list leaves out, and which of these it had.
fn without<'a>(unit: &Unit, lines: &[(&'a str, &'a str)]) -> (String, Vec<&'a str>) {
    let mut left = Vec::new();
    let mut script = String::new();
    for line in unit.script.lines() {
        match lines.iter().find(|(name, part)| *name == unit.name && line.contains(part)) {
            Some((_, part)) => {
                left.push(*part);
                script.push_str(":\n");
            }
            None => script.push_str(&format!("{line}\n")),
        }
    }
    (script, left)
}

fn fetched() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ceph-workunits");
    let by_hand = std::env::var_os("LSD_TEST_CEPH_WORKUNITS").filter(|folder| !folder.is_empty());
    let sums = root.join("tests/ceph_workunits/SUMS");
    Cmd::stock(root.join("tests/ceph_sources")).arg(sums).arg(&dir).args(by_hand).timeout(FETCH_TIMEOUT).ok();
    dir
}

fn units(scripts: &Path) -> Vec<Unit> {
    let text = |name: &str| std::fs::read_to_string(scripts.join(format!("{name}.sh"))).unwrap();
    let mut units = by_function(BY_FUNCTION, &text(BY_FUNCTION));
    units.extend(WHOLE.map(|name| Unit { name: name.to_owned(), script: text(name) }));
    units
}

/// What a unit leaves behind, the next one would stumble over.
fn clean(ceph: &Ceph) {
    let pools = ceph.stock("ceph").args(["osd", "pool", "ls"]).ok().text();
    for pool in pools.lines().filter(|pool| !pool.contains("mgr") && !pool.contains("device_health")) {
        ceph.remove_pool(pool);
    }
    ceph.make_pool("rbd");
}

/// Each unit in a folder as Ceph's sources have it, since `cli_generic.sh` looks for its helpers above its own.
fn run(ceph: &Ceph, scripts: &Path, (unit, rbd): (&Unit, Rbd), script: &str) -> Finished {
    let tree = scratch_dir();
    let (place, helpers) = (tree.path().join("workunits/rbd"), tree.path().join("standalone"));
    for dir in [&place, &helpers] {
        std::fs::create_dir_all(dir).unwrap();
    }
    std::fs::copy(scripts.join(HELPERS), helpers.join(HELPERS)).unwrap();
    let file = place.join(format!("{}.sh", unit.name.replace(':', "_")));
    std::fs::write(&file, script).unwrap();
    // The first line says which shell, and `-ex`.
    let shell: Vec<&str> = script.lines().next().unwrap().trim_start_matches("#!").split_whitespace().collect();
    // They call `python3`, which must be the one that Ceph's packages are for.
    let mut path = "/usr/sbin:/usr/bin:/sbin:/bin".to_owned();
    if rbd == Rbd::Lsd {
        let bin = tree.path().join("bin");
        std::fs::create_dir(&bin).unwrap();
        std::os::unix::fs::symlink(built("lsd"), bin.join("rbd")).unwrap();
        path.insert_str(0, &format!("{}:", bin.display()));
    }
    let command = ceph.client(shell[0]).args(&shell[1..]).arg(&file).env("PATH", path);
    command.dir(tree.path()).timeout(UNIT_TIMEOUT).run()
}

/// Runs the units that `chosen` wants, and tells which did not end as the list says.
fn offences(ceph: &Ceph, scripts: &Path, rbd: Rbd, chosen: &dyn Fn(&str) -> bool) -> Vec<String> {
    let list = left_out(if rbd == Rbd::Lsd { LEFT_OUT_WITH_LSD } else { LEFT_OUT }, rbd);
    let logs = scripts.join(if rbd == Rbd::Lsd { "logs-lsd" } else { "logs" });
    std::fs::create_dir_all(&logs).unwrap();
    let (mut offences, mut unused) = (Vec::new(), list.lines.clone());
    let units = units(scripts);
    for unit in units.iter().filter(|unit| chosen(&unit.name)) {
        let should = *list.outcomes.get(&*unit.name).unwrap_or(&"passed");
        if should == "skipped" {
            continue;
        }
        let (script, left) = without(unit, &list.lines);
        unused.retain(|(name, part)| *name != unit.name || !left.contains(part));
        let since = Instant::now();
        let done = run(ceph, scripts, (unit, rbd), &script);
        let is = if done.code == Some(0) { "passed" } else { "failed" };
        println!("{} {is} in {:.1} s, {rbd:?}", unit.name, since.elapsed().as_secs_f64());
        let log = logs.join(unit.name.replace(':', "_"));
        std::fs::write(&log, format!("{}{}", done.text(), done.errors())).unwrap();
        if is != should {
            offences.push(format!("{} {is}, and not {should} as listed: {}\n{done}", unit.name, log.display()));
        }
        if is == "failed" {
            clean(ceph);
        }
    }
    let unknown = SHORT_WITH_LSD.iter().filter(|end| !units.iter().any(|unit| unit.name.ends_with(**end)));
    offences.extend(unknown.map(|end| format!("there is no unit {end}")));
    let gone = list.outcomes.keys().filter(|name| !units.iter().any(|unit| unit.name == **name));
    offences.extend(gone.map(|name| format!("{name} is in the list, and no unit")));
    let unused = unused.iter().filter(|(unit, _)| chosen(unit));
    offences.extend(unused.map(|(unit, part)| format!("{unit} has no line with {part:?}")));
    offences
}

#[test]
fn each_ends_as_the_lists_say() {
    let _turn = requires_ceph!();
    let scripts = fetched();
    let cluster = OwnCluster::start(&["--osds", "1", "--size", "1"]);
    let ceph = cluster.ceph();
    let only = std::env::var("LSD_TEST_CEPH_WORKUNIT").unwrap_or_default();
    let named = |name: &str| name.contains(&only);
    let short = |name: &str| named(name) && SHORT_WITH_LSD.iter().any(|end| name.ends_with(end));
    let all_with_lsd = std::env::var_os("LSD_TEST_CEPH_WORKUNITS_LSD").is_some();
    let offences = match (all_with_lsd, tests_own_library()) {
        (true, _) => offences(&ceph, &scripts, Rbd::Lsd, &named),
        (false, false) => offences(&ceph, &scripts, Rbd::OnStock, &named),
        (false, true) => {
            let mut both = offences(&ceph, &scripts, Rbd::OnOurs, &named);
            both.extend(offences(&ceph, &scripts, Rbd::Lsd, &short));
            both
        }
    };
    assert!(
        offences.is_empty(),
        "a list of tests/librbd/ceph_workunits*.left_out is not right:\n{}",
        offences.join("\n")
    );
}

#[test]
fn functions_become_units_and_lines_are_left_out() {
    let text = "#!/bin/sh -e\ntest_a() {\n  one\n  two\n}\ntest_a\nRBD_CREATE_ARGS=\"x\"\ntest_a\necho OK\n";
    let units = by_function("s", text);
    assert_eq!(units.iter().map(|unit| &*unit.name).collect::<Vec<_>>(), ["s::test_a", "s::test_a_2"]);
    assert!(units[1].script.ends_with("RBD_CREATE_ARGS=\"x\"\ntest_a\necho OK\n"), "{}", units[1].script);
    let list = "# a comment\nfailed passed s::test_a_2 why\nline s::test_a two ## why\n";
    let ours = left_out(list, Rbd::OnOurs);
    assert_eq!(ours.outcomes, BTreeMap::from([("s::test_a_2", "failed")]));
    let (script, left) = without(&units[0], &ours.lines);
    assert!(left == ["two"] && script.contains("one\n:\n}"), "{script}");
    assert!(without(&units[1], &ours.lines).1.is_empty());
    assert!(left_out(list, Rbd::OnStock).lines.is_empty());
    assert_eq!(left_out("failed s::test_a why\n", Rbd::Lsd).outcomes, BTreeMap::from([("s::test_a", "failed")]));
}
