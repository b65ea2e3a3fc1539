//! The trash: an image without a name that can be brought back, and goes when its time has come.
use crate::common::{BLOCK, Client, Gate, MIB, Op, cluster_with_image, content, kind, pattern, read, settings, silent};
use lsd_core::format::header::{ImageRecord, key};
use lsd_engine::{Catalog, ErrorKind, Image, ImageRef, Namespaces, Trash};
use lsd_store::{KvPresence, KvUpdate, MEMORY_POOL, MemoryCluster, ObjectName, ObjectStore, Pools, StoreErrorKind};
use std::sync::Arc;
use std::time::Duration;

fn store(cluster: &MemoryCluster) -> Arc<dyn ObjectStore> {
    Arc::new(cluster.client())
}

#[tokio::test(start_paused = true)]
async fn an_image_comes_back_with_its_data_under_any_name() {
    let cluster = cluster_with_image(8 * MIB).await;
    let client = Client::open(&cluster, settings()).await;
    client.image.write(0, content(1), true).await.unwrap();
    let trash = Trash::new(store(&cluster));
    let hour = Duration::from_secs(3600);
    client.image.locks().acquire().await.unwrap();
    assert_eq!(kind(trash.put("disk", hour).await), Some(ErrorKind::Busy), "somebody keeps its lock");
    client.image.locks().release().await.unwrap();
    // Whoever has it open goes on, as with librbd.
    trash.put("disk", hour).await.unwrap();
    client.image.locks().acquire().await.unwrap();
    client.image.write(BLOCK, content(2), true).await.unwrap();
    client.image.close().await.unwrap();
    assert_eq!(kind(trash.put("disk", hour).await), Some(ErrorKind::NotFound));
    assert_eq!(kind(Client::try_open(&cluster, settings(), true).await.map(drop)), Some(ErrorKind::NotFound));
    let [entry] = &trash.list().await.unwrap()[..] else { panic!("one image") };
    assert_eq!((&*entry.name, entry.deferred_until_ns - entry.deleted_ns), ("disk", hour.as_nanos() as u64));
    let by_id = ImageRef::Id(entry.id.clone());
    let report = Image::check(&store(&cluster), &by_id, &silent).await.unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    // Another image may have its name meanwhile.
    Image::create(&store(&cluster), "disk", &lsd_engine::CreateOptions { size: MIB, ..Default::default() })
        .await
        .unwrap();
    assert_eq!(kind(trash.restore(&entry.id, None).await), Some(ErrorKind::Exists));
    trash.restore(&entry.id, Some("back")).await.unwrap();
    assert_eq!(kind(trash.get(&entry.id).await), Some(ErrorKind::NotFound));
    let back = Image::open(&store(&cluster), &ImageRef::Name("back".into()), &Default::default()).await.unwrap();
    assert_eq!(back.info().name, "back");
    assert!(read(&back, 0, BLOCK).await == content(1));
    assert!(read(&back, BLOCK, BLOCK).await == content(2), "written in the trash");
}

#[tokio::test(start_paused = true)]
async fn what_is_in_the_trash_goes_when_its_time_has_come_or_by_force() {
    let cluster = cluster_with_image(8 * MIB).await;
    let trash = Trash::new(store(&cluster));
    let client = Client::open(&cluster, settings()).await;
    client.image.write(0, content(1), true).await.unwrap();
    client.image.snapshots().create("s").await.unwrap();
    client.image.close().await.unwrap();
    trash.put("disk", Duration::from_secs(3600)).await.unwrap();
    let id = trash.list().await.unwrap().remove(0).id;
    let (namespaces, inside) = (Namespaces::new(store(&cluster)), Catalog::new(store(&cluster)));
    namespaces.add("here").await.unwrap();
    assert_eq!(kind(namespaces.remove("here", &inside).await), Some(ErrorKind::Busy), "it could never come back");
    assert_eq!(kind(trash.remove(&id, false, &silent).await), Some(ErrorKind::Permission));
    assert_eq!(kind(trash.remove(&id, true, &silent).await), Some(ErrorKind::NotEmpty), "it has a snapshot");
    let image = Image::open(&store(&cluster), &ImageRef::Id(id.clone()), &Default::default()).await.unwrap();
    image.snapshots().remove("s").await.unwrap();
    image.close().await.unwrap();
    trash.remove(&id, true, &silent).await.unwrap();
    assert_eq!(trash.list().await.unwrap(), []);
    assert_eq!(kind(trash.remove(&id, true, &silent).await), Some(ErrorKind::NotFound));
    assert_eq!(inside.list().await.unwrap(), []);
    namespaces.remove("here", &inside).await.unwrap();
    let left = cluster.client().list("lsd_").await.unwrap();
    assert_eq!(left.iter().map(|name| &*name.0).collect::<Vec<_>>(), ["lsd_directory", "lsd_namespace"]);
}

