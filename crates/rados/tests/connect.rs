//! Connections: options, settings, adopted handles.
mod common;

use lsd_librados_sys as sys;
use lsd_rados::{Cluster, ConnectOptions, IoCtx, RadosStore};
use lsd_store::{Blobs, Keyed, KvUpdate, Pools, Presence, StoreErrorKind};
use nix::libc;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::ptr;
use std::time::Duration;
use tokio::runtime::Handle;

/// Connects and opens a pool as a C program does.
fn connect_as_c(conf: &std::path::Path, namespace: &str) -> (sys::rados_t, sys::rados_ioctx_t) {
    let conf = CString::new(conf.as_os_str().as_bytes()).expect("a path");
    let namespace = CString::new(namespace).expect("a namespace");
    let (mut cluster, mut io) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: the order of calls that rados/librados.h demands.
    unsafe {
        assert_eq!(sys::rados_create(&mut cluster, c"admin".as_ptr()), 0);
        assert_eq!(sys::rados_conf_read_file(cluster, conf.as_ptr()), 0);
        assert_eq!(sys::rados_connect(cluster), 0);
        assert_eq!(sys::rados_ioctx_create(cluster, c"rbd".as_ptr(), &mut io), 0);
        sys::rados_ioctx_set_namespace(io, namespace.as_ptr());
    }
    (cluster, io)
}

#[test]
fn a_callers_handles_are_adopted() {
    let Some(conf) = common::conf_file("a_callers_handles_are_adopted") else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    // The longest that an OSD takes by default.
    let long = "n".repeat(256);
    let name = common::prefix("adopt");
    for namespace in ["", "a namespace", &long] {
        let (cluster, theirs) = connect_as_c(&conf, namespace);
        // SAFETY: both live; the cluster is shut down after everything of ours is gone.
        let io = unsafe { IoCtx::from_raw(theirs) }.expect("adopted");
        assert_eq!(io.namespace(), namespace);
        assert_eq!(io.pool_name().expect("a name"), "rbd");
        assert!(io.cluster().conf_get("mon_host").is_some_and(|host| host.contains("127.0.0.1")));
        // SAFETY: a context of its own was made.
        unsafe { sys::rados_ioctx_destroy(theirs) };
        let store = RadosStore::new(io, runtime.handle().clone()).expect("a store");
        runtime.block_on(async {
            let object = name.as_str().into();
            store.kv_update(&object, KvUpdate::default().set("a", "1")).await.expect("an update");
            assert_eq!(store.kv_get(&object, "").await.expect("a read")["a"], "1");
            assert_eq!(store.list(&name).await.expect("a list").len(), 1, "other namespaces are not listed");
            store.remove(&object).await.expect("removal");
        });
        drop(store);
        // SAFETY: nothing uses it any more; it must still be alive, so it is shut down exactly once, here.
        unsafe {
            assert_eq!(sys::rados_wait_for_latest_osdmap(cluster), 0);
            sys::rados_shutdown(cluster);
        }
    }
}

