//! The files of this build that tests run, and the small C programs that tests compile.
use super::Cmd;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

/// A binary of the root package.
pub fn built(name: &str) -> PathBuf {
    let path = match name {
        "lsd" => env!("CARGO_BIN_EXE_lsd"),
        "lsd-nbd" => env!("CARGO_BIN_EXE_lsd-nbd"),
        other => panic!("no binary {other}"),
    };
    PathBuf::from(path)
}

/// True where clients load the library of this build, false where `LSD_TEST_LIBDIR` names another.
pub fn tests_own_library() -> bool {
    std::env::var_os("LSD_TEST_LIBDIR").is_none()
}

/// The folder for `LD_LIBRARY_PATH`; `None` where the system's library is tested.
pub fn client_library_dir() -> Option<PathBuf> {
    static DIR: OnceLock<Option<PathBuf>> = OnceLock::new();
    DIR.get_or_init(|| match std::env::var_os("LSD_TEST_LIBDIR") {
        Some(dir) if dir.is_empty() => None,
        Some(dir) => Some(PathBuf::from(dir)),
        None => Some(own_library_dir()),
    })
    .clone()
}

/// A folder that holds nothing but `librbd.so.1`, as a link to the cdylib: the target folder itself would also offer
/// other libraries to the clients.
fn own_library_dir() -> PathBuf {
    let library = built("lsd").with_file_name("librbd.so");
    assert!(library.exists(), "{} is missing: `cargo build` makes it, `cargo test` alone does not", library.display());
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("client-library");
    std::fs::create_dir_all(&dir).unwrap();
    let link = dir.join("librbd.so.1");
    if std::fs::read_link(&link).ok().as_deref() != Some(&library) {
        let fresh = dir.join(format!("new.{}", std::process::id()));
        let _ = std::fs::remove_file(&fresh);
        std::os::unix::fs::symlink(&library, &fresh).unwrap();
        std::fs::rename(&fresh, &link).unwrap();
    }
    dir
}

/// A folder with a short path, removed when dropped: Unix sockets have only 107 bytes for theirs.
pub fn scratch_dir() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("lsd-test-").tempdir().unwrap()
}

/// Compiles `tests/programs/NAME.c` or `NAME.cc` against the installed headers of librbd and librados, and returns the program.
///
/// Each run of the tests compiles anew: a program that an earlier run left says nothing about its source and the header beside it.
pub fn compiled_program(name: &str) -> PathBuf {
    static COMPILED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs");
    let (mut source, mut compiler) = (sources.join(format!("{name}.c")), ["cc", "-std=c11"]);
    if !source.exists() {
        (source, compiler) = (sources.join(format!("{name}.cc")), ["c++", "-std=c++17"]);
    }
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let mut compiled = COMPILED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if !compiled.contains(name) {
        let fresh = program.with_extension(std::process::id().to_string());
        Cmd::new(compiler[0])
            .args([compiler[1], "-D_GNU_SOURCE", "-O2", "-g", "-Wall", "-Wextra", "-Werror", "-o"])
            .arg(&fresh)
            .arg(&source)
            .args(["-lrbd", "-lrados"])
            .timeout(Duration::from_secs(120))
            .ok();
        std::fs::rename(&fresh, &program).unwrap();
        compiled.insert(name.to_string());
    }
    program
}
