//! The directory store passes the contract, alone and with two clients in one process.
use lsd_store::{DirStore, ObjectStore, PoolId, StoreErrorKind, contract};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

fn store(path: &Path) -> Arc<dyn ObjectStore> {
    Arc::new(DirStore::open(path).expect("open"))
}

#[tokio::test]
async fn contract_on_a_directory() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("missing/so far");
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
    let blocked = store.blocklist("127.0.0.1:0/1", Duration::ZERO).await;
    assert_eq!(blocked.expect_err("no blocklist").kind, StoreErrorKind::Unsupported);
}
