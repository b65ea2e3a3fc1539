//! Rules 38 to 40: an image that moves, and what is still needed of where it was.
use super::*;
use crate::common::Gate;
use lsd_engine::{ImageRef, MigrationOptions, Migrations};
use std::sync::Arc;

fn options() -> OpenOptions {
    OpenOptions { settings: settings(), ..OpenOptions::default() }
}

fn migrations(store: &Arc<dyn ObjectStore>) -> Migrations {
    Migrations::new(store.clone(), options())
}

fn silent(_: u64, _: u64) -> Result<(), Error> {
    Ok(())
}

fn fresh(cluster: &MemoryCluster) -> Arc<dyn ObjectStore> {
    Arc::new(cluster.client())
}

/// Within its name's place.
async fn prepare_through(store: Arc<dyn ObjectStore>) -> Result<(), Error> {
    migrations(&store).prepare("disk", (&store, "disk"), &MigrationOptions::default()).await.map(drop)
}

/// `disk` with these blocks, which nobody has open.
async fn image_with(blocks: &[(u64, u64)]) -> MemoryCluster {
    let cluster = cluster_with_image(8 * MIB).await;
    let client = Client::open(&cluster, settings()).await;
    for (block, seed) in blocks {
        put(&client.image, *block, *seed).await;
    }
    client.image.close().await.unwrap();
    cluster
}

/// Somebody has it open for one write, which is durable.
async fn write_as_guest(cluster: &MemoryCluster, block: u64, seed: u64) {
    let client = Client::open(cluster, settings()).await;
    client.image.write(block * BLOCK, content(seed), true).await.unwrap();
    client.image.close().await.unwrap();
}

/// The first update of a header behind the first lock that was given back: an image is frozen then.
fn freezing() -> impl FnMut(Op, &str) -> bool + Send {
    let mut is_closed = false;
    move |op, name| {
        is_closed |= op == Op::Unlock;
        is_closed && is_header(op, name)
    }
}

/// Somebody opens the image when nobody was found who has it open, before it is frozen.
#[tokio::test(start_paused = true)]
async fn who_opened_a_source_before_does_not_become_its_owner() {
    let cluster = image_with(&[(0, 1)]).await;
    let gate = Gate::new(Arc::new(cluster.client()));
    gate.close(freezing());
    let preparing = tokio::spawn(prepare_through(gate.clone()));
    gate.until_waiting(1).await;
    let client = Client::open(&cluster, settings()).await;
    gate.open();
    preparing.await.unwrap().unwrap();
    if client.image.write(0, content(9), true).await.is_ok() {
        expect(&cluster, "a write was durable", &[(0, 9)]).await;
    }
    expect(&cluster, "it was there before", &[(0, 1)]).await;
}

/// The destination goes back to what the source has, when a snapshot of its own has taken the place of that.
#[tokio::test(start_paused = true)]
async fn what_a_destination_shows_stays_while_its_source_gets_writes_back() {
    let cluster = image_with(&[(0, 1)]).await;
    let client = Client::open(&cluster, settings()).await;
    client.image.snapshots().create("s").await.unwrap();
    client.image.close().await.unwrap();
    prepare_through(fresh(&cluster)).await.unwrap();
    let client = Client::open(&cluster, settings()).await;
    put(&client.image, 0, 2).await;
    client.image.snapshots().create("t").await.unwrap();
    client.image.snapshots().rollback("s").await.unwrap();
    client.image.snapshots().remove("s").await.unwrap();
    client.image.close().await.unwrap();
    if let Err(error) = migrations(&fresh(&cluster)).abort("disk", &silent).await {
        panic!("what the destination showed is lost: {error}");
    }
    expect(&cluster, "it was there before", &[(0, 1)]).await;
}

