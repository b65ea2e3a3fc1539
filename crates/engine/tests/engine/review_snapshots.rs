//! What a review of snapshots found. Each test that is ignored shows a fault that is still there.
use crate::common::{BLOCK, Client, Gate, LONG, MIB, Op, cluster_with_image, content, kind, read, settings, silent};
use lsd_engine::{ErrorKind, Fault, Image, ImageRef, OpenOptions, RepairOptions, Severity, SnapRef};
use lsd_store::{Blobs, MemoryCluster, ObjectName, ObjectStore, Pools};
use std::sync::Arc;
use std::time::Duration;

fn disk() -> ImageRef {
    ImageRef::Name("disk".into())
}

fn is_header(op: Op, name: &str) -> bool {
    op == Op::Update && name.starts_with("lsd_header.")
}

async fn open_at(store: &Arc<dyn ObjectStore>, name: &str) -> lsd_engine::Result<Image> {
    let snapshot = Some(SnapRef::Name(name.into()));
    let options = OpenOptions { snapshot, settings: settings(), ..OpenOptions::default() };
    Image::open(store, &disk(), &options).await
}

async fn snapshot(cluster: &MemoryCluster, name: &str) -> Image {
    let store: Arc<dyn ObjectStore> = Arc::new(cluster.client());
    open_at(&store, name).await.unwrap()
}

async fn put(image: &Image, block: u64, seed: u64) {
    image.write(block * BLOCK, content(seed), false).await.unwrap();
}

/// What is worse than a note.
async fn findings(cluster: &MemoryCluster) -> Vec<(String, Fault)> {
    let store: Arc<dyn ObjectStore> = Arc::new(cluster.client());
    let report = Image::check(&store, &disk(), &silent).await.unwrap();
    let worse = report.findings.into_iter().filter(|finding| finding.fault.severity() > Severity::Note);
    worse.map(|finding| (finding.object, finding.fault)).collect()
}

async fn expect_clean(cluster: &MemoryCluster) {
    assert_eq!(findings(cluster).await, []);
}

async fn pages(cluster: &MemoryCluster) -> Vec<ObjectName> {
    cluster.client().list("lsd_map.").await.unwrap()
}

async fn changed(image: &Image, from: &Image) -> Vec<(u64, u64)> {
    let mut found = Vec::new();
    let mut each = |change: lsd_engine::Extent| {
        found.push((change.offset / BLOCK, change.len / BLOCK));
        Ok(())
    };
    image.changes(Some(from), 0, u64::MAX, &mut each).await.unwrap();
    found
}

/// The log does not know of a rollback: who replays it from its beginning brings back what was rolled back.
#[tokio::test(start_paused = true)]
async fn a_repair_from_the_log_does_not_undo_a_rollback() {
    let cluster = cluster_with_image(64 * MIB).await;
    let client = Client::open(&cluster, settings()).await;
    put(&client.image, 0, 1).await;
    client.image.snapshots().create("good").await.unwrap();
    put(&client.image, 0, 2).await;
    client.image.snapshots().create("bad").await.unwrap();
    client.image.snapshots().rollback("good").await.unwrap();
    let before = pages(&cluster).await;
    // In another leaf.
    put(&client.image, 40 * MIB / BLOCK, 3).await;
    client.image.close().await.unwrap();
    assert!(read(&Client::try_open(&cluster, settings(), true).await.unwrap().image, 0, BLOCK).await == content(1));
    let store: Arc<dyn ObjectStore> = Arc::new(cluster.client());
    // The first of the new pages has the leaf, the last is the root.
    let new: Vec<ObjectName> = pages(&cluster).await.into_iter().filter(|page| !before.contains(page)).collect();
    assert_eq!(new.len(), 2, "{new:?}");
    store.remove(&new[0]).await.unwrap();
    let options = RepairOptions { watch_timeout: Duration::from_secs(1), ..RepairOptions::default() };
    let report = Image::repair(&store, &disk(), options, &silent).await.unwrap();
    if report.refused.is_some() {
        return;
    }
    let client = Client::try_open(&cluster, settings(), true).await.unwrap();
    assert!(read(&client.image, 0, BLOCK).await == content(1), "repaired without a word to what was rolled back");
}

