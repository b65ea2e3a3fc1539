//! Rules 31 to 33: a snapshot and what it needs, and rolling back.
use super::*;
use lsd_engine::{ImageRef, Severity, SnapRef};
use std::sync::Arc;

/// Whoever opens the image at the snapshot finds these blocks.
async fn expect_in(cluster: &MemoryCluster, name: &str, blocks: &[(u64, u64)]) {
    let store: Arc<dyn ObjectStore> = Arc::new(cluster.client());
    let snapshot = Some(SnapRef::Name(name.into()));
    let options = OpenOptions { snapshot, settings: settings(), ..OpenOptions::default() };
    let shown = match Image::open(&store, &ImageRef::Name("disk".into()), &options).await {
        Ok(shown) => shown,
        Err(error) => panic!("snapshot {name} was taken, and does not open: {error}"),
    };
    for (block, seed) in blocks {
        match shown.read(block * BLOCK, BLOCK).await {
            Ok(found) if found.to_bytes() == content(*seed) => {}
            Ok(_) => panic!("block {block} of snapshot {name} has changed"),
            Err(error) => panic!("block {block} of snapshot {name} is lost: {error}"),
        }
    }
}

async fn expect_nothing_to_repair(cluster: &MemoryCluster) {
    let store: Arc<dyn ObjectStore> = Arc::new(cluster.client());
    let report = Image::check(&store, &ImageRef::Name("disk".into()), &|_, _| Ok(())).await.unwrap();
    let found: Vec<_> = report.findings.iter().filter(|found| found.fault.severity() > Severity::Note).collect();
    assert!(found.is_empty(), "{found:?}");
}

