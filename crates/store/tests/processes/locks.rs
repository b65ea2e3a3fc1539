//! Locks and watches of a process that lives, and of one that was killed.
use crate::child::{PATIENCE, Process, exclusive};
use lsd_store::{Blobs, DirStore, Keyed, KvUpdate, ObjectName, Presence, StoreErrorKind};
use std::time::{Duration, Instant};

async fn store_with(directory: &std::path::Path, name: &ObjectName) -> DirStore {
    let store = DirStore::open(directory).expect("open");
    store.kv_update(name, KvUpdate::default().set("a", "1")).await.expect("create");
    store
}

#[tokio::test]
async fn a_killed_process_loses_its_lock_and_its_watch() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let name = ObjectName::from("header");
    let store = store_with(directory.path(), &name).await;
    let mut holder = Process::start("hold", directory.path(), "header");
    let theirs = holder.hear().expect("its name");
    assert_eq!(store.lock(&name, exclusive("mine")).await.expect_err("held").kind, StoreErrorKind::Busy);
    let state = store.lock_state(&name, "lock").await.expect("state");
    assert_eq!(state.lockers.iter().map(|locker| &locker.client).collect::<Vec<_>>(), [&theirs]);
    assert_eq!(store.watchers(&name).await.expect("watchers").len(), 1);
    holder.kill();
    assert_eq!(store.lock_state(&name, "lock").await.expect("state").lockers, []);
    assert_eq!(store.watchers(&name).await.expect("watchers"), []);
    let start = Instant::now();
    let reply = store.notify(&name, "anybody?".into(), PATIENCE).await.expect("notify");
    assert!(reply.acks.is_empty() && reply.timed_out.is_empty(), "{reply:?}");
    assert!(start.elapsed() < PATIENCE / 2, "nobody waits for the dead");
    store.lock(&name, exclusive("mine")).await.expect("lock after the holder's death");
    let gone = store.break_lock(&name, "lock", &state.lockers[0]).await.expect_err("not held any more");
    assert_eq!(gone.kind, StoreErrorKind::NotFound);
    drop(store);
    // Whoever opens the directory next clears up behind the dead.
    let store = DirStore::open(directory.path()).expect("open");
    let left = std::fs::read_dir(directory.path().join("clients")).expect("clients").count();
    assert_eq!(left, 1, "{store:?} is the only client");
    drop(store);
    assert_eq!(std::fs::read_dir(directory.path().join("clients")).expect("clients").count(), 0);
}

#[tokio::test]
async fn a_notification_reaches_another_process_and_brings_its_answer() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let name = ObjectName::from("header");
    let store = store_with(directory.path(), &name).await;
    let mut holder = Process::start("hold", directory.path(), "header");
    let theirs = holder.hear().expect("its name");
    let large = bytes::Bytes::from(vec![b'x'; 60_000]);
    for payload in ["hello".into(), large] {
        let reply = store.notify(&name, payload.clone(), PATIENCE).await.expect("notify");
        let acks: Vec<_> = reply.acks.iter().map(|(who, what)| (format!("client.{}", who.client), what)).collect();
        assert_eq!(acks, [(theirs.clone(), &[b"echo ", &payload[..]].concat().into())]);
    }
    let too_large = store.notify(&name, vec![0; 70_000].into(), PATIENCE).await;
    assert_eq!(too_large.expect_err("too large").kind, StoreErrorKind::Invalid);
    // More at once than a socket's queue holds.
    let many: Vec<_> = (0..50).map(|n: u32| store.notify(&name, n.to_string().into(), PATIENCE)).collect();
    for (number, reply) in futures::future::join_all(many).await.into_iter().enumerate() {
        let reply = reply.expect("notify");
        assert_eq!(reply.acks.len(), 1, "notification {number}: {reply:?}");
        assert_eq!(reply.acks[0].1, format!("echo {number}"));
    }
    store.remove(&name).await.expect("remove");
    assert_eq!(holder.hear().as_deref(), Some("lost NotFound"), "a watch ends with its object");
}

#[tokio::test]
async fn a_notifier_does_not_wait_for_a_process_that_dies() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let name = ObjectName::from("header");
    let store = store_with(directory.path(), &name).await;
    let mut holder = Process::start("hold", directory.path(), "header");
    holder.hear().expect("its name");
    let pid = nix::unistd::Pid::from_raw(holder.pid());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGSTOP).expect("stop");
    let reply = store.notify(&name, "?".into(), Duration::from_millis(700)).await.expect("notify");
    assert_eq!((reply.acks.len(), reply.timed_out.len()), (0, 1), "a stopped process is there but silent");
    let start = Instant::now();
    let flight = store.notify(&name, "?".into(), PATIENCE);
    tokio::time::sleep(Duration::from_millis(100)).await;
    holder.kill();
    let reply = flight.await.expect("notify");
    assert!(reply.acks.is_empty() && reply.timed_out.is_empty(), "{reply:?}");
    assert!(start.elapsed() < PATIENCE / 2, "took {:?}", start.elapsed());
}