/// Who makes room in a full pool by removing a snapshot gets it.
#[tokio::test(start_paused = true)]
async fn a_removed_snapshot_gives_its_space_back_in_a_full_pool() {
    remove_in_full_pool(false).await;
}

/// The same when the guest has found out that it is full: what it wrote waits for room.
#[tokio::test(start_paused = true)]
async fn a_removed_snapshot_gives_its_space_back_in_a_full_pool_that_is_written_to() {
    remove_in_full_pool(true).await;
}

async fn remove_in_full_pool(is_written: bool) {
    let cluster = cluster_with_image(64 * MIB).await;
    let client = Client::open(&cluster, settings()).await;
    for block in 0..16 * MIB / BLOCK {
        put(&client.image, block, block).await;
    }
    client.image.snapshots().create("s").await.unwrap();
    for block in 0..16 * MIB / BLOCK {
        put(&client.image, block, 10_000 + block).await;
    }
    client.image.flush().await.unwrap();
    let before = cluster.client().list("lsd_data.").await.unwrap().len();
    cluster.set_full(lsd_store::MEMORY_POOL, true);
    if is_written {
        let full = client.image.write(0, content(1), true).await;
        assert_eq!(kind(full), Some(ErrorKind::NoSpace));
    }
    client.image.snapshots().remove("s").await.unwrap();
    tokio::time::sleep(Duration::from_secs(600)).await;
    let after = cluster.client().list("lsd_data.").await.unwrap().len();
    assert!(after < before - 8, "{after} of {before} segments are still there");
}

/// Counts of pages that are lost with a snapshot's root are those of other snapshots, too.
#[tokio::test(start_paused = true)]
async fn a_repair_beside_a_damaged_snapshot_keeps_what_the_others_need() {
    let cluster = cluster_with_image(64 * MIB).await;
    let client = Client::open(&cluster, settings()).await;
    put(&client.image, 0, 1).await;
    client.image.snapshots().create("one").await.unwrap();
    client.image.snapshots().create("two").await.unwrap();
    let before = pages(&cluster).await;
    put(&client.image, 40 * MIB / BLOCK, 3).await;
    client.image.snapshots().create("bad").await.unwrap();
    let of_bad: Vec<ObjectName> = pages(&cluster).await.into_iter().filter(|page| !before.contains(page)).collect();
    put(&client.image, 20 * MIB / BLOCK, 4).await;
    client.image.close().await.unwrap();
    let store: Arc<dyn ObjectStore> = Arc::new(cluster.client());
    assert_eq!(of_bad.len(), 2, "{of_bad:?}");
    // The leaf that the head shares with it, and its root.
    for page in &of_bad {
        store.remove(page).await.unwrap();
    }
    let options = RepairOptions { watch_timeout: Duration::from_secs(1), ..RepairOptions::default() };
    let report = Image::repair(&store, &disk(), options, &silent).await.unwrap();
    assert_eq!(report.refused, None);
    let client = Client::open(&cluster, settings()).await;
    client.image.snapshots().remove("one").await.unwrap();
    tokio::time::sleep(LONG).await;
    put(&client.image, 0, 9).await;
    client.image.collect(&silent).await.unwrap();
    client.image.close().await.unwrap();
    match snapshot(&cluster, "two").await.read(0, BLOCK).await {
        Ok(found) => assert!(found.to_bytes() == content(1)),
        Err(error) => panic!("snapshot two was whole, and is lost: {error}"),
    }
}

