//! Limits on reads and writes (`rbd_qos_*`): they hold, change while the image is open, and are in nobody's way.
use crate::common::{BLOCK, Client, MIB, cluster_with_image, content, read, settings};
use bytes::Bytes;
use lsd_engine::{Catalog, ErrorKind, Limit, Limited, PoolMetadata, Settings};
use lsd_store::ObjectStore;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

fn limited(what: Limited, rate: u64) -> Settings {
    let mut settings = settings();
    settings.limits.set(what, Limit { rate, burst: 0, burst_seconds: 1 });
    settings
}

async fn write(client: &Client, times: u64) -> Duration {
    let began = Instant::now();
    for time in 0..times {
        client.image.write(time % 16 * BLOCK, content(1), false).await.unwrap();
    }
    began.elapsed()
}

#[tokio::test(start_paused = true)]
async fn writes_are_as_many_as_the_limit_permits() {
    let cluster = cluster_with_image(64 * MIB).await;
    let client = Client::open(&cluster, limited(Limited::Iops, 100)).await;
    let took = write(&client, 300).await;
    assert!(took >= Duration::from_millis(2900), "300 writes took {took:?}");
    // In flight together they are no faster.
    let began = Instant::now();
    let all = (0..100).map(|time| client.image.write(time % 16 * BLOCK, content(2), false));
    futures::future::try_join_all(all).await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(900), "100 writes took {:?}", began.elapsed());
    assert_eq!(read(&client.image, 0, BLOCK).await, content(2));
}

#[tokio::test(start_paused = true)]
async fn bytes_are_counted_and_a_large_write_passes_in_its_time() {
    let cluster = cluster_with_image(64 * MIB).await;
    let client = Client::open(&cluster, limited(Limited::WriteBps, MIB)).await;
    let began = Instant::now();
    client.image.write(0, Bytes::from(vec![1; 4 * MIB as usize]), false).await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(3900), "4 MiB took {:?}", began.elapsed());
    // Reads are another matter.
    let began = Instant::now();
    client.image.read(0, 4 * MIB).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(1), "a read took {:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn discards_count_as_writes_and_reads_have_limits_of_their_own() {
    let cluster = cluster_with_image(64 * MIB).await;
    let client = Client::open(&cluster, limited(Limited::WriteIops, 10)).await;
    let began = Instant::now();
    for block in 0..20 {
        client.image.discard(block * BLOCK, BLOCK, false).await.unwrap();
    }
    assert!(began.elapsed() >= Duration::from_millis(1900), "20 discards took {:?}", began.elapsed());
    drop(client);
    let client = Client::open(&cluster, limited(Limited::ReadIops, 10)).await;
    let began = Instant::now();
    for block in 0..20 {
        read(&client.image, block * BLOCK, BLOCK).await;
    }
    assert!(began.elapsed() >= Duration::from_millis(1900), "20 reads took {:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn metadata_changes_a_limit_of_an_open_image() {
    let cluster = cluster_with_image(64 * MIB).await;
    let client = Client::open(&cluster, settings()).await;
    assert!(write(&client, 300).await < Duration::from_millis(500), "nothing is limited");
    client.image.metadata().set("conf_rbd_qos_iops_limit", "100").await.unwrap();
    let took = write(&client, 300).await;
    assert!(took >= Duration::from_millis(2900), "300 writes took {took:?}");
    // Who waits already is let go when the limit goes.
    client.image.metadata().set("conf_rbd_qos_iops_limit", "1").await.unwrap();
    let image = client.image.clone();
    let waiting = tokio::spawn(async move {
        for time in 0..50 {
            image.write(time * BLOCK, content(3), false).await.unwrap();
        }
    });
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!waiting.is_finished());
    let began = Instant::now();
    client.image.metadata().remove("conf_rbd_qos_iops_limit").await.unwrap();
    waiting.await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(2), "it went on after {:?}", began.elapsed());
}

/// rbd_aio_flush covers what was called before it: also what the limit holds back.
#[tokio::test(start_paused = true)]
async fn a_flush_covers_a_write_that_waits() {
    let cluster = cluster_with_image(64 * MIB).await;
    let client = Client::open(&cluster, limited(Limited::Iops, 1)).await;
    client.image.write(0, content(1), false).await.unwrap();
    {
        let write = client.image.write(BLOCK, content(2), false);
        tokio::pin!(write);
        assert!(futures::poll!(&mut write).is_pending());
        let (written, flushed) = futures::join!(write, client.image.flush());
        written.and(flushed).unwrap();
    }
    client.crash(&cluster);
    let next = Client::open(&cluster, settings()).await;
    assert_eq!(read(&next.image, BLOCK, BLOCK).await, content(2));
}

#[tokio::test(start_paused = true)]
async fn a_flush_and_a_read_of_what_is_there_wait_for_no_limit_of_writes() {
    let cluster = cluster_with_image(64 * MIB).await;
    let client = Client::open(&cluster, limited(Limited::WriteIops, 1)).await;
    client.image.write(0, content(1), false).await.unwrap();
    let began = Instant::now();
    client.image.flush().await.unwrap();
    assert_eq!(read(&client.image, 0, BLOCK).await, content(1));
    assert!(began.elapsed() < Duration::from_millis(500), "they took {:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn closing_waits_for_no_limit() {
    let cluster = cluster_with_image(64 * MIB).await;
    let client = Client::open(&cluster, limited(Limited::Iops, 1)).await;
    let writes: Vec<_> = (0..100)
        .map(|block| {
            let image = client.image.clone();
            tokio::spawn(async move { image.write(block * BLOCK, content(1), false).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let began = Instant::now();
    client.image.close().await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(1), "closing took {:?}", began.elapsed());
    let mut refused = 0;
    for write in writes {
        match write.await.unwrap() {
            Ok(()) => {}
            Err(error) if error.kind == ErrorKind::Closed => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(refused > 90, "{refused} writes were refused");
}

#[tokio::test(start_paused = true)]
async fn a_pool_says_what_holds_for_open_images_until_they_say_something_else() {
    let cluster = cluster_with_image(64 * MIB).await;
    let store: Arc<dyn ObjectStore> = Arc::new(cluster.client());
    let client = Client::open(&cluster, settings()).await;
    client.image.write(0, content(1), false).await.unwrap();
    PoolMetadata::new(store.clone()).set("conf_rbd_qos_iops_limit", "100").await.unwrap();
    Catalog::new(store).tell_of_options().await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let took = write(&client, 300).await;
    assert!(took >= Duration::from_millis(2800), "300 writes took {took:?}");
    client.image.metadata().set("conf_rbd_qos_iops_limit", "0").await.unwrap();
    let took = write(&client, 300).await;
    assert!(took < Duration::from_millis(500), "300 writes took {took:?}");
}
