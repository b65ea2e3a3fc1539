//! Rules 8 and 9: what is under way when an image changes hands or its data is moved.
use super::*;
use lsd_engine::Thresholds;
use lsd_store::MEMORY_POOL;

/// A full pool lets no checkpoint be written, so waiting for the log is all that keeps what was accepted.
#[tokio::test(start_paused = true)]
async fn an_owner_keeps_the_image_until_its_log_is_durable() {
    let cluster = cluster_with_image(16 * MIB).await;
    let first = Client::open(&cluster, settings()).await;
    put(&first.image, 0, 1).await;
    first.image.flush().await.unwrap();
    cluster.set_full(MEMORY_POOL, true);
    put(&first.image, 1, 2).await;
    let second = Client::open(&cluster, settings()).await;
    let taking = putting(&second.image, 2, 3);
    tokio::time::sleep(LONG).await;
    cluster.set_full(MEMORY_POOL, false);
    let taken = taking.await.unwrap();
    first.image.flush().await.unwrap();
    expect(&cluster, "a flush returned", &[(0, 1), (1, 2)]).await;
    taken.unwrap();
    expect(&cluster, "a write returned", &[(0, 1), (1, 2), (2, 3)]).await;
}

fn is_data_read(op: Op, name: &str) -> bool {
    op == Op::Read && name.starts_with("lsd_data.")
}

/// A write that waits for garbage collection, for a second at most, goes on while the last checkpoint is being committed.
#[tokio::test(start_paused = true)]
async fn nothing_is_accepted_behind_the_last_checkpoint_of_an_owner() {
    let cluster = cluster_with_image(16 * MIB).await;
    let gc_thresholds = Thresholds { start_percent: 44, stop_percent: 40, limit_percent: 48, least_live: 0 };
    let (first, gate) = Client::open_gated(&cluster, Settings { gc_thresholds, cache_bytes: 0, ..settings() }).await;
    gate.close(is_data_read);
    write_half_dead(&first.image).await;
    // There is too much garbage, and collection does not get on.
    let late = putting(&first.image, 1001, 2);
    gate.until_waiting(1).await;
    gate.close(|op, name| is_header(op, name) || is_data_read(op, name));
    let second = Client::open(&cluster, settings()).await;
    let taking = putting(&second.image, 1002, 3);
    gate.until_waiting(2).await;
    assert!(!late.is_finished());
    tokio::time::sleep(LONG).await;
    gate.open();
    taking.await.unwrap().unwrap();
    late.await.unwrap().unwrap();
    expect(&cluster, "a write returned", &[(1001, 2), (1002, 3)]).await;
}

/// The image is handed over while a copy is under way, and taken back because who asked for it died.
#[tokio::test(start_paused = true)]
async fn nothing_is_copied_behind_the_last_checkpoint_of_an_owner() {
    let cluster = cluster_with_image(16 * MIB).await;
    let (first, gate) = Client::open_gated(&cluster, Settings { cache_bytes: 0, gc: false, ..settings() }).await;
    write_half_dead(&first.image).await;
    gate.close(is_data_read);
    let collection = collecting(&first.image);
    gate.until_waiting(1).await;
    gate.take().arrive();
    gate.until_waiting(1).await;
    let read = gate.take();
    gate.close(is_header);
    let second = Client::open(&cluster, settings()).await;
    let taking = putting(&second.image, 1000, 77);
    gate.until_waiting(1).await;
    let commit = gate.take();
    gate.close(is_log);
    read.arrive();
    tokio::time::sleep(Duration::from_millis(10)).await;
    stop(taking).await;
    second.crash(&cluster);
    commit.arrive();
    tokio::time::sleep(LONG).await;
    assert!(!first.image.locks().is_owner());
    drop(gate.take());
    gate.open();
    stop(collection).await;
    putting(&first.image, 1000, 5).await.unwrap().unwrap();
    first.crash(&cluster);
    expect(&cluster, "a write returned", &[(1000, 5)]).await;
}

/// 800 KiB of which every other block is discarded again, apart from the first ones.
async fn write_half_dead(image: &Image) {
    image.write(0, pattern(1, 800 << 10), false).await.unwrap();
    for block in (20..200).step_by(2) {
        image.discard(block * BLOCK, BLOCK, false).await.unwrap();
    }
    image.flush().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_copy_never_brings_old_data_back() {
    let cluster = cluster_with_image(16 * MIB).await;
    let quiet = Settings { cache_bytes: 0, gc: false, ..settings() };
    let (client, gate) = Client::open_gated(&cluster, quiet).await;
    write_half_dead(&client.image).await;
    gate.close(is_data_read);
    let collection = collecting(&client.image);
    gate.until_waiting(1).await;
    // What the segment holds, then what still lives there.
    gate.take().arrive();
    gate.until_waiting(1).await;
    put(&client.image, 0, 50).await;
    put(&client.image, 7, 51).await;
    gate.open();
    collection.await.unwrap().unwrap();
    client.image.flush().await.unwrap();
    assert_eq!(read(&client.image, 0, BLOCK).await, content(50), "a copy overwrote newer data");
    client.crash(&cluster);
    expect(&cluster, "a flush returned", &[(0, 50), (7, 51)]).await;
}
