//! Keyed and whole objects that several processes change at the same time.
use crate::child::Process;
use lsd_store::{Blobs, DirStore, Keyed, KvUpdate, ObjectName};
use std::collections::BTreeSet;

async fn counter(store: &DirStore) -> usize {
    let present = store.kv_get(&"counter".into(), "").await.expect("read");
    std::str::from_utf8(&present["count"]).expect("text").parse().expect("a number")
}

#[tokio::test]
async fn guarded_updates_of_several_processes_are_all_counted() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let store = DirStore::open(directory.path()).expect("open");
    store.kv_update(&"counter".into(), KvUpdate::default().set("count", "0")).await.expect("create");
    let mut counters: Vec<_> = (0..3).map(|_| Process::start("count", directory.path(), "30")).collect();
    for process in &mut counters {
        assert_eq!(process.hear_all().len(), 30);
    }
    assert_eq!(counter(&store).await, 90);
}

#[tokio::test]
async fn killed_counters_lose_nothing_they_said() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let store = DirStore::open(directory.path()).expect("open");
    store.kv_update(&"counter".into(), KvUpdate::default().set("count", "0")).await.expect("create");
    let mut said = 0;
    for round in 0..6 {
        let mut process = Process::start("count", directory.path(), "100000");
        for _ in 0..=round {
            process.hear().expect("it goes on");
        }
        process.kill();
        said += round + 1 + process.hear_all().len();
        let counted = counter(&store).await;
        assert!((said..=said + round + 1).contains(&counted), "{said} were said, {counted} are there");
    }
}

#[tokio::test]
async fn of_several_putting_processes_one_gets_each_name() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    // A directory that nobody has opened yet, so that they also race for making it a store.
    let path = directory.path().join("new");
    let mut processes: Vec<_> = ["a", "bb", "ccc"].map(|mine| (mine, Process::start("put", &path, mine))).into();
    let mut got = BTreeSet::new();
    let mut whose = Vec::new();
    for (mine, process) in &mut processes {
        for index in process.hear_all() {
            assert!(got.insert(index.clone()), "two processes put {index}");
            whose.push((index, *mine));
        }
    }
    assert_eq!(got.len(), 40);
    let store = DirStore::open(&path).expect("open");
    for (index, mine) in whose {
        let found = store.read(&ObjectName(format!("put.{index}")), 0, 10).await.expect("read");
        assert_eq!(found, mine);
    }
}

#[test]
fn many_processes_open_a_new_directory_at_once() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    for round in 0..3 {
        let path = directory.path().join(format!("store.{round}"));
        let mut processes: Vec<_> = (0..4).map(|_| Process::start("open", &path, "")).collect();
        for process in &mut processes {
            assert_eq!(process.hear().as_deref(), Some("opened"));
        }
    }
}
