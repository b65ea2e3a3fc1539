//! The ordering rules of `protocol.rs`, one test for each way to break them: the course of events in which data is lost without
//! the rule. `tests/mutations` takes the rules away one by one and shows that these tests fail then.
mod common;

use common::{Client, MIB, Op, cluster_with_image, pattern, read, settings};
use lsd_engine::{Error, ErrorKind, Image, Settings, Thresholds};
use lsd_store::{MEMORY_POOL, MemoryCluster};
use std::time::Duration;
use tokio::task::JoinHandle;

const BLOCK: u64 = 4096;
/// Longer than anything takes that nothing holds up; virtual time.
const LONG: Duration = Duration::from_secs(10);

fn content(seed: u64) -> bytes::Bytes {
    pattern(seed, BLOCK as usize)
}

async fn put(image: &Image, block: u64, seed: u64) {
    image.write(block * BLOCK, content(seed), false).await.unwrap();
}

/// A write that is durable when it returns, under way.
fn putting(image: &Image, block: u64, seed: u64) -> JoinHandle<Result<(), Error>> {
    let image = image.clone();
    tokio::spawn(async move { image.write(block * BLOCK, content(seed), true).await })
}

fn collecting(image: &Image) -> JoinHandle<Result<(), Error>> {
    let image = image.clone();
    tokio::spawn(async move { image.collect(&|_, _| Ok(())).await })
}

async fn stop<T>(task: JoinHandle<T>) {
    task.abort();
    let _ = task.await;
}

/// Whoever opens the image now finds these blocks. `promised`: why they must be there.
async fn expect(cluster: &MemoryCluster, promised: &str, blocks: &[(u64, u64)]) {
    let reader = match Client::try_open(cluster, settings(), true).await {
        Ok(reader) => reader,
        Err(error) => panic!("{promised}, and now the image does not open: {error}"),
    };
    for (block, seed) in blocks {
        match reader.image.read(block * BLOCK, BLOCK).await {
            Ok(found) if found.to_bytes() == content(*seed) => {}
            Ok(found) if found.to_bytes().iter().all(|byte| *byte == 0) => {
                panic!("{promised}, and block {block} is lost: it reads as zeroes");
            }
            Ok(_) => panic!("{promised}, and block {block} is lost: it has other content"),
            Err(error) => panic!("{promised}, and block {block} is lost: {error}"),
        }
    }
}

/// An old owner's write: either it was refused, or it is there.
async fn refused(cluster: &MemoryCluster, result: Result<(), Error>, blocks: &[(u64, u64)]) {
    if result.is_ok() {
        expect(cluster, "a write of the old owner returned after the takeover", blocks).await;
    }
    assert_eq!(result.unwrap_err().kind, ErrorKind::Fenced);
}

/// An image whose old owner cannot be blocklisted: only the rules keep it out.
async fn without_blocklist() -> MemoryCluster {
    let cluster = cluster_with_image(16 * MIB).await;
    cluster.forbid_blocklist();
    cluster
}

/// The old owner looks dead; another client takes the image over and writes.
async fn take_over(cluster: &MemoryCluster, old: &Client) -> Client {
    cluster.expire(&old.memory);
    let heir = Client::open(cluster, settings()).await;
    heir.image.write(1000 * BLOCK, content(77), true).await.unwrap();
    heir
}

fn first_creation() -> impl FnMut(Op, &str) -> bool + Send {
    let mut met = false;
    move |op, _| op == Op::Create && !std::mem::replace(&mut met, true)
}

fn is_header(op: Op, name: &str) -> bool {
    op == Op::Update && name.starts_with("lsd_header.")
}

fn is_log(op: Op, name: &str) -> bool {
    op != Op::Read && name.starts_with("lsd_data.")
}

#[tokio::test(start_paused = true)]
async fn replay_applies_writes_in_the_order_in_which_they_were_seen() {
    let cluster = cluster_with_image(MIB).await;
    let client = Client::open(&cluster, settings()).await;
    for seed in 1..6 {
        put(&client.image, 0, seed).await;
    }
    assert_eq!(read(&client.image, 0, BLOCK).await, content(5));
    client.image.flush().await.unwrap();
    client.crash(&cluster);
    expect(&cluster, "a flush returned", &[(0, 5)]).await;
}

