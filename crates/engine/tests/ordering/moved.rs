//! Rule 37: what snapshots point at is moved with all their maps, or stays.
use super::*;
use crate::common::Gate;
use lsd_engine::{CloneOptions, ImageRef, SnapRef};
use std::sync::Arc;

const SIZE: u64 = 12 * MIB;

fn few(block: u64) -> bool {
    block.is_multiple_of(3)
}

/// Snapshot `s` has every third block of the segments, and nothing else has anything of them.
async fn leave_few(image: &Image) {
    for block in 0..SIZE / BLOCK {
        put(image, block, block).await;
    }
    image.snapshots().create("all").await.unwrap();
    for block in (0..SIZE / BLOCK).filter(|block| !few(*block)) {
        image.discard(block * BLOCK, BLOCK, false).await.unwrap();
    }
    image.snapshots().create("s").await.unwrap();
    image.discard(0, SIZE, false).await.unwrap();
    image.snapshots().remove("all").await.unwrap();
    image.flush().await.unwrap();
    tokio::time::sleep(LONG).await;
}

fn by_hand() -> Settings {
    Settings { gc: false, ..settings() }
}

async fn expect_few(cluster: &MemoryCluster, name: &str, snapshot: Option<SnapRef>) {
    let store: Arc<dyn ObjectStore> = Arc::new(cluster.client());
    let options = OpenOptions { snapshot, read_only: true, settings: settings(), ..OpenOptions::default() };
    let image = match Image::open(&store, &ImageRef::Name(name.into()), &options).await {
        Ok(image) => image,
        Err(error) => panic!("{name} does not open: {error}"),
    };
    for block in (0..SIZE / BLOCK).filter(|block| few(*block)) {
        match image.read(block * BLOCK, BLOCK).await {
            Ok(found) if found.to_bytes() == content(block) => {}
            Ok(_) => panic!("block {block} of {name} has other content"),
            Err(error) => panic!("block {block} of {name} is lost: {error}"),
        }
    }
}

fn s() -> SnapRef {
    SnapRef::Name("s".into())
}

async fn clone_through(store: Arc<dyn ObjectStore>) -> Result<(), Error> {
    let base = ImageRef::Name("disk".into());
    Image::clone_from((&store, &base, &s()), (&store, "clone"), &CloneOptions::default()).await.map(drop)
}

/// Other checkpoints are written between the first copies and the update that makes the snapshot follow.
#[tokio::test(start_paused = true)]
async fn copies_for_snapshots_stay_until_their_maps_follow() {
    let cluster = cluster_with_image(SIZE).await;
    let settings = Settings { checkpoint_log_bytes: 256 << 10, ..by_hand() };
    let client = Client::open(&cluster, settings).await;
    leave_few(&client.image).await;
    collecting(&client.image).await.unwrap().unwrap();
    expect_few(&cluster, "disk", Some(s())).await;
    client.image.close().await.unwrap();
    expect_few(&cluster, "disk", Some(s())).await;
}

/// Who makes the clone has read the snapshot's record, and has not tied the clone to it yet.
#[tokio::test(start_paused = true)]
async fn a_clone_that_is_made_while_its_snapshot_moves_takes_the_map_that_is_in_force() {
    let cluster = cluster_with_image(SIZE).await;
    let client = Client::open(&cluster, by_hand()).await;
    leave_few(&client.image).await;
    let gate = Gate::new(Arc::new(cluster.client()));
    let mut looks = 0;
    gate.close(move |op, name| {
        let is_look = op == Op::Values && name.starts_with("lsd_header.");
        looks += u32::from(is_look);
        is_look && looks == 2
    });
    let making = tokio::spawn(clone_through(gate.clone()));
    gate.until_waiting(1).await;
    collecting(&client.image).await.unwrap().unwrap();
    gate.open();
    making.await.unwrap().unwrap();
    expect_few(&cluster, "clone", None).await;
}

/// The owner has copied what the snapshot has, and its update is on its way.
#[tokio::test(start_paused = true)]
async fn a_snapshot_that_got_a_clone_meanwhile_is_not_moved() {
    let cluster = cluster_with_image(SIZE).await;
    let (client, gate) = Client::open_gated(&cluster, by_hand()).await;
    leave_few(&client.image).await;
    // Whatever is copied lies in segments that are new.
    let mut copies = false;
    gate.close(move |op, name| {
        copies |= op == Op::Create && name.starts_with("lsd_data.");
        copies && is_header(op, name)
    });
    let collection = collecting(&client.image);
    gate.until_waiting(1).await;
    clone_through(Arc::new(cluster.client())).await.unwrap();
    gate.open();
    let _ = collection.await.unwrap();
    client.image.flush().await.unwrap();
    let _ = collecting(&client.image).await.unwrap();
    expect_few(&cluster, "clone", None).await;
    expect_few(&cluster, "disk", Some(s())).await;
}
