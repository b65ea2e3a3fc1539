//! Rules 1, 2, 4, 5, 11 and 12: what a flush promised is in the log or in the map, whenever the client dies.
use super::*;
use common::Gate;
use lsd_core::gc::Thresholds;
use std::sync::Arc;

#[tokio::test(start_paused = true)]
async fn replay_applies_writes_in_the_order_in_which_they_were_seen() {
    let cluster = cluster_with_image(MIB).await;
    let client = Client::open(&cluster, settings()).await;
    // Of two lengths in turn, so that none takes the place of another.
    for seed in [1, 3, 5] {
        put_both(&client.image, 0, seed).await;
        put(&client.image, 0, seed + 1).await;
    }
    assert_eq!(read(&client.image, 0, BLOCK).await, content(6));
    client.image.flush().await.unwrap();
    client.crash(&cluster);
    expect(&cluster, "a flush returned", &[(0, 6), (1, 5)]).await;
}

#[tokio::test(start_paused = true)]
async fn a_write_takes_the_place_of_an_earlier_one_only_where_nothing_has_touched_that() {
    let cluster = cluster_with_image(MIB).await;
    let client = Client::open(&cluster, settings()).await;
    put_both(&client.image, 0, 1).await;
    put(&client.image, 1, 2).await;
    put_both(&client.image, 0, 3).await;
    put_both(&client.image, 2, 4).await;
    client.image.discard(2 * BLOCK, BLOCK, false).await.unwrap();
    put_both(&client.image, 2, 5).await;
    client.image.flush().await.unwrap();
    client.crash(&cluster);
    expect(&cluster, "a flush returned", &[(0, 3), (1, 3), (2, 5), (3, 5)]).await;
}

