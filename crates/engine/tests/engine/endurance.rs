//! Courses of events in which a client hangs, is refused for ever, or does not see what was flushed.
use crate::common::{
    BLOCK, Client, Gate, LONG, MIB, Op, cluster_with_image, content, pattern, putting, read, settings, stop,
};
use lsd_engine::{CreateOptions, Error, ErrorKind, Image, ImageRef, OpenOptions, Settings};
use lsd_store::{DirStore, MemoryCluster, ObjectStore};
use std::sync::Arc;
use std::time::Duration;

fn is_header(op: Op, name: &str) -> bool {
    op == Op::Update && name.starts_with("lsd_header.")
}

/// Checkpoints fail for some minutes, because the header's object does not take updates; the log does well all the time.
#[tokio::test(start_paused = true)]
async fn an_image_goes_on_after_checkpoints_have_failed_for_minutes() {
    let cluster = cluster_with_image(2 << 40).await;
    let (client, gate) = Client::open_gated(&cluster, Settings { map_cache_bytes: 1 << 20, ..settings() }).await;
    putting(&client.image, 0, 1).await.unwrap().unwrap();
    gate.close(is_header);
    let losing = gate.clone();
    let outage = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            drop(losing.take());
        }
    });
    let mut refused = None;
    for leaf in 0..100_000u64 {
        if let Err(error) = client.image.write(leaf << 24, content(leaf), false).await {
            refused = Some((leaf, error));
            break;
        }
    }
    let (leaf, error) = refused.expect("there is a bound on leaves that no checkpoint has");
    assert_eq!(error.kind, ErrorKind::TimedOut);
    // The guest tries again all the time.
    for _ in 0..60 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        client.image.write(leaf << 24, content(leaf), false).await.unwrap_err();
    }
    stop(outage).await;
    gate.open();
    for _ in 0..600 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if client.image.write(leaf << 24, content(leaf), false).await.is_ok() {
            return;
        }
    }
    panic!("the store has been well for ten minutes, and every write is still refused: {error}");
}

/// A reader opens the image in a directory while an append is in the middle of its write; then nothing more is written.
#[tokio::test]
async fn a_reader_that_met_an_append_under_way_sees_it_later() {
    const LEN: u64 = 256 << 10;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let store: Arc<dyn ObjectStore> = Arc::new(DirStore::open(&path).unwrap());
    Image::create(&store, "disk", &CreateOptions { size: 64 * MIB, ..CreateOptions::default() }).await.unwrap();
    let large = Settings { segment_bytes: 8 << 20, ..settings() };
    let disk = ImageRef::Name("disk".into());
    let owner = Image::open(&store, &disk, &OpenOptions { settings: large, ..OpenOptions::default() }).await.unwrap();
    // One segment after another gets one, the first one the last.
    for index in 0..9 {
        owner.write(index * LEN, pattern(index, LEN as usize), true).await.unwrap();
    }
    let segments = std::fs::read_dir(path.join("objects")).unwrap().map(|entry| entry.unwrap().path());
    let segments = segments.filter(|path| path.to_string_lossy().contains("lsd_data."));
    let longest = segments.max_by_key(|path| path.metadata().unwrap().len()).unwrap();
    let whole = std::fs::read(&longest).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&longest).unwrap();
    // As the file is while the last append is being written.
    file.set_len(whole.len() as u64 - LEN / 2).unwrap();
    let other: Arc<dyn ObjectStore> = Arc::new(DirStore::open(&path).unwrap());
    let options = OpenOptions { read_only: true, settings: settings(), ..OpenOptions::default() };
    let reader = Image::open(&other, &disk, &options).await.unwrap();
    assert_eq!(read(&reader, 7 * LEN, LEN).await, pattern(7, LEN as usize));
    // The append goes on, and is done.
    std::os::unix::fs::FileExt::write_all_at(&file, &whole, 0).unwrap();
    owner.flush().await.unwrap();
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_millis(1200)).await;
        if read(&reader, 8 * LEN, LEN).await == pattern(8, LEN as usize) {
            return;
        }
    }
    panic!("six seconds after the flush the reader does not see what it covered");
}

