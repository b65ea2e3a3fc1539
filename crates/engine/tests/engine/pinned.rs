//! Segments that snapshots need and that are mostly garbage: they are emptied, and every snapshot shows what it showed.
use crate::common::{BLOCK, Client, MIB, cluster_with_image, content, pattern, read, settings, silent, stored};
use lsd_engine::{CloneOptions, Image, ImageRef, OpenOptions, Settings, Severity, SnapRef};
use lsd_store::{MemoryCluster, ObjectStore};
use std::sync::Arc;
use std::time::Duration;

const BLOCKS: u64 = 64 * MIB / BLOCK;
/// A segment of the tests has so many blocks, about.
const STRIDE: u64 = 240;

fn store(cluster: &MemoryCluster) -> Arc<dyn ObjectStore> {
    Arc::new(cluster.client())
}

async fn shown(cluster: &MemoryCluster, name: &str, settings: Settings) -> Image {
    let snapshot = Some(SnapRef::Name(name.into()));
    let options = OpenOptions { snapshot, settings, ..OpenOptions::default() };
    Image::open(&store(cluster), &ImageRef::Name("disk".into()), &options).await.unwrap()
}

async fn check_clean(cluster: &MemoryCluster, name: &str) {
    let report = Image::check(&store(cluster), &ImageRef::Name(name.into()), &silent).await.unwrap();
    let worse = report.findings.iter().filter(|finding| finding.fault.severity() > Severity::Note);
    assert_eq!(worse.collect::<Vec<_>>(), Vec::<&lsd_engine::Finding>::new(), "{name}");
}

/// Takes a snapshot `all` of a full image, `few` when only some blocks of each segment are left of it.
async fn with_few_in_each_segment(cluster: &MemoryCluster, settings: Settings) -> Client {
    let client = Client::open(cluster, settings).await;
    let image = &client.image;
    for at in (0..64 * MIB).step_by(MIB as usize) {
        image.write(at, pattern(at, MIB as usize), false).await.unwrap();
    }
    image.snapshots().create("all").await.unwrap();
    for first in (0..BLOCKS).step_by(STRIDE as usize) {
        let end = (first + STRIDE).min(BLOCKS);
        image.discard((first + 1) * BLOCK, (end - first - 1) * BLOCK, false).await.unwrap();
    }
    image.snapshots().create("few").await.unwrap();
    client
}

fn expected(block: u64) -> Vec<u8> {
    let at = block * BLOCK;
    let (start, of) = (at / MIB * MIB, at % MIB);
    pattern(start, MIB as usize)[of as usize..(of + BLOCK) as usize].to_vec()
}

async fn expect_few(image: &Image) {
    for first in (0..BLOCKS).step_by(STRIDE as usize) {
        assert!(read(image, first * BLOCK, BLOCK).await == expected(first), "block {first}");
        if first + 1 < BLOCKS {
            assert!(read(image, (first + 1) * BLOCK, BLOCK).await == vec![0; BLOCK as usize], "block {first}, 1");
        }
    }
}

fn without_background() -> Settings {
    Settings { gc: false, ..settings() }
}

#[tokio::test(start_paused = true)]
async fn a_block_in_each_of_many_segments_takes_no_more_than_it_needs() {
    let cluster = cluster_with_image(64 * MIB).await;
    let client = with_few_in_each_segment(&cluster, without_background()).await;
    let image = &client.image;
    image.snapshots().remove("all").await.unwrap();
    // The head lets go of what the snapshot has.
    image.discard(0, 64 * MIB, false).await.unwrap();
    for block in 0..256 {
        image.write(block * BLOCK, content(block), false).await.unwrap();
    }
    image.flush().await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(stored(&cluster, "lsd_data.").await > 60 * MIB, "nobody collects yet");
    image.collect(&silent).await.unwrap();
    let needed = (256 + BLOCKS.div_ceil(STRIDE)) * BLOCK;
    let left = stored(&cluster, "lsd_data.").await;
    assert!(left * 2 < needed * 3, "{left} bytes for {needed}");
    expect_few(&shown(&cluster, "few", settings()).await).await;
    client.image.close().await.unwrap();
    check_clean(&cluster, "disk").await;
    // The same by the next owner; then all of it goes with the snapshot.
    let client = Client::open(&cluster, without_background()).await;
    expect_few(&shown(&cluster, "few", settings()).await).await;
    client.image.snapshots().rollback("few").await.unwrap();
    expect_few(&client.image).await;
    client.image.discard(0, 64 * MIB, false).await.unwrap();
    client.image.snapshots().remove("few").await.unwrap();
    client.image.close().await.unwrap();
    let client = Client::open(&cluster, without_background()).await;
    client.image.collect(&silent).await.unwrap();
    client.image.close().await.unwrap();
    check_clean(&cluster, "disk").await;
    let left = stored(&cluster, "lsd_data.").await;
    assert!(left < MIB / 4, "{left} bytes for nothing");
}

