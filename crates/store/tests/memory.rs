//! The memory store passes the contract, and behaves as a cluster of several clients.
use bytes::Bytes;
use lsd_store::{
    Append, Blobs, Keyed, KvPresence, KvUpdate, LockMode, LockRequest, Logs, MEMORY_POOL, MemoryCluster, ObjectName,
    PoolId, Pools, Presence, StoreError, StoreErrorKind, WatchHandler, contract,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn append(epoch: u64, at: u64, data: &'static [u8]) -> Append {
    Append { epoch, at, data: vec![Bytes::from_static(data)], summary_len: 0, urgent: false }
}

#[tokio::test]
async fn contract_on_a_replicated_pool() {
    let cluster = MemoryCluster::new();
    contract::run_all(Arc::new(cluster.client()), "c").await;
    assert_eq!(cluster.client().list("").await.expect("list"), []);
}

#[tokio::test]
async fn contract_on_an_erasure_coded_pool() {
    let cluster = MemoryCluster::new();
    let pool = cluster.add_pool("ec", MemoryCluster::erasure_coded(8192));
    let store = cluster.client().open_pool(pool).await.expect("pool");
    assert_eq!(store.pool_name(), "ec");
    contract::run_without_keys(store.clone(), "c").await;
    let name = ObjectName::from("x");
    let keyed = store.kv_update(&name, KvUpdate::default().set("a", "1")).await;
    assert_eq!(keyed.expect_err("no keyed objects").kind, StoreErrorKind::Unsupported);
    let unaligned = store.append(&name, append(1, 0, b"unaligned")).await;
    assert_eq!(unaligned.expect_err("alignment").kind, StoreErrorKind::Invalid);
}

#[tokio::test]
async fn contract_between_two_clients() {
    let cluster = MemoryCluster::new();
    contract::run_two_clients(Arc::new(cluster.client()), Arc::new(cluster.client()), "c").await;
}

#[tokio::test]
async fn pools_are_apart() {
    let cluster = MemoryCluster::new();
    let pool = cluster.add_pool("second", MemoryCluster::replicated());
    let first = cluster.client();
    let second = first.open_pool(pool).await.expect("pool");
    first.put(&"a".into(), "1".into()).await.expect("put");
    assert_eq!(second.list("").await.expect("list"), []);
    let missing = first.open_pool(PoolId(77)).await.expect_err("no such pool");
    assert_eq!(missing.kind, StoreErrorKind::NotFound);
}

#[tokio::test]
async fn a_full_pool_takes_nothing_but_gives_back() {
    let cluster = MemoryCluster::new();
    let store = cluster.client();
    let (log, kv) = (ObjectName::from("log"), ObjectName::from("kv"));
    store.append(&log, append(1, 0, b"abcd")).await.expect("append");
    store.kv_update(&kv, KvUpdate::default().set("a", "1")).await.expect("update");
    cluster.set_full(MEMORY_POOL, true);
    let full = |error: StoreError| assert_eq!(error.kind, StoreErrorKind::Full);
    full(store.append(&log, append(1, 4, b"efgh")).await.expect_err("append"));
    full(store.kv_update(&kv, KvUpdate::default().set("b", "1")).await.expect_err("update"));
    let update = KvUpdate::default().presence(KvPresence::MustExist).set("b", "1");
    store.kv_update(&kv, update).await.expect("update of what exists");
    store.put(&"put".into(), "1".into()).await.expect("put");
    store.append(&log, Append { urgent: true, ..append(1, 4, b"efgh") }).await.expect("urgent append");
    store.append(&"tomb".into(), Append { data: Vec::new(), ..append(1, 0, b"") }).await.expect("append of nothing");
    store.kv_update(&kv, KvUpdate::default().remove("a")).await.expect("removal of a key");
    store.fence(&log, 2).await.expect("fence");
    store.remove(&kv).await.expect("remove");
    cluster.set_full(MEMORY_POOL, false);
    store.append(&log, append(2, 8, b"efgh")).await.expect("append");
}

/// Counts how often a watch was lost, and why.
#[derive(Default)]
struct Losses(Mutex<Vec<StoreErrorKind>>);

impl WatchHandler for Losses {
    fn notified(&self, _: u64, payload: Bytes) -> futures::future::BoxFuture<'static, Bytes> {
        Box::pin(async move { payload })
    }

    fn lost(&self, error: StoreError) {
        self.0.lock().expect("losses").push(error.kind);
    }
}

