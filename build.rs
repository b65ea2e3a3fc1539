//! Names the cdylib, and puts librbd's C++ classes into it (`crates/librbd/cxx/`).

use std::path::Path;

/// Where the classes are, and which symbols of theirs clients see.
const CLASSES: &str = "crates/librbd/cxx";
const EXPORTS: &str = "exports.map";

fn main() {
    // Clients record `librbd.so.1` as DT_NEEDED; without the SONAME the loader would not match it.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,librbd.so.1");
    // The library's threads outlive a dlclose, so its code must stay.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    println!("cargo::rerun-if-changed=build.rs");
    add_classes();
}

/// Objects, not an archive, since nothing in Rust asks for what is in them. Rust's own list of symbols makes all others local; LLD,
/// which Rust brings along for x86-64, takes a second list, GNU's linker does not (docs/adr/0014-cxx-face.md).
fn add_classes() {
    println!("cargo::rerun-if-changed={CLASSES}");
    let sources = std::fs::read_dir(CLASSES).expect("the folder is part of the sources");
    let mut sources: Vec<_> = sources.map(|entry| entry.expect("it can be read").path()).collect();
    sources.retain(|path| path.extension().is_some_and(|extension| extension == "cc"));
    sources.sort();
    let mut build = cc::Build::new();
    build.cpp(true).std("c++17").warnings(true).extra_warnings(true).warnings_into_errors(true).files(sources);
    for object in build.compile_intermediates() {
        println!("cargo::rustc-cdylib-link-arg={}", object.display());
    }
    let root = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let exports = Path::new(&root).join(CLASSES).join(EXPORTS);
    println!("cargo::rustc-cdylib-link-arg=-Wl,--version-script={}", exports.display());
    if std::env::var("TARGET").is_ok_and(|target| target != "x86_64-unknown-linux-gnu") {
        println!("cargo::rustc-cdylib-link-arg=-fuse-ld=lld");
    }
}
