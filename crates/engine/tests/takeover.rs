//! Two clients, one image: what the old owner does late changes nothing, and what it flushed is there.
mod common;

use common::{Client, MIB, cluster_with_image, pattern, read, settings};
use lsd_engine::{ErrorKind, Settings};

/// The old owner is cut off with appends under way; the new one takes over, with or without the blocklist; then the
/// old one's packets arrive.
async fn late_packets(blocklist: bool) {
    let cluster = cluster_with_image(16 * MIB).await;
    if !blocklist {
        cluster.forbid_blocklist();
    }
    let zombie = Client::open(&cluster, settings()).await;
    zombie.image.write(0, pattern(1, 8192), true).await.unwrap();
    zombie.memory.hold();
    for index in 0..64 {
        // More than one segment's worth, so that creations are under way as well.
        zombie.image.write(index * 65_536, pattern(2, 65_536), false).await.unwrap();
    }
    let flushing = tokio::spawn({
        let image = zombie.image.clone();
        async move { image.flush().await }
    });
    tokio::task::yield_now().await;
    cluster.expire(&zombie.memory);
    let heir = Client::open(&cluster, settings()).await;
    heir.image.write(4096, pattern(3, 4096), true).await.unwrap();
    zombie.memory.release();
    assert_eq!(flushing.await.unwrap().unwrap_err().kind, ErrorKind::Fenced);
    let late = zombie.image.write(0, pattern(4, 4096), true).await.unwrap_err();
    assert_eq!(late.kind, ErrorKind::Fenced);
    assert!(zombie.image.close().await.is_err());
    heir.image.write(8 * MIB, pattern(5, 4096), true).await.unwrap();
    heir.crash(&cluster);
    let reader = Client::open(&cluster, settings()).await;
    assert_eq!(read(&reader.image, 0, 4096).await, pattern(1, 8192)[..4096]);
    assert_eq!(read(&reader.image, 4096, 4096).await, pattern(3, 4096));
    assert_eq!(read(&reader.image, 8192, 4 * MIB).await, vec![0; 4 * MIB as usize]);
    assert_eq!(read(&reader.image, 8 * MIB, 4096).await, pattern(5, 4096));
}

#[tokio::test(start_paused = true)]
async fn late_packets_of_a_blocklisted_owner_change_nothing() {
    late_packets(true).await;
}

#[tokio::test(start_paused = true)]
async fn late_packets_change_nothing_where_blocklisting_is_not_permitted() {
    late_packets(false).await;
}

#[tokio::test(start_paused = true)]
async fn flushed_writes_survive_many_crashes_in_a_row() {
    let cluster = cluster_with_image(16 * MIB).await;
    for round in 0..40u64 {
        let client = Client::open(&cluster, settings()).await;
        for earlier in 0..round {
            assert_eq!(read(&client.image, earlier * 8192, 8192).await, pattern(earlier, 8192), "round {round}");
        }
        client.image.write(round * 8192, pattern(round, 8192), false).await.unwrap();
        client.image.flush().await.unwrap();
        client.image.write(15 * MIB, pattern(round, 8192), false).await.unwrap();
        client.crash(&cluster);
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_pool_is_told_and_nothing_acknowledged_is_lost() {
    let cluster = cluster_with_image(64 * MIB).await;
    let settings = Settings { max_dirty_bytes: 4 * MIB, ..settings() };
    let client = Client::open(&cluster, settings.clone()).await;
    client.image.write(0, pattern(1, 4096), true).await.unwrap();
    cluster.set_full(lsd_store::MEMORY_POOL, true);
    let mut accepted = Vec::new();
    let refused = loop {
        let index = accepted.len() as u64 + 1;
        match client.image.write(index * 65_536, pattern(index, 65_536), false).await {
            Ok(()) => accepted.push(index),
            Err(error) => break error,
        }
    };
    assert_eq!(refused.kind, ErrorKind::NoSpace);
    assert_eq!(client.image.flush().await.unwrap_err().kind, ErrorKind::NoSpace);
    cluster.set_full(lsd_store::MEMORY_POOL, false);
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    client.image.flush().await.unwrap();
    client.crash(&cluster);
    let client = Client::open(&cluster, settings).await;
    for index in accepted {
        assert_eq!(read(&client.image, index * 65_536, 65_536).await, pattern(index, 65_536));
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_is_durable_after_max_age_without_a_flush() {
    let cluster = cluster_with_image(MIB).await;
    let client = Client::open(&cluster, settings()).await;
    client.image.write(0, pattern(1, 4096), false).await.unwrap();
    tokio::time::sleep(settings().max_age * 3).await;
    client.crash(&cluster);
    let client = Client::open(&cluster, settings()).await;
    assert_eq!(read(&client.image, 0, 4096).await, pattern(1, 4096));
}