#[test]
fn settings_come_from_the_options_and_the_file() {
    let Some(conf) = common::conf_file("settings_come_from_the_options_and_the_file") else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let with_own = dir.path().join("ceph.conf");
    let text = std::fs::read_to_string(conf).expect("the cluster's configuration");
    std::fs::write(&with_own, text + "\n[client]\nlsd max age = 7 ; seconds\nlsd_ack = journal\n").expect("written");
    let options = ConnectOptions { conf_file: Some(with_own), ..ConnectOptions::default() };
    let cluster =
        Cluster::connect(&options.set("lsd_ack", "writeback").set("rados_osd_op_timeout", "17")).expect("a connection");
    assert_eq!(cluster.conf_get("lsd_max_age").as_deref(), Some("7"));
    assert_eq!(cluster.conf_get("lsd_ack").as_deref(), Some("writeback"), "an option wins over the file");
    assert_eq!(cluster.conf_get("lsd_other"), None);
    assert_eq!(cluster.conf_get("no_such_option"), None);
    assert_eq!(cluster.conf_get("rados_osd_op_timeout").and_then(|text| text.parse::<f64>().ok()), Some(17.0));
    assert!(cluster.conf_get("rbd_default_features").is_some());
    assert_eq!(cluster.fsid().expect("an id").len(), 36);
    assert!(cluster.stat().expect("figures").total_kib > 0);
    let (output, _) = cluster.mon_command(r#"{"prefix": "osd pool ls", "format": "json"}"#, b"").expect("a command");
    assert!(String::from_utf8_lossy(&output).contains("\"rbd\""));
    assert!(cluster.mon_command(r#"{"prefix": "no such command"}"#, b"").is_err());
    assert!(cluster.pool_list().expect("pools").contains(&"rbd".to_owned()));
    let id = cluster.pool_lookup("rbd").expect("a number");
    assert_eq!(cluster.pool_reverse_lookup(id).expect("a name"), "rbd");
    let io = cluster.open_pool_id(id).expect("the pool");
    assert_eq!(io.applications().expect("applications"), ["rbd"]);
    assert_eq!(io.pool_id(), id);
}

#[test]
fn what_is_not_there_is_an_error() {
    let Some(conf) = common::conf_file("what_is_not_there_is_an_error") else { return };
    let wrong_file = ConnectOptions { conf_file: Some("/nonexistent/ceph.conf".into()), ..ConnectOptions::default() };
    assert_eq!(Cluster::connect(&wrong_file).expect_err("no file").errno, libc::ENOENT);
    let right = ConnectOptions { conf_file: Some(conf), ..ConnectOptions::default() };
    assert!(Cluster::connect(&right.clone().set("no_such_option", "1")).is_err());
    let no_name = ConnectOptions { name: Some("nonsense".into()), ..right.clone() };
    assert_eq!(Cluster::connect(&no_name).expect_err("no name").errno, libc::EINVAL);
    let stranger = ConnectOptions { id: Some("stranger".into()), ..right.clone() };
    assert!(Cluster::connect(&stranger).is_err(), "a client without a key");
    let cluster = Cluster::connect(&right).expect("a connection");
    assert_eq!(cluster.open_pool("no-such-pool").expect_err("no pool").errno, libc::ENOENT);
    assert_eq!(cluster.open_pool_id(lsd_store::PoolId(9999)).expect_err("no pool").errno, libc::ENOENT);
    assert_eq!(cluster.pool_lookup("no-such-pool").expect_err("no pool").errno, libc::ENOENT);
    assert_eq!(cluster.pool_delete("no-such-pool").expect_err("no pool").errno, libc::ENOENT);
}

/// `--id` and `--keyring`; and what such a client may not do is refused as such.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_with_few_capabilities() {
    let Some(conf) = common::conf_file("a_client_with_few_capabilities") else { return };
    let id = format!("lsdtest{}", std::process::id());
    let name = format!("client.{id}");
    let key = common::ceph(&["auth", "get-or-create", &name, "mon", "allow r", "osd", "allow rx pool=rbd"]);
    let dir = tempfile::tempdir().expect("a directory");
    let keyring = dir.path().join("keyring");
    std::fs::write(&keyring, key).expect("written");
    let options =
        ConnectOptions { conf_file: Some(conf), id: Some(id), keyring: Some(keyring), ..ConnectOptions::default() };
    let io = Cluster::connect(&options).expect("a connection").open_pool("rbd").expect("the pool");
    let store = RadosStore::new(io, Handle::current()).expect("a store without the right to write");
    assert!(store.limits().keyed_objects);
    let put = store.put(&common::prefix("caps").as_str().into(), "x".into()).await;
    assert_eq!(put.expect_err("may not write").kind, StoreErrorKind::Permission);
    let blocklist = store.blocklist("127.0.0.1:0/1", Duration::from_secs(5)).await;
    assert_eq!(blocklist.expect_err("may not blocklist").kind, StoreErrorKind::Permission);
    common::ceph(&["auth", "rm", &name]);
}

/// Stops the OSDs from serving anybody while it lives.
struct Paused;

impl Paused {
    fn new() -> Self {
        common::ceph(&["osd", "pause"]);
        Self
    }
}

impl Drop for Paused {
    fn drop(&mut self) {
        common::ceph(&["osd", "unpause"]);
    }
}

/// A time-out is reported as such, and not as a failure: the operation may have taken effect.
#[tokio::test(flavor = "multi_thread")]
async fn a_timed_out_operation_says_so() {
    let Some(conf) = common::conf_file("a_timed_out_operation_says_so") else { return };
    let options = ConnectOptions { conf_file: Some(conf), ..ConnectOptions::default() };
    let cluster = Cluster::connect(&options.set("rados_osd_op_timeout", "1")).expect("a connection");
    let io = cluster.open_pool("rbd").expect("the pool");
    let store = RadosStore::new(io, Handle::current()).expect("a store");
    let name = common::prefix("timeout").as_str().into();
    let paused = Paused::new();
    cluster.wait_for_latest_osdmap().expect("the map that says so");
    let put = store.put(&name, "x".into()).await;
    assert_eq!(put.expect_err("nobody serves it").kind, StoreErrorKind::TimedOut);
    drop(paused);
    cluster.wait_for_latest_osdmap().expect("the map that ends it");
    let _ = store.remove(&name).await;
}