/// A snapshot whose map is damaged is removed, and so are those behind it.
#[tokio::test(start_paused = true)]
async fn a_damaged_snapshot_that_is_removed_holds_up_no_other() {
    let cluster = cluster_with_image(64 * MIB).await;
    let client = Client::open(&cluster, settings()).await;
    let before = pages(&cluster).await;
    put(&client.image, 0, 1).await;
    client.image.snapshots().create("bad").await.unwrap();
    let of_bad: Vec<ObjectName> = pages(&cluster).await.into_iter().filter(|page| !before.contains(page)).collect();
    cluster.client().remove(of_bad.last().unwrap()).await.unwrap();
    for block in 0..8 * MIB / BLOCK {
        put(&client.image, block, block).await;
    }
    client.image.snapshots().create("big").await.unwrap();
    for block in 0..8 * MIB / BLOCK {
        put(&client.image, block, 7000 + block).await;
    }
    client.image.snapshots().remove("bad").await.unwrap();
    client.image.snapshots().remove("big").await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    client.image.collect(&silent).await.unwrap();
    let segments = cluster.client().list("lsd_data.").await.unwrap().len();
    client.image.close().await.unwrap();
    assert!(segments < 13, "{segments} segments of 1 MiB for 8 MiB of data");
}

/// The rollback took effect, and the header cannot be read for a while.
#[tokio::test(start_paused = true)]
async fn a_difference_behind_a_rollback_is_exact_before_the_header_was_read_again() {
    let cluster = cluster_with_image(16 * MIB).await;
    let (client, gate) = Client::open_gated(&cluster, settings()).await;
    put(&client.image, 0, 1).await;
    client.image.snapshots().create("c").await.unwrap();
    put(&client.image, 0, 2).await;
    client.image.snapshots().create("d").await.unwrap();
    let d = snapshot(&cluster, "d").await;
    let mut updated = false;
    gate.close(move |op, name| {
        updated |= is_header(op, name);
        updated && op == Op::Values && name.starts_with("lsd_header.")
    });
    let image = client.image.clone();
    let rollback = tokio::spawn(async move { image.snapshots().rollback("c").await });
    gate.until_waiting(1).await;
    drop(gate.take());
    let result = rollback.await.unwrap();
    assert!(read(&client.image, 0, BLOCK).await == content(1), "{result:?}");
    assert_eq!(changed(&client.image, &d).await, [(0, 1)], "{result:?}");
}

