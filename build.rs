//! Gives the cdylib its SONAME.

fn main() {
    // Clients record `librbd.so.1` as DT_NEEDED; without the SONAME the loader would not match it.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,librbd.so.1");
    // The library's threads outlive a dlclose, so its code must stay.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    println!("cargo::rerun-if-changed=build.rs");
}
