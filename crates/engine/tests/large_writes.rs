//! Large writes at the bound on dirty memory: what has gone to the store by then, and that nobody waits there for ever.
mod common;

use common::{Client, MIB, Op, cluster_with_image, pattern, read};
use lsd_engine::Settings;
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
