//! Two clients, one image: what the old owner does late changes nothing, and what it flushed is there. And one client whose store does
//! not answer for a while.
use crate::common::{Client, Gate, MIB, Op, cluster_with_image, pattern, read, settings};
use lsd_engine::{ErrorKind, Settings};
use lsd_store::{Append, ObjectName, ObjectStore};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// A flush under way.
async fn flushing(client: &Client) -> JoinHandle<lsd_engine::Result<()>> {
    let image = client.image.clone();
    let flush = tokio::spawn(async move { image.flush().await });
    tokio::task::yield_now().await;
    flush
}

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
    let flushing = flushing(&zombie).await;
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

/// Data that is stuck must not keep the discard behind it from giving space back, nor the checkpoint that deletes.
#[tokio::test(start_paused = true)]
async fn a_discard_frees_space_in_a_full_pool() {
    let cluster = cluster_with_image(64 * MIB).await;
    let client = Client::open(&cluster, settings()).await;
    for index in 0..32 {
        client.image.write(index * MIB, pattern(index, MIB as usize), false).await.unwrap();
    }
    client.image.flush().await.unwrap();
    cluster.set_full(lsd_store::MEMORY_POOL, true);
    client.image.write(40 * MIB, pattern(40, MIB as usize), false).await.unwrap();
    assert_eq!(client.image.flush().await.unwrap_err().kind, ErrorKind::NoSpace);
    let before = cluster.stored_bytes(lsd_store::MEMORY_POOL);
    client.image.discard(0, 31 * MIB, false).await.unwrap();
    client.image.flush().await.unwrap();
    // What is dead goes without anybody asking.
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    client.image.write(41 * MIB, pattern(41, MIB as usize), false).await.unwrap();
    assert_eq!(client.image.flush().await.unwrap_err().kind, ErrorKind::NoSpace, "the pool is as full as before");
    client.image.collect(&|_, _| Ok(())).await.unwrap();
    let after = cluster.stored_bytes(lsd_store::MEMORY_POOL);
    assert!(after < before - 28 * MIB, "{before} bytes were stored, {after} are");
    client.image.close().await.unwrap();
    let client = Client::open(&cluster, settings()).await;
    assert_eq!(read(&client.image, 0, 31 * MIB).await, vec![0; 31 * MIB as usize]);
    for index in [31, 40, 41] {
        assert_eq!(read(&client.image, index * MIB, MIB).await, pattern(index, MIB as usize));
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

/// The names of this image's segments that exist, as (epoch, number, bytes).
async fn segments(store: &Arc<dyn ObjectStore>) -> Vec<(u64, u64, u64)> {
    let mut found = Vec::new();
    for name in store.list("lsd_data.").await.unwrap() {
        let mut parts = name.0.rsplit('.').map(|part| u64::from_str_radix(part, 16).unwrap_or_default());
        let (number, epoch) = (parts.next().unwrap(), parts.next().unwrap());
        found.push((epoch, number, store.stat(&name).await.unwrap()));
    }
    found.sort();
    found
}

/// A takeover that did not finish has taken the old owner's names; the next one takes over from the same log, writes checkpoints and
/// deletes what is dead. Were a tombstone deleted with it, the old owner could create the segment after all, and would be told
/// that what it writes there is durable.
#[tokio::test(start_paused = true)]
async fn tombstones_of_an_unfinished_takeover_survive_the_next_ones_checkpoints() {
    let cluster = cluster_with_image(16 * MIB).await;
    cluster.forbid_blocklist();
    let zombie = Client::open(&cluster, settings()).await;
    zombie.image.write(0, pattern(1, 8192), true).await.unwrap();
    let (epoch, last, _) = *segments(&zombie.store).await.last().unwrap();
    let prefix = zombie.store.list("lsd_data.").await.unwrap().pop().unwrap().0;
    let prefix = prefix.rsplitn(3, '.').last().unwrap();
    zombie.memory.hold();
    // Into every lane, so that segments are to be created.
    for index in 0..16 {
        zombie.image.write(index * 300_000, pattern(2, 300_000), false).await.unwrap();
    }
    let flushing = flushing(&zombie).await;
    cluster.expire(&zombie.memory);
    // What a taker leaves that raised nothing but its own hopes: tombstones without a committed start.
    let taker: Arc<dyn ObjectStore> = Arc::new(cluster.client());
    for number in last + 1..=last + 16 {
        let tomb = Append { epoch: epoch + 1, at: 0, data: Vec::new(), summary_len: 0, urgent: false };
        taker.append(&ObjectName(format!("{prefix}.{epoch:08x}.{number:010x}")), tomb).await.unwrap();
    }
    let heir = Client::open(&cluster, settings()).await;
    heir.image.write(0, pattern(3, 8192), true).await.unwrap();
    heir.image.collect(&|_, _| Ok(())).await.unwrap();
    heir.image.collect(&|_, _| Ok(())).await.unwrap();
    let left = segments(&heir.store).await;
    assert!((last + 1..=last + 16).all(|number| left.contains(&(epoch, number, 0))), "{left:?}");
    zombie.memory.release();
    assert_eq!(flushing.await.unwrap().unwrap_err().kind, ErrorKind::Fenced);
    heir.image.close().await.unwrap();
}

/// What an old owner had written, a later one has copied and deleted. The old one finds its segment missing, and must not begin it again.
#[tokio::test(start_paused = true)]
async fn an_owner_whose_segments_a_later_one_deleted_is_fenced() {
    let cluster = cluster_with_image(16 * MIB).await;
    cluster.forbid_blocklist();
    let zombie = Client::open(&cluster, settings()).await;
    zombie.image.write(0, pattern(1, 8192), true).await.unwrap();
    let (epoch, ..) = *segments(&zombie.store).await.last().unwrap();
    zombie.memory.hold();
    for index in 0..8 {
        zombie.image.write(index * 300_000, pattern(2, 300_000), false).await.unwrap();
    }
    let flushing = flushing(&zombie).await;
    cluster.expire(&zombie.memory);
    let heir = Client::open(&cluster, settings()).await;
    heir.image.write(0, pattern(3, 8192), true).await.unwrap();
    heir.image.collect(&|_, _| Ok(())).await.unwrap();
    let left = segments(&heir.store).await;
    assert!(
        left.iter().all(|(of, _, len)| *of > epoch || *len == 0),
        "the old owner's segments are still there: {left:?}"
    );
    zombie.memory.release();
    assert_eq!(flushing.await.unwrap().unwrap_err().kind, ErrorKind::Fenced);
    assert_eq!(zombie.image.close().await.unwrap_err().kind, ErrorKind::Fenced);
    assert!(segments(&heir.store).await.iter().all(|(of, _, len)| *of > epoch || *len == 0));
    heir.image.close().await.unwrap();
}

/// A store that does not answer: what is sent is lost, or arrives and its answer is lost, and after five seconds the caller is told so.
pub(crate) fn outage(gate: &Arc<Gate>) -> JoinHandle<()> {
    gate.close(|_, _| true);
    let gate = gate.clone();
    tokio::spawn(async move {
        for round in 0.. {
            tokio::time::sleep(Duration::from_secs(5)).await;
            let late = gate.take();
            if round % 3 == 1 { late.arrive_unheard() } else { drop(late) }
        }
    })
}

fn is_told<T: std::fmt::Debug>(result: lsd_engine::Result<T>, since: Instant) {
    assert_eq!(result.unwrap_err().kind, ErrorKind::TimedOut);
    assert!(since.elapsed() < Duration::from_secs(20), "told after {:?}", since.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_outage_fails_calls_and_not_the_image() {
    let cluster = cluster_with_image(64 * MIB).await;
    let small = Settings { max_dirty_bytes: 4 * MIB, ..settings() };
    let (client, gate) = Client::open_gated(&cluster, small).await;
    client.image.write(0, pattern(1, 4096), true).await.unwrap();
    let end = outage(&gate);
    client.image.write(4096, pattern(2, 4096), false).await.unwrap();
    for _ in 0..20 {
        let began = Instant::now();
        is_told(client.image.flush().await, began);
    }
    let mut accepted = 0;
    loop {
        let (began, written) =
            (Instant::now(), client.image.write(MIB + accepted * MIB, pattern(accepted, MIB as usize), false).await);
        if written.is_err() {
            is_told(written, began);
            break;
        }
        accepted += 1;
    }
    assert!((1..=4).contains(&accepted));
    let began = Instant::now();
    is_told(client.image.read(8 * MIB, 4096).await.and(client.image.write(8192, pattern(3, 4096), true).await), began);
    end.abort();
    gate.open();
    client.image.flush().await.unwrap();
    client.image.write(12_288, pattern(4, 4096), false).await.unwrap();
    client.image.flush().await.unwrap();
    for crashed in [false, true] {
        let reader = Client::try_open(&cluster, settings(), true).await.unwrap();
        assert_eq!(read(&reader.image, 0, 4096).await, pattern(1, 4096), "{crashed}");
        assert_eq!(
            read(&reader.image, 4096, 4096).await,
            pattern(2, 4096),
            "a later flush covers what an earlier one did not"
        );
        assert_eq!(read(&reader.image, 12_288, 4096).await, pattern(4, 4096));
        for piece in 0..accepted {
            assert_eq!(read(&reader.image, MIB + piece * MIB, MIB).await, pattern(piece, MIB as usize));
        }
        if !crashed {
            cluster.expire(&client.memory);
        }
    }
}

/// The header is smaller, and the owner does not hear of it.
#[tokio::test(start_paused = true)]
async fn a_resize_of_which_nobody_hears_is_found_out_afterwards() {
    let cluster = cluster_with_image(4 * MIB).await;
    let (client, gate) = Client::open_gated(&cluster, settings()).await;
    client.image.write(0, pattern(1, 4096), true).await.unwrap();
    gate.close(|op, name| name.starts_with("lsd_header.") && matches!(op, Op::Update | Op::Values));
    let image = client.image.clone();
    let shrinking = tokio::spawn(async move { image.resize(MIB, true, &|_, _| Ok(())).await });
    gate.until_waiting(1).await;
    gate.take().arrive_unheard();
    gate.until_waiting(1).await;
    drop(gate.take());
    assert_eq!(shrinking.await.unwrap().unwrap_err().kind, ErrorKind::TimedOut);
    let beyond = client.image.write(2 * MIB, pattern(2, 4096), true).await;
    assert_eq!(beyond.unwrap_err().kind, ErrorKind::Invalid, "the header ends before it");
    gate.open();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(client.image.size(), MIB);
    client.image.resize(4 * MIB, true, &|_, _| Ok(())).await.unwrap();
    client.image.write(2 * MIB, pattern(3, 4096), true).await.unwrap();
    client.image.close().await.unwrap();
    let reader = Client::try_open(&cluster, settings(), true).await.unwrap();
    assert_eq!(read(&reader.image, 2 * MIB, 4096).await, pattern(3, 4096));
}

/// An owner that was pushed aside fails for good; its close tells whether it took something acknowledged with it.
#[tokio::test(start_paused = true)]
async fn a_close_after_the_image_was_lost_tells_of_what_was_acknowledged_and_is_gone() {
    for (flushed, closed) in [(true, Ok(())), (false, Err(ErrorKind::Fenced))] {
        let cluster = cluster_with_image(MIB).await;
        let first = Client::open(&cluster, settings()).await;
        first.image.write(0, pattern(1, 4096), false).await.unwrap();
        if flushed {
            first.image.flush().await.unwrap();
        }
        first.memory.hold();
        cluster.expire(&first.memory);
        let second = Client::open(&cluster, settings()).await;
        second.image.write(4096, pattern(2, 4096), true).await.unwrap();
        first.memory.release();
        let late = first.image.write(0, pattern(3, 4096), true).await.unwrap_err();
        assert_eq!(late.kind, ErrorKind::Fenced);
        assert_eq!(first.image.locks().confirm_owner().await.unwrap_err().kind, ErrorKind::Fenced);
        assert_eq!(first.image.close().await.map_err(|error| error.kind), closed);
        assert!(second.image.locks().confirm_owner().await.unwrap());
        second.image.close().await.unwrap();
    }
}
