//! Rules 20 to 23: what is under way when an image is closed, when a flush comes, and when a checkpoint arrives late; what a checkpoint
//! takes out of the header.
use super::*;
use common::Gate;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Closes the image while `late` waits for what the gate holds; that comes while the image is being closed, whose checkpoint is held
/// then until `late` has returned.
async fn close_around(client: &Client, gate: &Arc<Gate>, late: &JoinHandle<Result<(), Error>>) -> Result<(), Error> {
    let waiting = gate.take();
    gate.close(is_header);
    let image = client.image.clone();
    let close = tokio::spawn(async move { image.close().await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    waiting.arrive();
    tokio::time::sleep(LONG).await;
    assert!(!close.is_finished(), "its checkpoint is held");
    assert!(late.is_finished(), "it waits for ever");
    gate.open();
    close.await.unwrap()
}

/// A write that waits for dirty memory, which the log gives back while the image is closed.
#[tokio::test(start_paused = true)]
async fn nothing_is_accepted_behind_the_checkpoint_of_a_close() {
    let cluster = cluster_with_image(256 * MIB).await;
    let (client, gate) = Client::open_gated(&cluster, Settings { max_dirty_bytes: 4 * MIB, ..settings() }).await;
    putting(&client.image, 0, 9).await.unwrap().unwrap();
    gate.close(|op, _| matches!(op, Op::Create | Op::Append));
    for index in 1..5 {
        client.image.write(index * MIB, pattern(index, MIB as usize), false).await.unwrap();
    }
    let late = putting(&client.image, 100, 77);
    tokio::time::sleep(Duration::from_millis(50)).await;
    close_around(&client, &gate, &late).await.unwrap();
    let late = late.await.unwrap();
    client.crash(&cluster);
    expect(&cluster, "the image was closed", &[(0, 9)]).await;
    if late.is_ok() {
        expect(&cluster, "a write returned while the image was closed", &[(100, 77)]).await;
    }
    assert_eq!(late.unwrap_err().kind, ErrorKind::Closed);
}

/// A write, a discard and a compare-and-write, each of which waits for a leaf of the map.
#[tokio::test(start_paused = true)]
async fn what_waits_for_a_leaf_while_the_image_is_closed_is_not_lost() {
    const LATE: u64 = 5000;
    for kind in 0..3 {
        let cluster = cluster_with_image(64 * MIB).await;
        let client = Client::open(&cluster, settings()).await;
        put(&client.image, LATE, 1).await;
        client.image.close().await.unwrap();
        let (client, gate) = Client::open_gated(&cluster, settings()).await;
        putting(&client.image, 0, 9).await.unwrap().unwrap();
        gate.close(|op, name| op == Op::Read && name.starts_with("lsd_map."));
        let image = client.image.clone();
        let late = tokio::spawn(async move {
            match kind {
                0 => image.write(LATE * BLOCK, content(77), true).await,
                1 => image.discard(LATE * BLOCK, BLOCK, true).await,
                _ => image.compare_and_write(LATE * BLOCK, content(1), content(77)).await,
            }
        });
        gate.until_waiting(1).await;
        close_around(&client, &gate, &late).await.unwrap();
        let late = late.await.unwrap();
        client.crash(&cluster);
        let reader = Client::try_open(&cluster, settings(), true).await.unwrap();
        let found = read(&reader.image, LATE * BLOCK, BLOCK).await;
        let wanted = if kind == 1 { vec![0; BLOCK as usize] } else { content(77).to_vec() };
        assert!(late.is_err() || found == wanted, "change {kind} returned without an error, and is lost");
        assert_eq!(late.unwrap_err().kind, ErrorKind::Closed, "change {kind}");
        assert_eq!(found, content(1), "change {kind}");
    }
}

/// It must not say that all is durable while the first one is still at it.
#[tokio::test(start_paused = true)]
async fn a_second_close_waits_for_the_first() {
    let cluster = cluster_with_image(MIB).await;
    let (client, gate) = Client::open_gated(&cluster, settings()).await;
    putting(&client.image, 0, 1).await.unwrap().unwrap();
    gate.close(is_log);
    put(&client.image, 1, 2).await;
    let image = client.image.clone();
    let first = tokio::spawn(async move { image.close().await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let second = tokio::time::timeout(LONG, client.image.close()).await;
    assert!(second.is_err(), "a close returned before the log was durable");
    gate.open();
    first.await.unwrap().unwrap();
    client.image.close().await.unwrap();
    client.crash(&cluster);
    expect(&cluster, "the image was closed", &[(0, 1), (1, 2)]).await;
}

/// Its caller gives it up while the lock is given back: it knew by then that the log did not get there.
#[tokio::test(start_paused = true)]
async fn a_close_that_is_taken_up_again_says_what_the_first_would_have_said() {
    let cluster = cluster_with_image(MIB).await;
    let (client, gate) = Client::open_gated(&cluster, settings()).await;
    putting(&client.image, 0, 1).await.unwrap().unwrap();
    let unlocks = Arc::new(AtomicBool::new(false));
    let seen = unlocks.clone();
    gate.close(move |op, name| {
        seen.fetch_or(op == Op::Unlock, Ordering::Relaxed);
        is_log(op, name) || op == Op::Unlock
    });
    put(&client.image, 1, 2).await;
    let image = client.image.clone();
    let given_up = tokio::spawn(async move { image.close().await });
    while !unlocks.load(Ordering::Relaxed) {
        drop(gate.take());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stop(given_up).await;
    gate.close(is_log);
    let again = client.image.close().await;
    client.crash(&cluster);
    expect(&cluster, "a write returned", &[(0, 1)]).await;
    if again.is_ok() {
        expect(&cluster, "the image was closed", &[(1, 2)]).await;
    }
    assert_eq!(again.unwrap_err().kind, ErrorKind::TimedOut);
}

/// The compare-and-write was called first, and reads what it compares while the flush comes.
#[tokio::test(start_paused = true)]
async fn a_flush_covers_a_compare_and_write_under_way() {
    let cluster = cluster_with_image(MIB).await;
    let (client, gate) = Client::open_gated(&cluster, Settings { cache_bytes: 0, ..settings() }).await;
    putting(&client.image, 0, 1).await.unwrap().unwrap();
    gate.close(|op, name| op == Op::Read && name.starts_with("lsd_data."));
    let image = client.image.clone();
    let writing = tokio::spawn(async move { image.compare_and_write(0, content(1), content(2)).await });
    gate.until_waiting(1).await;
    let image = client.image.clone();
    let flush = tokio::spawn(async move { image.flush().await });
    tokio::time::sleep(LONG).await;
    gate.open();
    writing.await.unwrap().unwrap();
    flush.await.unwrap().unwrap();
    client.crash(&cluster);
    expect(&cluster, "a flush returned, which was called after the write", &[(0, 2)]).await;
}

/// Changes that are made in many steps; each waits for the memory that those before it took.
#[tokio::test(start_paused = true)]
async fn a_flush_covers_all_steps_of_what_is_under_way() {
    const LEN: u64 = 24 * MIB;
    for kind in 0..3 {
        let cluster = cluster_with_image(64 * MIB).await;
        let (client, gate) = Client::open_gated(&cluster, Settings { max_dirty_bytes: 4 * MIB, ..settings() }).await;
        client.image.write(0, pattern(1, LEN as usize), true).await.unwrap();
        gate.close(is_log);
        let image = client.image.clone();
        let writing = tokio::spawn(async move {
            match kind {
                0 => image.write_same(0, LEN, content(2)).await,
                1 => image.write(0, bytes::Bytes::from(content(2).repeat((LEN / BLOCK) as usize)), false).await,
                _ => image.write_zeroes(0, LEN, true, false).await,
            }
        });
        gate.until_waiting(1).await;
        let image = client.image.clone();
        let flush = tokio::spawn(async move { image.flush().await });
        while !flush.is_finished() {
            tokio::time::sleep(Duration::from_millis(10)).await;
            gate.take().arrive();
        }
        flush.await.unwrap().unwrap();
        drop(gate.take());
        stop(writing).await;
        client.crash(&cluster);
        let reader = Client::try_open(&cluster, settings(), true).await.unwrap();
        let seed = content(2);
        let wanted = |at: u64| if kind == 2 { 0 } else { seed[(at % BLOCK) as usize] };
        let found = read(&reader.image, 0, LEN).await;
        let kept = found.iter().enumerate().take_while(|(at, byte)| **byte == wanted(*at as u64)).count() as u64;
        assert_eq!(kept, LEN, "change {kind}: a flush that was called after it returned, and the rest is lost");
    }
}

/// Whoever wrote it has given it up, and it arrives behind the next one, which has let go what the first one needs.
#[tokio::test(start_paused = true)]
async fn a_checkpoint_that_arrives_late_does_not_undo_the_next_one() {
    let cluster = cluster_with_image(16 * MIB).await;
    let (client, gate) = Client::open_gated(&cluster, settings()).await;
    write_some(&client.image, 1).await;
    gate.close(is_header);
    let given_up = collecting(&client.image);
    gate.until_waiting(1).await;
    stop(given_up).await;
    let late = gate.take();
    gate.open();
    for seed in 2..4 {
        write_some(&client.image, seed).await;
        client.image.collect(&|_, _| Ok(())).await.unwrap();
    }
    late.arrive();
    client.crash(&cluster);
    expect(&cluster, "a flush returned", &[(0, 3), (100, 3), (199, 3)]).await;
}

/// The same checkpoint arrives while its writer thinks that it did not.
#[tokio::test(start_paused = true)]
async fn an_owner_goes_on_behind_a_checkpoint_that_it_had_given_up() {
    let cluster = cluster_with_image(16 * MIB).await;
    let (client, gate) = Client::open_gated(&cluster, settings()).await;
    write_some(&client.image, 1).await;
    gate.close(is_header);
    let given_up = collecting(&client.image);
    gate.until_waiting(1).await;
    stop(given_up).await;
    gate.open();
    write_some(&client.image, 2).await;
    client.image.collect(&|_, _| Ok(())).await.unwrap();
    write_some(&client.image, 3).await;
    client.image.close().await.unwrap();
    let store = client.store.clone();
    client.crash(&cluster);
    expect(&cluster, "the image was closed", &[(0, 3), (100, 3), (199, 3)]).await;
    let disk = lsd_engine::ImageRef::Name("disk".into());
    let found = Image::check(&store, &disk, &|_, _| Ok(())).await.unwrap();
    assert!(found.findings.is_empty(), "{:?}", found.findings);
}

/// 200 blocks, durably.
async fn write_some(image: &Image, seed: u64) {
    for block in 0..200 {
        put(image, block, seed).await;
    }
    image.flush().await.unwrap();
}

/// Owner after owner takes the image; each leaves a block that nobody overwrites.
#[tokio::test(start_paused = true)]
async fn a_segment_keeps_its_epoch_in_the_header() {
    let cluster = cluster_with_image(16 * MIB).await;
    for seed in 1..8 {
        let client = Client::open(&cluster, settings()).await;
        put(&client.image, 300 + seed, seed).await;
        write_some(&client.image, 100 + seed).await;
        client.image.close().await.unwrap();
        client.crash(&cluster);
    }
    expect(&cluster, "the image was closed", &(1..8).map(|seed| (300 + seed, seed)).collect::<Vec<_>>()).await;
}