#[tokio::test(start_paused = true)]
async fn a_flush_waits_for_every_batch_before_its_own() {
    let cluster = cluster_with_image(MIB).await;
    let (client, gate) = Client::open_gated(&cluster, settings()).await;
    put(&client.image, 0, 1).await;
    client.image.flush().await.unwrap();
    gate.close(first_creation());
    let first = putting(&client.image, 1, 2);
    gate.until_waiting(1).await;
    put(&client.image, 2, 3).await;
    if tokio::time::timeout(LONG, client.image.flush()).await.is_err() {
        gate.open();
        client.image.flush().await.unwrap();
    }
    // The flush has returned, whenever that was: what is still under way never arrives.
    drop(gate.take());
    stop(first).await;
    client.crash(&cluster);
    expect(&cluster, "a flush returned", &[(0, 1), (1, 2), (2, 3)]).await;
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_names_nothing_that_is_not_durable() {
    let cluster = cluster_with_image(MIB).await;
    let (client, gate) = Client::open_gated(&cluster, settings()).await;
    put(&client.image, 0, 1).await;
    client.image.flush().await.unwrap();
    gate.close(is_log);
    put(&client.image, 0, 2).await;
    let checkpoint = collecting(&client.image);
    tokio::time::sleep(LONG).await;
    drop(gate.take());
    stop(checkpoint).await;
    client.crash(&cluster);
    expect(&cluster, "a flush returned, what overwrote it never arrived", &[(0, 1)]).await;
}

#[tokio::test(start_paused = true)]
async fn a_segment_that_the_map_points_at_stays() {
    let cluster = cluster_with_image(MIB).await;
    let client = Client::open(&cluster, settings()).await;
    for block in 0..20 {
        put(&client.image, block, block).await;
        client.image.flush().await.unwrap();
    }
    client.image.close().await.unwrap();
    expect(&cluster, "the image was closed", &(0..20).map(|block| (block, block)).collect::<Vec<_>>()).await;
}

/// Two leaves are in one page; then one of them moves on.
#[tokio::test(start_paused = true)]
async fn a_page_that_the_map_points_at_stays() {
    let cluster = cluster_with_image(32 * MIB).await;
    for seed in 1..4 {
        let client = Client::open(&cluster, settings()).await;
        if seed == 1 {
            put(&client.image, LEAF_BLOCKS, 9).await;
        }
        put(&client.image, 0, seed).await;
        client.image.close().await.unwrap();
        expect(&cluster, "the image was closed", &[(0, seed), (LEAF_BLOCKS, 9)]).await;
    }
}

/// Seven segments are filled and overwritten again and again; an eighth stays open, so replay starts there.
#[tokio::test(start_paused = true)]
async fn a_segment_that_replay_looks_for_stays() {
    let cluster = cluster_with_image(16 * MIB).await;
    let settings = Settings { checkpoint_log_bytes: 1, ..settings() };
    let (client, gate) = Client::open_gated(&cluster, settings).await;
    // One lane gets little, so that its segment stays open behind those of the others.
    for seed in 0..16 {
        put(&client.image, 0, seed).await;
        client.image.flush().await.unwrap();
        for lane in 1..8 {
            client.image.write(lane * MIB, pattern(seed, 200 << 10), false).await.unwrap();
            client.image.flush().await.unwrap();
        }
        tokio::time::sleep(LONG).await;
    }
    // No checkpoint spares the next owner what follows.
    gate.close(is_header);
    for block in 1..8 {
        put(&client.image, block, 50 + block).await;
        client.image.flush().await.unwrap();
    }
    client.crash(&cluster);
    drop(gate.take());
    expect(&cluster, "a flush returned", &(1..8).map(|block| (block, 50 + block)).collect::<Vec<_>>()).await;
}

#[tokio::test(start_paused = true)]
async fn what_the_last_checkpoint_needs_stays_until_the_next_one_is_in_force() {
    let cluster = cluster_with_image(MIB).await;
    let client = Client::open(&cluster, settings()).await;
    for block in 0..20 {
        put(&client.image, block, block).await;
    }
    client.image.close().await.unwrap();
    let (client, gate) = Client::open_gated(&cluster, settings()).await;
    put(&client.image, 0, 50).await;
    client.image.flush().await.unwrap();
    gate.close(is_header);
    let checkpoint = collecting(&client.image);
    gate.until_waiting(1).await;
    tokio::time::sleep(LONG).await;
    drop(gate.take());
    stop(checkpoint).await;
    client.crash(&cluster);
    let kept = (0..20).map(|block| (block, if block == 0 { 50 } else { block }));
    expect(&cluster, "a flush returned", &kept.collect::<Vec<_>>()).await;
}

const LEAF_BLOCKS: u64 = (16 * MIB) / BLOCK;

/// A client that keeps what it writes into the second leaf, which is seldom overwritten, apart from what it writes into the first.
/// It has written into both, and of that group only the first batch can pass.
async fn divided(cluster: &MemoryCluster) -> (Client, Arc<Gate>) {
    // Garbage is near its bound and not beyond, so nothing is collected.
    let gc_thresholds = Thresholds { start_percent: 200, stop_percent: 200, limit_percent: 1000, least_live: 1 };
    let settings = Settings { max_age: 2 * LONG, gc_thresholds, ..settings() };
    let (client, gate) = Client::open_gated(cluster, settings).await;
    for step in 1..=6 {
        for block in (0..80).step_by(step) {
            put(&client.image, block, 2).await;
        }
        put(&client.image, LEAF_BLOCKS, 2).await;
        client.image.flush().await.unwrap();
    }
    gate.close(second_batch());
    put(&client.image, 0, 3).await;
    put(&client.image, LEAF_BLOCKS, 3).await;
    (client, gate)
}

/// The first batch passes.
fn second_batch() -> impl FnMut(Op, &str) -> bool + Send {
    let mut met = false;
    move |op, name| is_log(op, name) && std::mem::replace(&mut met, true)
}

#[tokio::test(start_paused = true)]
async fn a_flush_waits_for_every_batch_of_a_group() {
    let cluster = cluster_with_image(32 * MIB).await;
    let (client, gate) = divided(&cluster).await;
    if tokio::time::timeout(LONG, client.image.flush()).await.is_err() {
        gate.open();
        client.image.flush().await.unwrap();
    }
    drop(gate.take());
    client.crash(&cluster);
    expect(&cluster, "a flush returned", &[(0, 3), (LEAF_BLOCKS, 3)]).await;
}

#[tokio::test(start_paused = true)]
async fn a_group_that_is_not_all_there_does_not_count() {
    let cluster = cluster_with_image(32 * MIB).await;
    let (client, gate) = divided(&cluster).await;
    put(&client.image, 0, 4).await;
    let flush = tokio::time::timeout(LONG, client.image.flush()).await;
    assert!(flush.is_err(), "the second batch of the group is held: it was not divided");
    drop(gate.take());
    client.crash(&cluster);
    expect(&cluster, "what came between never arrived", &[(0, 2), (LEAF_BLOCKS, 2)]).await;
}

/// An open reader looks what is new while the owner writes a checkpoint and deletes what came first: it must not take that for nothing
/// new.
#[tokio::test(start_paused = true)]
async fn a_reader_that_looks_while_the_log_moves_on_sees_all_of_it() {
    let cluster = cluster_with_image(16 * MIB).await;
    let owner = Client::open(&cluster, settings()).await;
    put(&owner.image, 4000, 9).await;
    owner.image.flush().await.unwrap();
    let memory = cluster.client();
    let gate = Gate::new(Arc::new(memory.clone()));
    let reader = Client::open_behind(gate.clone(), memory, settings()).await;
    for seed in 1..3 {
        for lane in 0..8 {
            owner.image.write(lane * MIB, pattern(seed + lane, 800 << 10), false).await.unwrap();
            owner.image.flush().await.unwrap();
        }
    }
    tokio::time::sleep(LONG).await;
    gate.close(|op, name| op == Op::Look && name.starts_with("lsd_data."));
    let image = reader.image.clone();
    let reading = tokio::spawn(async move { read(&image, MIB, 800 << 10).await });
    gate.until_waiting(1).await;
    owner.image.collect(&|_, _| Ok(())).await.unwrap();
    gate.open();
    assert!(reading.await.unwrap() == pattern(3, 800 << 10), "the reader does not see what was flushed");
}

/// The reader has read the header when the owner writes a checkpoint and deletes what the log began with: it must not take that for
/// a log that ends there.
#[tokio::test(start_paused = true)]
async fn a_reader_that_opens_while_the_log_moves_on_sees_all_of_it() {
    let cluster = cluster_with_image(16 * MIB).await;
    let owner = Client::open(&cluster, settings()).await;
    for seed in 1..3 {
        for lane in 0..8 {
            owner.image.write(lane * MIB, pattern(seed + lane, 800 << 10), false).await.unwrap();
            owner.image.flush().await.unwrap();
        }
    }
    let memory = cluster.client();
    let gate = Gate::new(Arc::new(memory.clone()));
    gate.close(|op, name| op == Op::Look && name.starts_with("lsd_data."));
    let opening = tokio::spawn(Client::open_behind(gate.clone(), memory, settings()));
    gate.until_waiting(1).await;
    owner.image.collect(&|_, _| Ok(())).await.unwrap();
    gate.open();
    let reader = opening.await.unwrap();
    for lane in 0..8 {
        let found = read(&reader.image, lane * MIB, 800 << 10).await;
        assert!(found == pattern(2 + lane, 800 << 10), "lane {lane}: the reader does not see what was flushed");
    }
}

/// Rule 30. Clients may have overlapping changes in flight, and what they called last is what stays.
#[tokio::test(start_paused = true)]
async fn a_discard_of_several_records_takes_nothing_that_was_written_after_its_call() {
    const LEAVES: u64 = 600;
    const LEAF: u64 = 16 * MIB;
    let cluster = cluster_with_image(LEAVES * LEAF).await;
    let client = Client::open(&cluster, settings()).await;
    for leaf in 0..LEAVES {
        put(&client.image, leaf * LEAF / BLOCK, 1).await;
    }
    client.image.close().await.unwrap();
    let (client, gate) = Client::open_gated(&cluster, settings()).await;
    let last = (LEAVES - 1) * LEAF / BLOCK;
    // The write will find its leaf in memory: nothing but the discard can hold it up.
    read(&client.image, last * BLOCK, BLOCK).await;
    let mut reads = 0;
    gate.close(move |op, name| {
        reads += usize::from(op == Op::Read && name.starts_with("lsd_map."));
        op == Op::Read && name.starts_with("lsd_map.") && reads > 8
    });
    let image = client.image.clone();
    let discard = tokio::spawn(async move { image.discard(0, LEAVES * LEAF, false).await });
    gate.until_waiting(1).await;
    let image = client.image.clone();
    let write = tokio::spawn(async move { put(&image, last, 2).await });
    tokio::time::sleep(LONG).await;
    gate.open();
    discard.await.unwrap().unwrap();
    write.await.unwrap();
    client.image.flush().await.unwrap();
    client.crash(&cluster);
    expect(&cluster, "a write that was called after a discard returned", &[(last, 2)]).await;
}
