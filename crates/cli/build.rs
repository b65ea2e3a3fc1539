//! Gives the commands the commit they were built from.
use std::process::Command;

fn main() {
    let hash = Command::new("git")
        .args(["rev-parse", "--short=12", "HEAD"])
        .output()
        .ok()
        .filter(|out| out.status.success())
        .and_then(|out| String::from_utf8(out.stdout).ok())
        .unwrap_or_default();
    println!("cargo::rustc-env=LSD_GIT_HASH={}", hash.trim());
    println!("cargo::rerun-if-changed=build.rs");
    // It gets a line with every commit; without a repository there is none, and this runs each time.
    println!("cargo::rerun-if-changed=../../.git/logs/HEAD");
}
