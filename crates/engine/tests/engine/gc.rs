//! Garbage collection: space comes back, nothing that lives is lost, whatever happens in between.
use crate::common::{Client, MIB, Op, cluster_with_image, pattern, read, settings, silent, stored};
use bytes::Bytes;
use lsd_engine::{CreateOptions, ErrorKind, Image, Settings, Thresholds};
use lsd_store::{MEMORY_POOL, MemoryCluster, ObjectStore};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const BLOCK: u64 = 4096;

/// Collection that has to work with little data.
fn eager() -> Settings {
    let gc_thresholds = Thresholds { start_percent: 44, stop_percent: 40, limit_percent: 48, least_live: 0 };
    Settings { gc_thresholds, ..settings() }
}

fn manual() -> Settings {
    Settings { gc: false, ..settings() }
}

#[tokio::test(start_paused = true)]
async fn what_every_other_block_held_comes_back() {
    let cluster = cluster_with_image(64 * MIB).await;
    let client = Client::open(&cluster, manual()).await;
    for offset in (0..64).map(|index| index * MIB) {
        client.image.write(offset, pattern(offset, MIB as usize), false).await.unwrap();
    }
    for block in (0..64 * MIB / BLOCK).step_by(2) {
        client.image.discard(block * BLOCK, BLOCK, false).await.unwrap();
    }
    client.image.flush().await.unwrap();
    assert!(stored(&cluster, "lsd_data.").await > 64 * MIB);
    client.image.collect(&silent).await.unwrap();
    let left = stored(&cluster, "lsd_data.").await;
    assert!(left < 34 * MIB, "{left} bytes are stored for 32 MiB of data");
    for offset in (0..64).map(|index| index * MIB) {
        let mut expected = pattern(offset, MIB as usize).to_vec();
        expected.chunks_mut(BLOCK as usize).step_by(2).for_each(|block| block.fill(0));
        assert!(read(&client.image, offset, MIB).await == expected, "at {offset}");
    }
    let space = client.image.space();
    assert_eq!((space.live, space.stored), (32 * MIB, left));
}

async fn check(client: &Client, model: &[u8]) {
    for start in (0..model.len()).step_by(MIB as usize) {
        let end = model.len().min(start + MIB as usize);
        let found = read(&client.image, start as u64, (end - start) as u64).await;
        if found != model[start..end] {
            let at = found.iter().zip(&model[start..]).position(|(a, b)| a != b).unwrap();
            panic!("byte {} is {} and should be {}", start + at, found[at], model[start + at]);
        }
    }
}

async fn random_change(client: &Client, model: &mut [u8], random: &mut StdRng) {
    let size = model.len() as u64;
    let len = match random.random_range(0..20) {
        0 => random.random_range(1..MIB),
        1..6 => random.random_range(1..20_000),
        _ => BLOCK,
    };
    let mut offset = random.random_range(0..size - len);
    if random.random_bool(0.7) {
        offset -= offset % BLOCK;
    }
    let range = offset as usize..(offset + len) as usize;
    match random.random_range(0..20) {
        0..3 => {
            client.image.discard(offset, len, false).await.unwrap();
            model[range].fill(0);
        }
        3 => {
            client.image.write_zeroes(offset, len, false, false).await.unwrap();
            model[range].fill(0);
        }
        _ => {
            let data = pattern(random.random(), len as usize);
            client.image.write(offset, data.clone(), false).await.unwrap();
            model[range].copy_from_slice(&data);
        }
    }
}