/// A reader that holds a moment from before the snapshot.
#[tokio::test(start_paused = true)]
async fn a_difference_to_a_snapshot_that_is_newer_than_what_is_shown_is_exact() {
    let cluster = cluster_with_image(16 * MIB).await;
    let client = Client::open(&cluster, settings()).await;
    put(&client.image, 0, 1).await;
    put(&client.image, 1, 1).await;
    client.image.flush().await.unwrap();
    let store: Arc<dyn ObjectStore> = Arc::new(cluster.client());
    let options = OpenOptions { read_only: true, hold_moment: true, settings: settings(), ..OpenOptions::default() };
    let reader = Image::open(&store, &disk(), &options).await.unwrap();
    put(&client.image, 0, 2).await;
    client.image.snapshots().create("s").await.unwrap();
    let s = snapshot(&cluster, "s").await;
    assert!(read(&reader, 0, BLOCK).await == content(1) && read(&s, 0, BLOCK).await == content(2));
    assert_eq!(changed(&reader, &s).await, [(0, 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_release_of_which_nobody_knew_leaves_no_pages() {
    let cluster = cluster_with_image(16 * MIB).await;
    let (client, gate) = Client::open_gated(&cluster, settings()).await;
    put(&client.image, 0, 1).await;
    client.image.snapshots().create("s").await.unwrap();
    put(&client.image, 0, 2).await;
    client.image.collect(&silent).await.unwrap();
    let mut updates = 0;
    gate.close(move |op, name| {
        updates += u32::from(is_header(op, name));
        // The first marks the snapshot, the second lets it go.
        name.starts_with("lsd_header.") && matches!(op, Op::Update | Op::Values) && updates >= 2
    });
    client.image.snapshots().remove("s").await.unwrap();
    gate.until_waiting(1).await;
    gate.take().arrive_unheard();
    // Nobody can read what became of it.
    gate.until_waiting(1).await;
    drop(gate.take());
    gate.open();
    tokio::time::sleep(Duration::from_secs(60)).await;
    client.image.collect(&silent).await.unwrap();
    client.image.close().await.unwrap();
    expect_clean(&cluster).await;
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_that_its_caller_gave_up_leaves_no_pages() {
    for takes_effect in [false, true] {
        let cluster = cluster_with_image(16 * MIB).await;
        let (client, gate) = Client::open_gated(&cluster, settings()).await;
        put(&client.image, 0, 1).await;
        gate.close(is_header);
        let image = client.image.clone();
        let create = tokio::spawn(async move { image.snapshots().create("s").await });
        gate.until_waiting(1).await;
        crate::common::stop(create).await;
        match takes_effect {
            true => gate.open(),
            false => drop(gate.take()),
        }
        gate.close(|_, _| false);
        put(&client.image, 0, 2).await;
        client.image.collect(&silent).await.unwrap();
        client.image.close().await.unwrap();
        assert_eq!(findings(&cluster).await, [], "taken: {takes_effect}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_image_whose_owner_died_behind_a_checkpoint_is_removed_with_all_its_pages() {
    let cluster = cluster_with_image(16 * MIB).await;
    let (client, gate) = Client::open_gated(&cluster, settings()).await;
    put(&client.image, 0, 1).await;
    client.image.snapshots().create("s").await.unwrap();
    client.image.snapshots().remove("s").await.unwrap();
    tokio::time::sleep(LONG).await;
    put(&client.image, 0, 2).await;
    gate.close(|op, name| op == Op::Remove && name.starts_with("lsd_map."));
    let image = client.image.clone();
    let collect = tokio::spawn(async move { image.collect(&silent).await });
    gate.until_waiting(1).await;
    crate::common::stop(collect).await;
    drop(gate.take());
    client.crash(&cluster);
    tokio::time::sleep(LONG).await;
    let store: Arc<dyn ObjectStore> = Arc::new(cluster.client());
    Image::remove(&store, &disk(), &silent).await.unwrap();
    assert_eq!(pages(&cluster).await, []);
}

#[tokio::test(start_paused = true)]
async fn who_opens_a_snapshot_while_it_is_removed_is_told_so() {
    let cluster = cluster_with_image(16 * MIB).await;
    let client = Client::open(&cluster, settings()).await;
    put(&client.image, 0, 1).await;
    client.image.snapshots().create("s").await.unwrap();
    put(&client.image, 0, 2).await;
    let gate = Gate::new(Arc::new(cluster.client()));
    gate.close(|op, name| op == Op::Read && name.starts_with("lsd_map."));
    let store: Arc<dyn ObjectStore> = gate.clone();
    let open = tokio::spawn(async move { open_at(&store, "s").await });
    gate.until_waiting(1).await;
    client.image.snapshots().remove("s").await.unwrap();
    tokio::time::sleep(LONG).await;
    client.image.collect(&silent).await.unwrap();
    gate.open();
    assert_eq!(kind(open.await.unwrap()), Some(ErrorKind::NotFound));
}

/// Who lists snapshots while one is taken reads the header; what it read is older than what the owner knows by then.
#[tokio::test(start_paused = true)]
async fn a_listing_that_comes_late_does_not_make_the_next_snapshot_take_the_place_of_the_last() {
    let cluster = cluster_with_image(16 * MIB).await;
    let (client, gate) = Client::open_gated(&cluster, settings()).await;
    put(&client.image, 0, 1).await;
    gate.close(|op, name| matches!(op, Op::Update | Op::Values) && name.starts_with("lsd_header."));
    let image = client.image.clone();
    let create = tokio::spawn(async move { image.snapshots().create("a").await });
    gate.until_waiting(1).await;
    let update = gate.take();
    let image = client.image.clone();
    let mut list = Box::pin(async move { image.snapshots().list().await });
    assert!(futures::poll!(&mut list).is_pending());
    // If it reads now: the store has answered, and whoever asked has not looked yet.
    tokio::time::sleep(Duration::from_millis(50)).await;
    gate.take().arrive();
    gate.close(|_, _| false);
    update.arrive();
    create.await.unwrap().unwrap();
    drop(list.await);
    put(&client.image, 0, 2).await;
    client.image.snapshots().create("b").await.unwrap();
    client.image.flush().await.unwrap();
    client.image.close().await.unwrap();
    let store: Arc<dyn ObjectStore> = Arc::new(cluster.client());
    match open_at(&store, "a").await {
        Ok(a) => assert!(read(&a, 0, BLOCK).await == content(1)),
        Err(error) => panic!("snapshot a was taken, and is lost: {error}"),
    }
}

/// The mark took effect, and nobody heard of it; the snapshot is gone for everybody as soon as the header was read again.
#[tokio::test(start_paused = true)]
async fn a_removal_of_which_nobody_knew_gives_its_space_back() {
    let cluster = cluster_with_image(64 * MIB).await;
    let (client, gate) = Client::open_gated(&cluster, settings()).await;
    for block in 0..8 * MIB / BLOCK {
        put(&client.image, block, block).await;
    }
    client.image.snapshots().create("s").await.unwrap();
    for block in 0..8 * MIB / BLOCK {
        put(&client.image, block, 7000 + block).await;
    }
    client.image.flush().await.unwrap();
    gate.close(|op, name| matches!(op, Op::Update | Op::Values) && name.starts_with("lsd_header."));
    let image = client.image.clone();
    let remove = tokio::spawn(async move { image.snapshots().remove("s").await });
    gate.until_waiting(1).await;
    gate.take().arrive_unheard();
    gate.until_waiting(1).await;
    drop(gate.take());
    assert!(remove.await.unwrap().is_err());
    gate.open();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(client.image.snapshots().list().await.unwrap(), []);
    client.image.collect(&silent).await.unwrap();
    let segments = cluster.client().list("lsd_data.").await.unwrap().len();
    assert!(segments < 13, "{segments} segments of 1 MiB for 8 MiB of data");
}

/// The owner takes a snapshot after the removal read the header, and closes; the removal dies when it has taken the image.
#[tokio::test(start_paused = true)]
async fn a_removal_that_was_broken_off_before_it_saw_a_snapshot_does_not_take_it() {
    let cluster = cluster_with_image(16 * MIB).await;
    let client = Client::open(&cluster, settings()).await;
    put(&client.image, 0, 1).await;
    client.image.flush().await.unwrap();
    let gate = Gate::new(Arc::new(cluster.client()));
    let is_look = |op, name: &str| op == Op::Values && name.starts_with("lsd_header.");
    gate.close(is_look);
    let store: Arc<dyn ObjectStore> = gate.clone();
    let mut remove = Box::pin(async move { Image::remove(&store, &disk(), &silent).await });
    assert!(futures::poll!(&mut remove).is_pending());
    assert_eq!(gate.waiting(), 1);
    gate.take().arrive();
    client.image.snapshots().create("s").await.unwrap();
    client.image.close().await.unwrap();
    let mut taken = false;
    gate.close(move |op, name| {
        taken |= is_header(op, name);
        taken && is_look(op, name)
    });
    let remove = tokio::spawn(remove);
    gate.until_waiting(1).await;
    drop(gate.take());
    assert!(remove.await.unwrap().is_err());
    gate.open();
    let store: Arc<dyn ObjectStore> = Arc::new(cluster.client());
    let again = Image::remove(&store, &disk(), &silent).await;
    assert_eq!(kind(again), Some(ErrorKind::NotEmpty), "it has a snapshot");
}
