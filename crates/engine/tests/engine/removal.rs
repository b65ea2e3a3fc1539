//! Removing images: also those that are damaged (never without being told while anything of them verifies, and then without a rest), in
//! use, or half removed.
use crate::common::{Client, Gate, MIB, Op, cluster_with_image, pattern, settings};
use bytes::Bytes;
use futures::future::BoxFuture;
use lsd_core::format::header::{LogRecord, Tombs};
use lsd_engine::{Catalog, Error, ErrorKind, Fault, Image, ImageRef, Severity};
use lsd_store::{KvPresence, KvUpdate, MemoryCluster, ObjectName, ObjectStore, Presence, StoreError, WatchHandler};
use std::sync::Arc;
use std::time::Duration;

fn disk() -> ImageRef {
    ImageRef::Name("disk".into())
}

fn quiet(_: u64, _: u64) -> lsd_engine::Result<()> {
    Ok(())
}

async fn image_with_data() -> (MemoryCluster, Arc<dyn ObjectStore>, ObjectName) {
    let cluster = cluster_with_image(8 * MIB).await;
    let client = Client::open(&cluster, settings()).await;
    client.image.write(0, pattern(1, 3 << 20), false).await.unwrap();
    client.image.close().await.unwrap();
    let header = client.store.list("lsd_header.").await.unwrap().remove(0);
    (cluster, client.store.clone(), header)
}

async fn objects(store: &Arc<dyn ObjectStore>) -> Vec<ObjectName> {
    store.list("lsd_").await.unwrap()
}

async fn is_listed(store: &Arc<dyn ObjectStore>) -> bool {
    !Catalog::new(store.clone()).list().await.unwrap().is_empty()
}

#[tokio::test(start_paused = true)]
async fn a_damaged_header_is_removed_only_when_told() {
    for key in ["image", "state", "epoch", "log", "name"] {
        let (_cluster, store, header) = image_with_data().await;
        let before = objects(&store).await;
        let damage = KvUpdate::default().presence(KvPresence::MustExist).set(key, &b"nonsense"[..]);
        store.kv_update(&header, damage).await.unwrap();
        let error = Image::remove(&store, &disk(), &quiet).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Corrupt, "{key}");
        assert_eq!(objects(&store).await, before, "{key}");
        Image::remove_damaged(&store, &disk(), &quiet).await.unwrap();
        assert_eq!(objects(&store).await, ["lsd_directory".into()], "{key}");
        assert!(!is_listed(&store).await, "{key}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_header_what_is_left_goes() {
    let (_cluster, store, header) = image_with_data().await;
    store.remove(&header).await.unwrap();
    assert!(!store.list("lsd_data.").await.unwrap().is_empty());
    Image::remove(&store, &disk(), &quiet).await.unwrap();
    assert_eq!(objects(&store).await, ["lsd_directory".into()]);
    assert!(!is_listed(&store).await);
    let by_id = ImageRef::Id(lsd_engine::ImageId("0123456789abcd".into()));
    assert_eq!(Image::remove(&store, &by_id, &quiet).await.unwrap_err().kind, ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn a_removal_that_was_broken_off_can_be_completed() {
    let (_cluster, store, _) = image_with_data().await;
    for name in objects(&store).await.into_iter().filter(|name| name.0 != "lsd_directory") {
        store.remove(&name).await.unwrap();
    }
    Image::remove(&store, &disk(), &quiet).await.unwrap();
    assert!(!is_listed(&store).await);
    assert_eq!(Image::remove(&store, &disk(), &quiet).await.unwrap_err().kind, ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn an_image_in_use_is_not_removed_by_force() {
    let (cluster, store, header) = image_with_data().await;
    let client = Client::open(&cluster, settings()).await;
    for damaged in [false, true] {
        if damaged {
            let damage = KvUpdate::default().presence(KvPresence::MustExist).set("log", &b"nonsense"[..]);
            store.kv_update(&header, damage).await.unwrap();
        }
        let error = Image::remove_damaged(&store, &disk(), &quiet).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Busy);
    }
    client.image.close().await.unwrap();
}

/// What everybody sees of an image whose removal was broken off, and that a second removal leaves nothing.
async fn is_half_removed(cluster: &MemoryCluster, store: &Arc<dyn ObjectStore>) {
    for read_only in [false, true] {
        let error = Client::try_open(cluster, settings(), read_only).await.err().unwrap();
        assert_eq!(error.kind, ErrorKind::NotFound, "{error}");
    }
    let report = Image::check(store, &disk(), &quiet).await.unwrap();
    let faults: Vec<_> = report.findings.iter().map(|finding| &finding.fault).collect();
    assert_eq!(faults, [&Fault::BeingRemoved]);
    assert_eq!(report.worst(), Some(Severity::Leak));
    Image::remove(store, &disk(), &quiet).await.unwrap();
    assert_eq!(objects(store).await, ["lsd_directory".into()]);
    assert!(!is_listed(store).await);
}

#[tokio::test(start_paused = true)]
async fn a_removal_that_is_broken_off_at_any_place_is_completed_by_the_next() {
    let mut broken = 0;
    loop {
        let (cluster, store, _) = image_with_data().await;
        let all = objects(&store).await.len();
        let cancel = |done: u64, _| match done {
            done if done > broken => Err(Error::new(ErrorKind::Canceled, "enough")),
            _ => Ok(()),
        };
        if Image::remove(&store, &disk(), &cancel).await.is_ok() {
            break;
        }
        assert!(objects(&store).await.len() < all);
        is_half_removed(&cluster, &store).await;
        broken += 1;
    }
    assert!(broken > 2, "nothing was broken off");
}

#[tokio::test(start_paused = true)]
async fn a_removal_that_is_broken_off_behind_the_header_is_completed_by_the_next() {
    let (cluster, store, header) = image_with_data().await;
    let gate = Gate::new(store.clone());
    let mut updates = 0;
    gate.close(move |op, name| {
        updates += u32::from(op == Op::Update && name == "lsd_directory");
        updates == 2
    });
    let gated: Arc<dyn ObjectStore> = gate.clone();
    let removal = tokio::spawn(async move { Image::remove(&gated, &disk(), &quiet).await });
    gate.until_waiting(1).await;
    removal.abort();
    drop(gate.take());
    assert!(store.kv_get(&header, "").await.is_err());
    is_half_removed(&cluster, &store).await;
}

#[tokio::test(start_paused = true)]
async fn a_reader_is_no_user_of_an_image() {
    let (cluster, store, header) = image_with_data().await;
    let reader = Client::try_open(&cluster, settings(), true).await.unwrap();
    assert_eq!(store.watchers(&header).await.unwrap(), []);
    Image::remove(&store, &disk(), &quiet).await.unwrap();
    let error = reader.image.read(1 << 20, 4096).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert!(error.to_string().contains("removed"), "{error}");
    reader.image.close().await.unwrap();
}

/// A client that died: its watch is still there, and it does not answer.
struct Silent;

impl WatchHandler for Silent {
    fn notified(&self, _: u64, _: Bytes) -> BoxFuture<'static, Bytes> {
        Box::pin(std::future::pending())
    }

    fn lost(&self, _: StoreError) {}
}

#[tokio::test(start_paused = true)]
async fn a_removal_waits_for_a_dead_watcher_and_not_for_a_living_one() {
    let (cluster, store, header) = image_with_data().await;
    let dead = cluster.client();
    dead.watch(&header, Duration::from_secs(30), Arc::new(Silent)).await.unwrap();
    let living = Client::open(&cluster, settings()).await;
    let began = tokio::time::Instant::now();
    assert_eq!(Image::remove(&store, &disk(), &quiet).await.unwrap_err().kind, ErrorKind::Busy);
    living.image.close().await.unwrap();
    let expiring = cluster.clone();
    let expiry = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(20)).await;
        expiring.expire(&dead);
    });
    Image::remove(&store, &disk(), &quiet).await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(20));
    expiry.await.unwrap();
    assert_eq!(objects(&store).await, ["lsd_directory".into()]);
}

