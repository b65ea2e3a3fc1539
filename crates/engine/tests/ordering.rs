//! The ordering rules of `protocol.rs`, one test for each way to break them: the course of events in which data is lost without
//! the rule. `tests/mutations` takes the rules away one by one and shows that these tests fail then.
mod common;

use common::{Client, MIB, Op, cluster_with_image, pattern, read, settings};
use lsd_engine::{Error, ErrorKind, Image, Settings};
use lsd_store::MemoryCluster;
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
    for index in 1..28 {
        client.image.write(index * MIB, pattern(index, 800 << 10), false).await.unwrap();
    }
    tokio::time::sleep(LONG).await;
    drop(gate.take());
    client.crash(&cluster);
    let heir = Client::open(&cluster, settings()).await;
    heir.image.collect(&|_, _| Ok(())).await.unwrap();
    let mut stored = 0;
    for name in heir.store.list("lsd_data.").await.unwrap() {
        stored += heir.store.stat(&name).await.unwrap();
    }
    let known = heir.image.space().stored;
    assert_eq!(stored, known, "{} bytes of the log stay in the pool and nobody knows of them", stored - known);
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

/// A write that waits for a leaf of the map when the hand-over begins comes too late for its last checkpoint.
#[tokio::test(start_paused = true)]
async fn nothing_is_accepted_behind_the_last_checkpoint_of_an_owner() {
    let cluster = cluster_with_image(64 * MIB).await;
    let quiet = Settings { cache_bytes: 0, map_cache_bytes: 0, ..settings() };
    let client = Client::open(&cluster, quiet.clone()).await;
    put(&client.image, 0, 1).await;
    client.image.write(40 * MIB, content(1), false).await.unwrap();
    client.image.close().await.unwrap();
    let (first, gate) = Client::open_gated(&cluster, quiet).await;
    put(&first.image, 0, 2).await;
    gate.close(|op, name| op == Op::Read && name.starts_with("lsd_map."));
    let late = putting(&first.image, 40 * MIB / BLOCK, 3);
    gate.until_waiting(1).await;
    let leaf = gate.take();
    gate.close(is_header);
    let second = Client::open(&cluster, settings()).await;
    let taking = putting(&second.image, 1, 4);
    gate.until_waiting(1).await;
    // The last checkpoint is about to be committed: the leaf comes.
    leaf.arrive();
    tokio::time::sleep(LONG).await;
    gate.open();
    taking.await.unwrap().unwrap();
    late.await.unwrap().unwrap();
    expect(&cluster, "a write returned", &[(0, 2), (40 * MIB / BLOCK, 3), (1, 4)]).await;
}

#[tokio::test(start_paused = true)]
async fn a_copy_never_brings_old_data_back() {
    let cluster = cluster_with_image(16 * MIB).await;
    let quiet = Settings { cache_bytes: 0, gc: false, ..settings() };
    let (client, gate) = Client::open_gated(&cluster, quiet).await;
    client.image.write(0, pattern(1, 800 << 10), false).await.unwrap();
    for block in (20..200).step_by(2) {
        client.image.discard(block * BLOCK, BLOCK, false).await.unwrap();
    }
    client.image.flush().await.unwrap();
    gate.close(|op, name| op == Op::Read && name.starts_with("lsd_data."));
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
