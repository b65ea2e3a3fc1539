//! What is told of an image while it is open: each state once, with image, object, operation and cause; and what is counted.
use crate::common::{Client, MIB, cluster_with_image, pattern, settings};
use crate::takeover::outage;
use bytes::Bytes;
use futures::future::BoxFuture;
use lsd_core::format::notice::{self, Answer};
use lsd_engine::{ErrorKind, Image, ImageRef, Settings};
use lsd_store::{
    Blobs, LockMode, LockRequest, MEMORY_POOL, MemoryCluster, MemoryStore, ObjectName, Pools, Presence, StoreError,
    WatchHandler,
};
use std::fmt::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Gathers what is told in this thread.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<String>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        write!(self.0, " {field}={value:?}").unwrap();
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(format!("{} {}", event.metadata().level(), event.metadata().target()));
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }
}

impl Lines {
    /// All that have this.
    pub(crate) fn with(&self, part: &str) -> Vec<String> {
        self.0.lock().unwrap().iter().filter(|line| line.contains(part)).cloned().collect()
    }

    /// The one line that has all of these.
    fn only(&self, parts: &[&str]) -> String {
        let lines = self.0.lock().unwrap();
        let found: Vec<&String> = lines.iter().filter(|line| parts.iter().all(|part| line.contains(part))).collect();
        assert_eq!(found.len(), 1, "{parts:?} in {lines:#?}");
        found[0].clone()
    }
}

pub(crate) fn listen() -> (Lines, tracing::subscriber::DefaultGuard) {
    let lines = Lines::default();
    let guard = tracing::subscriber::set_default(lines.clone());
    (lines, guard)
}

