//! Rules 3, 6 and 7: what two owners, of whom the older does not know that it is one no more, do to each other.
use super::*;
use common::Gate;
use lsd_core::format::names;
use lsd_core::units::CheckpointId;
use lsd_engine::{ImageRef, RepairOptions};
use lsd_state::limits::CREATE_WINDOW;
use lsd_store::ObjectStore;
use std::sync::Arc;

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

/// A takeover raises the epoch, and then commits its start.
fn second_update() -> impl FnMut(Op, &str) -> bool + Send {
    let mut updates = 0;
    move |op, name| {
        updates += u64::from(is_header(op, name));
        is_header(op, name) && updates == 2
    }
}

/// The old owner looks dead; another client takes the image over and writes.
async fn take_over(cluster: &MemoryCluster, old: &Client) -> Client {
    cluster.expire(&old.memory);
    let heir = Client::open(cluster, settings()).await;
    heir.image.write(1000 * BLOCK, content(77), true).await.unwrap();
    heir
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

/// The lowest number of a segment that is in the pool.
async fn first_number(owner: &Client) -> u64 {
    let names = owner.store.list("lsd_data.").await.unwrap();
    let numbers = names.iter().map(|name| u64::from_str_radix(&name.0.rsplit('.').next().unwrap()[..8], 16).unwrap());
    numbers.min().unwrap()
}

/// More segments than an owner may create at once, one batch each: a second one of this size does not fit.
async fn fill_segments(image: &Image) {
    for index in 1..23 {
        image.write(index * MIB, pattern(index, 1 << 20), false).await.unwrap();
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

/// By then all of the log that the heir's header names is gone, and a window of numbers behind it. Where something of it is left, that
/// says what is missing (rule 13): the heir gives up, and takes the image over again from what the header says now.
#[tokio::test(start_paused = true)]
async fn a_takeover_starts_from_the_last_checkpoint_of_the_old_owner() {
    let cluster = cluster_with_image(64 * MIB).await;
    cluster.forbid_blocklist();
    let old = Client::open(&cluster, settings()).await;
    for block in [0, 1] {
        put(&old.image, block, 1).await;
        old.image.flush().await.unwrap();
    }
    cluster.expire(&old.memory);
    let (heir, gate) = Client::open_gated(&cluster, settings()).await;
    gate.close(is_header);
    let taking = putting(&heir.image, 1000, 77);
    gate.until_waiting(1).await;
    // The heir has read the header, and has not raised the epoch yet.
    fill_segments(&old.image).await;
    for block in [0, 1] {
        put(&old.image, block, 2).await;
        old.image.flush().await.unwrap();
    }
    fill_segments(&old.image).await;
    collecting(&old.image).await.unwrap().unwrap();
    assert!(first_number(&old).await > 1 + CREATE_WINDOW, "segments are left where the heir looks");
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
    gate.close(second_update());
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

/// The first taker dies when it has taken the names, before the header says where its log starts.
#[tokio::test(start_paused = true)]
async fn tombstones_of_a_takeover_that_broke_off_stay() {
    let cluster = without_blocklist().await;
    let old = Client::open(&cluster, settings()).await;
    put(&old.image, 0, 1).await;
    old.image.flush().await.unwrap();
    cluster.expire(&old.memory);
    let (taker, gate) = Client::open_gated(&cluster, settings()).await;
    gate.close(second_update());
    let taking = putting(&taker.image, 1, 2);
    gate.until_waiting(1).await;
    drop(gate.take());
    stop(taking).await;
    taker.crash(&cluster);
    let heir = Client::open(&cluster, settings()).await;
    put(&heir.image, 2, 3).await;
    heir.image.flush().await.unwrap();
    heir.image.collect(&|_, _| Ok(())).await.unwrap();
    let late = putting(&old.image, 20, 4).await.unwrap();
    refused(&cluster, late, &[(20, 4)]).await;
}

#[tokio::test(start_paused = true)]
async fn tombstones_stay_when_an_image_is_repaired() {
    let cluster = without_blocklist().await;
    let old = Client::open(&cluster, settings()).await;
    put(&old.image, 0, 1).await;
    old.image.flush().await.unwrap();
    let heir = take_over(&cluster, &old).await;
    heir.image.close().await.unwrap();
    let disk = ImageRef::Name("disk".into());
    Image::repair(&heir.store, &disk, RepairOptions::default(), &|_, _| Ok(())).await.unwrap();
    let late = putting(&old.image, 20, 2).await.unwrap();
    refused(&cluster, late, &[(20, 2)]).await;
}

/// The old owner's first segment lands without an answer, and what it appends to it next is lost. Before it looks, the new owner has read
/// the segment, overwritten what is in it, and deleted it.
#[tokio::test(start_paused = true)]
async fn an_old_owner_does_not_begin_a_deleted_segment_again() {
    let cluster = without_blocklist().await;
    let (old, gate) = Client::open_gated(&cluster, settings()).await;
    old.image.flush().await.unwrap();
    gate.close(is_log);
    // One batch in each of eight segments, and a second one in the first: all are under way.
    for block in 0..8 {
        put(&old.image, block, 1).await;
        tokio::time::sleep(settings().max_age * 2).await;
    }
    let late = putting(&old.image, 20, 2);
    gate.until_waiting(9).await;
    let waiting = gate.take();
    gate.close(|op, _| op == Op::Look);
    waiting.arrive_without_the_last_and_the_first_answer();
    gate.until_waiting(1).await;
    let heir = take_over(&cluster, &old).await;
    put(&heir.image, 0, 3).await;
    heir.image.flush().await.unwrap();
    heir.image.collect(&|_, _| Ok(())).await.unwrap();
    let names = heir.store.list("lsd_data.").await.unwrap();
    assert!(names.iter().all(|name| !name.0.contains(".00000001.00000001")), "it is deleted: {names:?}");
    gate.open();
    refused(&cluster, late.await.unwrap(), &[(20, 2)]).await;
}

/// A repair has read the header when the old owner, whom nobody sees any more, writes a checkpoint and deletes what that header names.
#[tokio::test(start_paused = true)]
async fn a_repair_starts_from_the_last_checkpoint_of_the_old_owner() {
    let cluster = without_blocklist().await;
    let old = Client::open(&cluster, settings()).await;
    for (block, seed) in [(0, 1), (1, 1), (0, 2), (1, 2)] {
        put(&old.image, block, seed).await;
        old.image.flush().await.unwrap();
    }
    cluster.expire(&old.memory);
    // Something that a repair has to do.
    let stray = CheckpointId { epoch: 1, number: 999 };
    let name = names::map_page(&old.image.info().id.0, stray, 0);
    old.store.put(&name.into(), bytes::Bytes::from_static(b"stray")).await.unwrap();
    let gate = Gate::new(Arc::new(cluster.client()));
    gate.close(is_header);
    let store: Arc<dyn ObjectStore> = gate.clone();
    let disk = ImageRef::Name("disk".into());
    let repair =
        tokio::spawn(async move { Image::repair(&store, &disk, RepairOptions::default(), &|_, _| Ok(())).await });
    gate.until_waiting(1).await;
    // The repair has read the header, and has not raised the epoch yet.
    collecting(&old.image).await.unwrap().unwrap();
    putting(&old.image, 2, 3).await.unwrap().unwrap();
    // It dies when the header says where its epoch starts, before its checkpoint is there.
    let raise = gate.take();
    gate.close(second_update());
    raise.arrive();
    gate.until_waiting(1).await;
    stop(repair).await;
    drop(gate.take());
    expect(&cluster, "a write returned", &[(0, 2), (1, 2), (2, 3)]).await;
}
