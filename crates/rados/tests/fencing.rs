//! Clients that are fenced off, watches that are lost, full pools.
mod common;

use bytes::Bytes;
use futures::future::BoxFuture;
use lsd_store::{
    Append, KvPresence, KvUpdate, LockMode, LockRequest, ObjectName, ObjectStore, StoreError, StoreErrorKind,
    WatchHandler,
};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn append(epoch: u64, at: u64, data: Bytes) -> Append {
    Append { epoch, at, data: vec![data], summary_len: 0, urgent: false }
}

/// A fenced client's operations fail `Fenced` at the latest when the OSD has the map; its lock can be broken.
#[tokio::test(flavor = "multi_thread")]
async fn a_blocklisted_client_is_shut_out() {
    let test = "a_blocklisted_client_is_shut_out";
    let Some(dead) = common::store(test, common::POOL) else { return };
    let Some(heir) = common::store(test, common::POOL) else { return };
    let name: ObjectName = common::prefix("blocklist").into();
    let request =
        LockRequest { name: "lock".into(), cookie: "c".into(), mode: LockMode::Exclusive, tag: String::new() };
    dead.kv_update(&name, KvUpdate::default().set("a", "1")).await.expect("an update");
    dead.lock(&name, request.clone()).await.expect("the lock");
    let holder = heir.lock_state(&name, "lock").await.expect("its state").lockers.remove(0);
    assert_eq!((holder.client.clone(), holder.addr.clone()), dead.identity());
    heir.blocklist(&holder.addr, Duration::from_secs(300)).await.expect("blocklisted");
    assert!(common::ceph(&["osd", "blocklist", "ls"]).contains(&holder.addr));
    heir.break_lock(&name, "lock", &holder).await.expect("broken");
    heir.lock(&name, request).await.expect("the lock after it");
    common::eventually("the dead client is fenced", async || {
        let update = dead.kv_update(&name, KvUpdate::default().set("b", "2")).await;
        update.is_err_and(|error| error.kind == StoreErrorKind::Fenced)
    })
    .await;
    let read = dead.read(&name, 0, 1).await;
    assert_eq!(read.expect_err("reads are fenced too").kind, StoreErrorKind::Fenced);
    let notified = dead.kv_get(&name, "").await;
    assert_eq!(notified.expect_err("so are keys").kind, StoreErrorKind::Fenced);
    heir.remove(&name).await.expect("removal");
    common::ceph(&["osd", "blocklist", "rm", &holder.addr]);
}

#[derive(Default)]
struct Silent {
    lost: Mutex<Vec<StoreError>>,
    heard: AtomicUsize,
}