/// The header takes no updates for ten minutes, while the log and the pages of checkpoints do well.
#[tokio::test(start_paused = true)]
async fn checkpoints_that_were_given_up_leave_nothing() {
    let cluster = cluster_with_image(256 * MIB).await;
    let few = Settings { checkpoint_log_bytes: 1 << 20, ..settings() };
    let (client, gate) = Client::open_gated(&cluster, few).await;
    for block in 0..16 {
        client.image.write(block * 16 * MIB, pattern(block, MIB as usize), true).await.unwrap();
    }
    client.image.collect(&|_, _| Ok(())).await.unwrap();
    let pages = async || client.store.list("lsd_map.").await.unwrap().len();
    let before = pages().await;
    gate.close(is_header);
    let losing = gate.clone();
    let outage = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            drop(losing.take());
        }
    });
    for second in 0..600 {
        let at = second % 256;
        client.image.write(at * MIB, pattern(second, MIB as usize / 4), true).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let during = pages().await;
    stop(outage).await;
    gate.open();
    client.image.collect(&|_, _| Ok(())).await.unwrap();
    client.image.close().await.unwrap();
    let store = client.store.clone();
    client.crash(&cluster);
    let after = store.list("lsd_map.").await.unwrap().len();
    let disk = ImageRef::Name("disk".into());
    let found = Image::check(&store, &disk, &|_, _| Ok(())).await.unwrap();
    Image::remove(&store, &disk, &|_, _| Ok(())).await.unwrap();
    let left = store.list("lsd_").await.unwrap().len() - 1;
    assert_eq!(
        (found.findings.len(), left),
        (0, 0),
        "pages: {before} before, {during} at the end of it, {after} after a close; findings, objects left after removal"
    );
}

/// An owner died with batches under way, of which one was lost; nobody has the image open for writing since.
#[tokio::test(start_paused = true)]
async fn a_reader_of_an_image_at_rest_reads_its_log_once() {
    let cluster = cluster_with_image(64 * MIB).await;
    let (owner, gate) = Client::open_gated(&cluster, settings()).await;
    for index in 0..8 {
        owner.image.write(index * MIB, pattern(index, 256 << 10), true).await.unwrap();
    }
    let mut met = false;
    gate.close(move |op, _| op == Op::Append && !std::mem::replace(&mut met, true));
    for index in 8..16 {
        owner.image.write(index * MIB, pattern(index, 256 << 10), false).await.unwrap();
    }
    tokio::time::sleep(LONG).await;
    drop(gate.take());
    owner.crash(&cluster);
    let memory = cluster.client();
    let gate = Gate::new(Arc::new(memory.clone()));
    let reads = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = reads.clone();
    gate.close(move |op, name| {
        if op == Op::Read && name.starts_with("lsd_data.") {
            counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        false
    });
    let reader = Client::open_behind(gate, memory, settings()).await;
    let look = || reads.load(std::sync::atomic::Ordering::Relaxed);
    let opened = look();
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let _ = read(&reader.image, 40 * MIB, BLOCK).await;
    }
    assert_eq!(look(), opened, "reads of the log at the open, and after ten reads of what nobody wrote");
}