#[tokio::test(start_paused = true)]
async fn a_source_goes_only_when_the_destination_has_everything() {
    let cluster = image_with(&[(0, 1), (63, 2)]).await;
    prepare_through(fresh(&cluster)).await.unwrap();
    let _ = migrations(&fresh(&cluster)).commit("disk", &silent).await;
    expect(&cluster, "it was there before", &[(0, 1), (63, 2)]).await;
    migrations(&fresh(&cluster)).execute("disk", &silent).await.unwrap();
    migrations(&fresh(&cluster)).commit("disk", &silent).await.unwrap();
    expect(&cluster, "it was there before", &[(0, 1), (63, 2)]).await;
}

#[tokio::test(start_paused = true)]
async fn snapshots_of_a_destination_need_its_source_until_they_are_copied() {
    let cluster = image_with(&[(0, 1)]).await;
    let client = Client::open(&cluster, settings()).await;
    client.image.snapshots().create("s").await.unwrap();
    put(&client.image, 0, 2).await;
    client.image.close().await.unwrap();
    prepare_through(fresh(&cluster)).await.unwrap();
    migrations(&fresh(&cluster)).execute("disk", &silent).await.unwrap();
    migrations(&fresh(&cluster)).commit("disk", &silent).await.unwrap();
    expect(&cluster, "it was there before", &[(0, 2)]).await;
    let client = Client::open(&cluster, settings()).await;
    if let Err(error) = client.image.snapshots().rollback("s").await {
        panic!("a snapshot is lost: {error}");
    }
    expect(&cluster, "it was there at the snapshot", &[(0, 1)]).await;
}

#[tokio::test(start_paused = true)]
async fn an_aborted_migration_loses_no_write() {
    let cluster = image_with(&[(0, 1)]).await;
    prepare_through(fresh(&cluster)).await.unwrap();
    let client = Client::open(&cluster, settings()).await;
    put(&client.image, 5, 6).await;
    client.image.flush().await.unwrap();
    client.crash(&cluster);
    migrations(&fresh(&cluster)).abort("disk", &silent).await.unwrap();
    expect(&cluster, "it was flushed", &[(0, 1), (5, 6)]).await;
}

/// Somebody opens the destination when nobody was found who has it open, before it is frozen, and writes when the source has all
/// else.
#[tokio::test(start_paused = true)]
async fn who_has_a_destination_open_does_not_write_to_it_behind_an_abort() {
    let cluster = image_with(&[(0, 1)]).await;
    prepare_through(fresh(&cluster)).await.unwrap();
    let client = Client::open(&cluster, settings()).await;
    put(&client.image, 5, 6).await;
    client.image.close().await.unwrap();
    let gate = Gate::new(Arc::new(cluster.client()));
    // Nobody has to make the destination clean: what is frozen is the first header that is changed.
    gate.close(is_header);
    let store: Arc<dyn ObjectStore> = gate.clone();
    let aborting = tokio::spawn(async move { migrations(&store).abort("disk", &silent).await });
    gate.until_waiting(1).await;
    let client = Client::open(&cluster, settings()).await;
    let frozen = gate.take();
    gate.close(|op, _| op == Op::Unlock);
    frozen.arrive();
    gate.until_waiting(1).await;
    let is_written = client.image.write(7 * BLOCK, content(8), true).await.is_ok();
    gate.open();
    let _ = aborting.await.unwrap();
    client.crash(&cluster);
    if is_written {
        expect(&cluster, "a write was durable", &[(7, 8)]).await;
    }
    let _ = migrations(&fresh(&cluster)).abort("disk", &silent).await;
    expect(&cluster, "it was flushed", &[(0, 1), (5, 6)]).await;
    let by_name = ImageRef::Name("disk".into());
    assert!(Image::open(&fresh(&cluster), &by_name, &options()).await.is_ok());
}

/// The image that has the name.
async fn source_of(store: &Arc<dyn ObjectStore>) -> lsd_engine::ImageId {
    let catalog = lsd_engine::Catalog::new(store.clone());
    catalog.id_of("disk").await.unwrap()
}

