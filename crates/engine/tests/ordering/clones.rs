//! Rules 34 to 36: a clone and what it needs of its parent.
use super::*;
use crate::common::Gate;
use lsd_engine::{CloneOptions, Features, ImageRef, SnapRef};
use std::sync::Arc;

fn base() -> ImageRef {
    ImageRef::Name("disk".into())
}

/// Of snapshot `s` of `disk`, called `clone`.
async fn clone_through(store: Arc<dyn ObjectStore>) -> Result<(), Error> {
    clone_with(store, CloneOptions::default()).await
}

async fn clone_with(store: Arc<dyn ObjectStore>, options: CloneOptions) -> Result<(), Error> {
    let snapshot = SnapRef::Name("s".into());
    Image::clone_from((&store, &base(), &snapshot), (&store, "clone"), &options).await.map(drop)
}

async fn clone(cluster: &MemoryCluster) {
    clone_through(Arc::new(cluster.client())).await.unwrap();
}

async fn open_clone(cluster: &MemoryCluster) -> (lsd_store::MemoryStore, Image) {
    let memory = cluster.client();
    let store: Arc<dyn ObjectStore> = Arc::new(memory.clone());
    let options = OpenOptions { settings: settings(), ..OpenOptions::default() };
    match Image::open(&store, &ImageRef::Name("clone".into()), &options).await {
        Ok(image) => (memory, image),
        Err(error) => panic!("a clone was made, and does not open: {error}"),
    }
}

/// Whoever opens the clone finds these blocks.
async fn expect_in_clone(cluster: &MemoryCluster, blocks: &[(u64, u64)]) {
    let (memory, image) = open_clone(cluster).await;
    for (block, seed) in blocks {
        match image.read(block * BLOCK, BLOCK).await {
            Ok(found) if found.to_bytes() == content(*seed) => {}
            Ok(_) => panic!("block {block} of the clone has other content"),
            Err(error) => panic!("block {block} of the clone is lost: {error}"),
        }
    }
    cluster.expire(&memory);
}

/// Snapshot `s` of blocks 0 and 63.
async fn with_snapshot(cluster: &MemoryCluster) -> Client {
    let client = Client::open(cluster, settings()).await;
    put(&client.image, 0, 1).await;
    put(&client.image, 63, 2).await;
    client.image.snapshots().create("s").await.unwrap();
    client
}

