//! The directory store passes the contract, alone and with two clients in one process.
use lsd_store::{
    Append, DirStore, KvUpdate, LockMode, LockRequest, LogTail, ObjectName, ObjectStore, PoolId, StoreErrorKind,
    contract,
};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

fn store(path: &Path) -> Arc<dyn ObjectStore> {
    Arc::new(DirStore::open(path).expect("open"))
}

#[tokio::test]
async fn contract_on_a_directory() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("missing so far");
    contract::run_all(store(&path), "c").await;
    assert_eq!(store(&path).list("").await.expect("list"), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contract_between_two_clients() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    contract::run_two_clients(store(directory.path()), store(directory.path()), "c").await;
}

#[tokio::test]
async fn what_a_directory_cannot_do_it_says() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let store = store(directory.path());
    assert_eq!(store.pool_id(), PoolId(-1));
    assert_eq!(Path::new(&store.pool_name()), directory.path());
    assert_eq!(store.open_pool(PoolId(1)).await.expect_err("no pools").kind, StoreErrorKind::Unsupported);
    let blocked = store.blocklist("10.0.0.1:0/1", Duration::ZERO).await;
    assert_eq!(blocked.expect_err("not an address of a client here").kind, StoreErrorKind::Invalid);
    store.blocklist("127.0.0.1:0/1", Duration::ZERO).await.expect("a client that has gone");
}

/// It goes on as if nothing had happened, and nothing of what it does takes effect or is told as done.
#[tokio::test]
async fn a_client_that_is_blocklisted_changes_nothing() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (one, two) = (store(directory.path()), store(directory.path()));
    let (log, keys) = (ObjectName::from("log"), ObjectName::from("keys"));
    let append =
        |at: u64, text: &'static str| Append { epoch: 1, at, data: vec![text.into()], summary_len: 0, urgent: true };
    one.append(&log, append(0, "before")).await.expect("append");
    one.kv_update(&keys, KvUpdate::default().set("a", "1")).await.expect("update");
    two.blocklist(&one.identity().1, Duration::ZERO).await.expect("blocklist");
    let late = [
        one.append(&log, append(6, "behind")).await,
        one.append(&"new".into(), append(0, "new")).await,
        one.put(&"whole".into(), "x".into()).await,
        one.kv_update(&keys, KvUpdate::default().set("a", "2")).await,
        one.remove(&keys).await,
        one.fence(&log, 9).await.map(drop),
        one.lock(&keys, lock_request()).await,
    ];
    for (index, result) in late.into_iter().enumerate() {
        assert_eq!(result.expect_err("fenced").kind, StoreErrorKind::Fenced, "operation {index}");
    }
    assert_eq!(two.kv_get(&keys, "").await.expect("keys")["a"], "1");
    let tail = LogTail { epoch: 1, len: 6, summary_len: 0 };
    assert_eq!(two.log_tail(&log).await.expect("tail"), tail);
    assert_eq!(two.list("").await.expect("list"), [keys.clone(), log.clone()]);
    two.lock(&keys, lock_request()).await.expect("nobody else holds a lock");
}

fn lock_request() -> LockRequest {
    LockRequest { name: "l".into(), cookie: "c".into(), mode: LockMode::Exclusive, tag: String::new() }
}

/// Of a client whose presence cannot be looked at (another user's, with a strict umask, or this process has no file descriptor left)
/// nobody can say that it has gone.
#[tokio::test]
async fn a_client_that_cannot_be_looked_at_keeps_its_lock() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("store");
    let (one, two) = (store(&path), store(&path));
    let name = ObjectName::from("keys");
    one.kv_update(&name, KvUpdate::default().set("a", "1")).await.expect("a keyed object");
    let request = LockRequest { name: "l".into(), cookie: "c".into(), mode: LockMode::Exclusive, tag: String::new() };
    one.lock(&name, request.clone()).await.expect("nobody has the lock");
    let presence = path.join("clients").join(one.identity().0.trim_start_matches("client."));
    std::fs::rename(&presence, path.join("tmp").join("elsewhere")).expect("the presence is a file");
    std::os::unix::fs::symlink(&presence, &presence).expect("a link that leads nowhere");
    let taken = two.lock(&name, request).await;
    assert!(taken.is_err(), "a living client's lock was given to another");
}

/// Whoever opens the store removes what dead clients left, and looks at files that others are just making.
#[test]
fn stores_that_are_opened_at_the_same_time_open() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("store");
    drop(store(&path));
    let opening = || (0..100).filter_map(|_| DirStore::open(&path).map(drop).err()).collect::<Vec<_>>();
    let errors: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(opening)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
    });
    assert!(errors.is_empty(), "{} of 800 opens failed, first: {}", errors.len(), errors[0]);
}

/// Clients take away what has no living owner, so a folder with others' files in the places of a store's parts becomes none.
#[test]
fn a_folder_in_which_others_keep_files_becomes_no_store() {
    for taken in ["objects/a", "advisory/a", "clients/3", "tmp/1/precious", "tmp/9.fenced/q", "reserve"] {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join(taken);
        std::fs::create_dir_all(file.parent().expect("a parent")).expect("folders");
        std::fs::write(&file, "not lsd's").expect("write");
        let refused = DirStore::open(directory.path()).expect_err("a store among others' files");
        assert_eq!(refused.kind, StoreErrorKind::Invalid, "{taken}: {refused}");
        assert_eq!(std::fs::read(&file).expect("read"), b"not lsd's", "{taken}");
        assert!(!directory.path().join("lsd-store").exists(), "{taken}");
    }
}

#[test]
fn what_an_attempt_to_make_a_store_left_is_no_obstacle() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    std::fs::create_dir(directory.path().join("tmp")).expect("folder");
    std::fs::write(directory.path().join("tmp/lsd-store.1"), "half").expect("write");
    store(directory.path());
}

#[test]
fn there_is_no_store_in_a_store() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    store(directory.path());
    for inside in ["image", "objects/image", "tmp/a"] {
        let refused = DirStore::open(&directory.path().join(inside)).expect_err("a store in a store");
        assert!(matches!(refused.kind, StoreErrorKind::Invalid), "{inside}: {refused}");
    }
}
