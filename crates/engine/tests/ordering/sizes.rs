//! Rule 14: segments stay what the next opening understands, whatever sizes of writes share them. At the sizes that users run with.
use super::*;
use lsd_core::units::MAX_SEGMENT_BYTES;
use lsd_engine::{ImageRef, Severity};
use std::sync::Arc;

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
    // A crash may leave pages of a checkpoint that was being written.
    assert!(found.worst() < Some(Severity::Corruption), "{what}: {:?}", found.findings);
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