/// Overwrites the first blocks and collects what is dead by that.
async fn overwrite_and_collect(image: &Image, seed: u64) {
    for block in 0..64 {
        put(image, block, seed + block).await;
    }
    image.flush().await.unwrap();
    collecting(image).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_a_snapshot_needs_is_not_deleted() {
    let cluster = cluster_with_image(8 * MIB).await;
    let client = Client::open(&cluster, settings()).await;
    put(&client.image, 0, 1).await;
    put(&client.image, 63, 2).await;
    client.image.snapshots().create("s").await.unwrap();
    overwrite_and_collect(&client.image, 100).await;
    expect_in(&cluster, "s", &[(0, 1), (63, 2)]).await;
    client.crash(&cluster);
    let client = Client::open(&cluster, settings()).await;
    overwrite_and_collect(&client.image, 200).await;
    expect_in(&cluster, "s", &[(0, 1), (63, 2)]).await;
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_of_which_nobody_knows_is_there_with_all_it_needs_or_not_at_all() {
    for takes_effect in [true, false] {
        let cluster = cluster_with_image(8 * MIB).await;
        let (client, gate) = Client::open_gated(&cluster, settings()).await;
        put(&client.image, 0, 1).await;
        put(&client.image, 63, 2).await;
        client.image.flush().await.unwrap();
        gate.close(|op, name| matches!(op, Op::Update | Op::Values) && name.starts_with("lsd_header."));
        let image = client.image.clone();
        let create = tokio::spawn(async move { image.snapshots().create("s").await });
        // The checkpoint's update; then nobody can read what became of it.
        let mut update = Some(());
        while !create.is_finished() {
            if gate.waiting() > 0 {
                match update.take() {
                    Some(()) if takes_effect => gate.take().arrive_unheard(),
                    _ => drop(gate.take()),
                }
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(create.await.unwrap().is_err(), "nobody knows whether it was taken");
        gate.open();
        overwrite_and_collect(&client.image, 100).await;
        let names: Vec<_> = client.image.snapshots().list().await.unwrap().into_iter().map(|snap| snap.name).collect();
        assert_eq!(names, if takes_effect { vec!["s"] } else { Vec::new() });
        if takes_effect {
            expect_in(&cluster, "s", &[(0, 1), (63, 2)]).await;
        }
        client.image.close().await.unwrap();
        expect_nothing_to_repair(&cluster).await;
    }
}

/// One that is being removed is let go in the background and by a close, whoever comes first.
#[tokio::test(start_paused = true)]
async fn what_two_snapshots_need_stays_until_the_second_one_goes() {
    let cluster = cluster_with_image(8 * MIB).await;
    let (client, gate) = Client::open_gated(&cluster, settings()).await;
    put(&client.image, 0, 1).await;
    put(&client.image, 63, 2).await;
    client.image.snapshots().create("one").await.unwrap();
    client.image.snapshots().create("two").await.unwrap();
    overwrite_and_collect(&client.image, 100).await;
    let mut updates = 0;
    gate.close(move |op, name| {
        updates += u32::from(is_header(op, name));
        // The first marks the snapshot, the second lets it go.
        is_header(op, name) && updates == 2
    });
    client.image.snapshots().remove("one").await.unwrap();
    gate.until_waiting(1).await;
    let image = client.image.clone();
    let close = tokio::spawn(async move { image.close().await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    gate.open();
    close.await.unwrap().unwrap();
    let client = Client::open(&cluster, settings()).await;
    overwrite_and_collect(&client.image, 200).await;
    expect_in(&cluster, "two", &[(0, 1), (63, 2)]).await;
    client.image.close().await.unwrap();
    expect_nothing_to_repair(&cluster).await;
}

#[tokio::test(start_paused = true)]
async fn a_write_that_comes_while_an_image_is_rolled_back_is_not_lost() {
    for takes_effect in [true, false] {
        let cluster = cluster_with_image(8 * MIB).await;
        let (client, gate) = Client::open_gated(&cluster, settings()).await;
        put(&client.image, 0, 1).await;
        client.image.snapshots().create("s").await.unwrap();
        putting(&client.image, 0, 2).await.unwrap().unwrap();
        gate.close(is_header);
        let image = client.image.clone();
        let rollback = tokio::spawn(async move { image.snapshots().rollback("s").await });
        gate.until_waiting(1).await;
        let late = putting(&client.image, 1, 3);
        tokio::time::sleep(LONG).await;
        if takes_effect {
            gate.open();
        } else {
            gate.close(|_, _| false);
            drop(gate.take());
        }
        assert_eq!(rollback.await.unwrap().is_ok(), takes_effect);
        late.await.unwrap().unwrap();
        client.image.snapshots().create("t").await.unwrap();
        putting(&client.image, 2, 4).await.unwrap().unwrap();
        client.crash(&cluster);
        let first = if takes_effect { 1 } else { 2 };
        expect(&cluster, "writes returned around a rollback", &[(0, first), (1, 3), (2, 4)]).await;
    }
}

/// A rollback whose update of the header is lost, while a collection that began before enters its copies.
async fn roll_back_in_vain_beside_a_collection(client: &Client, gate: &common::Gate) {
    for block in 0..1024 {
        put(&client.image, block, block).await;
    }
    for block in (0..1024).filter(|block| block % 4 != 0) {
        put(&client.image, block, 5000 + block).await;
    }
    client.image.flush().await.unwrap();
    gate.close(|op, name| op == Op::Read && name.starts_with("lsd_data."));
    let collecting = collecting(&client.image);
    gate.until_waiting(1).await;
    let late = gate.take();
    client.image.snapshots().create("s").await.unwrap();
    put(&client.image, 1, 9000).await;
    gate.close(is_header);
    let image = client.image.clone();
    let rollback = tokio::spawn(async move { image.snapshots().rollback("s").await });
    gate.until_waiting(1).await;
    late.arrive();
    tokio::time::sleep(Duration::from_secs(1)).await;
    stop(collecting).await;
    // The update is lost, and the header says so.
    gate.close(|_, _| false);
    drop(gate.take());
    assert!(rollback.await.unwrap().is_err());
    gate.open();
}

/// Copies that are entered between the capture of a rollback and its failure stay in the log, but not in the books: the next checkpoint
/// covers less than the log has, and replay finds a gap behind it.
#[tokio::test(start_paused = true)]
async fn a_rollback_that_fails_loses_nothing_that_is_written_later() {
    let cluster = cluster_with_image(16 * MIB).await;
    let (client, gate) = Client::open_gated(&cluster, settings()).await;
    roll_back_in_vain_beside_a_collection(&client, &gate).await;
    client.image.snapshots().create("t").await.unwrap();
    client.image.write(2 * BLOCK, content(9001), true).await.unwrap();
    client.crash(&cluster);
    let client = match Client::try_open(&cluster, settings(), false).await {
        Ok(client) => client,
        Err(error) => panic!("the image does not open any more: {error}"),
    };
    put(&client.image, 100, 9002).await;
    assert!(read(&client.image, BLOCK, BLOCK).await == content(9000));
    assert!(read(&client.image, 2 * BLOCK, BLOCK).await == content(9001), "a write that was durable is lost");
}

/// Segments of copies that are entered beside it would not be in the table: nobody deletes them.
#[tokio::test(start_paused = true)]
async fn a_rollback_that_fails_leaves_no_segments() {
    let cluster = cluster_with_image(16 * MIB).await;
    let (client, gate) = Client::open_gated(&cluster, settings()).await;
    roll_back_in_vain_beside_a_collection(&client, &gate).await;
    collecting(&client.image).await.unwrap().unwrap();
    client.image.close().await.unwrap();
    expect_nothing_to_repair(&cluster).await;
}
