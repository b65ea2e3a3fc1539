//! `lsd-nbd` under other people's clients and under a kernel. Each module says in its head what it shows.
#[macro_use]
#[path = "../common/mod.rs"]
mod common;

mod ceph_csi;
mod lsdmap;
mod nbd_attach;
mod nbd_commands;
mod nbd_kernel;
mod nbd_tools;
mod rbd_nbd;

use common::{Ceph, Cmd, Finished, built};
use std::path::Path;
use std::time::Duration;

/// The long form of a test, 20 kills, takes some minutes.
const GUEST_TIMEOUT_S: u64 = 900;

/// What a script in the guest begins with. `fails` wants an exit with 1, `says` a line of what was said there.
const PRELUDE: &str = r#"set -euxo pipefail
    fails() { local code=0; "$@" 2>/tmp/said || code=$?; cat /tmp/said; [ $code = 1 ]; }
    says() { grep -qxF "$1" /tmp/said; }
"#;

/// Runs a bash script in a guest kernel, with a 64 MiB image `$SPEC` in a directory.
fn in_guest(script: &str) -> Finished {
    let image = "mkdir /dev/shm/store; SPEC=dir:/dev/shm/store/disk; $LSD create --size 64M $SPEC";
    run_in_guest(Cmd::stock(runner()), &format!("{image}\n{script}"))
}

/// Runs a bash script in a guest kernel that reaches the cluster.
fn in_guest_with(ceph: &Ceph, script: &str) -> Finished {
    run_in_guest(Cmd::stock(runner()).env("CEPH_CONF", &ceph.conf), script)
}

/// The same with our library before the system's.
fn in_guest_on_library(ceph: &Ceph, script: &str) -> Finished {
    run_in_guest(Cmd::new(runner()).env("CEPH_CONF", &ceph.conf), script)
}

fn runner() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vm/run-in-guest")
}

fn run_in_guest(command: Cmd, script: &str) -> Finished {
    let (lsd, nbd) = (built("lsd"), built("lsd-nbd"));
    let script = format!("LSD={}; NBD={}\n{PRELUDE}\n{script}", lsd.display(), nbd.display());
    command
        .env("LSD_VM_CACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("vm"))
        .args(["-t", &GUEST_TIMEOUT_S.to_string(), "--", "bash", "-c", &script])
        .timeout(Duration::from_secs(GUEST_TIMEOUT_S + 30))
        .ok()
}