#[tokio::test(start_paused = true)]
async fn a_flush_waits_for_every_batch_before_its_own() {
    let cluster = cluster_with_image(MIB).await;
    let (client, gate) = Client::open_gated(&cluster, settings()).await;
    put(&client.image, 0, 1).await;
    client.image.flush().await.unwrap();
    gate.close(first_creation());
    let first = putting(&client.image, 1, 2);
    gate.until_waiting(1).await;
    put(&client.image, 2, 3).await;
    if tokio::time::timeout(LONG, client.image.flush()).await.is_err() {
        gate.open();
        client.image.flush().await.unwrap();
    }
    // The flush has returned, whenever that was: what is still under way never arrives.
    drop(gate.take());
    stop(first).await;
    client.crash(&cluster);
    expect(&cluster, "a flush returned", &[(0, 1), (1, 2), (2, 3)]).await;
}

/// Everything of the log that is in the pool is known to whoever owns the image.
async fn expect_nothing_left_behind(owner: &Client) {
    owner.image.collect(&|_, _| Ok(())).await.unwrap();
    let mut stored = 0;
    for name in owner.store.list("lsd_data.").await.unwrap() {
        stored += owner.store.stat(&name).await.unwrap();
    }
    let known = owner.image.space().stored;
    assert!(stored == known, "{} bytes of the log stay in the pool and nobody knows of them", stored - known);
}

/// More segments than an owner may create at once, one batch each.
async fn fill_segments(image: &Image) {
    for index in 1..28 {
        image.write(index * MIB, pattern(index, 800 << 10), false).await.unwrap();
    }
    tokio::time::sleep(LONG).await;
}