#[tokio::test(start_paused = true)]
async fn a_blocklisted_client_can_do_nothing_until_it_expires() {
    let cluster = MemoryCluster::new();
    let (old, new) = (cluster.client(), cluster.client());
    let name = ObjectName::from("header");
    let losses = Arc::new(Losses::default());
    old.kv_update(&name, KvUpdate::default().set("a", "1")).await.expect("update");
    old.watch(&name, Duration::from_secs(30), losses.clone()).await.expect("watch");
    let request =
        LockRequest { name: "lock".into(), cookie: "c".into(), mode: LockMode::Exclusive, tag: String::new() };
    old.lock(&name, request).await.expect("lock");
    new.blocklist(&old.identity().1, Duration::from_secs(60)).await.expect("blocklist");
    let fenced = |error: StoreError| assert_eq!(error.kind, StoreErrorKind::Fenced);
    fenced(old.kv_get(&name, "").await.expect_err("read"));
    fenced(old.append(&"log".into(), append(1, 0, b"late")).await.expect_err("append"));
    fenced(old.notify(&name, "x".into(), Duration::from_secs(1)).await.expect_err("notify"));
    assert_eq!(*losses.0.lock().expect("losses"), [StoreErrorKind::Fenced]);
    assert_eq!(new.watchers(&name).await.expect("watchers"), []);
    // As on RADOS the lock stays until somebody breaks it.
    let state = new.lock_state(&name, "lock").await.expect("state");
    new.break_lock(&name, "lock", &state.lockers[0]).await.expect("break");
    tokio::time::advance(Duration::from_secs(61)).await;
    old.kv_get(&name, "").await.expect("the entry has expired");
    new.blocklist(&old.identity().1, Duration::ZERO).await.expect("blocklist for ever");
    tokio::time::advance(Duration::from_secs(1_000_000)).await;
    fenced(old.kv_get(&name, "").await.expect_err("read"));
}

#[tokio::test]
async fn a_held_client_acts_late_and_in_order() {
    let cluster = MemoryCluster::new();
    let (old, new) = (cluster.client(), cluster.client());
    let name = ObjectName::from("log");
    old.append(&name, append(1, 0, b"abcd")).await.expect("append");
    old.hold();
    let (late, later) = (old.append(&name, append(1, 4, b"efgh")), old.put(&"map".into(), "late".into()));
    assert_eq!(new.fence(&name, 2).await.expect("fence").len, 4);
    old.release();
    assert_eq!(late.await.expect_err("fenced").kind, StoreErrorKind::Stale);
    later.await.expect("what no guard stops arrives");
    assert_eq!(new.stat(&name).await.expect("stat"), 4);
    old.hold();
    let blocked = old.put(&"other".into(), "late".into());
    new.blocklist(&old.identity().1, Duration::ZERO).await.expect("blocklist");
    old.release();
    assert_eq!(blocked.await.expect_err("blocklisted").kind, StoreErrorKind::Fenced);
}

#[tokio::test]
async fn removing_an_object_ends_its_watches() {
    let cluster = MemoryCluster::new();
    let store = cluster.client();
    let losses = Arc::new(Losses::default());
    store.put(&"a".into(), "1".into()).await.expect("put");
    let watch = store.watch(&"a".into(), Duration::from_secs(30), losses.clone()).await.expect("watch");
    store.remove(&"a".into()).await.expect("remove");
    assert_eq!(*losses.0.lock().expect("losses"), [StoreErrorKind::NotFound]);
    assert_eq!(store.unwatch(watch).await.expect_err("ended").kind, StoreErrorKind::NotFound);
}
