//! Large writes, at default sizes: at the bound on dirty memory, what has gone to the store by then, and that nobody waits there for
//! ever; and beside small ones, that the segments they share stay what the next opening understands.
mod common;

use common::{Client, MIB, Op, cluster_with_image, pattern, read};
use lsd_core::units::MAX_SEGMENT_BYTES;
use lsd_engine::{Image, ImageRef, Settings};
use lsd_store::ObjectStore;
use std::sync::Arc;
use std::time::Duration;

const WRITES: u64 = 40;

/// Writes of a MiB each, all at once, to a store that answers none of them: the batches that it has been sent when nobody gets any
/// further. Then it answers, and everything is there.
async fn batches_at_the_bound(max_dirty_bytes: u64) -> usize {
    let cluster = cluster_with_image(WRITES * MIB).await;
    let settings = Settings {
        writethrough_until_flush: false,
        max_dirty_bytes,
        watch_timeout: Duration::from_secs(1),
        ..Settings::default()
    };
    let (client, gate) = Client::open_gated(&cluster, settings.clone()).await;
    client.image.write(0, pattern(99, 4096), true).await.unwrap();
    gate.close(|op, _| matches!(op, Op::Create | Op::Append));
    let writes: Vec<_> = (0..WRITES)
        .map(|index| {
            let image = client.image.clone();
            tokio::spawn(async move { image.write(index * MIB, pattern(index, MIB as usize), false).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(writes.iter().filter(|write| write.is_finished()).count() as u64, max_dirty_bytes / MIB);
    let sent = gate.waiting();
    gate.open();
    for write in writes {
        write.await.unwrap().unwrap();
    }
    client.image.flush().await.unwrap();
    client.crash(&cluster);
    let reader = Client::try_open(&cluster, settings, true).await.unwrap();
    for index in 0..WRITES {
        assert_eq!(read(&reader.image, index * MIB, MIB).await, pattern(index, MIB as usize), "write {index}");
    }
    sent
}

/// Two small ones while the store was idle, then full ones. What comes after them gathers: it has to wait anyway.
#[tokio::test(start_paused = true)]
async fn batches_are_full_when_the_store_is_busy() {
    assert_eq!(batches_at_the_bound(24 * MIB).await, 2 + 5);
}

/// What is in the open batch would never come back otherwise.
#[tokio::test(start_paused = true)]
async fn the_open_batch_goes_when_it_holds_the_memory_that_is_waited_for() {
    assert_eq!(batches_at_the_bound(4 * MIB).await, 2 + 1);
}

fn defaults() -> Settings {
    Settings { watch_timeout: Duration::from_secs(1), ..Settings::default() }
}

/// Large writes, then small ones, with the sizes that users run with; then a clean close or a crash. All of it is there, in the
/// running image and in one that is opened again.
async fn large_then_small(large: u64, small: u64, crash: bool) {
    let what = format!("{large} large writes, {small} small ones, crash: {crash}");
    let cluster = cluster_with_image(1024 * MIB).await;
    let client = Client::open(&cluster, defaults()).await;
    client.image.flush().await.unwrap();
    for index in 0..large {
        client.image.write(index * MIB, pattern(index, MIB as usize), false).await.unwrap();
    }
    for index in 0..small {
        client.image.write(512 * MIB + index * 8192, pattern(index, 4096), false).await.unwrap();
    }
    client.image.flush().await.unwrap();
    for name in client.store.list("lsd_data.").await.unwrap() {
        let len = client.store.stat(&name).await.unwrap();
        assert!(len <= MAX_SEGMENT_BYTES.into(), "{what}: a segment of {len} bytes");
    }
    if !crash {
        client.image.close().await.unwrap();
    }
    client.crash(&cluster);
    let store: Arc<dyn ObjectStore> = Arc::new(cluster.client());
    let found = Image::check(&store, &ImageRef::Name("disk".into()), &|_, _| Ok(())).await.unwrap();
    assert_eq!(found.findings, [], "{what}");
    let again = Client::try_open(&cluster, defaults(), true).await.unwrap_or_else(|error| panic!("{what}: {error}"));
    for index in 0..large {
        assert_eq!(read(&again.image, index * MIB, MIB).await, pattern(index, MIB as usize), "{what}: {index}");
    }
    for index in 0..small {
        let found = read(&again.image, 512 * MIB + index * 8192, 4096).await;
        assert_eq!(found, pattern(index, 4096), "{what}: small write {index}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_image_of_mixed_sizes_opens_again() {
    for large in [45, 52, 60] {
        for (small, crash) in [(4000, true), (12_000, false)] {
            large_then_small(large, small, crash).await;
        }
    }
}
