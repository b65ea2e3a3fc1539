//! The house rules that a reader would otherwise have to trust: which crate may know which, how long a file may be, where
//! `unsafe` may stand, what the pure crate must not touch, and what documents look like.
//!
//! It needs neither Ceph nor root, so it is a program of its own, in a package that depends on nothing of ours (`crates/tidy`).
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

const MAX_PRODUCTION_LINES: usize = 500;
/// Columns of a line in a document.
const MAX_DOCUMENT_COLUMNS: usize = 100;

/// Every edge between our packages that is allowed; all point down. Test-only dependencies are not edges.
const EDGES: &[(&str, &[&str])] = &[
    ("lsd", &["lsd-librbd", "lsd-cli"]),
    ("lsd-cli", &["lsd-nbd", "lsd-engine", "lsd-rados", "lsd-store", "lsd-core"]),
    ("lsd-nbd", &["lsd-engine", "lsd-store"]),
    ("lsd-librbd", &["lsd-engine", "lsd-rados", "lsd-store", "lsd-librados-sys", "lsd-core"]),
    ("lsd-rados", &["lsd-librados-sys", "lsd-store"]),
    ("lsd-bench", &[]),
    ("lsd-tidy", &[]),
    ("lsd-sim", &["lsd-engine", "lsd-store", "lsd-core"]),
    ("lsd-engine", &["lsd-store", "lsd-core"]),
    ("lsd-store", &["lsd-core"]),
    ("lsd-core", &[]),
    ("lsd-librados-sys", &[]),
];

/// The crates that may say `unsafe`.
const UNSAFE_CRATES: [&str; 4] =
    ["crates/librados-sys/", "crates/rados/", "crates/librbd/", "crates/nbd/src/kernel/ioctl.rs"];
/// The crates that must not know which store they run on.
const STORE_BLIND_CRATES: [&str; 3] = ["crates/core/", "crates/store/", "crates/engine/"];
/// What `core` must not name: it does no I/O and knows neither time nor chance nor threads.
const IMPURE: [&str; 11] = [
    "std::time",
    "std::fs",
    "std::net",
    "std::thread",
    "std::process",
    "std::env",
    "std::io",
    "tokio",
    "futures",
    "rand::",
    "async fn",
];

/// Of the repository, whichever package this is built in.
fn root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().find(|folder| folder.join("Cargo.lock").exists()).expect("a folder with Cargo.lock")
}

fn tracked_files(pattern: &str) -> Vec<PathBuf> {
    let out = Command::new("git").arg("-C").arg(root()).args(["ls-files", "-z", "--", pattern]).output().unwrap();
    assert!(out.status.success(), "git ls-files: {}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8(out.stdout).unwrap();
    text.split('\0')
        .filter(|name| !name.is_empty())
        .map(PathBuf::from)
        .filter(|name| root().join(name).exists())
        .collect()
}

fn read(name: &Path) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_default()
}

fn is_test(name: &Path) -> bool {
    let text = name.to_str().unwrap();
    text.ends_with("tests.rs")
        || name.components().any(|part| part.as_os_str() == "tests" || part.as_os_str() == "fuzz")
}

/// A source file without its comments and the contents of its strings: what the compiler acts upon.
fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let skip = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if rest.starts_with("'\"'") {
            3
        } else if rest.starts_with("r#\"") {
            rest.find("\"#").map_or(rest.len(), |end| end + 2)
        } else if next == '"' {
            1 + end_of_string(&rest[1..])
        } else {
            code.push(next);
            next.len_utf8()
        };
        rest = &rest[skip..];
    }
    code
}

/// How many bytes of `text`, which begins inside a string, belong to it with its closing quote.
fn end_of_string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            '"' if !escaped => return at + 1,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    text.len()
}

fn production_files() -> Vec<PathBuf> {
    tracked_files("*.rs").into_iter().filter(|name| !is_test(name)).collect()
}

/// Fails with every offence, so that one run shows them all.
fn report(rule: &str, offences: Vec<String>) {
    assert!(offences.is_empty(), "{rule}:\n  {}", offences.join("\n  "));
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

#[test]
fn dependencies_point_down() {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let out = Command::new(cargo)
        .args(["metadata", "--format-version=1", "--no-deps", "--offline", "--manifest-path"])
        .arg(root().join("Cargo.toml"))
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let metadata: Value = serde_json::from_slice(&out.stdout).unwrap();
    let mut offences = Vec::new();
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        let Some((_, allowed)) = EDGES.iter().find(|(from, _)| *from == name) else {
            offences.push(format!("package {name} is not in the list of allowed edges"));
            continue;
        };
        let edges = package["dependencies"].as_array().unwrap().iter().filter(|edge| edge["kind"] != "dev");
        let ours =
            edges.map(|edge| edge["name"].as_str().unwrap()).filter(|to| EDGES.iter().any(|(from, _)| from == to));
        offences.extend(ours.filter(|to| !allowed.contains(to)).map(|to| format!("{name} must not depend on {to}")));
    }
    report("dependencies point down only", offences);
}

#[test]
fn files_are_short() {
    let long = production_files().into_iter().filter_map(|name| {
        let lines = read(&name).lines().count();
        let generated = name.ends_with("librados-sys/src/bindings.rs");
        (lines > MAX_PRODUCTION_LINES && !generated).then(|| format!("{}: {lines} lines", name.display()))
    });
    report("a production file has at most 500 lines", long.collect());
}