#[tokio::test(start_paused = true)]
async fn a_full_pool_is_told_once_and_its_end_too() {
    let (lines, _guard) = listen();
    let cluster = cluster_with_image(64 * MIB).await;
    let client = Client::open(&cluster, settings()).await;
    client.image.write(0, pattern(1, 4096), true).await.unwrap();
    cluster.set_full(MEMORY_POOL, true);
    for index in 1..40 {
        let full = client.image.write(index * 65_536, pattern(index, 65_536), true).await;
        assert_eq!(full.unwrap_err().kind, ErrorKind::NoSpace);
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    lines.only(&[
        "WARN lsd::append",
        "image=\"disk\"",
        "op=\"append\"",
        "object=\"lsd_data.",
        "error=",
        "pool is full",
    ]);
    cluster.set_full(MEMORY_POOL, false);
    tokio::time::sleep(Duration::from_secs(2)).await;
    client.image.flush().await.unwrap();
    lines.only(&["INFO lsd::append", "image=\"disk\"", "takes data again"]);
    let full = client.image.stats().into_iter().find(|stat| (stat.group, stat.name) == ("retry", "pool_full"));
    assert_eq!(full.map(|stat| stat.value), Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_fenced_client_is_told_why_its_image_failed() {
    let cluster = cluster_with_image(16 * MIB).await;
    let old = Client::open(&cluster, settings()).await;
    old.image.write(0, pattern(1, 8192), true).await.unwrap();
    old.memory.hold();
    cluster.expire(&old.memory);
    let heir = Client::open(&cluster, settings()).await;
    heir.image.write(0, pattern(3, 8192), true).await.unwrap();
    let (lines, _guard) = listen();
    old.memory.release();
    for index in 0..20 {
        assert_eq!(old.image.write(index * 8192, pattern(4, 8192), true).await.unwrap_err().kind, ErrorKind::Fenced);
    }
    lines.only(&["ERROR lsd::image", "image=\"disk\"", "op=", "object=\"lsd_", "error=", "the image failed"]);
}

#[tokio::test(start_paused = true)]
async fn a_takeover_that_waits_is_told() {
    let cluster = cluster_with_image(16 * MIB).await;
    let keeper = Client::open(&cluster, settings()).await;
    keeper.image.write(0, pattern(1, 8192), true).await.unwrap();
    let (lines, _guard) = listen();
    let next = Client::open(&cluster, settings()).await;
    next.image.write(0, pattern(2, 8192), true).await.unwrap();
    lines.only(&["INFO lsd::ownership", "image=\"disk\"", "object=lsd_header.", "holder=client.", "waiting for it"]);
    lines.only(&["INFO lsd::ownership", "image=\"disk\"", "op=\"hand-over\"", "gives the image away"]);
    lines.only(&["INFO lsd::ownership", "image=\"disk\"", "op=\"takeover\"", "this client owns the image"]);
}

/// Takes the lock as an owner does, and says nothing to anybody.
async fn silent_owner(cluster: &MemoryCluster, header: &ObjectName) -> MemoryStore {
    let store = cluster.client();
    let watch = store.watch(header, Duration::from_secs(30), Arc::new(Elsewhere(None))).await.unwrap();
    let cookie = format!("auto {}", watch.0);
    let request = LockRequest { name: "rbd_lock".into(), cookie, mode: LockMode::Exclusive, tag: "internal".into() };
    store.lock(header, request).await.unwrap();
    store
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_does_not_answer_is_told_once_and_so_is_its_end() {
    let cluster = cluster_with_image(16 * MIB).await;
    let client = Client::open(&cluster, settings()).await;
    let owner = silent_owner(&cluster, &header_of(&client)).await;
    let (lines, _guard) = listen();
    for _ in 0..3 {
        assert_eq!(client.image.write(0, pattern(1, 8192), true).await.unwrap_err().kind, ErrorKind::Busy);
    }
    let common = ["image=\"disk\"", "op=\"takeover\"", "object=lsd_header."];
    lines.only(&[&common[..], &["INFO lsd::ownership", "holder=client.", "addr=", "waiting for it"]].concat());
    lines.only(&[&common[..], &["WARN lsd::ownership", "error=client.", "does not answer", "is silent"]].concat());
    lines.only(&[&common[..], &["WARN lsd::ownership", "error=lsd_header.", "does not give the image away"]].concat());
    cluster.expire(&owner);
    client.image.write(0, pattern(1, 8192), true).await.unwrap();
    let dead =
        ["WARN lsd::ownership", "image=\"disk\"", "op=\"evict\"", "object=lsd_header.", "holder=client.", "fenced off"];
    lines.only(&dead);
    lines.only(&[&common[..], &["INFO lsd::ownership", "this client owns the image"]].concat());
}

/// Each hand-over is news to nobody: the first is told, and later how many there were.
#[tokio::test(start_paused = true)]
async fn two_writers_who_take_turns_do_not_fill_the_log() {
    const KINDS: [&str; 3] = ["waiting for it", "this client owns the image", "gives the image away"];
    let cluster = cluster_with_image(16 * MIB).await;
    let clients = [Client::open(&cluster, settings()).await, Client::open(&cluster, settings()).await];
    let (lines, _guard) = listen();
    let began = tokio::time::Instant::now();
    let take_turns = |turns: u64| {
        let clients = &clients;
        async move {
            for turn in 0..turns {
                for client in clients {
                    client.image.write(turn % 64 * 8192, pattern(turn, 8192), true).await.unwrap();
                }
            }
        }
    };
    take_turns(20).await;
    assert!(began.elapsed() < Duration::from_secs(60), "all of it within a minute");
    let first = KINDS.map(|kind| lines.with(kind));
    assert!(first.iter().all(|told| (1..=2).contains(&told.len())), "each once, by each client: {first:#?}");
    assert_eq!(lines.with("left_out"), Vec::<String>::new());
    tokio::time::sleep(Duration::from_secs(60)).await;
    take_turns(3).await;
    for kind in KINDS {
        let counted = lines.with("left_out=").into_iter().filter(|line| line.contains(kind)).count();
        assert!((1..=2).contains(&counted), "{kind}: {:#?}", lines.with(kind));
    }
}

#[tokio::test(start_paused = true)]
async fn a_header_that_cannot_be_read_is_told_once_and_not_at_each_notice() {
    let cluster = cluster_with_image(16 * MIB).await;
    let other = Client::open(&cluster, settings()).await;
    let (client, gate) = Client::open_gated(&cluster, settings()).await;
    let (lines, _guard) = listen();
    let down = outage(&gate);
    for round in 0..5 {
        other.image.metadata().set("key", &round.to_string()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
    let unread =
        ["WARN lsd::header", "image=\"disk\"", "op=\"refresh\"", "object=\"lsd_header.", "error=", "could not be read"];
    lines.only(&unread);
    tokio::time::sleep(Duration::from_secs(60)).await;
    other.image.metadata().set("key", "last").await.unwrap();
    tokio::time::sleep(Duration::from_secs(50)).await;
    assert_eq!(lines.with("could not be read").len(), 2);
    lines.only(&[&unread[..], &["left_out="]].concat());
    down.abort();
    gate.open();
    drop(client);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_answer_is_told_once() {
    let (lines, _guard) = listen();
    let cluster = cluster_with_image(16 * MIB).await;
    let (client, gate) = Client::open_gated(&cluster, settings()).await;
    client.image.write(0, pattern(1, 8192), true).await.unwrap();
    let down = outage(&gate);
    for index in 0..20 {
        assert_eq!(
            client.image.write(index * 8192, pattern(2, 8192), true).await.unwrap_err().kind,
            ErrorKind::TimedOut
        );
    }
    lines.only(&[
        "WARN lsd::append",
        "image=\"disk\"",
        "op=\"append\"",
        "object=\"lsd_data.",
        "error=",
        "does not take the log",
    ]);
    down.abort();
    gate.open();
    client.image.write(0, pattern(3, 8192), true).await.unwrap();
    lines.only(&["INFO lsd::append", "image=\"disk\"", "takes the log again"]);
}

#[tokio::test(start_paused = true)]
async fn a_damaged_segment_is_told_once_however_often_it_is_read() {
    let cluster = cluster_with_image(8 * MIB).await;
    let client = Client::open(&cluster, settings()).await;
    for index in 0..8 {
        client.image.write(index * 65_536, pattern(index, 65_536), true).await.unwrap();
    }
    client.image.close().await.unwrap();
    let store = cluster.client();
    let name = store.list("lsd_data.").await.unwrap().remove(0);
    let before = store.read(&name, 4096 + 5000, 1).await.unwrap()[0];
    assert!(cluster.corrupt(MEMORY_POOL, &name.0, 4096 + 5000, &[before ^ 4]));
    let (lines, _guard) = listen();
    let reader = Client::try_open(&cluster, Settings { cache_bytes: 0, ..settings() }, true).await.unwrap();
    let mut refused = 0;
    for offset in (0..8 * 65_536).step_by(4096).chain((0..8 * 65_536).step_by(4096)) {
        refused += u32::from(reader.image.read(offset, 4096).await.is_err());
    }
    assert!(refused > 1);
    lines.only(&[
        "ERROR lsd::damage",
        "image=\"disk\"",
        "op=\"read\"",
        &format!("object=\"{}", name.0),
        "error=",
        "damaged",
    ]);
}

#[tokio::test(start_paused = true)]
async fn what_a_handle_does_is_counted() {
    let cluster = cluster_with_image(8 * MIB).await;
    let client = Client::open(&cluster, settings()).await;
    client.image.write(0, pattern(1, 8192), false).await.unwrap();
    client.image.discard(0, 4096, false).await.unwrap();
    client.image.flush().await.unwrap();
    client.image.read(0, 8192).await.unwrap();
    client.image.collect(&|_, _| Ok(())).await.unwrap();
    let value = |group, name| {
        let stats = client.image.stats();
        stats.iter().find(|stat| (stat.group, stat.name) == (group, name)).expect(name).value
    };
    assert_eq!((value("io", "writes"), value("io", "written_bytes")), (1, 8192));
    assert_eq!((value("io", "discards"), value("io", "discarded_bytes")), (1, 4096));
    assert_eq!((value("io", "reads"), value("io", "read_bytes"), value("io", "flushes")), (1, 8192, 1));
    assert_eq!(value("retry", "takeovers"), 1);
    assert!(value("log", "batches") >= 1 && value("log", "records") >= 2 && value("log", "batch_bytes") >= 12_288);
    assert!(value("checkpoint", "written") >= 1 && value("checkpoint", "pages") >= 2);
    assert_eq!(value("checkpoint", "failed") + value("collection", "failed"), 0);
}

fn header_of(client: &Client) -> lsd_store::ObjectName {
    format!("lsd_header.{}", client.image.info().id).as_str().into()
}

#[tokio::test(start_paused = true)]
async fn every_client_tells_its_counters_to_whoever_asks() {
    let cluster = cluster_with_image(8 * MIB).await;
    let owner = Client::open(&cluster, settings()).await;
    owner.image.write(0, pattern(1, 8192), true).await.unwrap();
    owner.image.write(8192, pattern(2, 4096), true).await.unwrap();
    let other = Client::open(&cluster, settings()).await;
    other.image.read(0, 4096).await.unwrap();
    let reader = Client::try_open(&cluster, settings(), true).await.unwrap();
    let before = tokio::time::Instant::now();
    let stats = reader.image.client_stats().await.unwrap();
    assert_eq!(before.elapsed(), Duration::ZERO, "nobody waits");
    // Each as it sees itself; a reader does not watch, so it is not asked.
    let own = |client: &Client| {
        let named = |stat: lsd_engine::Stat| (format!("{}.{}", stat.group, stat.name), stat.value);
        Some(client.image.stats().into_iter().map(named).collect::<Vec<_>>())
    };
    let mut watchers = reader.image.watchers().await.unwrap();
    watchers.sort_by_key(|watcher| watcher.client);
    assert_eq!(stats.iter().map(|client| client.watcher.clone()).collect::<Vec<_>>(), watchers);
    assert_eq!((stats[0].counters.clone(), stats[1].counters.clone()), (own(&owner), own(&other)));
    let value = |client: usize, wanted: &str| {
        stats[client].counters.iter().flatten().find(|(name, _)| name == wanted).expect(wanted).1
    };
    assert_eq!((value(0, "io.writes"), value(0, "io.written_bytes"), value(0, "io.reads")), (2, 12_288, 0));
    assert_eq!((value(1, "io.writes"), value(1, "io.reads")), (0, 1));
    assert!(owner.image.locks().is_owner(), "a question takes nothing from anybody");
    // One that watches asks itself, too.
    assert_eq!(other.image.client_stats().await.unwrap().len(), 2);
    other.image.close().await.unwrap();
    assert_eq!(other.image.client_stats().await.unwrap_err().kind, ErrorKind::Closed);
    assert_eq!(reader.image.client_stats().await.unwrap().len(), 1);
}

/// A client of an older version, of another program, or one that hangs.
struct Elsewhere(Option<Vec<u8>>);

impl WatchHandler for Elsewhere {
    fn notified(&self, _: u64, _: Bytes) -> BoxFuture<'static, Bytes> {
        match self.0.clone() {
            Some(answer) => Box::pin(std::future::ready(answer.into())),
            None => Box::pin(std::future::pending()),
        }
    }

    fn lost(&self, _: StoreError) {}
}

#[tokio::test(start_paused = true)]
async fn who_tells_no_counters_is_listed_without_them() {
    let cluster = cluster_with_image(8 * MIB).await;
    let reader = Client::try_open(&cluster, settings(), true).await.unwrap();
    assert_eq!(reader.image.client_stats().await.unwrap(), []);
    let header = header_of(&reader);
    let unsupported = notice::encode_answer(&Answer::Unsupported);
    let odd = notice::encode_answer(&Answer::Stats(vec![("not a name".into(), 1)]));
    let mut stores = Vec::new();
    for answer in [Some(Vec::new()), Some(unsupported), Some(odd), None] {
        let store = cluster.client();
        store.watch(&header, Duration::from_secs(30), Arc::new(Elsewhere(answer))).await.unwrap();
        stores.push(store);
    }
    let before = tokio::time::Instant::now();
    let stats = reader.image.client_stats().await.unwrap();
    assert_eq!(before.elapsed(), Duration::from_secs(5), "the silent one has so long");
    assert_eq!(stats.len(), 4);
    assert!(stats.iter().all(|client| client.counters.is_none() && !client.watcher.addr.is_empty()), "{stats:?}");
}

#[tokio::test(start_paused = true)]
async fn counters_of_an_image_that_is_gone_are_not_found() {
    let cluster = cluster_with_image(MIB).await;
    let reader = Client::try_open(&cluster, settings(), true).await.unwrap();
    let store: Arc<dyn lsd_store::ObjectStore> = Arc::new(cluster.client());
    Image::remove(&store, &ImageRef::Name("disk".into()), &|_, _| Ok(())).await.unwrap();
    assert_eq!(reader.image.client_stats().await.unwrap_err().kind, ErrorKind::NotFound);
}