/// Nothing of the parent is left that nobody needs.
async fn empty(image: &Image) {
    image.discard(0, image.size(), true).await.unwrap();
    for _ in 0..3 {
        collecting(image).await.unwrap().unwrap();
        tokio::time::sleep(LONG).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_clone_writes_has_no_number_of_its_parents() {
    let cluster = cluster_with_image(8 * MIB).await;
    let _parent = with_snapshot(&cluster).await;
    clone(&cluster).await;
    let (memory, image) = open_clone(&cluster).await;
    put(&image, 63, 9).await;
    put(&image, 5, 10).await;
    image.flush().await.unwrap();
    cluster.expire(&memory);
    expect_in_clone(&cluster, &[(0, 1), (63, 9), (5, 10)]).await;
    let (_, image) = open_clone(&cluster).await;
    put(&image, 6, 11).await;
    image.close().await.unwrap();
    expect_in_clone(&cluster, &[(0, 1), (63, 9), (5, 10), (6, 11)]).await;
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_with_clones_stays() {
    let cluster = cluster_with_image(8 * MIB).await;
    let parent = with_snapshot(&cluster).await;
    clone(&cluster).await;
    parent.image.snapshots().remove("s").await.unwrap();
    empty(&parent.image).await;
    expect_in_clone(&cluster, &[(0, 1), (63, 2)]).await;
}

/// The owner of the parent has looked at the snapshot, and has not changed it yet.
#[tokio::test(start_paused = true)]
async fn a_clone_that_comes_while_its_snapshot_changes_counts() {
    let cluster = cluster_with_image(8 * MIB).await;
    let (client, gate) = Client::open_gated(&cluster, settings()).await;
    put(&client.image, 0, 1).await;
    client.image.snapshots().create("s").await.unwrap();
    gate.close(is_header);
    let image = client.image.clone();
    let rename = tokio::spawn(async move { image.snapshots().rename("s", "t").await });
    gate.until_waiting(1).await;
    clone(&cluster).await;
    gate.open();
    rename.await.unwrap().unwrap();
    client.image.snapshots().remove("t").await.unwrap();
    empty(&client.image).await;
    expect_in_clone(&cluster, &[(0, 1)]).await;
}

#[tokio::test(start_paused = true)]
async fn a_flattened_clone_looses_its_parent_when_its_map_is_committed() {
    let cluster = cluster_with_image(8 * MIB).await;
    let parent = with_snapshot(&cluster).await;
    clone(&cluster).await;
    let (memory, image) = open_clone(&cluster).await;
    image.flatten(&|_, _| Ok(())).await.unwrap();
    cluster.expire(&memory);
    parent.image.snapshots().remove("s").await.unwrap();
    empty(&parent.image).await;
    expect_in_clone(&cluster, &[(0, 1), (63, 2)]).await;
}

#[tokio::test(start_paused = true)]
async fn snapshots_of_a_flattened_clone_keep_its_parent() {
    let cluster = cluster_with_image(8 * MIB).await;
    let parent = with_snapshot(&cluster).await;
    // Without deep-flatten.
    let features = Some(Features::LAYERING | Features::EXCLUSIVE_LOCK);
    let options = CloneOptions { features, ..CloneOptions::default() };
    clone_with(Arc::new(cluster.client()), options).await.unwrap();
    let (_, image) = open_clone(&cluster).await;
    image.snapshots().create("linked").await.unwrap();
    image.flatten(&|_, _| Ok(())).await.unwrap();
    put(&image, 0, 3).await;
    parent.image.snapshots().remove("s").await.unwrap();
    empty(&parent.image).await;
    image.snapshots().rollback("linked").await.unwrap();
    image.close().await.unwrap();
    expect_in_clone(&cluster, &[(0, 1), (63, 2)]).await;
}

/// Somebody who looks for lost clones has not found this one, whose header comes then.
#[tokio::test(start_paused = true)]
async fn a_clone_that_is_being_made_is_not_forgotten() {
    let cluster = cluster_with_image(8 * MIB).await;
    let (client, owners) = Client::open_gated(&cluster, settings()).await;
    put(&client.image, 0, 1).await;
    client.image.snapshots().create("s").await.unwrap();
    let makers = Gate::new(Arc::new(cluster.client()));
    let parents = client.store.list("lsd_header.").await.unwrap()[0].0.clone();
    let of_parent = parents.clone();
    makers.close(move |op, name| is_header(op, name) && name != of_parent);
    let making = tokio::spawn(clone_through(makers.clone()));
    makers.until_waiting(1).await;
    // The tie is there, the clone is not.
    owners.close(move |op, name| is_header(op, name) && name == parents);
    let image = client.image.clone();
    let removing = tokio::spawn(async move { image.snapshots().remove("s").await });
    owners.until_waiting(1).await;
    makers.open();
    let made = making.await.unwrap();
    owners.open();
    removing.await.unwrap().unwrap();
    empty(&client.image).await;
    if made.is_ok() {
        expect_in_clone(&cluster, &[(0, 1)]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_clone_that_is_forgotten_is_not_made() {
    let cluster = cluster_with_image(8 * MIB).await;
    let parent = with_snapshot(&cluster).await;
    let makers = Gate::new(Arc::new(cluster.client()));
    let parents = parent.store.list("lsd_header.").await.unwrap()[0].0.clone();
    makers.close(move |op, name| is_header(op, name) && name != parents);
    let making = tokio::spawn(clone_through(makers.clone()));
    makers.until_waiting(1).await;
    parent.image.snapshots().remove("s").await.unwrap();
    empty(&parent.image).await;
    makers.open();
    if making.await.unwrap().is_ok() {
        expect_in_clone(&cluster, &[(0, 1), (63, 2)]).await;
    }
    assert_eq!(parent.store.list("lsd_header.").await.unwrap().len(), 1, "nothing is left of the clone");
}
