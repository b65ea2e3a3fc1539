//! The C API as C programs see it, compiled against the installed headers. The programs of rules and of asynchronous
//! calls hold on stock librbd as well (`LSD_TEST_LIBDIR=`), so they are rules of librbd and not opinions.
use crate::common::{Ceph, compiled_program, tests_own_library};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(180);

/// Runs a program of `tests/programs` in the pool `rbd` on an image of its own.
fn run(ceph: &Ceph, program: &str) {
    let image = ceph.image(program);
    let mut cmd = ceph.client(compiled_program(program)).args(["rbd", &image.name]).timeout(TIMEOUT);
    if tests_own_library() {
        cmd = cmd.env("LSD_OWN", "1");
    }
    cmd.ok();
}

#[test]
fn the_rules_of_the_synchronous_calls() {
    run(&requires_ceph!(), "capi_rules");
}

#[test]
fn completions_vectors_and_event_sockets() {
    run(&requires_ceph!(), "capi_aio");
}

#[test]
fn copies_watches_and_newer_calls() {
    run(&requires_ceph!(), "capi_more");
}

#[test]
fn the_trash() {
    run(&requires_ceph!(), "capi_trash");
}

#[test]
fn groups_and_their_snapshots() {
    run(&requires_ceph!(), "capi_groups");
}

#[test]
fn settings_limits_features_and_upkeep() {
    run(&requires_ceph!(), "capi_config");
}

#[test]
fn snapshots_and_handles_that_show_one() {
    run(&requires_ceph!(), "capi_snapshots");
}

#[test]
fn clones_and_deep_copies() {
    run(&requires_ceph!(), "capi_clones");
}

#[test]
fn being_quiet_while_another_process_takes_a_snapshot() {
    run(&requires_ceph!(), "capi_quiesce");
}

#[test]
fn migrations() {
    run(&requires_ceph!(), "capi_migration");
}

#[test]
fn the_exclusive_lock_and_advisory_locks() {
    run(&requires_ceph!(), "capi_locks");
}

/// Stock librbd may crash where this expects an errno.
#[test]
fn misuse_gives_an_errno() {
    let ceph = requires_ceph!();
    if tests_own_library() {
        run(&ceph, "capi_hygiene");
        run(&ceph, "capi_misuse");
    }
}

/// Stock librbd does not allow calls that wait inside its callbacks.
#[test]
fn callbacks_may_call_the_library_and_threads_share_an_image() {
    let ceph = requires_ceph!();
    if tests_own_library() {
        run(&ceph, "capi_threads");
        run(&ceph, "capi_callbacks");
    }
}

#[test]
fn a_forked_child_has_the_library_to_itself() {
    run(&requires_ceph!(), "capi_fork");
}

/// `rbd_skip_partial_discard = false`: every byte of a discard is given back.
#[test]
fn settings_of_the_callers_cluster_handle_are_honoured() {
    let ceph = requires_ceph!();
    let image = ceph.image("settings").create("8M");
    let script = r#"
import rados, rbd, sys
cluster = rados.Rados(conffile='')
cluster.conf_set('rbd_skip_partial_discard', 'false')
cluster.conf_set('rbd_default_order', '20')
cluster.conf_set('rbd_default_features', '3')
cluster.connect()
io = cluster.open_ioctx('rbd')
with rbd.Image(io, sys.argv[1]) as image:
    image.write(b'd' * 4096, 0)
    image.discard(100, 200)
    assert image.read(0, 400) == b'd' * 100 + b'\0' * 200 + b'd' * 100
name = sys.argv[1] + '-2'
rbd.RBD().create(io, name, 1 << 20)
with rbd.Image(io, name) as image:
    assert image.stat()['order'] == 20, image.stat()
    assert image.features() == 1, image.features()
rbd.RBD().remove(io, name)
io.close()
cluster.shutdown()
"#;
    ceph.client("/usr/bin/python3").args(["-c", script, &image.name]).ok();
}
