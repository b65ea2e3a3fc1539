//! Links the system's librados, and compiles the part that needs its C++ API.
//!
//! The caller of the librbd C API hands over handles that belong to its own librados.so.2, so this is always the
//! shared library and never a second copy. `LSD_RADOS_LIB_DIR` names a directory to search first.
use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=LSD_RADOS_LIB_DIR");
    if let Ok(dir) = env::var("LSD_RADOS_LIB_DIR") {
        println!("cargo::rustc-link-search=native={dir}");
    }
    println!("cargo::rerun-if-changed=cpp");
    let parts = ["cpp/append_op.cc", "cpp/read_data.cc", "cpp/watchers.cc"];
    cc::Build::new().cpp(true).std("c++17").files(parts).compile("lsd_librados_cpp");
    // After what uses it.
    println!("cargo::rustc-link-lib=dylib=rados");
}
