//! Gives the cdylib its SONAME and the binaries the commit they were built from.
use std::process::Command;

fn main() {
    // Clients record `librbd.so.1` as DT_NEEDED; without the SONAME the loader would not match it.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,librbd.so.1");
    // The library's threads outlive a dlclose, so its code must stay.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    let hash = Command::new("git")
        .args(["rev-parse", "--short=12", "HEAD"])
        .output()
        .ok()
        .filter(|out| out.status.success())
        .and_then(|out| String::from_utf8(out.stdout).ok())
        .unwrap_or_default();
    println!("cargo::rustc-env=LSD_GIT_HASH={}", hash.trim());
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=.git/HEAD");
}