/// Writes, discards, collections that run beside them and are cut off by crashes; after each crash everything that was
/// flushed is there.
async fn random_life(seed: u64, settings: Settings) {
    const SIZE: u64 = 12 * MIB;
    let cluster = cluster_with_image(SIZE).await;
    let mut random = StdRng::seed_from_u64(seed);
    let mut model = vec![0; SIZE as usize];
    for round in 0..8 {
        let client = Client::open(&cluster, settings.clone()).await;
        check(&client, &model).await;
        for _ in 0..random.random_range(1..6) {
            for _ in 0..random.random_range(1..400) {
                random_change(&client, &mut model, &mut random).await;
            }
            let collecting = tokio::spawn({
                let image = client.image.clone();
                async move { image.collect(&silent).await }
            });
            for _ in 0..random.random_range(0..100) {
                random_change(&client, &mut model, &mut random).await;
                tokio::task::yield_now().await;
            }
            if random.random_bool(0.5) {
                collecting.await.unwrap().unwrap();
                check(&client, &model).await;
            } else {
                collecting.abort();
            }
        }
        if round % 3 == 2 {
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
async fn collecting_changes_nothing_that_is_read() {
    for seed in 0..4 {
        random_life(seed, manual()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn collecting_in_the_background_changes_nothing_that_is_read() {
    for seed in 10..14 {
        random_life(seed, eager()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn collecting_with_a_map_that_does_not_fit_its_memory() {
    random_life(20, Settings { map_cache_bytes: 0, cache_bytes: 0, ..eager() }).await;
}

/// The bound on space holds at every moment, however fast the writer is.
#[tokio::test(start_paused = true)]
async fn space_stays_within_its_bound() {
    const LIVE: u64 = 48 * MIB;
    let cluster = cluster_with_image(64 * MIB).await;
    // Besides the limit: what is accepted and not yet written (4 MiB), and a round of copies (1 MiB).
    let gc_thresholds = Thresholds { start_percent: 34, stop_percent: 32, limit_percent: 38, least_live: 0 };
    let settings = Settings { max_dirty_bytes: 0, gc_thresholds, ..settings() };
    let client = Client::open(&cluster, settings).await;
    let mut random = StdRng::seed_from_u64(5);
    for offset in (0..LIVE).step_by(MIB as usize) {
        client.image.write(offset, pattern(1, MIB as usize), false).await.unwrap();
    }
    let written = cluster.written_bytes(MEMORY_POOL);
    let count = 4 * LIVE / BLOCK;
    for _ in 0..count {
        let block = random.random_range(0..LIVE / BLOCK);
        client.image.write(block * BLOCK, pattern(2, BLOCK as usize), false).await.unwrap();
    }
    let peak = cluster.take_peak_bytes(MEMORY_POOL);
    assert!(peak < LIVE * 3 / 2, "{peak} bytes for {LIVE} live ones");
    let amplification = (cluster.written_bytes(MEMORY_POOL) - written) as f64 / (count * BLOCK) as f64;
    assert!(amplification < 3.0, "{amplification}");
}

/// A reader that took up the image long ago reads on while its owner overwrites, collects and deletes.
#[tokio::test(start_paused = true)]
async fn a_reader_reads_on_while_the_owner_collects() {
    const SIZE: u64 = 8 * MIB;
    let cluster = cluster_with_image(SIZE).await;
    let owner = Client::open(&cluster, manual()).await;
    owner.image.write(0, Bytes::from(vec![1; SIZE as usize]), false).await.unwrap();
    owner.image.flush().await.unwrap();
    let quiet = Settings { cache_bytes: 0, map_cache_bytes: 0, ..manual() };
    let reader = Client::try_open(&cluster, quiet, true).await.unwrap();
    for round in 2..12 {
        // Blocks of every round, so that segments are partly dead and are collected.
        for block in (0..SIZE / BLOCK).filter(|block| block % 3 != round % 3) {
            owner.image.write(block * BLOCK, Bytes::from(vec![round as u8; BLOCK as usize]), false).await.unwrap();
        }
        owner.image.collect(&silent).await.unwrap();
        for block in (0..SIZE / BLOCK).step_by(11) {
            let found = read(&reader.image, block * BLOCK, BLOCK).await;
            let is_whole = found.iter().all(|byte| *byte == found[0]);
            assert!(is_whole && (1..=round as u8).contains(&found[0]), "round {round}, block {block}");
        }
        let extents = reader.image.extents(0, SIZE).await.unwrap();
        assert_eq!(extents.iter().map(|extent| extent.len).sum::<u64>(), SIZE);
    }
}

#[tokio::test(start_paused = true)]
async fn damaged_data_is_not_copied() {
    let cluster = cluster_with_image(8 * MIB).await;
    let client = Client::open(&cluster, Settings { cache_bytes: 0, ..manual() }).await;
    client.image.write(0, pattern(1, MIB as usize / 2), false).await.unwrap();
    client.image.flush().await.unwrap();
    let first = client.store.list("lsd_data.").await.unwrap().remove(0);
    // The second block of the first write's data, which follows the header page.
    assert!(cluster.corrupt(MEMORY_POOL, &first.0, 2 * 4096 + 7, &[0]));
    client.image.discard(0, BLOCK, false).await.unwrap();
    for block in 20..100 {
        client.image.write(block * BLOCK, pattern(2, BLOCK as usize), false).await.unwrap();
    }
    let error = client.image.collect(&silent).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Corrupt);
    // What is not damaged is still there.
    assert!(client.store.stat(&first).await.is_ok());
    assert_eq!(read(&client.image, 8 * BLOCK, BLOCK).await, pattern(1, MIB as usize / 2)[8 * 4096..9 * 4096]);
}

/// A few blocks, each segment of which is mostly its header page and its end: a copy of one looks just like it.
#[tokio::test]
async fn collection_of_a_few_blocks_comes_to_rest() {
    let cluster = cluster_with_image(64 * MIB).await;
    let client = Client::open(&cluster, eager()).await;
    for round in 0..40 {
        for block in 0..3 {
            client.image.write(block * 8 * MIB, pattern(round + block, BLOCK as usize), true).await.unwrap();
        }
    }
    client.image.flush().await.unwrap();
    let mut before = cluster.written_bytes(MEMORY_POOL);
    for _ in 0..100 {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        let now = cluster.written_bytes(MEMORY_POOL);
        if now == before {
            client.image.close().await.unwrap();
            return;
        }
        before = now;
    }
    panic!("nobody writes, and collection goes on: {before} bytes were written");
}

/// Blocks of 4 KiB, written in an order that has nothing to do with where they are.
const SCATTERED: u64 = 40 * MIB / BLOCK;

async fn write_scattered(client: &Client) -> Vec<u8> {
    let mut model = vec![0; (SCATTERED * BLOCK) as usize];
    for block in (0..SCATTERED).map(|index| index * 7919 % SCATTERED) {
        let data = pattern(block, BLOCK as usize);
        model[(block * BLOCK) as usize..][..BLOCK as usize].copy_from_slice(&data);
        client.image.write(block * BLOCK, data, false).await.unwrap();
    }
    client.image.flush().await.unwrap();
    model
}

#[tokio::test(start_paused = true)]
async fn a_collection_that_is_asked_for_puts_data_in_order() {
    let cluster = cluster_with_image(64 * MIB).await;
    let client = Client::open(&cluster, manual()).await;
    let model = write_scattered(&client).await;
    client.image.collect(&silent).await.unwrap();
    let left = stored(&cluster, "lsd_data.").await;
    assert!(left < 42 * MIB, "{left} bytes are stored for 40 MiB of data");
    client.image.close().await.unwrap();

    let client = Client::open(&cluster, Settings { cache_bytes: 0, ..manual() }).await;
    let before = cluster.reads(MEMORY_POOL).operations;
    check(&client, &model).await;
    let reads = cluster.reads(MEMORY_POOL).operations - before;
    // One or two for each MiB, the leaves, and the tail and the table of each segment.
    assert!(reads < 160, "{reads} reads of 40 MiB in order");

    let written = cluster.written_bytes(MEMORY_POOL);
    client.image.collect(&silent).await.unwrap();
    let again = cluster.written_bytes(MEMORY_POOL) - written;
    assert!(again < MIB, "{again} bytes were written for data that is in order");
}

#[tokio::test(start_paused = true)]
async fn a_full_pool_is_collected_and_not_sorted() {
    let cluster = cluster_with_image(64 * MIB).await;
    let client = Client::open(&cluster, manual()).await;
    let mut model = write_scattered(&client).await;
    // Half of what every segment holds is garbage.
    for block in (0..SCATTERED).filter(|block| block / 4 % 2 == 0) {
        client.image.discard(block * BLOCK, BLOCK, false).await.unwrap();
        model[(block * BLOCK) as usize..][..BLOCK as usize].fill(0);
    }
    client.image.flush().await.unwrap();
    let before = stored(&cluster, "lsd_data.").await;
    cluster.set_full(MEMORY_POOL, true);
    client.image.collect(&silent).await.unwrap();
    let after = stored(&cluster, "lsd_data.").await;
    assert!(after < before * 2 / 3, "{after} of {before} bytes are left");
    check(&client, &model).await;
    cluster.set_full(MEMORY_POOL, false);
    client.image.write(0, pattern(1, BLOCK as usize), true).await.unwrap();
}

/// A pool that pads every append to 8 KiB, or more: there a segment of a few blocks is mostly padding, which no copy gives back.
#[tokio::test(start_paused = true)]
async fn collection_comes_to_its_end_in_a_pool_that_pads() {
    const ENOUGH: usize = 5000;
    for alignment in [8 << 10, 16 << 10, 64 << 10] {
        let cluster = MemoryCluster::new();
        let pool = cluster.add_pool("ec", MemoryCluster::erasure_coded(alignment));
        let store: Arc<dyn ObjectStore> = Arc::new(cluster.client());
        let options = CreateOptions { size: 64 * MIB, data_pool: Some(pool), ..CreateOptions::default() };
        Image::create(&store, "disk", &options).await.unwrap();
        let (client, gate) = Client::open_gated(&cluster, eager()).await;
        // Without an end nothing would ever be idle, and virtual time would stand still.
        let updates = Arc::new(AtomicUsize::new(0));
        let counted = updates.clone();
        gate.close(move |op, _| op == Op::Update && counted.fetch_add(1, Ordering::Relaxed) >= ENOUGH);
        for round in 0..200 {
            client.image.write(round % 3 * 20 * MIB, pattern(round, 4096), true).await.unwrap();
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
        let seen = updates.load(Ordering::Relaxed);
        assert!(seen < ENOUGH / 5, "{seen} updates of the header around 200 writes, appends of {alignment} bytes");
    }
}