#[test]
fn unsafe_stays_in_three_crates() {
    let offences = tracked_files("*.rs").into_iter().filter(|name| {
        let outside = !UNSAFE_CRATES.iter().any(|folder| name.starts_with(folder));
        outside && words(&code_of(&read(name))).any(|word| word == "unsafe")
    });
    report("unsafe only in librados-sys, rados and librbd", offences.map(|name| name.display().to_string()).collect());
}

#[test]
fn engine_store_and_core_do_not_name_rados() {
    let mut offences = Vec::new();
    for name in production_files().into_iter().filter(|name| STORE_BLIND_CRATES.iter().any(|f| name.starts_with(f))) {
        let code = code_of(&read(&name));
        let named: BTreeSet<&str> = words(&code).filter(|word| word.to_lowercase().contains("rados")).collect();
        offences.extend(named.into_iter().map(|word| format!("{}: {word}", name.display())));
    }
    report("the engine runs on any store", offences);
}

#[test]
fn core_is_pure() {
    let mut offences = Vec::new();
    for name in production_files().into_iter().filter(|name| name.starts_with("crates/core/src")) {
        let code = code_of(&read(&name));
        offences.extend(
            IMPURE.iter().filter(|word| code.contains(*word)).map(|word| format!("{}: {word}", name.display())),
        );
    }
    report("core does no I/O and knows no clock, chance or threads", offences);
}

#[test]
fn modules_say_what_they_own() {
    let silent = production_files().into_iter().filter(|name| {
        let generated = name.ends_with("librados-sys/src/bindings.rs");
        !generated && !read(name).lines().any(|line| line.starts_with("//!"))
    });
    report("a module opens with a //! line", silent.map(|name| name.display().to_string()).collect());
}

#[test]
fn documents_that_are_named_exist() {
    let mut offences = Vec::new();
    for name in tracked_files("*.md") {
        let text = read(&name);
        let folder = name.parent().unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
            let external = link.is_empty() || link.contains("://");
            if !external && !root().join(folder).join(link).exists() {
                offences.push(format!("{} links to {link}", name.display()));
            }
        }
        for word in text.split(|c: char| c.is_whitespace() || "`(),;:\"'".contains(c)) {
            let word = word.trim_end_matches('.');
            if word.starts_with("docs/") && word.ends_with(".md") && !root().join(word).exists() {
                offences.push(format!("{} names {word}", name.display()));
            }
        }
    }
    report("documents that are named exist", offences);
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

/// The lines of a document that are too long, by number. Tables and code may be wider, and so may what cannot be broken: a link.
fn long_lines(text: &str) -> Vec<usize> {
    let (mut is_fenced, mut is_code, mut after_blank) = (false, false, true);
    let mut long = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let content = line.trim_start();
        if content.starts_with("```") {
            is_fenced = !is_fenced;
        }
        is_code = line.starts_with("    ") && (after_blank || is_code);
        after_blank = content.is_empty();
        let indent = line.len() - content.len();
        let is_link = |word: &str| word.contains("://") || word.contains("](");
        let is_unbreakable = content
            .split_whitespace()
            .any(|word| is_link(word) && indent + word.chars().count() > MAX_DOCUMENT_COLUMNS);
        let may_be_wide = is_fenced || is_code || content.starts_with('|') || is_unbreakable;
        if !may_be_wide && line.chars().count() > MAX_DOCUMENT_COLUMNS {
            long.push(index + 1);
        }
    }
    long
}

#[test]
fn documents_have_short_lines() {
    let mut offences = Vec::new();
    // Records are kept as they are.
    for name in tracked_files("*.md").into_iter().filter(|name| !name.starts_with("docs/lab")) {
        let long = long_lines(&read(&name));
        offences.extend(long.into_iter().map(|line| format!("{}:{line}", name.display())));
    }
    report("a line of a document has at most 100 columns", offences);
}

#[test]
fn only_what_can_be_broken_is_a_long_line() {
    let (word, fits) = ("x".repeat(101), "ü ".repeat(50));
    let spaced = "word ".repeat(25);
    assert_eq!(long_lines(&format!("{fits}\n{spaced}\n")), [2]);
    assert_eq!(long_lines(&format!("| {spaced} |\n\n    {spaced}\n    {spaced}\n```\n{spaced}\n```\n{spaced}")), [8]);
    assert_eq!(
        long_lines(&format!("text\n    {spaced}\n- [a](docs/{word})\n- https://{word}\n- {spaced}[a](b)\n")),
        [2, 5]
    );
}

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
    let rules = read(Path::new("crates/engine/src/protocol.rs"));
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
fn nothing_names_the_machine_it_was_written_on() {
    let home = std::env::var("HOME").unwrap_or_default();
    let mut needles = vec![root().display().to_string()];
    if home.len() > "/root".len() {
        needles.push(home);
    }
    let mut offences = Vec::new();
    for name in tracked_files("*") {
        let text = read(&name);
        offences.extend(needles.iter().filter(|n| text.contains(*n)).map(|n| format!("{}: {n}", name.display())));
    }
    report("no absolute path of this machine", offences);
}

#[test]
fn every_rule_is_where_its_mutation_takes_it_away() {
    let scratch = tempfile::tempdir().unwrap();
    let mut command = Command::new(root().join("tests/mutations"));
    let out = command.arg("--applies").env("LSD_MUTATIONS_TARGET", scratch.path()).output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{text}{}", String::from_utf8_lossy(&out.stderr));
}
