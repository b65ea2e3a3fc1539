//! librbd's C++ classes: every symbol of the system's library and of newer ones, the ways in which a library is loaded, and a program
//! that calls what Ceph's own commands do not. The commands: `tests/cli/rbd_on_library.rs`, `ceph_workunits.rs`.
use crate::common::{Cmd, client_library_dir, compiled_program, scratch_dir, tests_own_library};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

const SYSTEM_LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/librbd.so.1";
const PROGRAM_TIMEOUT: Duration = Duration::from_secs(180);

/// Methods that librbd.hpp of Ceph 18 and 20 declares and that of 16 does not, without their arguments.
const NEWER: [&str; 12] = [
    "librbd::Image::Image(librbd::Image&&)",
    "librbd::Image::diff_iterate3",
    "librbd::Image::encryption_load2",
    "librbd::Image::operator=(librbd::Image&&)",
    "librbd::Image::snap_get_trash_namespace2",
    "librbd::RBD::clone4",
    "librbd::RBD::group_get_id",
    "librbd::RBD::group_snap_get_info",
    "librbd::RBD::group_snap_list2",
    "librbd::RBD::mirror_remote_namespace_get",
    "librbd::RBD::mirror_remote_namespace_set",
    "vtable for librbd::ProgressContext",
];

/// What a library exports of the namespace `librbd`, as the linker and as people write it.
fn classes_of(library: &Path, demangled: bool) -> BTreeSet<String> {
    let mut nm = Cmd::stock("nm").args(["-D", "--defined-only", "--format=posix"]).arg(library);
    if demangled {
        nm = nm.arg("-C");
    }
    let listed = nm.ok().text();
    let of_librbd = |line: &&str| line.contains(if demangled { "librbd::" } else { "6librbd" });
    // Behind the name there are a letter and numbers.
    let name = |line: &str| line.rsplitn(4, ' ').last().unwrap().to_owned();
    listed.lines().filter(of_librbd).map(name).collect()
}

#[test]
fn every_symbol_of_the_systems_library_is_exported() {
    let Some(dir) = client_library_dir() else { return };
    let ours = classes_of(&dir.join("librbd.so.1"), false);
    let wanted = classes_of(Path::new(SYSTEM_LIBRARY), false);
    assert!(wanted.len() > 270, "{} symbols", wanted.len());
    let missing: Vec<_> = wanted.difference(&ours).collect();
    assert!(missing.is_empty(), "not exported: {missing:?}");
}

#[test]
fn newer_methods_are_exported() {
    if !tests_own_library() {
        return;
    }
    let ours = classes_of(&client_library_dir().unwrap().join("librbd.so.1"), true);
    let missing: Vec<_> = NEWER.iter().filter(|name| !ours.iter().any(|found| found.starts_with(**name))).collect();
    assert!(missing.is_empty(), "not exported: {missing:?}");
}

#[test]
fn lists_completions_options_and_callbacks() {
    let ceph = requires_ceph!();
    let image = ceph.image("cxx");
    let mut cmd = ceph.client(compiled_program("cxx_face")).args(["rbd", &image.name]).timeout(PROGRAM_TIMEOUT);
    if tests_own_library() {
        cmd = cmd.env("LSD_OWN", "1");
    }
    cmd.ok();
}

/// Ceph's commands are linked to be bound at once: each of their symbols must be there.
#[test]
fn ceph_s_commands_are_bound_at_once() {
    for command in ["rbd", "rbd-nbd", "rbd-replay"] {
        Cmd::new(command).arg("--version").env("LD_BIND_NOW", "1").ok().says("ceph version");
    }
}

/// A program that loads the library by itself finds both languages, and the library stays when it lets go of it.
#[test]
fn loaded_by_hand() {
    let Some(dir) = client_library_dir() else { return };
    let program = "
import ctypes, sys, _ctypes
library = ctypes.CDLL(sys.argv[1], mode=ctypes.RTLD_LOCAL | 2)
major = ctypes.c_int()
others = ctypes.byref(ctypes.c_int()), ctypes.byref(ctypes.c_int())
library.rbd_version(ctypes.byref(major), *others)
again = ctypes.c_int()
getattr(library, '_ZN6librbd3RBD7versionEPiS1_S1_')(None, ctypes.byref(again), *others)
assert again.value == major.value == 1, again.value
_ctypes.dlclose(library._handle)
mapped = open('/proc/self/maps').read()
assert 'librbd' in mapped
";
    Cmd::stock("/usr/bin/python3").args(["-c", program]).arg(dir.join("librbd.so.1")).ok();
}

/// The library path has only the one library in it, and a program that has another folder first still finds it.
#[test]
fn one_file_is_enough() {
    if !tests_own_library() {
        return;
    }
    let alone = scratch_dir();
    let library = std::fs::canonicalize(client_library_dir().unwrap().join("librbd.so.1")).unwrap();
    std::os::unix::fs::symlink(&library, alone.path().join("librbd.so.1")).unwrap();
    let listed = Cmd::stock("ldd").arg("/usr/bin/rbd").env("LD_LIBRARY_PATH", alone.path()).ok().text();
    let found = listed.lines().find(|line| line.contains("librbd.so.1")).unwrap();
    assert!(found.contains(alone.path().to_str().unwrap()), "{listed}");
    assert!(!listed.contains("not found"), "{listed}");
}
