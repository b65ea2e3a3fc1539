//! What a review of calls that are given up, answers that are lost, panics and logs found. Each comment says how it went wrong.
use crate::common::{Client, LONG, MIB, Op, cluster_with_image, pattern, settings, stop};
use crate::told::listen;
use lsd_engine::{ErrorKind, Image, Settings, Thresholds};
use lsd_store::MEMORY_POOL;
use std::time::Duration;
use tokio::time::timeout;

fn stat(image: &Image, group: &str, name: &str) -> u64 {
    let stats = image.stats();
    stats.iter().find(|stat| (stat.group, stat.name) == (group, name)).expect(name).value
}

/// Dropped while the lock is given back, a close left it behind: the second one did not know of it, and everybody else had to wait until
/// this client looks dead.
#[tokio::test(start_paused = true)]
async fn a_close_that_was_given_up_gives_the_lock_back_in_the_end() {
    let cluster = cluster_with_image(16 * MIB).await;
    let (client, gate) = Client::open_gated(&cluster, settings()).await;
    client.image.write(0, pattern(1, 4096), true).await.unwrap();
    gate.close(|op, _| op == Op::Unlock);
    let image = client.image.clone();
    let closing = tokio::spawn(async move { image.close().await });
    gate.until_waiting(1).await;
    stop(closing).await;
    drop(gate.take());
    gate.open();
    client.image.close().await.unwrap();
    let other = Client::try_open(&cluster, settings(), true).await.unwrap();
    assert_eq!(other.image.locks().holders().await.unwrap().lockers, []);
}