#[tokio::test(start_paused = true)]
async fn a_watcher_that_stays_silent_keeps_its_image() {
    let (cluster, store, header) = image_with_data().await;
    cluster.client().watch(&header, Duration::from_secs(30), Arc::new(Silent)).await.unwrap();
    assert_eq!(Image::remove(&store, &disk(), &quiet).await.unwrap_err().kind, ErrorKind::Busy);
    assert!(is_listed(&store).await);
}

/// Owners that died, and after them owners that gave the image back until nothing of the earlier ones was left in the log. What was put
/// into the way of the dead is still there, and found by what the header says of it, or by walking where it says that there is more.
#[tokio::test(start_paused = true)]
async fn what_was_put_in_the_way_of_old_owners_goes_with_the_image() {
    for known in [true, false] {
        let cluster = cluster_with_image(8 * MIB).await;
        for seed in 0..6 {
            let client = Client::open(&cluster, settings()).await;
            client.image.write(0, pattern(seed, 4096), true).await.unwrap();
            client.crash(&cluster);
        }
        for seed in 6..9 {
            let client = Client::open(&cluster, settings()).await;
            client.image.write(0, pattern(seed, 4096), true).await.unwrap();
            client.image.close().await.unwrap();
        }
        let store: Arc<dyn ObjectStore> = Arc::new(cluster.client());
        let header = store.list("lsd_header.").await.unwrap().remove(0);
        let values = store.kv_get(&header, "").await.unwrap();
        let log = LogRecord::decode(&values["log"]).unwrap();
        let tombs = Tombs::decode(&values["tombs"]).unwrap();
        assert!(log.epochs.len() <= 3, "{:?}", log.epochs);
        assert_eq!(tombs.list.len(), 6, "one for each owner that died");
        if !known {
            let tombs = Tombs { more: true, list: Vec::new(), ..tombs };
            store.kv_update(&header, KvUpdate::default().set("tombs", tombs.encode())).await.unwrap();
        }
        let found = Image::check(&store, &disk(), &quiet).await.unwrap();
        assert!(found.findings.is_empty(), "{:?}", found.findings);
        assert!(store.list("lsd_data.").await.unwrap().len() > 6 * 16);
        Image::remove(&store, &disk(), &quiet).await.unwrap();
        assert_eq!(objects(&store).await, ["lsd_directory".into()]);
    }
}

/// Of the names that it tells of nobody reads data, and the next owner writes the list anew.
#[tokio::test(start_paused = true)]
async fn a_damaged_list_of_tombstones_is_told_and_in_nobodys_way() {
    let (cluster, store, header) = image_with_data().await;
    store.kv_update(&header, KvUpdate::default().set("tombs", &b"nonsense"[..])).await.unwrap();
    let found = Image::check(&store, &disk(), &quiet).await.unwrap();
    assert!(matches!(&found.findings[..], [one] if one.object == header.0), "{:?}", found.findings);
    let client = Client::open(&cluster, settings()).await;
    client.image.write(0, pattern(2, 4096), true).await.unwrap();
    client.image.close().await.unwrap();
    let values = store.kv_get(&header, "").await.unwrap();
    assert!(Tombs::decode(&values["tombs"]).unwrap().more, "what it said is not known");
    let found = Image::check(&store, &disk(), &quiet).await.unwrap();
    assert!(found.findings.is_empty(), "{:?}", found.findings);
}