impl WatchHandler for Silent {
    fn notified(&self, _notifier: u64, _payload: Bytes) -> BoxFuture<'static, Bytes> {
        self.heard.fetch_add(1, Ordering::SeqCst);
        Box::pin(async { Bytes::new() })
    }

    fn lost(&self, error: StoreError) {
        self.lost.lock().expect("no panic").push(error);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_is_lost_with_its_object() {
    let Some(store) = common::store("a_watch_is_lost_with_its_object", common::POOL) else { return };
    let name: ObjectName = common::prefix("lost").into();
    let missing = store.watch(&name, Duration::from_secs(10), Arc::new(Silent::default())).await;
    assert_eq!(missing.expect_err("no object").kind, StoreErrorKind::NotFound);
    store.put(&name, "x".into()).await.expect("put");
    let handler = Arc::new(Silent::default());
    let watch = store.watch(&name, Duration::from_secs(10), handler.clone()).await.expect("a watch");
    store.remove(&name).await.expect("removal");
    common::eventually("the watch is lost", async || !handler.lost.lock().expect("no panic").is_empty()).await;
    // It can be ended all the same, and only once; whether the store still knew it does not matter.
    let _ = store.unwatch(watch).await;
    assert_eq!(store.unwatch(watch).await.expect_err("unknown").kind, StoreErrorKind::NotFound);
    assert_eq!(handler.heard.load(Ordering::SeqCst), 0);
    common::eventually("the handler is released", async || Arc::strong_count(&handler) == 1).await;
}

/// A watch whose registration nobody waited for is not left behind, nor are those of a store that is dropped.
#[tokio::test(flavor = "multi_thread")]
async fn no_watch_is_left_behind() {
    let test = "no_watch_is_left_behind";
    let Some(store) = common::store(test, common::POOL) else { return };
    let Some(observer) = common::store(test, common::POOL) else { return };
    let name: ObjectName = common::prefix("leftover").into();
    store.put(&name, "x".into()).await.expect("put");
    let handler = Arc::new(Silent::default());
    drop(store.watch(&name, Duration::from_secs(30), handler.clone()));
    common::eventually("no watcher after a dropped future", async || {
        Arc::strong_count(&handler) == 1 && observer.watchers(&name).await.is_ok_and(|watchers| watchers.is_empty())
    })
    .await;
    store.watch(&name, Duration::from_secs(30), handler.clone()).await.expect("a watch");
    assert_eq!(observer.watchers(&name).await.expect("watchers").len(), 1);
    drop(store);
    common::eventually("no watcher after a dropped store", async || {
        Arc::strong_count(&handler) == 1 && observer.watchers(&name).await.is_ok_and(|watchers| watchers.is_empty())
    })
    .await;
    observer.remove(&name).await.expect("removal");
}

/// A pool of a test's own.
struct ScratchPool(String);

impl ScratchPool {
    fn new(name: &str) -> Self {
        let pool = Self(format!("{name}-{}", std::process::id()));
        common::ceph(&["osd", "pool", "create", &pool.0, "8", "8", "replicated"]);
        pool
    }
}

impl Drop for ScratchPool {
    fn drop(&mut self) {
        common::ceph(&["osd", "pool", "delete", &self.0, &self.0, "--yes-i-really-really-mean-it"]);
    }
}

/// A pool at its quota: what needs space fails `Full` and does not block, what frees space works.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_pool_never_blocks() {
    let test = "a_full_pool_never_blocks";
    if common::conf_file(test).is_none() {
        return;
    }
    let pool = ScratchPool::new("lsd-full");
    common::ceph(&["osd", "pool", "set-quota", &pool.0, "max_bytes", "8388608"]);
    let Some(store) = common::store(test, &pool.0) else { return };
    let (log, keys, victim): (ObjectName, ObjectName, ObjectName) = ("log".into(), "keys".into(), "victim".into());
    store.kv_update(&keys, KvUpdate::default().set("a", "1").set("b", "2")).await.expect("keys");
    store.put(&victim, vec![1; 1 << 20].into()).await.expect("put");
    let piece = Bytes::from(vec![7; 1 << 20]);
    let mut len = 0;
    let full = loop {
        // The OSDs learn of the quota a few seconds after it is passed.
        match tokio::time::timeout(Duration::from_secs(20), store.append(&log, append(1, len, piece.clone()))).await {
            Ok(Ok(())) => len += piece.len() as u64,
            Ok(Err(error)) => break error,
            Err(_) => panic!("an append blocked"),
        }
        assert!(len < 4 << 30, "the quota was never enforced");
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    assert_eq!(full.kind, StoreErrorKind::Full, "{full}");
    let tail = store.log_tail(&log).await.expect("reads work");
    assert_eq!(tail.len, len, "the refused append left nothing");
    refuses_what_needs_space(&store).await;
    opens_an_image(&store, &keys).await;
    takes_what_frees_space(&store, &keys, &log, len).await;
    len += 4096;
    store.kv_update(&keys, KvUpdate::default().remove("a")).await.expect("removal of a key");
    assert_eq!(store.kv_get(&keys, "").await.expect("keys").len(), 2);
    assert_eq!(store.fence(&log, 2).await.expect("a fence").len, len);
    store.remove(&victim).await.expect("removal in a full pool");
    common::ceph(&["osd", "pool", "set-quota", &pool.0, "max_bytes", "0"]);
    common::eventually("room again", async || store.append(&log, append(2, len, piece.clone())).await.is_ok()).await;
}

async fn refuses_what_needs_space(store: &Arc<dyn ObjectStore>) {
    let patience = Duration::from_secs(20);
    let update = store.kv_update(&"new keys".into(), KvUpdate::default().set("a", "1"));
    let update = tokio::time::timeout(patience, update).await.expect("an update blocked");
    assert_eq!(update.expect_err("no room").kind, StoreErrorKind::Full);
    assert_eq!(store.stat(&"new keys".into()).await.expect_err("nothing").kind, StoreErrorKind::NotFound);
}

/// What space is freed by: pages of the map, the header, tombstones, and appends that are said to be urgent.
async fn takes_what_frees_space(store: &Arc<dyn ObjectStore>, keys: &ObjectName, log: &ObjectName, len: u64) {
    store.put(&"page".into(), vec![1; 65_536].into()).await.expect("a put in a full pool");
    let update = KvUpdate::default().presence(KvPresence::MustExist).set("c", "3");
    store.kv_update(keys, update).await.expect("an update in a full pool");
    let urgent = Append { urgent: true, ..append(1, len, Bytes::from(vec![8; 4096])) };
    store.append(log, urgent).await.expect("an urgent append in a full pool");
    store.append(&"tomb".into(), Append { data: Vec::new(), ..append(1, 0, Bytes::new()) }).await.expect("a tombstone");
}

/// Watching, notifying and locking, without which no image opens: a full pool must not keep anybody from freeing
/// space.
async fn opens_an_image(store: &Arc<dyn ObjectStore>, name: &ObjectName) {
    let patience = Duration::from_secs(20);
    let request =
        LockRequest { name: "lock".into(), cookie: "c".into(), mode: LockMode::Exclusive, tag: String::new() };
    let lock = tokio::time::timeout(patience, store.lock(name, request)).await.expect("a lock blocked");
    lock.expect("a lock");
    let handler = Arc::new(Silent::default());
    let watch = store.watch(name, Duration::from_secs(30), handler.clone());
    let watch = tokio::time::timeout(patience, watch).await.expect("a watch blocked").expect("a watch");
    let notified = tokio::time::timeout(patience, store.notify(name, "x".into(), Duration::from_secs(5))).await;
    assert_eq!(notified.expect("a notification blocked").expect("a notification").acks.len(), 1);
    assert_eq!(handler.heard.load(Ordering::SeqCst), 1);
    let unwatch = tokio::time::timeout(patience, store.unwatch(watch)).await.expect("the end of a watch blocked");
    unwatch.expect("the end of a watch");
    store.unlock(name, "lock", "c").await.expect("an unlock");
}