/// What is written beyond a hole in the numbers is not lost by that: the log ends before it anyway. But nobody would ever find it.
#[tokio::test(start_paused = true)]
async fn an_owner_leaves_nothing_where_the_next_one_does_not_look() {
    let cluster = cluster_with_image(64 * MIB).await;
    let (client, gate) = Client::open_gated(&cluster, settings()).await;
    put(&client.image, 0, 1).await;
    client.image.flush().await.unwrap();
    let mut creations = 0;
    gate.close(move |op, _| {
        creations += u64::from(op == Op::Create);
        op == Op::Create && creations <= 20
    });
    fill_segments(&client.image).await;
    drop(gate.take());
    client.crash(&cluster);
    let heir = Client::open(&cluster, settings()).await;
    expect_nothing_left_behind(&heir).await;
    expect(&cluster, "a flush returned", &[(0, 1)]).await;
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_names_nothing_that_is_not_durable() {
    let cluster = cluster_with_image(MIB).await;
    let (client, gate) = Client::open_gated(&cluster, settings()).await;
    put(&client.image, 0, 1).await;
    client.image.flush().await.unwrap();
    gate.close(is_log);
    put(&client.image, 0, 2).await;
    let checkpoint = collecting(&client.image);
    tokio::time::sleep(LONG).await;
    drop(gate.take());
    stop(checkpoint).await;
    client.crash(&cluster);
    expect(&cluster, "a flush returned, what overwrote it never arrived", &[(0, 1)]).await;
}

#[tokio::test(start_paused = true)]
async fn a_segment_that_the_map_points_at_stays() {
    let cluster = cluster_with_image(MIB).await;
    let client = Client::open(&cluster, settings()).await;
    for block in 0..20 {
        put(&client.image, block, block).await;
        client.image.flush().await.unwrap();
    }
    client.image.close().await.unwrap();
    expect(&cluster, "the image was closed", &(0..20).map(|block| (block, block)).collect::<Vec<_>>()).await;
}

/// Seven segments are filled and overwritten again and again; an eighth stays open, so replay starts there.
#[tokio::test(start_paused = true)]
async fn a_segment_that_replay_looks_for_stays() {
    let cluster = cluster_with_image(16 * MIB).await;
    let settings = Settings { checkpoint_log_bytes: 1, ..settings() };
    let (client, gate) = Client::open_gated(&cluster, settings).await;
    for seed in 0..4 {
        put(&client.image, 0, seed).await;
        client.image.flush().await.unwrap();
        for lane in 1..8 {
            client.image.write(lane * MIB, pattern(seed, 800 << 10), false).await.unwrap();
            client.image.flush().await.unwrap();
        }
        tokio::time::sleep(LONG).await;
    }
    // No checkpoint spares the next owner what follows.
    gate.close(is_header);
    for block in 1..8 {
        put(&client.image, block, 50 + block).await;
        client.image.flush().await.unwrap();
    }
    client.crash(&cluster);
    drop(gate.take());
    expect(&cluster, "a flush returned", &(1..8).map(|block| (block, 50 + block)).collect::<Vec<_>>()).await;
}

#[tokio::test(start_paused = true)]
async fn what_the_last_checkpoint_needs_stays_until_the_next_one_is_in_force() {
    let cluster = cluster_with_image(MIB).await;
    let client = Client::open(&cluster, settings()).await;
    for block in 0..20 {
        put(&client.image, block, block).await;
    }
    client.image.close().await.unwrap();
    let (client, gate) = Client::open_gated(&cluster, settings()).await;
    put(&client.image, 0, 50).await;
    client.image.flush().await.unwrap();
    gate.close(is_header);
    let checkpoint = collecting(&client.image);
    gate.until_waiting(1).await;
    tokio::time::sleep(LONG).await;
    drop(gate.take());
    stop(checkpoint).await;
    client.crash(&cluster);
    let kept = (0..20).map(|block| (block, if block == 0 { 50 } else { block }));
    expect(&cluster, "a flush returned", &kept.collect::<Vec<_>>()).await;
}

#[tokio::test(start_paused = true)]
async fn an_old_owner_commits_no_checkpoint() {
    let cluster = without_blocklist().await;
    let (old, gate) = Client::open_gated(&cluster, settings()).await;
    put(&old.image, 0, 1).await;
    old.image.flush().await.unwrap();
    gate.close(is_header);
    let checkpoint = collecting(&old.image);
    gate.until_waiting(1).await;
    let heir = take_over(&cluster, &old).await;
    put(&heir.image, 0, 2).await;
    heir.image.flush().await.unwrap();
    gate.open();
    let late = checkpoint.await.unwrap();
    expect(&cluster, "a flush of the new owner returned", &[(0, 2)]).await;
    assert_eq!(late.unwrap_err().kind, ErrorKind::Fenced);
}

#[tokio::test(start_paused = true)]
async fn an_old_owner_appends_to_none_of_its_segments() {
    let cluster = without_blocklist().await;
    let old = Client::open(&cluster, settings()).await;
    for block in 0..8 {
        put(&old.image, block, 1).await;
        old.image.flush().await.unwrap();
    }
    let _heir = take_over(&cluster, &old).await;
    let late = putting(&old.image, 20, 2).await.unwrap();
    refused(&cluster, late, &[(20, 2)]).await;
}

#[tokio::test(start_paused = true)]
async fn a_record_that_lands_before_its_segment_is_fenced_is_read() {
    let cluster = without_blocklist().await;
    let old = Client::open(&cluster, settings()).await;
    for block in 0..8 {
        put(&old.image, block, 1).await;
        old.image.flush().await.unwrap();
    }
    cluster.expire(&old.memory);
    let (heir, gate) = Client::open_gated(&cluster, settings()).await;
    gate.close(|op, _| op == Op::Fence);
    let taking = putting(&heir.image, 1000, 77);
    gate.until_waiting(8).await;
    putting(&old.image, 20, 2).await.unwrap().unwrap();
    gate.open();
    taking.await.unwrap().unwrap();
    expect(&cluster, "a write returned", &[(0, 1), (7, 1), (20, 2), (1000, 77)]).await;
}

#[tokio::test(start_paused = true)]
async fn a_takeover_starts_from_the_last_checkpoint_of_the_old_owner() {
    let cluster = without_blocklist().await;
    let old = Client::open(&cluster, settings()).await;
    for (block, seed) in [(0, 1), (1, 1), (0, 2), (1, 2)] {
        put(&old.image, block, seed).await;
        old.image.flush().await.unwrap();
    }
    cluster.expire(&old.memory);
    let (heir, gate) = Client::open_gated(&cluster, settings()).await;
    gate.close(is_header);
    let taking = putting(&heir.image, 1000, 77);
    gate.until_waiting(1).await;
    // The heir has read the header, and has not raised the epoch yet.
    collecting(&old.image).await.unwrap().unwrap();
    putting(&old.image, 2, 3).await.unwrap().unwrap();
    gate.open();
    let taken = taking.await.unwrap();
    expect(&cluster, "a write returned", &[(0, 2), (1, 2), (2, 3)]).await;
    taken.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_old_owner_creates_no_segment_after_its_last_one() {
    let cluster = without_blocklist().await;
    let old = Client::open(&cluster, settings()).await;
    put(&old.image, 0, 1).await;
    old.image.flush().await.unwrap();
    let _heir = take_over(&cluster, &old).await;
    let late = putting(&old.image, 20, 2).await.unwrap();
    refused(&cluster, late, &[(20, 2)]).await;
}

/// Its second segment is under way while the third is there already.
#[tokio::test(start_paused = true)]
async fn an_old_owner_creates_no_segment_that_it_had_left_out() {
    let cluster = without_blocklist().await;
    let (old, gate) = Client::open_gated(&cluster, settings()).await;
    put(&old.image, 0, 1).await;
    old.image.flush().await.unwrap();
    gate.close(first_creation());
    let left_out = putting(&old.image, 20, 2);
    gate.until_waiting(1).await;
    let behind_it = putting(&old.image, 21, 3);
    tokio::time::sleep(LONG).await;
    assert_eq!(old.store.list("lsd_data.").await.unwrap().len(), 2, "the third segment is there");
    let heir = take_over(&cluster, &old).await;
    gate.open();
    refused(&cluster, left_out.await.unwrap(), &[(20, 2)]).await;
    refused(&cluster, behind_it.await.unwrap(), &[(20, 2), (21, 3)]).await;
    heir.crash(&cluster);
    expect(&cluster, "a flush returned", &[(0, 1), (1000, 77)]).await;
}

/// One name that is taken is enough to keep its flushes from returning; all of them keep what it sends late out of the pool.
#[tokio::test(start_paused = true)]
async fn what_an_old_owner_sends_late_does_not_stay_in_the_pool() {
    let cluster = cluster_with_image(64 * MIB).await;
    cluster.forbid_blocklist();
    let (old, gate) = Client::open_gated(&cluster, settings()).await;
    put(&old.image, 0, 1).await;
    old.image.flush().await.unwrap();
    gate.close(|op, _| op == Op::Create);
    fill_segments(&old.image).await;
    let heir = take_over(&cluster, &old).await;
    gate.open();
    tokio::time::sleep(LONG).await;
    assert_eq!(old.image.flush().await.unwrap_err().kind, ErrorKind::Fenced);
    expect_nothing_left_behind(&heir).await;
    expect(&cluster, "a flush returned", &[(0, 1), (1000, 77)]).await;
}

/// The new owner dies before the header says where its log starts.
#[tokio::test(start_paused = true)]
async fn a_new_owner_writes_only_when_its_start_is_committed() {
    let cluster = cluster_with_image(MIB).await;
    let client = Client::open(&cluster, settings()).await;
    put(&client.image, 0, 1).await;
    client.image.flush().await.unwrap();
    client.crash(&cluster);
    let (heir, gate) = Client::open_gated(&cluster, settings()).await;
    let mut updates = 0;
    gate.close(move |op, name| {
        updates += u64::from(is_header(op, name));
        is_header(op, name) && updates == 2
    });
    let mut writing = putting(&heir.image, 5, 2);
    gate.until_waiting(1).await;
    if tokio::time::timeout(LONG, &mut writing).await.is_err() {
        gate.open();
        writing.await.unwrap().unwrap();
    }
    drop(gate.take());
    heir.crash(&cluster);
    expect(&cluster, "a write returned", &[(0, 1), (5, 2)]).await;
}

/// A full pool lets no checkpoint be written, so waiting for the log is all that keeps what was accepted.
#[tokio::test(start_paused = true)]
async fn an_owner_keeps_the_image_until_its_log_is_durable() {
    let cluster = cluster_with_image(16 * MIB).await;
    let first = Client::open(&cluster, settings()).await;
    put(&first.image, 0, 1).await;
    first.image.flush().await.unwrap();
    cluster.set_full(MEMORY_POOL, true);
    put(&first.image, 1, 2).await;
    let second = Client::open(&cluster, settings()).await;
    let taking = putting(&second.image, 2, 3);
    tokio::time::sleep(LONG).await;
    cluster.set_full(MEMORY_POOL, false);
    let taken = taking.await.unwrap();
    first.image.flush().await.unwrap();
    expect(&cluster, "a flush returned", &[(0, 1), (1, 2)]).await;
    taken.unwrap();
    expect(&cluster, "a write returned", &[(0, 1), (1, 2), (2, 3)]).await;
}

fn is_data_read(op: Op, name: &str) -> bool {
    op == Op::Read && name.starts_with("lsd_data.")
}

/// A write that waits for garbage collection, for a second at most, goes on while the last checkpoint is being committed.
#[tokio::test(start_paused = true)]
async fn nothing_is_accepted_behind_the_last_checkpoint_of_an_owner() {
    let cluster = cluster_with_image(MIB).await;
    let gc_thresholds = Thresholds { start_percent: 44, stop_percent: 40, limit_percent: 48, least_live: 0 };
    let (first, gate) = Client::open_gated(&cluster, Settings { gc_thresholds, cache_bytes: 0, ..settings() }).await;
    gate.close(is_data_read);
    put(&first.image, 0, 1).await;
    first.image.flush().await.unwrap();
    // Half of the log is garbage, and collection does not get on.
    let late = putting(&first.image, 1, 2);
    gate.until_waiting(1).await;
    gate.close(|op, name| is_header(op, name) || is_data_read(op, name));
    let second = Client::open(&cluster, settings()).await;
    let taking = putting(&second.image, 2, 3);
    gate.until_waiting(2).await;
    assert!(!late.is_finished());
    tokio::time::sleep(LONG).await;
    gate.open();
    taking.await.unwrap().unwrap();
    late.await.unwrap().unwrap();
    expect(&cluster, "a write returned", &[(0, 1), (1, 2), (2, 3)]).await;
}

/// The image is handed over while a copy is under way, and taken back because who asked for it died.
#[tokio::test(start_paused = true)]
async fn nothing_is_copied_behind_the_last_checkpoint_of_an_owner() {
    let cluster = cluster_with_image(16 * MIB).await;
    let (first, gate) = Client::open_gated(&cluster, Settings { cache_bytes: 0, gc: false, ..settings() }).await;
    write_half_dead(&first.image).await;
    gate.close(is_data_read);
    let collection = collecting(&first.image);
    gate.until_waiting(1).await;
    gate.take().arrive();
    gate.until_waiting(1).await;
    let read = gate.take();
    gate.close(is_header);
    let second = Client::open(&cluster, settings()).await;
    let taking = putting(&second.image, 1000, 77);
    gate.until_waiting(1).await;
    let commit = gate.take();
    gate.close(is_log);
    read.arrive();
    tokio::time::sleep(Duration::from_millis(10)).await;
    stop(taking).await;
    second.crash(&cluster);
    commit.arrive();
    tokio::time::sleep(LONG).await;
    assert!(!first.image.is_lock_owner());
    drop(gate.take());
    gate.open();
    let _ = collection.await.unwrap();
    putting(&first.image, 1000, 5).await.unwrap().unwrap();
    first.crash(&cluster);
    expect(&cluster, "a write returned", &[(1000, 5)]).await;
}

/// 800 KiB of which every other block is discarded again, apart from the first ones.
async fn write_half_dead(image: &Image) {
    image.write(0, pattern(1, 800 << 10), false).await.unwrap();
    for block in (20..200).step_by(2) {
        image.discard(block * BLOCK, BLOCK, false).await.unwrap();
    }
    image.flush().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_copy_never_brings_old_data_back() {
    let cluster = cluster_with_image(16 * MIB).await;
    let quiet = Settings { cache_bytes: 0, gc: false, ..settings() };
    let (client, gate) = Client::open_gated(&cluster, quiet).await;
    write_half_dead(&client.image).await;
    gate.close(is_data_read);
    let collection = collecting(&client.image);
    gate.until_waiting(1).await;
    // What the segment holds, then what still lives there.
    gate.take().arrive();
    gate.until_waiting(1).await;
    put(&client.image, 0, 50).await;
    put(&client.image, 7, 51).await;
    gate.open();
    collection.await.unwrap().unwrap();
    client.image.flush().await.unwrap();
    assert_eq!(read(&client.image, 0, BLOCK).await, content(50), "a copy overwrote newer data");
    client.crash(&cluster);
    expect(&cluster, "a flush returned", &[(0, 50), (7, 51)]).await;
}
