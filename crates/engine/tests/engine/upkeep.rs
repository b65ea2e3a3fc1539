//! What is done for an image and a pool beside data: zeroes are given back, features change, maps are looked at, images counted.
use crate::common::{BLOCK, Client, MIB, cluster_with_image, content, kind, pattern, read, settings, silent};
use bytes::Bytes;
use lsd_engine::{Catalog, Error, ErrorKind, Features, Image, ImageCounts, PoolStats, Trash};
use lsd_store::ObjectStore;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

fn zeroes(len: u64) -> Bytes {
    Bytes::from(vec![0; len as usize])
}

#[tokio::test(start_paused = true)]
async fn zeroes_become_holes_and_nothing_else_changes() {
    let cluster = cluster_with_image(64 * MIB).await;
    let client = Client::open(&cluster, settings()).await;
    let image = &client.image;
    image.write(0, zeroes(8 * MIB), false).await.unwrap();
    image.write(3 * BLOCK, content(1), false).await.unwrap();
    image.write(20 * MIB, pattern(2, MIB as usize), false).await.unwrap();
    // A block of which a part is not zero stays, and so does half a block at a time.
    image.write(30 * MIB, zeroes(BLOCK), false).await.unwrap();
    image.write(30 * MIB + 100, content(3), false).await.unwrap();
    image.write(64 * MIB - BLOCK, zeroes(BLOCK), false).await.unwrap();
    assert_eq!(image.used_bytes(), 8 * MIB + MIB + 2 * BLOCK + 100 - BLOCK + BLOCK + BLOCK - BLOCK);
    let before = read(image, 0, 64 * MIB).await;
    let most = AtomicU64::new(0);
    let progress = |done: u64, total: u64| {
        assert!(done <= total && total == 16, "{done} of {total}");
        most.fetch_max(done, Ordering::Relaxed);
        Ok(())
    };
    image.sparsify(BLOCK, &progress).await.unwrap();
    assert_eq!(most.into_inner(), 16);
    assert_eq!(image.used_bytes(), BLOCK + MIB + BLOCK + 100);
    assert!(read(image, 0, 64 * MIB).await == before);
    client.crash(&cluster);
    let next = Client::open(&cluster, settings()).await;
    assert_eq!(next.image.used_bytes(), BLOCK + MIB + BLOCK + 100);
    assert!(read(&next.image, 0, 64 * MIB).await == before);
}

#[tokio::test(start_paused = true)]
async fn larger_blocks_are_given_back_as_a_whole_only() {
    let cluster = cluster_with_image(16 * MIB).await;
    let client = Client::open(&cluster, settings()).await;
    let image = &client.image;
    image.write(0, zeroes(8 * MIB), false).await.unwrap();
    image.write(5 * MIB, content(1), false).await.unwrap();
    image.sparsify(4 * MIB, &silent).await.unwrap();
    assert_eq!(image.used_bytes(), 4 * MIB);
    for block in [0, 100, 2048, 12_288, 8 * MIB] {
        assert_eq!(kind(image.sparsify(block, &silent).await), Some(ErrorKind::Invalid), "{block}");
    }
    let reader = Client::try_open(&cluster, settings(), true).await.unwrap();
    assert_eq!(kind(reader.image.sparsify(BLOCK, &silent).await), Some(ErrorKind::ReadOnly));
    let canceled = |_, _| Err(Error::new(ErrorKind::Canceled, "enough"));
    image.write(0, zeroes(MIB), false).await.unwrap();
    assert!(image.sparsify(BLOCK, &canceled).await.is_err());
}

