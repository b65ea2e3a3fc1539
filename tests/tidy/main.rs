//! The house rules that a reader would otherwise have to trust: which crate may know which, how long a file may be, where
//! `unsafe` may stand, what the pure crate must not touch, and what documents look like.
//!
//! It needs neither Ceph nor root, so it is a program of its own, in a package that depends on nothing of ours (`crates/tidy`).
//!
//! Owns: what the rules share, reading the tree. Does not own: any rule; each kind has a module.
mod crates;
mod documents;
mod licences;
mod modules;
mod rooms;
mod rules;

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

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

/// What cargo says of the workspace. It needs a network only for packages that were never downloaded, which is no more than a
/// build of the whole workspace needs.
fn metadata(options: &[&str]) -> Value {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["metadata", "--format-version=1", "--locked", "--manifest-path"]).arg(root().join("Cargo.toml"));
    let out = command.args(options).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}
