//! The cluster that the tests use: `LSD_TEST_CEPH_CONF` names its ceph.conf, with the pools `rbd` and `rbd-ec`.
#![allow(dead_code, reason = "each test binary uses a part of it")]
use lsd_rados::{Cluster, ConnectOptions, IoCtx, RadosStore};
use lsd_store::ObjectStore;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::runtime::Handle;

pub const POOL: &str = "rbd";
pub const EC_POOL: &str = "rbd-ec";

/// The cluster's ceph.conf; without one the test is skipped, or fails where a cluster is required.
pub fn conf_file(test: &str) -> Option<PathBuf> {
    let conf = std::env::var_os("LSD_TEST_CEPH_CONF").filter(|conf| !conf.is_empty()).map(PathBuf::from);
    if conf.is_none() {
        assert!(std::env::var("LSD_REQUIRE_CEPH").as_deref() != Ok("1"), "{test}: LSD_TEST_CEPH_CONF is not set");
        println!("SKIP {test}: LSD_TEST_CEPH_CONF is not set");
    }
    conf
}

/// A new client of the cluster.
pub fn connect(test: &str) -> Option<Cluster> {
    let options = ConnectOptions { conf_file: Some(conf_file(test)?), ..ConnectOptions::default() };
    Some(Cluster::connect(&options).expect("the cluster answers"))
}

pub fn pool(test: &str, pool: &str) -> Option<IoCtx> {
    Some(connect(test)?.open_pool(pool).expect("the pool is there"))
}

/// A new client's store. Needs a runtime.
pub fn store(test: &str, name: &str) -> Option<Arc<dyn ObjectStore>> {
    let io = pool(test, name)?;
    Some(Arc::new(RadosStore::new(io, Handle::current()).expect("a store on the pool")))
}

/// Starts every name of one run of one test.
pub fn prefix(test: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_micros();
    format!("test.{test}.{}.{now}", std::process::id())
}

/// Runs an administrator's command against the cluster.
pub fn ceph(arguments: &[&str]) -> String {
    let conf = std::env::var_os("LSD_TEST_CEPH_CONF").expect("only called with a cluster");
    let output = Command::new("ceph").arg("-c").arg(conf).args(arguments).output().expect("ceph runs");
    assert!(output.status.success(), "ceph {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Waits until `done`, at most half a minute.
pub async fn eventually(what: &str, mut done: impl AsyncFnMut() -> bool) {
    for _ in 0..300 {
        if done().await {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("{what}: not within 30 seconds");
}