async fn trashed(cluster: &MemoryCluster, name: &str, delay: Duration, snapshot: bool) {
    let options = lsd_engine::CreateOptions { size: MIB, ..Default::default() };
    Image::create(&store(cluster), name, &options).await.unwrap();
    if snapshot {
        let image = Image::open(&store(cluster), &ImageRef::Name(name.into()), &Default::default()).await.unwrap();
        image.snapshots().create("s").await.unwrap();
        image.close().await.unwrap();
    }
    Trash::new(store(cluster)).put(name, delay).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_cannot_go_does_not_keep_the_others() {
    let cluster = cluster_with_image(MIB).await;
    for name in ["a", "b", "c", "d"] {
        trashed(&cluster, name, Duration::ZERO, ["a", "c"].contains(&name)).await;
    }
    trashed(&cluster, "later", Duration::from_secs(3600), false).await;
    let trash = Trash::new(store(&cluster));
    let steps = std::sync::Mutex::new(Vec::new());
    let count = |done, total| {
        steps.lock().unwrap().push((done, total));
        Ok(())
    };
    assert_eq!(kind(trash.purge(None, &count).await), Some(ErrorKind::NotEmpty));
    assert_eq!(*steps.lock().unwrap(), [(1, 4), (2, 4)]);
    let mut left: Vec<String> = trash.list().await.unwrap().into_iter().map(|entry| entry.name).collect();
    left.sort();
    assert_eq!(left, ["a", "c", "later"]);
    assert_eq!(Catalog::new(store(&cluster)).list().await.unwrap().len(), 1, "what has a name stays");
}

/// librbd's rule: whatever their time, those go first whose time comes first, until so much is given back that the pool is below.
#[tokio::test(start_paused = true)]
async fn a_pool_that_is_used_too_much_loses_those_whose_time_comes_first() {
    let cluster = MemoryCluster::new();
    let store = store(&cluster);
    let trash = Trash::new(store.clone());
    let hour = Duration::from_secs(3600);
    let options = lsd_engine::CreateOptions { size: 8 * MIB, ..Default::default() };
    for (name, hours) in [("late", 9), ("first", 1), ("second", 2), ("empty", 0), ("over", 0)] {
        Image::create(&store, name, &options).await.unwrap();
        let image = Image::open(&store, &ImageRef::Name(name.into()), &Default::default()).await.unwrap();
        if name != "empty" {
            image.write(0, pattern(1, MIB as usize), true).await.unwrap();
        }
        image.close().await.unwrap();
        trash.put(name, hour * hours).await.unwrap();
    }
    let names = async || {
        let mut names: Vec<_> = trash.list().await.unwrap().into_iter().map(|entry| entry.name).collect();
        names.sort();
        names
    };
    assert_eq!(kind(trash.purge_to(0.5, None, &silent).await), Some(ErrorKind::Unsupported), "nobody counts");
    cluster.set_capacity(MEMORY_POOL, 10 * MIB);
    // Nothing is above it, so what has expired stays, too.
    assert!(!trash.purge_to(0.9, None, &silent).await.unwrap());
    assert_eq!(names().await.len(), 5);
    // Half of what one of them has is too much: the first goes, and with a date what has expired.
    let capacity = (10 * MIB) as f64;
    let share = || (cluster.stored_bytes(MEMORY_POOL) - MIB / 2) as f64 / capacity;
    assert!(trash.purge_to(share(), Some(0), &silent).await.unwrap());
    assert_eq!(names().await, ["empty", "first", "late", "second"]);
    trash.purge_to(share(), Some(0), &silent).await.unwrap();
    assert_eq!(names().await, ["empty", "late", "second"]);
    trash.purge_to(share(), None, &silent).await.unwrap();
    assert_eq!(names().await, ["late"], "what has expired and makes no room");
}

/// Two purges at once, somebody who wants an image back, and one who puts it there again for longer: none of them is in a purge's way.
#[tokio::test(start_paused = true)]
async fn a_purge_leaves_what_is_not_as_it_was_listed() {
    for renewed in [false, true] {
        let cluster = cluster_with_image(MIB).await;
        for name in ["a", "b", "c"] {
            trashed(&cluster, name, Duration::ZERO, false).await;
        }
        let gate = Gate::new(store(&cluster));
        let (gated, trash) = (Trash::new(gate.clone()), Trash::new(store(&cluster)));
        let listed = trash.list().await.unwrap();
        gate.close(|op, _| op == Op::Remove);
        let purge = tokio::spawn(async move { gated.purge(None, &silent).await });
        // It has begun with the first one.
        gate.until_waiting(1).await;
        trash.restore(&listed[1].id, None).await.unwrap();
        if renewed {
            trash.put(&listed[1].name, Duration::from_secs(3600)).await.unwrap();
        }
        trash.purge(None, &silent).await.unwrap();
        gate.open();
        purge.await.unwrap().unwrap();
        let left: Vec<_> = trash.list().await.unwrap().into_iter().map(|entry| entry.id).collect();
        assert_eq!(left, if renewed { vec![listed[1].id.clone()] } else { Vec::new() });
        assert_eq!(Catalog::new(store(&cluster)).list().await.unwrap().len(), if renewed { 1 } else { 2 });
    }
}

#[tokio::test(start_paused = true)]
async fn an_image_whose_data_pool_is_gone_makes_no_room_and_is_in_nobodys_way() {
    let cluster = cluster_with_image(MIB).await;
    let store = store(&cluster);
    for name in ["lost", "other"] {
        trashed(&cluster, name, Duration::from_secs(3600), false).await;
    }
    let trash = Trash::new(store.clone());
    let lost = trash.list().await.unwrap().into_iter().find(|entry| entry.name == "lost").unwrap();
    let header = ObjectName::from(&*format!("lsd_header.{}", lost.id));
    let values = store.kv_get(&header, key::IMAGE).await.unwrap();
    let record = ImageRecord { data_pool: 4711, ..ImageRecord::decode(&values[key::IMAGE]).unwrap() };
    let moved = KvUpdate::default().presence(KvPresence::MustExist).set(key::IMAGE, record.encode());
    store.kv_update(&header, moved).await.unwrap();
    cluster.set_capacity(MEMORY_POOL, 10 * MIB);
    assert!(!trash.purge_to(0.9, None, &silent).await.unwrap());
    assert_eq!(trash.list().await.unwrap().len(), 2);
    // What is left of it goes.
    trash.remove(&lost.id, true, &silent).await.unwrap();
    assert_eq!(store.kv_get(&header, "").await.unwrap_err().kind, StoreErrorKind::NotFound);
    assert_eq!(trash.list().await.unwrap().len(), 1);
}
