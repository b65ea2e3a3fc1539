//! What is in batches: what is written over and over before it goes to the store goes there once; times.
use crate::common::{Client, MIB, cluster_with_image, pattern, read, settings};
use lsd_core::format::header::ImageRecord;
use lsd_core::format::names;
use lsd_core::format::segment::SegmentIdentity;
use lsd_core::replay::{TailRule, scan_segment};
use lsd_engine::{Clock, Image, ImageRef, OpenOptions};
use lsd_store::{MEMORY_POOL, ObjectStore};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const BLOCK: usize = 4096;

/// Bytes that arrive in the store from the first write to the end of a flush.
async fn written_for(writes: impl IntoIterator<Item = (u64, usize)>) -> u64 {
    let cluster = cluster_with_image(MIB).await;
    let client = Client::open(&cluster, settings()).await;
    client.image.write(MIB / 2, pattern(0, BLOCK), true).await.unwrap();
    let before = cluster.written_bytes(MEMORY_POOL);
    let mut model = vec![0; MIB as usize];
    model[MIB as usize / 2..][..BLOCK].copy_from_slice(&pattern(0, BLOCK));
    for (seed, (offset, len)) in writes.into_iter().enumerate() {
        let data = pattern(seed as u64, len);
        client.image.write(offset, data.clone(), false).await.unwrap();
        model[offset as usize..][..len].copy_from_slice(&data);
    }
    assert_eq!(read(&client.image, 0, MIB).await, model);
    client.image.flush().await.unwrap();
    let written = cluster.written_bytes(MEMORY_POOL) - before;
    client.crash(&cluster);
    let reader = Client::try_open(&cluster, settings(), true).await.unwrap();
    assert_eq!(read(&reader.image, 0, MIB).await, model);
    written
}

#[tokio::test(start_paused = true)]
async fn a_block_that_is_written_over_and_over_goes_to_the_store_once() {
    let once = written_for([(0, BLOCK), (8192, 1000)]).await;
    let often = written_for((0..30).flat_map(|_| [(0, BLOCK), (8192, 1000)])).await;
    assert_eq!(often, once);
}

#[tokio::test(start_paused = true)]
async fn writes_that_only_overlap_all_go_there() {
    let overlapping = written_for((0..8).map(|index| (index * 2048, BLOCK))).await;
    assert!(overlapping >= 8 * BLOCK as u64, "{overlapping}");
}

/// A store that has nothing to do gets what was accepted as soon as without coalescing.
#[tokio::test(start_paused = true)]
async fn overwriting_does_not_keep_a_batch_from_going() {
    let cluster = cluster_with_image(MIB).await;
    let client = Client::open(&cluster, settings()).await;
    client.image.flush().await.unwrap();
    let before = cluster.written_bytes(MEMORY_POOL);
    for seed in 0..200 {
        client.image.write(0, pattern(seed, BLOCK), false).await.unwrap();
        tokio::task::yield_now().await;
    }
    let written = cluster.written_bytes(MEMORY_POOL) - before;
    assert!(written >= BLOCK as u64, "nothing of 800 KiB was sent");
    assert!(written < 16 * BLOCK as u64, "{written} bytes for one block");
    client.crash(&cluster);
}

/// A clock that somebody sets back again and again.
#[derive(Debug)]
struct SetBack(AtomicU64);

impl Clock for SetBack {
    fn now_ns(&self) -> u64 {
        self.0.fetch_sub(1_000_000_000, Ordering::Relaxed)
    }
}

#[tokio::test(start_paused = true)]
async fn the_times_of_batches_never_go_back() {
    let cluster = cluster_with_image(16 * MIB).await;
    let disk = ImageRef::Name("disk".into());
    let options = OpenOptions { settings: settings(), ..OpenOptions::default() };
    for begun in [1 << 60, 1 << 50] {
        let memory = cluster.client();
        let store: Arc<dyn ObjectStore> = Arc::new(memory.clone());
        let clock = Arc::new(SetBack(AtomicU64::new(begun)));
        let image = Image::open_with_clock(&store, &disk, &options, clock).await.unwrap();
        for block in 0..20 {
            image.write(block * BLOCK as u64, pattern(block, BLOCK), true).await.unwrap();
        }
        cluster.expire(&memory);
    }
    let store: Arc<dyn ObjectStore> = Arc::new(cluster.client());
    let header = store.list("lsd_header.").await.unwrap().remove(0);
    let record = ImageRecord::decode(&store.kv_get(&header, "").await.unwrap()["image"]).unwrap();
    let mut times = Vec::new();
    for name in store.list("lsd_data.").await.unwrap() {
        let (epoch, segment) = names::parse_segment(&record.id, &name.0).unwrap();
        let bytes = store.read(&name, 0, store.stat(&name).await.unwrap()).await.unwrap();
        let identity = SegmentIdentity { image: record.uuid, epoch, segment };
        let found = scan_segment(&identity, &bytes, TailRule::Whole).unwrap();
        times.extend(found.batches.iter().map(|batch| (batch.first_seq, batch.timestamp_ns)));
    }
    times.sort();
    assert_eq!(times.len(), 40);
    assert!(times.is_sorted_by_key(|(_, time)| *time), "{times:?}");
}