/// A directory that is full, with garbage in it that collection gives back. `owns`: the handle owns the image before it writes.
async fn write_into_a_full_directory(owns: bool) -> Result<(), Error> {
    let cluster = cluster_with_image(256 * MIB).await;
    let quiet = Settings { gc: false, ..settings() };
    let client = Client::open(&cluster, quiet).await;
    client.image.write(0, pattern(1, 16 * MIB as usize), true).await.unwrap();
    for part in 0..128 {
        client.image.write(part * 128 * 1024, pattern(part, 64 * 1024), true).await.unwrap();
    }
    client.image.close().await.unwrap();
    let (client, gate) = Client::open_gated(&cluster, settings()).await;
    let removed = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let counted = removed.clone();
    gate.close(move |op, name| {
        if op == Op::Remove && name.starts_with("lsd_data.") {
            counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        false
    });
    if owns {
        client.image.discard(200 * MIB, BLOCK, true).await.unwrap();
    }
    gate.set_room(move || {
        let freed = removed.load(std::sync::atomic::Ordering::Relaxed) * MIB;
        lsd_store::StoreRoom { ordinary: 8 * freed, urgent: 64 * MIB, reserve: 64 * MIB }
    });
    for _ in 0..100 {
        let written = client.image.write(0, content(7), true).await;
        if written.is_ok() {
            return written;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    client.image.write(0, content(7), true).await
}

#[tokio::test(start_paused = true)]
async fn who_opens_an_image_in_a_full_directory_gets_garbage_back() {
    write_into_a_full_directory(true).await.expect("collection gives room back");
    write_into_a_full_directory(false).await.expect("the first write of a handle finds garbage, too");
}

/// Its caller gives a close up while the last checkpoint is being committed, and closes again.
#[tokio::test(start_paused = true)]
async fn a_close_goes_on_where_it_was_given_up() {
    let cluster = cluster_with_image(16 * MIB).await;
    let (client, gate) = Client::open_gated(&cluster, settings()).await;
    putting(&client.image, 0, 1).await.unwrap().unwrap();
    gate.close(is_header);
    let image = client.image.clone();
    let first = tokio::spawn(async move { image.close().await });
    gate.until_waiting(1).await;
    stop(first).await;
    gate.open();
    client.image.close().await.expect("everything is durable, and the store is well");
}

/// A write takes the image over, and its caller gives that up half-way: at its first and at its last update of the header.
#[tokio::test(start_paused = true)]
async fn a_takeover_that_its_caller_gave_up_keeps_nobody_out() {
    for passes in [0, 1] {
        let cluster = cluster_with_image(16 * MIB).await;
        let (client, gate) = Client::open_gated(&cluster, settings()).await;
        let mut met = 0;
        gate.close(move |op, name| {
            met += usize::from(is_header(op, name));
            is_header(op, name) && met > passes
        });
        let write = putting(&client.image, 0, 1);
        gate.until_waiting(1).await;
        stop(write).await;
        drop(gate.take());
        gate.open();
        let other = Client::open(&cluster, settings()).await;
        putting(&other.image, 1, 2).await.unwrap().expect("the first client lives, and owns nothing");
        putting(&client.image, 2, 3).await.unwrap().expect("it takes the image when it wants to");
        assert_eq!(read(&client.image, BLOCK, BLOCK).await, content(2));
        client.image.close().await.unwrap();
        other.image.close().await.unwrap();
    }
}

/// An image whose owner died while it committed a checkpoint: nothing names the pages of that.
async fn died_in_a_checkpoint() -> (MemoryCluster, Arc<dyn ObjectStore>) {
    let cluster = cluster_with_image(256 * MIB).await;
    let (client, gate) = Client::open_gated(&cluster, settings()).await;
    for block in 0..16 {
        client.image.write(block * 16 * MIB, pattern(block, MIB as usize), true).await.unwrap();
    }
    gate.close(is_header);
    let image = client.image.clone();
    let checkpoint = tokio::spawn(async move { image.collect(&|_, _| Ok(())).await });
    gate.until_waiting(1).await;
    stop(checkpoint).await;
    drop(gate.take());
    client.crash(&cluster);
    let store: Arc<dyn ObjectStore> = Arc::new(cluster.client());
    assert_ne!(store.list("lsd_map.").await.unwrap(), []);
    (cluster, store)
}

#[tokio::test(start_paused = true)]
async fn pages_that_an_owner_did_not_live_to_commit_go_with_the_next_checkpoint() {
    let (cluster, store) = died_in_a_checkpoint().await;
    let next = Client::open(&cluster, settings()).await;
    putting(&next.image, 0, 1).await.unwrap().unwrap();
    next.image.close().await.unwrap();
    let found = Image::check(&store, &ImageRef::Name("disk".into()), &|_, _| Ok(())).await.unwrap();
    assert_eq!(found.findings, []);
}

#[tokio::test(start_paused = true)]
async fn pages_that_an_owner_did_not_live_to_commit_go_with_the_image() {
    let (_cluster, store) = died_in_a_checkpoint().await;
    Image::remove(&store, &ImageRef::Name("disk".into()), &|_, _| Ok(())).await.unwrap();
    assert_eq!(store.list("lsd_").await.unwrap(), ["lsd_directory".into()]);
}
