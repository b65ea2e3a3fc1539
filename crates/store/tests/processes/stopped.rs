//! A process that is stopped in the middle of its work, wherever that is: others do not wait for it for longer than for its
//! signs of life, and when it goes on it has changed nothing since.
use crate::child::{PIECE, Process, SILENCE, piece};
use lsd_store::{Append, Blobs, DirStore, Keyed, KvUpdate, Logs, ObjectName, Presence};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::path::Path;
use std::time::Duration;

/// Each stops the other process at another place of its work; most of its time it holds the object's lock.
const ROUNDS: u64 = 6;

fn signal(process: &Process, signal: Signal) {
    kill(Pid::from_raw(process.pid()), signal).expect("a signal");
}

/// Starts a worker, stops it after a while, and opens the store beside it.
fn stopped_worker(directory: &Path, what: &str, round: u64) -> (Process, DirStore) {
    let mut worker = Process::start("work", directory, what);
    worker.hear().expect("its address");
    worker.hear().expect("its first success");
    std::thread::sleep(Duration::from_micros(20_000 + round * 777));
    signal(&worker, Signal::SIGSTOP);
    (worker, DirStore::open_existing(directory).expect("opening waits for nobody"))
}

/// What the worker says after it goes on: the successes that it still told, and its end.
fn end_of(mut worker: Process) -> (u64, String) {
    signal(&worker, Signal::SIGCONT);
    let words = worker.hear_all();
    let told = words.iter().filter_map(|words| words.parse().ok()).next_back().unwrap_or(1);
    (told, words.into_iter().find(|words| words.starts_with("failed")).expect("an end"))
}

#[tokio::test]
async fn keys_are_taken_over_from_a_stopped_process() {
    for round in 0..ROUNDS {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let name = ObjectName::from("keys");
        let first = DirStore::open(directory.path()).expect("open");
        first.kv_update(&name, KvUpdate::default().set("count", "0")).await.expect("create");
        drop(first);
        let (worker, store) = stopped_worker(directory.path(), "keys", round);
        let addr = store.watchers(&name).await.expect("watchers")[0].addr.clone();
        tokio::time::sleep(SILENCE * 2).await;
        assert_eq!(store.watchers(&name).await.expect("watchers"), [], "a silent watcher does not count");
        // As a new owner does.
        store.blocklist(&addr, Duration::ZERO).await.expect("blocklist");
        store.kv_update(&name, KvUpdate::default().set("owner", "new")).await.expect("update");
        let seen = store.kv_get(&name, "").await.expect("keys");
        let (told, end) = end_of(worker);
        assert_eq!(end, "failed Fenced");
        assert_eq!(store.kv_get(&name, "").await.expect("keys"), seen, "a late update took effect");
        let count: u64 = std::str::from_utf8(&seen["count"]).expect("text").parse().expect("a number");
        assert!(count >= told, "{told} was told as done, and {count} was found");
    }
}

#[tokio::test]
async fn a_log_is_taken_over_from_a_stopped_process() {
    for round in 0..ROUNDS {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let name = ObjectName::from("log");
        let first = DirStore::open(directory.path()).expect("open");
        let begin = Append { epoch: 1, at: 0, data: vec![piece(0)], summary_len: 0, urgent: false };
        first.append(&name, begin).await.expect("create");
        drop(first);
        let (worker, store) = stopped_worker(directory.path(), "log", round);
        // Whether it holds the lock or not: nobody else asks for it, so it must be found out here.
        let tail = store.fence(&name, 2).await.expect("fence");
        let end = Append { epoch: 2, at: tail.len, data: vec!["end".into()], summary_len: 0, urgent: false };
        store.append(&name, end).await.expect("append");
        let (told, failure) = end_of(worker);
        assert!(["failed Fenced", "failed Stale"].contains(&&*failure), "{failure}");
        assert_eq!(store.log_tail(&name).await.expect("tail").len, tail.len + 3, "a late append took effect");
        assert_eq!(store.read(&name, tail.len, 99).await.expect("end"), "end");
        assert!(tail.len >= (told + 1) * PIECE as u64, "{told} was told as done, and {} bytes were found", tail.len);
        for index in 0..=told {
            let found = store.read(&name, index * PIECE as u64, PIECE as u64).await.expect("read");
            assert!(found == piece(index), "piece {index} was changed");
        }
    }
}

/// It was stopped for a while, and nobody took anything over: it goes on, and knows that its watch has ended.
#[tokio::test]
async fn a_process_that_nobody_waited_for_goes_on() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let name = ObjectName::from("keys");
    let first = DirStore::open(directory.path()).expect("open");
    first.kv_update(&name, KvUpdate::default().set("count", "0")).await.expect("create");
    let mut worker = Process::start("work", directory.path(), "keys");
    worker.hear().expect("its address");
    worker.hear().expect("its first success");
    signal(&worker, Signal::SIGSTOP);
    tokio::time::sleep(SILENCE * 2).await;
    signal(&worker, Signal::SIGCONT);
    while worker.hear().expect("it goes on") != "lost TimedOut" {}
    worker.hear().expect("a success");
}