/// `own` ends its `Taking` for every error of `acquire_lock`, also for one after which nobody knows whether the lock was taken.
/// Then this handle holds the lock, says that it is a reader when it is asked, and nothing gives the lock back while it
/// lives: everybody else is refused with `Busy`.
#[tokio::test(start_paused = true)]
async fn a_lock_whose_answer_was_lost_does_not_keep_everybody_out() {
    let cluster = cluster_with_image(16 * MIB).await;
    let (first, gate) = Client::open_gated(&cluster, settings()).await;
    gate.close(|op, _| op == Op::Lock);
    let writing = tokio::spawn({
        let image = first.image.clone();
        async move { image.write(0, pattern(1, 4096), true).await }
    });
    // A write tries twice to become the owner.
    for _ in 0..2 {
        gate.until_waiting(1).await;
        gate.take().arrive_unheard();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(writing.await.unwrap().unwrap_err().kind, ErrorKind::TimedOut);
    gate.open();
    let second = Client::open(&cluster, settings()).await;
    for _ in 0..3 {
        let written = second.image.write(4096, pattern(2, 4096), true).await;
        assert!(written.is_ok(), "nobody owns the image, and it cannot be taken: {written:?}");
    }
}

/// `stored_bytes` pads what is as long as a block or longer at its end; the log pads before it. A short copy before a long one
/// costs a block that is not counted, so collecting what was just collected looks like a gain, over and over.
#[tokio::test(start_paused = true)]
async fn short_and_long_copies_in_turn_are_not_collected_for_ever() {
    // Blocks alone are collected once at most.
    for short in [4096, 512] {
        let cluster = cluster_with_image(64 * MIB).await;
        let gc_thresholds = Thresholds { least_live: 0, ..Settings::default().gc_thresholds };
        let client = Client::open(&cluster, Settings { gc_thresholds, ..settings() }).await;
        for index in 0..1024u64 {
            client.image.write(index * 65_536, pattern(index, short), false).await.unwrap();
            client.image.write(index * 65_536 + 32_768, pattern(index, 4096), false).await.unwrap();
        }
        client.image.flush().await.unwrap();
        // A round takes no time here, and sleeps for as long: a timer would never get its turn.
        for _ in 0..20_000 {
            tokio::task::yield_now().await;
        }
        let rounds = stat(&client.image, "collection", "rounds");
        let copied = stat(&client.image, "collection", "copied_bytes");
        let space = client.image.space();
        // What lies around short records is not to be had: it takes a few passes until nothing looks like a gain.
        assert!(rounds < 100, "{short}: {rounds} rounds copied {copied} bytes of {space:?}; nobody wrote");
        client.image.close().await.unwrap();
    }
}

/// A batch that passes because it frees space (FULL_FORCE) says that the pool takes data again, which is not so; the next write
/// says that it is full. A guest that discards while its pool is full fills the log with both.
#[tokio::test(start_paused = true)]
async fn a_discard_that_passes_in_a_full_pool_is_no_end_of_it() {
    let (lines, _guard) = listen();
    let cluster = cluster_with_image(64 * MIB).await;
    let client = Client::open(&cluster, settings()).await;
    client.image.write(0, pattern(1, 4096), true).await.unwrap();
    cluster.set_full(MEMORY_POOL, true);
    for index in 1..50 {
        let full = client.image.write(index * 65_536, pattern(index, 4096), true).await;
        assert_eq!(full.unwrap_err().kind, ErrorKind::NoSpace);
        client.image.discard(index * 65_536 + 8192, 4096, true).await.unwrap();
    }
    let (full, again) = (lines.with("pool is full"), lines.with("takes data again"));
    assert!(
        full.len() == 1 && again.is_empty(),
        "{} times full, {} times not, and it was full throughout",
        full.len(),
        again.len()
    );
}

/// Where one segment's OSD does not answer and the others' do, each batch elsewhere says that the store takes the log again, and each
/// time-out that it does not.
#[tokio::test(start_paused = true)]
async fn one_segment_that_is_not_taken_is_told_once() {
    let (lines, _guard) = listen();
    let cluster = cluster_with_image(64 * MIB).await;
    let (client, gate) = Client::open_gated(&cluster, settings()).await;
    client.image.write(0, pattern(1, 4096), true).await.unwrap();
    let mut stuck: Option<String> = None;
    gate.close(move |op, name| {
        if !name.starts_with("lsd_data") {
            return false;
        }
        if stuck.is_none() && matches!(op, Op::Create | Op::Append) {
            stuck = Some(name.to_owned());
        }
        stuck.as_deref() == Some(name)
    });
    let losing = tokio::spawn({
        let gate = gate.clone();
        async move {
            loop {
                tokio::time::sleep(Duration::from_secs(5)).await;
                drop(gate.take());
            }
        }
    });
    for index in 0..60 {
        client.image.write(index * 65_536, pattern(index, 4096), false).await.unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    losing.abort();
    let (down, up) = (lines.with("does not take the log"), lines.with("takes the log again"));
    assert!(
        down.len() <= 1 && up.is_empty(),
        "{} times down, {} times up, and it was down throughout",
        down.len(),
        up.len()
    );
}

/// A checkpoint that is due while a close writes the last one is told as failed, with a promise that it is tried again. `Closed` is no
/// failure (collection knows that).
#[tokio::test(start_paused = true)]
async fn a_close_is_no_failed_checkpoint() {
    let cluster = cluster_with_image(64 * MIB).await;
    let few = Settings { checkpoint_log_bytes: 64 << 10, ..settings() };
    let (client, gate) = Client::open_gated(&cluster, few).await;
    client.image.write(0, pattern(1, 4096), true).await.unwrap();
    let (lines, _guard) = listen();
    // The first checkpoint waits for its header.
    gate.close(|op, _| op == Op::Update);
    for index in 0..64 {
        client.image.write(index * 65_536, pattern(index, 65_536), true).await.unwrap();
    }
    gate.until_waiting(1).await;
    for index in 0..128 {
        client.image.write(index * 65_536, pattern(index + 1, 65_536), true).await.unwrap();
    }
    let closing = tokio::spawn({
        let image = client.image.clone();
        async move { image.close().await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    gate.open();
    // The lock takes a moment to be given back, as in any store.
    gate.close(|op, _| op == Op::Unlock);
    gate.until_waiting(1).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    gate.open();
    closing.await.unwrap().unwrap();
    assert_eq!(lines.with("checkpoint failed"), Vec::<String>::new());
}

/// The appender's panic is caught by its remote handle and given to a task that nobody asks: the image does not fail, later jobs go
/// nowhere (`send_jobs` says that "nobody waits" then), and every flush hangs.
#[tokio::test(start_paused = true)]
async fn a_panic_of_the_appender_fails_the_image() {
    let cluster = cluster_with_image(16 * MIB).await;
    let (client, gate) = Client::open_gated(&cluster, settings()).await;
    client.image.write(0, pattern(1, 4096), true).await.unwrap();
    gate.panic_at_append();
    let written = timeout(LONG * 60, client.image.write(4096, pattern(2, 4096), true)).await;
    assert!(matches!(written, Ok(Err(_))), "{written:?}");
    let flushed = timeout(LONG * 60, client.image.flush()).await;
    assert!(matches!(flushed, Ok(Err(_))), "{flushed:?}");
    let closed = timeout(LONG * 60, client.image.close()).await;
    assert!(matches!(closed, Ok(Err(_))), "{closed:?}");
}
