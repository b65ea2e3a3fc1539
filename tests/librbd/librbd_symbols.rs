//! The library as the dynamic linker sees it: every symbol that clients may look for, the names it goes by, and what
//! it needs.
use crate::common::{Cmd, client_library_dir, tests_own_library};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const SYSTEM_LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/librbd.so.1";

/// What librbd exports in Ceph 18.2.7 and 20.2.4 and not yet in 16.2.15.
const NEWER: [&str; 14] = [
    "rbd_aio_compare_and_writev",
    "rbd_aio_write_with_crc32c",
    "rbd_clone4",
    "rbd_diff_iterate3",
    "rbd_encryption_load2",
    "rbd_group_get_id",
    "rbd_group_snap_get_info",
    "rbd_group_snap_get_info_cleanup",
    "rbd_group_snap_list2",
    "rbd_group_snap_list2_cleanup",
    "rbd_mirror_remote_namespace_get",
    "rbd_mirror_remote_namespace_set",
    "rbd_snap_get_trash_namespace2",
    "rbd_snap_trash_namespace_cleanup",
];

/// What tells copies of the library from others.
const MARKER: &str = "lsd_librbd_marker";

/// How symbols of librbd's C++ classes begin: methods, constant ones, and what is known of types.
const CLASSES: [&str; 5] = ["_ZN6librbd", "_ZNK6librbd", "_ZTIN6librbd", "_ZTSN6librbd", "_ZTVN6librbd"];

/// What the classes need and librbd.h does not have (crates/librbd/src/api/only_cxx.rs).
const ONLY_OURS: [&str; 2] = ["lsd_check_object_map", "lsd_image_options_share"];

/// librbd's functions in Ceph 16.2.15 with those above.
const FUNCTIONS: usize = 294;

fn library() -> PathBuf {
    client_library_dir().map_or(PathBuf::from(SYSTEM_LIBRARY), |dir| dir.join("librbd.so.1"))
}

/// The C functions that a library exports under librbd's prefix.
fn functions_of(library: &Path) -> BTreeSet<String> {
    let listed = Cmd::stock("nm").args(["-D", "--defined-only", "--format=posix"]).arg(library).ok().text();
    let names = listed.lines().filter_map(|line| line.split_whitespace().next());
    names.filter(|name| name.starts_with("rbd_")).map(str::to_owned).collect()
}

fn dynamic_section() -> String {
    Cmd::stock("readelf").args(["-d", "-W"]).arg(library()).ok().text()
}

#[test]
fn every_function_of_the_systems_library_and_of_newer_ones_is_exported() {
    let ours = functions_of(&library());
    let mut wanted = functions_of(Path::new(SYSTEM_LIBRARY));
    wanted.extend(NEWER.map(str::to_owned));
    let missing: Vec<_> = wanted.difference(&ours).collect();
    assert!(missing.is_empty(), "not exported: {missing:?}");
    assert!(ours.len() >= FUNCTIONS, "{} functions", ours.len());
}

#[test]
fn nothing_but_librbds_functions_leaks() {
    if !tests_own_library() {
        return;
    }
    let listed = Cmd::stock("nm").args(["-D", "--defined-only", "--format=posix"]).arg(library()).ok().text();
    let names = listed.lines().filter_map(|line| line.split_whitespace().next());
    let is_librbds = |name: &&str| name.starts_with("rbd_") || CLASSES.iter().any(|start| name.starts_with(start));
    let foreign: Vec<_> =
        names.filter(|name| !is_librbds(name) && !ONLY_OURS.contains(name) && *name != MARKER).collect();
    assert!(foreign.is_empty(), "clients would see {foreign:?}");
}

#[test]
fn clients_find_it_by_its_soname_and_it_needs_the_callers_librados() {
    let section = dynamic_section();
    assert!(section.contains("Library soname: [librbd.so.1]"), "{section}");
    assert!(section.contains("Shared library: [librados.so.2]"), "{section}");
}

/// No client records a version of a symbol of librbd, and the linker would refuse one that is not there.
#[test]
fn its_symbols_have_no_versions() {
    assert!(!dynamic_section().contains("(VERDEF)"), "symbol versions are defined");
}

/// CPython loads extensions with RTLD_NOW: one missing symbol of 201, and `import rbd` fails.
#[test]
fn the_python_binding_loads() {
    let program = "import rbd; print(*rbd.RBD().version())";
    let printed = Cmd::new("/usr/bin/python3").args(["-c", program]).ok().text();
    assert!(printed.starts_with("1 "), "{printed}");
}

#[test]
fn every_function_has_a_row_in_the_compatibility_table() {
    if !tests_own_library() {
        return;
    }
    let table = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/COMPAT.md")).unwrap();
    let in_row = |line: &'_ str| Some(line.strip_prefix("| `")?.split('`').next()?.to_owned());
    // Commands and their options have rows, too.
    let rows: Vec<String> = table.lines().filter_map(in_row).filter(|name| name.starts_with("rbd_")).collect();
    let described: BTreeSet<String> = rows.iter().cloned().collect();
    assert_eq!(rows.len(), described.len(), "a function has two rows");
    let exported = functions_of(&library());
    let missing: Vec<_> = exported.difference(&described).collect();
    let stale: Vec<_> = described.difference(&exported).collect();
    assert!(missing.is_empty() && stale.is_empty(), "no row: {missing:?}; no function: {stale:?}");
}

fn names(text: &str, function: &str) -> bool {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == function)
}

/// A row of a supported function names the test that shows it; that file is there, and a C program calls the function.
#[test]
fn the_compatibility_table_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = std::fs::read_to_string(root.join("docs/COMPAT.md")).unwrap();
    let mut offences = Vec::new();
    for line in table.lines().filter(|line| line.starts_with("| `rbd_")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let (state, tests) = (cells[2], cells[4]);
        let files: Vec<&str> =
            tests.split(['`', ',', ' ']).filter(|word| word.ends_with(".rs") || word.ends_with(".c")).collect();
        if state != "-EOPNOTSUPP" && files.is_empty() {
            offences.push(format!("no test: {line}"));
        }
        let function = cells[1].trim_matches('`');
        for file in files {
            match std::fs::read_to_string(root.join(file)) {
                Ok(text) if file.ends_with(".c") && !names(&text, function) => {
                    offences.push(format!("{file} does not call {function}"));
                }
                Ok(_) => {}
                Err(_) => offences.push(format!("no file {file}")),
            }
        }
    }
    assert!(offences.is_empty(), "{}", offences.join("\n"));
}