#[tokio::test(start_paused = true)]
async fn a_removed_snapshot_gives_space_back_in_the_background() {
    let cluster = cluster_with_image(64 * MIB).await;
    let client = with_few_in_each_segment(&cluster, settings()).await;
    client.image.snapshots().remove("all").await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let left = stored(&cluster, "lsd_data.").await;
    assert!(left < 4 * MIB, "{left} bytes");
    expect_few(&shown(&cluster, "few", settings()).await).await;
    expect_few(&client.image).await;
    client.image.close().await.unwrap();
    check_clean(&cluster, "disk").await;
}

/// One that has looked at nothing yet, and one that has all leaves in memory and no data.
#[tokio::test(start_paused = true)]
async fn readers_of_a_snapshot_follow_what_is_moved() {
    let cluster = cluster_with_image(64 * MIB).await;
    let client = with_few_in_each_segment(&cluster, without_background()).await;
    let no_cache = || Settings { cache_bytes: 0, ..settings() };
    let (early, late) = (shown(&cluster, "few", no_cache()).await, shown(&cluster, "few", no_cache()).await);
    expect_few(&early).await;
    client.image.snapshots().remove("all").await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    client.image.collect(&silent).await.unwrap();
    expect_few(&early).await;
    expect_few(&late).await;
    // Nothing has changed between the snapshot and what the head was all the time.
    let mut changes = Vec::new();
    let mut note = |change: lsd_engine::Extent| {
        changes.push(change);
        Ok(())
    };
    client.image.changes(Some(&early), 0, 64 * MIB, &mut note).await.unwrap();
    assert_eq!(changes, []);
    client.image.snapshots().remove("few").await.unwrap();
    client.image.discard(0, 64 * MIB, false).await.unwrap();
    client.image.collect(&silent).await.unwrap();
    assert_eq!(crate::common::kind(late.read(0, BLOCK).await), Some(lsd_engine::ErrorKind::NotFound));
}

#[tokio::test(start_paused = true)]
async fn what_a_clone_needs_stays_where_it_is() {
    let cluster = cluster_with_image(64 * MIB).await;
    let client = with_few_in_each_segment(&cluster, without_background()).await;
    let store = store(&cluster);
    let (parent, few) = (ImageRef::Name("disk".into()), SnapRef::Name("few".into()));
    Image::clone_from((&store, &parent, &few), (&store, "clone"), &CloneOptions::default()).await.unwrap();
    client.image.snapshots().remove("all").await.unwrap();
    client.image.snapshots().create("later").await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    client.image.collect(&silent).await.unwrap();
    let options = OpenOptions { settings: settings(), ..OpenOptions::default() };
    let clone = Image::open(&store, &ImageRef::Name("clone".into()), &options).await.unwrap();
    expect_few(&clone).await;
    clone.flatten(&silent).await.unwrap();
    clone.close().await.unwrap();
    client.image.collect(&silent).await.unwrap();
    let left = stored(&cluster, "lsd_data.").await;
    assert!(left < 4 * MIB, "{left} bytes");
    for name in ["few", "later"] {
        expect_few(&shown(&cluster, name, settings()).await).await;
    }
    // A clone of what was moved.
    Image::clone_from((&store, &parent, &few), (&store, "second"), &CloneOptions::default()).await.unwrap();
    let clone = Image::open(&store, &ImageRef::Name("second".into()), &options).await.unwrap();
    expect_few(&clone).await;
    clone.write(0, content(7), true).await.unwrap();
    client.image.discard(0, 64 * MIB, false).await.unwrap();
    client.image.collect(&silent).await.unwrap();
    assert!(read(&clone, STRIDE * BLOCK, BLOCK).await == expected(STRIDE));
    clone.close().await.unwrap();
    client.image.close().await.unwrap();
    for name in ["disk", "clone", "second"] {
        check_clean(&cluster, name).await;
    }
}
