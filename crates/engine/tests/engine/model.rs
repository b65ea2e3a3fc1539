//! An image behaves as an array of bytes, whatever is written, and again after every kind of reopen.
use crate::common::{Client, MIB, Op, cluster_with_image, pattern, read, settings};
use lsd_engine::{AckMode, ErrorKind, Settings};
use lsd_store::MemoryCluster;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::time::Duration;

const SIZE: u64 = 40 * MIB;

async fn check(client: &Client, model: &[u8]) {
    for start in (0..SIZE).step_by(MIB as usize) {
        let found = read(&client.image, start, MIB).await;
        let expected = &model[start as usize..(start + MIB) as usize];
        if found != expected {
            let at = found.iter().zip(expected).position(|(a, b)| a != b).unwrap();
            panic!("byte {} is {} and should be {}", start + at as u64, found[at], expected[at]);
        }
    }
}

async fn random_change(client: &Client, model: &mut [u8], random: &mut StdRng) {
    let len = match random.random_range(0..10) {
        0 => random.random_range(1..3 * MIB),
        1..4 => random.random_range(1..20_000),
        _ => 4096,
    };
    let mut offset = random.random_range(0..SIZE - len);
    if random.random_bool(0.6) {
        offset -= offset % 4096;
    }
    let range = offset as usize..(offset + len) as usize;
    match random.random_range(0..20) {
        0 => {
            client.image.discard(offset, len, false).await.unwrap();
            model[range].fill(0);
        }
        1 => {
            client.image.write_zeroes(offset, len, random.random_bool(0.5), false).await.unwrap();
            model[range].fill(0);
        }
        2 => {
            let compare = model[range.clone()].to_vec();
            let data = pattern(random.random(), len as usize);
            client.image.compare_and_write(offset, compare.into(), data.clone()).await.unwrap();
            model[range].copy_from_slice(&data);
        }
        _ => {
            let data = pattern(random.random(), len as usize);
            client.image.write(offset, data.clone(), random.random_bool(0.05)).await.unwrap();
            model[range].copy_from_slice(&data);
        }
    }
}

async fn run(seed: u64, settings: Settings) {
    let cluster = cluster_with_image(SIZE).await;
    let mut random = StdRng::seed_from_u64(seed);
    let mut model = vec![0; SIZE as usize];
    for round in 0..6 {
        let client = Client::open(&cluster, settings.clone()).await;
        check(&client, &model).await;
        for _ in 0..120 {
            random_change(&client, &mut model, &mut random).await;
        }
        check(&client, &model).await;
        if round % 2 == 0 {
            client.image.close().await.unwrap();
        } else {
            client.image.flush().await.unwrap();
            client.crash(&cluster);
        }
    }
    let client = Client::open(&cluster, settings).await;
    check(&client, &model).await;
}

#[tokio::test(start_paused = true)]
async fn write_back() {
    run(1, settings()).await;
}

#[tokio::test(start_paused = true)]
async fn journal_acknowledgement_without_cache() {
    run(2, Settings { ack: AckMode::Journal, cache_bytes: 0, ..settings() }).await;
}

#[tokio::test(start_paused = true)]
async fn with_a_map_that_does_not_fit_its_memory() {
    run(3, Settings { map_cache_bytes: 0, ..settings() }).await;
}

#[tokio::test(start_paused = true)]
async fn little_dirty_memory_slows_writers_and_loses_nothing() {
    run(4, Settings { max_dirty_bytes: 0, ..settings() }).await;
}