async fn epoch_of(store: &Arc<dyn ObjectStore>, id: &lsd_engine::ImageId) -> Option<bytes::Bytes> {
    store.kv_get(&format!("lsd_header.{id}").into(), "epoch").await.unwrap().remove("epoch")
}

/// The destination is frozen, and then taken: that is held back, and all behind it.
fn until_taken(destination: &lsd_engine::ImageId) -> impl FnMut(Op, &str) -> bool + Send + 'static {
    let destination = format!("lsd_header.{destination}");
    let mut changes = 0;
    move |op, name| {
        changes += u32::from(op == Op::Update && name == destination);
        changes > 1
    }
}

/// An abort that begins now, through a gate that holds back what `stops` names.
fn aborting(
    cluster: &MemoryCluster,
    stops: impl FnMut(Op, &str) -> bool + Send + 'static,
) -> (JoinHandle<Result<(), Error>>, Arc<Gate>) {
    let gate = Gate::new(Arc::new(cluster.client()));
    gate.close(stops);
    let store: Arc<dyn ObjectStore> = gate.clone();
    (tokio::spawn(async move { migrations(&store).abort("disk", &silent).await }), gate)
}

/// The migration is taken back by somebody else before the destination has its header. Then somebody opens what has the name.
#[tokio::test(start_paused = true)]
async fn who_prepares_looks_whether_the_migration_goes_on() {
    let cluster = image_with(&[(0, 1)]).await;
    let source = format!("lsd_header.{}", source_of(&fresh(&cluster)).await);
    let gate = Gate::new(Arc::new(cluster.client()));
    let not_of = source.clone();
    gate.close(move |op, name| is_header(op, name) && name != not_of);
    let preparing = tokio::spawn(prepare_through(gate.clone()));
    gate.until_waiting(1).await;
    migrations(&fresh(&cluster)).abort("disk", &silent).await.unwrap();
    let first_header = gate.take();
    gate.close(move |op, name| op == Op::Values && name == source);
    first_header.arrive();
    gate.until_waiting(1).await;
    expect(&cluster, "it was there before", &[(0, 1)]).await;
    write_as_guest(&cluster, 5, 6).await;
    gate.open();
    let prepared = preparing.await.unwrap();
    expect(&cluster, "it was durable", &[(0, 1), (5, 6)]).await;
    assert!(prepared.is_err(), "nothing is prepared");
    assert_eq!(fresh(&cluster).list("lsd_header.").await.unwrap().len(), 1);
}

