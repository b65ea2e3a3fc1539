//! The ordering rules of the engine, their tests and their mutations name each other.
use super::{read, report, root, tracked_files};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

#[test]
fn ordering_rules_and_their_tests_name_each_other() {
    let tests: BTreeSet<String> = tracked_files("crates/engine/tests/ordering/*.rs")
        .iter()
        .flat_map(|name| {
            let text = read(name);
            let after = text.split("#[tokio::test").skip(1).filter_map(|rest| rest.split("async fn ").nth(1));
            after.filter_map(|rest| rest.split('(').next().map(str::to_owned)).collect::<Vec<_>>()
        })
        .collect();
    assert!(!tests.is_empty());
    let rules = read(Path::new("crates/state/src/protocol.rs"));
    let named: BTreeSet<String> = rules
        .lines()
        .filter_map(|line| line.strip_prefix("//!"))
        .flat_map(|line| line.split('`').skip(1).step_by(2))
        .filter(|word| word.matches('_').count() >= 4)
        .map(str::to_owned)
        .collect();
    assert_eq!(named, tests, "protocol.rs names the test of each rule");
    let mutations = read(Path::new("tests/mutations"));
    let missing = tests.into_iter().filter(|test| !mutations.contains(&format!("::{test} ")));
    report("every test of an ordering rule is seen to fail without it (tests/mutations)", missing.collect());
}

#[test]
fn every_rule_is_where_its_mutation_takes_it_away() {
    let scratch = tempfile::tempdir().unwrap();
    let mut command = Command::new(root().join("tests/mutations"));
    let out = command.arg("--applies").env("LSD_MUTATIONS_TARGET", scratch.path()).output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{text}{}", String::from_utf8_lossy(&out.stderr));
}

/// Cargo builds only what a `main.rs` names, and says nothing of the rest.
#[test]
fn every_black_box_test_is_in_a_program() {
    let mains = tracked_files("tests/*/main.rs");
    assert!(!mains.is_empty());
    let mut offences = Vec::new();
    for main in mains {
        let (text, folder) = (read(&main), main.parent().unwrap());
        for file in tracked_files(&format!("{}/*.rs", folder.display())).into_iter().filter(|file| *file != main) {
            let module = format!("mod {};", file.file_stem().unwrap().to_string_lossy());
            if !text.lines().any(|line| line == module) {
                offences.push(format!("{} does not name {}", main.display(), file.display()));
            }
        }
    }
    report("a program has every file of its folder", offences);
}