/// The owner does it for who asks, and what is written meanwhile stays.
#[tokio::test(start_paused = true)]
async fn another_client_has_it_done_beside_writes() {
    let cluster = cluster_with_image(64 * MIB).await;
    let owner = Client::open(&cluster, settings()).await;
    owner.image.write(0, zeroes(32 * MIB), true).await.unwrap();
    let other = Client::open(&cluster, settings()).await;
    let image = owner.image.clone();
    let writing = tokio::spawn(async move {
        for number in 0..400 {
            image.write(number * 20 * BLOCK, content(number), false).await.unwrap();
            tokio::time::sleep(Duration::from_micros(100)).await;
        }
    });
    other.image.sparsify(BLOCK, &silent).await.unwrap();
    writing.await.unwrap();
    assert!(owner.image.locks().is_owner() && !other.image.locks().is_owner());
    for number in 0..400 {
        assert_eq!(read(&owner.image, number * 20 * BLOCK, BLOCK).await, content(number), "write {number}");
    }
    assert!(owner.image.used_bytes() < 32 * MIB, "nothing was given back");
    owner.image.sparsify(BLOCK, &silent).await.unwrap();
    assert_eq!(owner.image.used_bytes(), 400 * BLOCK);
}

/// As Cinder makes a volume one for several clients, and one for a single client again.
#[tokio::test(start_paused = true)]
async fn features_of_a_single_client_go_and_come_back() {
    let cluster = cluster_with_image(MIB).await;
    let client = Client::open(&cluster, settings()).await;
    let single = Features::JOURNALING | Features::FAST_DIFF | Features::OBJECT_MAP | Features::EXCLUSIVE_LOCK;
    let image = &client.image;
    let before = image.info().features;
    image.update_features(single & before, false).await.unwrap();
    assert_eq!(image.info().features, before & !single);
    assert_eq!(kind(image.update_features(Features::JOURNALING, true).await), Some(ErrorKind::Invalid));
    image.update_features(single, true).await.unwrap();
    assert_eq!(image.info().features, before | single);
    assert_eq!(kind(image.update_features(Features::EXCLUSIVE_LOCK, false).await), Some(ErrorKind::Invalid));
    image.write(0, content(1), true).await.unwrap();
    image.update_features(single, false).await.unwrap();
    image.write(0, content(2), true).await.unwrap();
    for forbidden in [Features::LAYERING, Features::STRIPINGV2, Features::DATA_POOL, 1 << 40, 0] {
        assert_eq!(kind(image.update_features(forbidden, true).await), Some(ErrorKind::Invalid), "{forbidden}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_sound_map_is_found_sound_and_needs_the_feature() {
    let cluster = cluster_with_image(MIB).await;
    let client = Client::open(&cluster, settings()).await;
    client.image.write(0, content(1), true).await.unwrap();
    client.image.check_object_map(&silent).await.unwrap();
    client.image.rebuild_object_map(&silent).await.unwrap();
    client.image.update_features(Features::OBJECT_MAP | Features::FAST_DIFF, false).await.unwrap();
    assert_eq!(kind(client.image.rebuild_object_map(&silent).await), Some(ErrorKind::Invalid));
    let reader = Client::try_open(&cluster, settings(), true).await.unwrap();
    assert_eq!(kind(reader.image.rebuild_object_map(&silent).await), Some(ErrorKind::ReadOnly));
}

#[tokio::test(start_paused = true)]
async fn images_and_their_snapshots_are_counted() {
    let cluster = cluster_with_image(8 * MIB).await;
    let store: Arc<dyn ObjectStore> = Arc::new(cluster.client());
    let client = Client::open(&cluster, settings()).await;
    client.image.snapshots().create("a").await.unwrap();
    client.image.resize(2 * MIB, true, &silent).await.unwrap();
    client.image.snapshots().create("b").await.unwrap();
    client.image.close().await.unwrap();
    let options = lsd_engine::CreateOptions { size: 3 * MIB, ..Default::default() };
    Image::create(&store, "other", &options).await.unwrap();
    Trash::new(store.clone()).put("other", Duration::ZERO).await.unwrap();
    assert_eq!(Catalog::new(store.clone()).list().await.unwrap().len(), 1);
    let stats = PoolStats::of(&store).await.unwrap();
    let images = ImageCounts { images: 1, provisioned_bytes: 2 * MIB, max_provisioned_bytes: 8 * MIB, snapshots: 2 };
    let trash = ImageCounts { images: 1, provisioned_bytes: 3 * MIB, max_provisioned_bytes: 3 * MIB, snapshots: 0 };
    assert_eq!(stats, PoolStats { images, trash });
}