/// The migration is taken back by somebody else when the destination has its header, but no name.
#[tokio::test(start_paused = true)]
async fn who_exchanges_the_names_behind_an_abort_gives_them_back() {
    let cluster = image_with(&[(0, 1)]).await;
    let gate = Gate::new(Arc::new(cluster.client()));
    gate.close(|op, name| op == Op::Update && name == "lsd_directory");
    let preparing = tokio::spawn(prepare_through(gate.clone()));
    gate.until_waiting(1).await;
    migrations(&fresh(&cluster)).abort("disk", &silent).await.unwrap();
    write_as_guest(&cluster, 5, 6).await;
    gate.open();
    let prepared = preparing.await.unwrap();
    expect(&cluster, "it was durable", &[(0, 1), (5, 6)]).await;
    assert!(prepared.is_err(), "nothing is prepared");
    assert_eq!(fresh(&cluster).list("lsd_header.").await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_second_abort_takes_no_source_from_its_guest() {
    let cluster = image_with(&[(0, 1)]).await;
    let store = fresh(&cluster);
    let source = source_of(&store).await;
    prepare_through(store.clone()).await.unwrap();
    let (second, gate) = aborting(&cluster, |op, _| op == Op::Lock);
    gate.until_waiting(1).await;
    migrations(&store).abort("disk", &silent).await.unwrap();
    let guest = Client::open(&cluster, settings()).await;
    guest.image.write(5 * BLOCK, content(6), true).await.unwrap();
    let before = epoch_of(&store, &source).await;
    gate.open();
    assert!(second.await.unwrap().is_err());
    assert!(before == epoch_of(&store, &source).await, "the source was given back, and is lost to its guest");
    guest.image.write(7 * BLOCK, content(8), true).await.unwrap();
    expect(&cluster, "it was durable", &[(0, 1), (5, 6), (7, 8)]).await;
    assert_eq!(store.list("lsd_header.").await.unwrap().len(), 1);
}

/// The abort has brought everything back, and then the migration goes on, and the guest, too.
#[tokio::test(start_paused = true)]
async fn an_abort_takes_no_destination_that_was_written_to_since() {
    let cluster = image_with(&[(0, 1)]).await;
    prepare_through(fresh(&cluster)).await.unwrap();
    let client = Client::open(&cluster, settings()).await;
    put(&client.image, 5, 6).await;
    client.image.close().await.unwrap();
    let (aborting, gate) = aborting(&cluster, |op, _| op == Op::Unlock);
    gate.until_waiting(1).await;
    migrations(&fresh(&cluster)).execute("disk", &silent).await.unwrap();
    write_as_guest(&cluster, 7, 8).await;
    gate.open();
    let aborted = aborting.await.unwrap();
    expect(&cluster, "it was durable", &[(0, 1), (5, 6), (7, 8)]).await;
    assert_eq!(aborted.err().map(|error| error.kind), Some(ErrorKind::Busy));
}

/// Two aborts, and between them the migration has gone on, and the guest, too: the first comes when the second has brought everything back.
#[tokio::test(start_paused = true)]
async fn an_abort_that_was_overtaken_writes_nothing_to_the_source() {
    let cluster = image_with(&[(0, 1)]).await;
    prepare_through(fresh(&cluster)).await.unwrap();
    let client = Client::open(&cluster, settings()).await;
    client.image.discard(0, BLOCK, true).await.unwrap();
    client.image.close().await.unwrap();
    let (first, slow) = aborting(&cluster, |op, _| op == Op::Lock);
    slow.until_waiting(1).await;
    go_on_and_abort(&cluster, first, &slow).await;
}

/// The same, and the first had begun to write: the second has taken the source from it.
#[tokio::test(start_paused = true)]
async fn who_lost_the_source_to_another_abort_does_not_get_it_again() {
    let cluster = image_with(&[(0, 1)]).await;
    let data = format!("lsd_data.{}", source_of(&fresh(&cluster)).await);
    prepare_through(fresh(&cluster)).await.unwrap();
    write_as_guest(&cluster, 0, 6).await;
    // It has read what the destination shows, and compares that with what the source has.
    let (first, slow) = aborting(&cluster, move |op, name| op == Op::Read && name.starts_with(&data));
    slow.until_waiting(1).await;
    go_on_and_abort(&cluster, first, &slow).await;
}

/// The migration goes on, the guest writes, and another abort has brought that back when the first one comes.
async fn go_on_and_abort(cluster: &MemoryCluster, first: JoinHandle<Result<(), Error>>, slow: &Gate) {
    migrations(&fresh(cluster)).execute("disk", &silent).await.unwrap();
    let client = Client::open(cluster, settings()).await;
    client.image.write(0, content(8), true).await.unwrap();
    client.image.close().await.unwrap();
    let (second, gate) = aborting(cluster, until_taken(&source_of(&fresh(cluster)).await));
    gate.until_waiting(1).await;
    slow.open();
    let first = first.await.unwrap();
    gate.open();
    let second = second.await.unwrap();
    expect(cluster, "it was durable", &[(0, 8)]).await;
    second.unwrap();
    assert_eq!(first.err().map(|error| error.kind), Some(ErrorKind::Busy));
}