/// Before the image is owned, while leaves are not in memory, and while dirty memory is short.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn overlapping_writes_in_flight_keep_the_order_of_their_calls() {
    let cluster = cluster_with_image(SIZE).await;
    let settings = Settings { map_cache_bytes: 0, max_dirty_bytes: 0, ..settings() };
    for round in 0..20u64 {
        let client = Client::open(&cluster, settings.clone()).await;
        let mut tasks = Vec::new();
        for index in 0..60u64 {
            let image = client.image.clone();
            let mut write = Box::pin(async move {
                image.write(index % 7 * 4096, pattern(round * 100 + index, 400_000), false).await.unwrap();
            });
            // As a caller of the C API does: it starts in the call, and goes on elsewhere.
            if futures::poll!(&mut write).is_pending() {
                tasks.push(tokio::spawn(write));
            }
        }
        // A flush covers what was called before it, though some of it is not even accepted yet.
        client.image.flush().await.unwrap();
        let durable = Client::try_open(&cluster, settings.clone(), true).await.unwrap();
        for task in tasks {
            task.await.unwrap();
        }
        let mut model = vec![0; 500_000];
        for index in 0..60u64 {
            let at = (index % 7 * 4096) as usize;
            model[at..at + 400_000].copy_from_slice(&pattern(round * 100 + index, 400_000));
        }
        assert_eq!(read(&client.image, 0, 425_000).await, model[..425_000], "round {round}");
        assert_eq!(read(&durable.image, 0, 425_000).await, model[..425_000], "round {round}, flushed");
        client.image.close().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn extents_are_byte_exact() {
    let cluster = cluster_with_image(SIZE).await;
    let client = Client::open(&cluster, settings()).await;
    client.image.write(1000, pattern(1, 256), false).await.unwrap();
    let extents = client.image.extents(0, 4096).await.unwrap();
    let found: Vec<_> = extents.iter().map(|extent| (extent.offset, extent.len, extent.data)).collect();
    assert_eq!(found, [(0, 1000, false), (1000, 256, true), (1256, 2840, false)]);
    assert_eq!(client.image.used_bytes(), 256);
}

/// A walk through a very large image finds what is in it in steps of bounded work, the leaves in each read side by side.
#[tokio::test(start_paused = true)]
async fn a_walk_through_a_large_image_takes_few_steps() {
    const BLOCKS: u64 = 1000;
    const APART: u64 = 60 << 30;
    let size = BLOCKS * APART;
    let cluster = cluster_with_image(size).await;
    let writer = Client::open(&cluster, settings()).await;
    for block in 0..BLOCKS {
        writer.image.write(block * APART, pattern(block, 4096), false).await.unwrap();
    }
    writer.image.close().await.unwrap();
    let reader = Client::try_open(&cluster, settings(), true).await.unwrap();
    let (mut at, mut steps, mut found) = (0, 0, Vec::new());
    while at < size {
        let extents = reader.image.first_extents(at, size - at).await.unwrap();
        assert_eq!(extents[0].offset, at);
        steps += 1;
        at = extents.last().map(|last| last.offset + last.len).unwrap();
        found.extend(extents.into_iter().filter(|extent| extent.data).map(|extent| (extent.offset, extent.len)));
    }
    assert!(found.into_iter().eq((0..BLOCKS).map(|block| (block * APART, 4096))));
    assert_eq!((at, steps), (size, BLOCKS.div_ceil(256)));
}

#[tokio::test(start_paused = true)]
async fn compare_and_write_says_where_the_data_differs() {
    let cluster = cluster_with_image(SIZE).await;
    let client = Client::open(&cluster, settings()).await;
    client.image.write(0, pattern(1, 512), false).await.unwrap();
    let mut compare = pattern(1, 512).to_vec();
    compare[100] ^= 1;
    let error = client.image.compare_and_write(0, compare.into(), pattern(2, 512)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Mismatch { offset: 100 });
    assert_eq!(read(&client.image, 0, 512).await, pattern(1, 512));
}

#[tokio::test(start_paused = true)]
async fn what_a_shrink_took_does_not_come_back() {
    let cluster = cluster_with_image(SIZE).await;
    let client = Client::open(&cluster, settings()).await;
    let progress = |_, _| Ok(());
    client.image.write(0, pattern(1, MIB as usize), false).await.unwrap();
    assert_eq!(client.image.resize(4096, false, &progress).await.unwrap_err().kind, ErrorKind::Invalid);
    client.image.resize(5000, true, &progress).await.unwrap();
    assert_eq!(client.image.size(), 5000);
    assert_eq!(client.image.read(4096, 1000).await.unwrap_err().kind, ErrorKind::Invalid);
    client.image.resize(MIB, false, &progress).await.unwrap();
    client.crash(&cluster);
    let client = Client::open(&cluster, settings()).await;
    assert_eq!(client.image.size(), MIB);
    let mut expected = pattern(1, MIB as usize).to_vec();
    expected[5000..].fill(0);
    assert_eq!(read(&client.image, 0, MIB).await, expected);
}

#[tokio::test(start_paused = true)]
async fn overwritten_segments_are_deleted_and_removal_leaves_nothing() {
    let cluster = cluster_with_image(SIZE).await;
    for round in 0..3 {
        let client = Client::open(&cluster, settings()).await;
        for offset in (0..SIZE).step_by(MIB as usize) {
            client.image.write(offset, pattern(round, MIB as usize), false).await.unwrap();
        }
        client.image.close().await.unwrap();
    }
    let store: std::sync::Arc<dyn lsd_store::ObjectStore> = std::sync::Arc::new(cluster.client());
    let segments = store.list("lsd_data.").await.unwrap();
    let mut stored = 0;
    for name in &segments {
        stored += store.stat(name).await.unwrap();
    }
    assert!(stored < 2 * SIZE, "{stored} bytes are stored for an image of {SIZE}");
    let crashed = Client::open(&cluster, settings()).await;
    crashed.image.write(0, pattern(9, 5000), true).await.unwrap();
    crashed.crash(&cluster);
    let image = lsd_engine::ImageRef::Name("disk".into());
    lsd_engine::Image::remove(&store, &image, &|_, _| Ok(())).await.unwrap();
    assert_eq!(store.list("lsd_data.").await.unwrap(), []);
    assert_eq!(store.list("lsd_map.").await.unwrap(), []);
    assert_eq!(store.list("lsd_header.").await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn a_reader_of_a_large_image_keeps_its_map_within_bounds() {
    const WIDE: u64 = 4096 * MIB;
    let cluster = cluster_with_image(WIDE).await;
    let settings = Settings { map_cache_bytes: 20_000, ..settings() };
    let client = Client::open(&cluster, settings.clone()).await;
    for index in 0..256u64 {
        for block in 0..20 {
            client.image.write(index * 16 * MIB + block * 9000, pattern(index, 100), false).await.unwrap();
        }
    }
    client.image.close().await.unwrap();
    let reader = Client::try_open(&cluster, settings, true).await.unwrap();
    for round in 0..2 {
        for index in 0..256u64 {
            assert_eq!(read(&reader.image, index * 16 * MIB, 100).await, pattern(index, 100), "round {round}");
            assert!(reader.image.map_bytes() < 40_000, "{} bytes of map", reader.image.map_bytes());
        }
    }
}

/// A call's future is allocated for each operation in flight: what happens seldom has an allocation of its own, so that the
/// rest is small (glibc takes a slower way from 1 KiB on).
#[tokio::test]
async fn the_futures_of_data_calls_are_small() {
    const MOST: usize = 800;
    let cluster = cluster_with_image(SIZE).await;
    let client = Client::open(&cluster, settings()).await;
    let image = &client.image;
    let sizes = [
        ("read", size_of_val(&image.read(0, 4096))),
        ("write", size_of_val(&image.write(0, pattern(1, 4096), false))),
        ("discard", size_of_val(&image.discard(0, 4096, false))),
        ("flush", size_of_val(&image.flush())),
    ];
    for (call, size) in sizes {
        assert!(size <= MOST, "{call}: {size} bytes; all: {sizes:?}");
    }
}

/// Leaves that no checkpoint has yet cannot be dropped, so a checkpoint comes when they take too much memory, and writers wait for it.
#[tokio::test(start_paused = true)]
async fn dirty_leaves_keep_within_the_memory_of_the_map() {
    const LEAVES: u64 = 1500;
    const EACH: u64 = 80;
    let cluster = cluster_with_image(LEAVES * LEAF).await;
    // Far less log than makes a checkpoint due.
    let settings = Settings { map_cache_bytes: MIB, ..settings() };
    let client = Client::open(&cluster, settings.clone()).await;
    let place = |index: u64| index * 7919 % LEAVES * LEAF + index / LEAVES * 9000;
    for index in 0..LEAVES * EACH {
        client.image.write(place(index), pattern(index, 100), false).await.unwrap();
        let held = client.image.map_bytes();
        assert!(held < MIB + MIB / 4, "{held} bytes of map after {index} writes");
    }
    client.image.flush().await.unwrap();
    client.crash(&cluster);
    let client = Client::open(&cluster, settings).await;
    assert_eq!(client.image.used_bytes(), LEAVES * EACH * 100);
    for index in (0..LEAVES * EACH).step_by(97) {
        assert_eq!(read(&client.image, place(index), 100).await, pattern(index, 100));
    }
}

const LEAF: u64 = 16 * MIB;
const MANY_LEAVES: u64 = 2000;

/// An image with something in each of many leaves, all of them in a checkpoint.
async fn cluster_with_many_leaves() -> MemoryCluster {
    let cluster = cluster_with_image(MANY_LEAVES * LEAF).await;
    let client = Client::open(&cluster, settings()).await;
    for leaf in 0..MANY_LEAVES {
        for part in 0..20 {
            client.image.write(leaf * LEAF + part * 9000, pattern(leaf, 100), false).await.unwrap();
        }
    }
    client.image.close().await.unwrap();
    cluster
}

/// Which leaves of [`cluster_with_many_leaves`] are there still. Nothing but all of a leaf is missing.
async fn leaves_left(image: &lsd_engine::Image) -> Vec<bool> {
    let mut left = Vec::new();
    for leaf in 0..image.size() / LEAF {
        let found = read(image, leaf * LEAF + 19 * 9000, 100).await;
        assert_eq!(found, read(image, leaf * LEAF, 100).await);
        assert!(found == pattern(leaf, 100) || found.iter().all(|byte| *byte == 0), "leaf {leaf}");
        left.push(found[0] != 0);
    }
    left
}

/// Lets so many reads of leaves pass, then holds the others.
fn some_leaves_are_read(mut count: usize) -> impl FnMut(Op, &str) -> bool + Send {
    move |op, name| {
        let is_leaf = op == Op::Read && name.starts_with("lsd_map.");
        count = count.saturating_sub(usize::from(is_leaf));
        is_leaf && count == 0
    }
}

async fn assert_sound(cluster: &MemoryCluster) {
    let store: std::sync::Arc<dyn lsd_store::ObjectStore> = std::sync::Arc::new(cluster.client());
    let disk = lsd_engine::ImageRef::Name("disk".into());
    let report = lsd_engine::Image::check(&store, &disk, &|_, _| Ok(())).await.unwrap();
    assert_eq!(report.count(lsd_engine::Severity::Corruption), 0, "{report:?}");
}

/// A discard of many leaves never needs them all at once: it is several records, and what a crash leaves is some of them.
#[tokio::test(start_paused = true)]
async fn a_discard_of_many_leaves_is_a_record_for_each_step() {
    let cluster = cluster_with_many_leaves().await;
    let (client, gate) = Client::open_gated(&cluster, settings()).await;
    gate.close(some_leaves_are_read(24));
    let image = client.image.clone();
    let discard = tokio::spawn(async move { image.discard(0, MANY_LEAVES * LEAF, false).await });
    gate.until_waiting(1).await;
    // What was accepted so far is durable at its age.
    tokio::time::sleep(Duration::from_secs(10)).await;
    discard.abort();
    drop(gate.take());
    client.crash(&cluster);

    let client = Client::open(&cluster, settings()).await;
    let left = leaves_left(&client.image).await;
    let gone = left.iter().position(|left| *left).unwrap();
    assert!(gone > 0 && left[gone..].iter().all(|left| *left), "a prefix is gone: {left:?}");
    client.image.discard(0, MANY_LEAVES * LEAF, true).await.unwrap();
    assert_eq!((client.image.used_bytes(), client.image.space().live), (0, 0));
    let emptied = client.image.map_bytes();
    assert!(emptied < MANY_LEAVES * 128, "{emptied} bytes of map for {MANY_LEAVES} empty leaves");
    client.crash(&cluster);
    assert_sound(&cluster).await;
    let client = Client::open(&cluster, settings()).await;
    assert_eq!((client.image.used_bytes(), client.image.space().live), (0, 0));
}

/// A shrink likewise; whatever it has done when it ends early, the image ends at the new size, and what is beyond never comes back.
#[tokio::test(start_paused = true)]
async fn a_shrink_over_many_leaves_that_breaks_off_leaves_nothing() {
    let cluster = cluster_with_many_leaves().await;
    let (client, gate) = Client::open_gated(&cluster, settings()).await;
    gate.close(some_leaves_are_read(24));
    let image = client.image.clone();
    let shrink = tokio::spawn(async move { image.resize(LEAF, true, &|_, _| Ok(())).await });
    gate.until_waiting(1).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let used = client.image.used_bytes();
    assert!((2000 * 100..MANY_LEAVES * 2000).contains(&used), "{used} bytes are left in the middle");
    shrink.abort();
    drop(gate.take());
    client.crash(&cluster);

    assert_sound(&cluster).await;
    let client = Client::open(&cluster, settings()).await;
    assert_eq!(client.image.size(), LEAF);
    assert!(client.image.used_bytes() < used + 1, "what was emptied is durable");
    client.image.resize(MANY_LEAVES * LEAF, false, &|_, _| Ok(())).await.unwrap();
    assert_eq!(client.image.used_bytes(), 20 * 100);
    client.crash(&cluster);
    assert_sound(&cluster).await;
    let client = Client::open(&cluster, settings()).await;
    let left = leaves_left(&client.image).await;
    assert!(left[0] && !left[1..].contains(&true), "{left:?}");
}
