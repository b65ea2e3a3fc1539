//! Rules of the source: edges between crates, the length of files, where `unsafe` and the names of stores may stand.
use super::{code_of, metadata, production_files, read, report, root, tracked_files, words};
use std::collections::BTreeSet;

const MAX_PRODUCTION_LINES: usize = 500;

/// Every edge between our packages that is allowed; all point down. Test-only dependencies are not edges.
const EDGES: &[(&str, &[&str])] = &[
    ("lsd", &["lsd-librbd", "lsd-cli"]),
    ("lsd-cli", &["lsd-nbd", "lsd-log", "lsd-engine", "lsd-rados", "lsd-store", "lsd-core"]),
    ("lsd-nbd", &["lsd-engine", "lsd-store"]),
    ("lsd-librbd", &["lsd-log", "lsd-engine", "lsd-rados", "lsd-store", "lsd-librados-sys", "lsd-core"]),
    ("lsd-rados", &["lsd-librados-sys", "lsd-store"]),
    ("lsd-bench", &[]),
    ("lsd-tidy", &[]),
    ("lsd-sim", &["lsd-engine", "lsd-store", "lsd-core"]),
    ("lsd-engine", &["lsd-state", "lsd-store", "lsd-core"]),
    ("lsd-state", &["lsd-core"]),
    ("lsd-store", &["lsd-core"]),
    ("lsd-core", &[]),
    ("lsd-log", &[]),
    ("lsd-librados-sys", &[]),
];

/// The crates that may say `unsafe`.
const UNSAFE_CRATES: [&str; 4] =
    ["crates/librados-sys/", "crates/rados/", "crates/librbd/", "crates/nbd/src/kernel/ioctl.rs"];
/// The crates that must not know which store they run on.
const STORE_BLIND_CRATES: [&str; 4] = ["crates/core/", "crates/state/", "crates/store/", "crates/engine/"];
/// The pure crates.
const PURE: [&str; 2] = ["crates/core/src", "crates/state/src"];
/// What they must not name: they do no I/O and knows neither time nor chance nor threads.
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

#[test]
fn dependencies_point_down() {
    let metadata = metadata(&["--no-deps"]);
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
fn core_and_state_are_pure() {
    let mut offences = Vec::new();
    for name in production_files().into_iter().filter(|name| PURE.iter().any(|folder| name.starts_with(folder))) {
        let code = code_of(&read(&name));
        offences.extend(
            IMPURE.iter().filter(|word| code.contains(*word)).map(|word| format!("{}: {word}", name.display())),
        );
    }
    report("core and state do no I/O and knows no clock, chance or threads", offences);
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

/// What stands between fences in a file's documentation, by its kind.
fn kinds_of_examples(text: &str) -> Vec<&str> {
    let lines = text.lines().map(str::trim_start);
    let documents = lines.filter_map(|line| line.strip_prefix("///").or_else(|| line.strip_prefix("//!")));
    let fences = documents.filter_map(|line| line.trim().strip_prefix("```"));
    fences.step_by(2).collect()
}

/// No crate's documentation is searched for examples (`doctest = false`): they belong into examples/, where they are run.
#[test]
fn documentation_has_no_examples_that_nobody_runs() {
    let mut offences = Vec::new();
    for name in production_files() {
        let text = read(&name);
        for kind in kinds_of_examples(&text).into_iter().filter(|kind| *kind != "text") {
            offences.push(format!("{} has an example of the kind {kind:?}", name.display()));
        }
    }
    report("documentation has no examples that nobody runs", offences);
}

#[test]
fn examples_in_documentation_are_found() {
    let text = "//! ```text\n//! a b\n//! ```\n    /// ```\n    /// f();\n    /// ```\nlet fence = \"```\";\n";
    assert_eq!(kinds_of_examples(text), ["text", ""]);
}
