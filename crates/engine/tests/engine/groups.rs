//! Groups: which images are in one, and snapshots of all of them at one moment.
use crate::common::{BLOCK, Gate, MIB, Op, content, kind, read, settings, silent, stop};
use bytes::Bytes;
use lsd_engine::{
    Catalog, CreateOptions, ErrorKind, Features, Groups, Image, ImageRef, OpenOptions, Quiesce, SnapNamespace, SnapRef,
    Trash,
};
use lsd_store::{MemoryCluster, ObjectStore};
use std::sync::Arc;
use std::time::Duration;

const NAMES: [&str; 3] = ["a", "b", "c"];

fn store(cluster: &MemoryCluster) -> Arc<dyn ObjectStore> {
    Arc::new(cluster.client())
}

fn options() -> OpenOptions {
    OpenOptions { settings: settings(), ..OpenOptions::default() }
}

fn named(name: &str) -> ImageRef {
    ImageRef::Name(name.to_owned())
}

async fn open(store: &Arc<dyn ObjectStore>, name: &str) -> Image {
    Image::open(store, &named(name), &options()).await.unwrap()
}

/// Three images, and a group `g` of them.
async fn group_of_three() -> (MemoryCluster, Groups) {
    let cluster = MemoryCluster::new();
    let store = store(&cluster);
    let groups = Groups::new(store.clone(), options());
    groups.create("g").await.unwrap();
    for name in NAMES {
        Image::create(&store, name, &CreateOptions { size: 8 * MIB, ..CreateOptions::default() }).await.unwrap();
        groups.add_image("g", &store, &named(name)).await.unwrap();
    }
    (cluster, groups)
}

/// What the group says of its images: name and whether it is attached.
async fn members(groups: &Groups) -> Vec<(String, bool)> {
    let mut images: Vec<_> =
        groups.images("g").await.unwrap().into_iter().map(|image| (image.name, image.is_attached)).collect();
    images.sort();
    images
}

async fn snapshots_of(store: &Arc<dyn ObjectStore>, name: &str) -> usize {
    let image = open(store, name).await;
    let count = image.snapshots().list().await.unwrap().len();
    image.close().await.unwrap();
    count
}

/// The first block of each image as its part of the group's snapshot has it.
async fn parts(store: &Arc<dyn ObjectStore>, groups: &Groups, snapshot: &str) -> Vec<Vec<u8>> {
    let found = groups.snapshot("g", snapshot).await.unwrap();
    let mut blocks = Vec::new();
    for name in NAMES {
        let id = Catalog::new(store.clone()).id_of(name).await.unwrap();
        let part = found.parts.iter().find(|part| part.image == id).unwrap();
        let shown = OpenOptions { read_only: true, snapshot: Some(SnapRef::Id(part.snapshot)), ..options() };
        let image = Image::open(store, &named(name), &shown).await.unwrap();
        blocks.push(read(&image, 0, BLOCK).await);
        image.close().await.unwrap();
    }
    blocks
}

#[tokio::test(start_paused = true)]
async fn an_image_is_in_one_group_and_stays_until_it_is_taken_out() {
    let (cluster, groups) = group_of_three().await;
    let store = store(&cluster);
    groups.create("h").await.unwrap();
    assert_eq!(kind(groups.create("h").await), Some(ErrorKind::Exists));
    assert_eq!(kind(groups.create("").await), Some(ErrorKind::Invalid));
    assert_eq!(groups.list().await.unwrap(), ["g", "h"]);
    let a = open(&store, "a").await;
    groups.add_image("g", &store, &named("a")).await.unwrap();
    assert_eq!(kind(groups.add_image("h", &store, &named("a")).await), Some(ErrorKind::Exists));
    assert_eq!(groups.images("h").await.unwrap(), [], "a group keeps nothing of what it may not have");
    let bad_file = Some(ErrorKind::Io { errno: nix::libc::EBADF });
    assert_eq!(kind(groups.remove_image("h", &store, &named("a")).await), bad_file);
    assert_eq!(kind(groups.add_image("g", &store, &named("none")).await), Some(ErrorKind::NotFound));
    assert_eq!(kind(groups.add_image("none", &store, &named("a")).await), Some(ErrorKind::NotFound));
    let all = NAMES.map(|name| (name.to_owned(), true));
    assert_eq!(members(&groups).await, all);
    assert_eq!(a.group().await.unwrap().unwrap().name, "g");
    assert_ne!(a.info().op_features & Features::OP_GROUP, 0);
    assert_ne!(a.info().features & Features::OPERATIONS, 0);
    a.close().await.unwrap();
    assert_eq!(kind(Image::remove(&store, &named("a"), &silent).await), Some(ErrorKind::InGroup));
    // In the trash it is in the group, though nobody sees it there.
    let (trash, id) = (Trash::new(store.clone()), Catalog::new(store.clone()).id_of("a").await.unwrap());
    trash.put("a", Duration::ZERO).await.unwrap();
    assert_eq!(members(&groups).await, all[1..]);
    assert_eq!(kind(trash.remove(&id, true, &silent).await), Some(ErrorKind::InGroup));
    trash.restore(&id, None).await.unwrap();
    groups.rename("g", "k").await.unwrap();
    assert_eq!(kind(groups.rename("k", "h").await), Some(ErrorKind::Exists));
    assert_eq!(kind(groups.rename("g", "m").await), Some(ErrorKind::NotFound));
    let a = open(&store, "a").await;
    assert_eq!(a.group().await.unwrap().unwrap().name, "k");
    for _ in 0..2 {
        groups.remove_image("k", &store, &named("a")).await.unwrap();
        assert_eq!(a.group().await.unwrap(), None);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!((a.info().features & Features::OPERATIONS, a.info().op_features), (0, 0), "an open handle hears of it");
    a.close().await.unwrap();
    Image::remove(&store, &named("a"), &silent).await.unwrap();
    groups.remove("k").await.unwrap();
    assert_eq!(kind(groups.remove("k").await), Some(ErrorKind::NotFound));
    assert_eq!(groups.list().await.unwrap(), ["h"]);
    Image::remove(&store, &named("b"), &silent).await.unwrap();
}

/// A client whose updates stop after so many.
fn stopped_after(cluster: &MemoryCluster, passing: usize) -> (Arc<Gate>, Arc<dyn ObjectStore>) {
    let gate = Gate::new(Arc::new(cluster.client()));
    let mut updates = 0;
    gate.close(move |op, _| {
        updates += usize::from(op == Op::Update);
        op == Op::Update && updates > passing
    });
    let behind = gate.clone();
    (gate, behind)
}

/// Whatever step of adding an image never happens, adding it again finishes it, and taking it out undoes it.
#[tokio::test(start_paused = true)]
async fn a_crash_while_an_image_is_added_leaves_what_can_be_finished_or_undone() {
    for (lost, finish) in (0..3).flat_map(|lost| [(lost, true), (lost, false)]) {
        let (cluster, groups) = group_of_three().await;
        let store = store(&cluster);
        groups.remove_image("g", &store, &named("a")).await.unwrap();
        let (gate, behind) = stopped_after(&cluster, lost);
        let dying = Groups::new(behind.clone(), options());
        let adding = tokio::spawn(async move { dying.add_image("g", &behind, &named("a")).await });
        gate.until_waiting(1).await;
        stop(adding).await;
        drop(gate.take());
        let listed = members(&groups).await.into_iter().find(|(name, _)| name == "a");
        assert_eq!(listed, (lost > 0).then(|| ("a".to_owned(), false)), "{lost}");
        if finish {
            groups.add_image("g", &store, &named("a")).await.unwrap();
            assert_eq!(members(&groups).await, NAMES.map(|name| (name.to_owned(), true)), "{lost}");
        } else {
            groups.remove_image("g", &store, &named("a")).await.unwrap();
            assert_eq!(members(&groups).await.len(), 2, "{lost}");
            Image::remove(&store, &named("a"), &silent).await.unwrap();
        }
    }
}

/// The same for taking it out, which is the last thing that is done before the image is removed.
#[tokio::test(start_paused = true)]
async fn a_crash_while_an_image_is_taken_out_leaves_what_can_be_finished_or_undone() {
    for (lost, finish) in (0..3).flat_map(|lost| [(lost, true), (lost, false)]) {
        let (cluster, groups) = group_of_three().await;
        let store = store(&cluster);
        let (gate, behind) = stopped_after(&cluster, lost);
        let dying = Groups::new(behind.clone(), options());
        let leaving = tokio::spawn(async move { dying.remove_image("g", &behind, &named("a")).await });
        gate.until_waiting(1).await;
        stop(leaving).await;
        drop(gate.take());
        assert_eq!(members(&groups).await[0], ("a".to_owned(), lost == 0), "{lost}");
        if finish {
            groups.remove_image("g", &store, &named("a")).await.unwrap();
            assert_eq!(members(&groups).await.len(), 2, "{lost}");
            Image::remove(&store, &named("a"), &silent).await.unwrap();
        } else {
            groups.add_image("g", &store, &named("a")).await.unwrap();
            assert_eq!(members(&groups).await[0], ("a".to_owned(), true), "{lost}");
            assert_eq!(kind(Image::remove(&store, &named("a"), &silent).await), Some(ErrorKind::InGroup), "{lost}");
        }
    }
}

/// A header that names a group which is gone, as a crash of one who added while another removed the group leaves it, holds nothing.
#[tokio::test(start_paused = true)]
async fn an_image_is_not_held_by_a_group_that_is_gone() {
    let (cluster, groups) = group_of_three().await;
    let store = store(&cluster);
    let id = groups.id_of("g").await.unwrap();
    store.remove(&format!("lsd_group.{id}").into()).await.unwrap();
    groups.create("h").await.unwrap();
    groups.add_image("h", &store, &named("a")).await.unwrap();
    let a = open(&store, "a").await;
    assert_eq!(a.group().await.unwrap().unwrap().name, "h");
    a.close().await.unwrap();
    Image::remove(&store, &named("b"), &silent).await.unwrap();
}

fn numbered(number: u64) -> Bytes {
    let mut block = vec![0; BLOCK as usize];
    block[..8].copy_from_slice(&number.to_le_bytes());
    block.into()
}

fn number(block: &[u8]) -> u64 {
    u64::from_le_bytes(block[..8].try_into().unwrap())
}

/// Writes ascending numbers, each to the next image, one after the other was acknowledged.
async fn write_on(images: Vec<Image>, pause: Duration) {
    for next in 1_u64.. {
        images[next as usize % images.len()].write(0, numbered(next), false).await.unwrap();
        tokio::time::sleep(pause).await;
    }
}

/// `each`: which store a writer of an image uses; all of one, or each its own.
async fn every_snapshot_is_one_moment(stores: [Arc<dyn ObjectStore>; 3], cluster: &MemoryCluster, groups: &Groups) {
    let mut images = Vec::new();
    for (store, name) in stores.iter().zip(NAMES) {
        images.push(open(store, name).await);
    }
    let writer = tokio::spawn(write_on(images, Duration::from_millis(3)));
    let mut last = 0;
    for round in 0..12_u64 {
        tokio::time::sleep(Duration::from_millis(round * 37)).await;
        groups.snap_create("g", &format!("s{round}"), Quiesce::Required).await.unwrap();
    }
    stop(writer).await;
    for round in 0..12_u64 {
        let blocks = parts(&store(cluster), groups, &format!("s{round}")).await;
        let mut numbers: Vec<u64> = blocks.iter().map(|block| number(block)).collect();
        numbers.sort_unstable();
        let newest = numbers[2];
        if round > 0 {
            assert_eq!(numbers, [newest - 2, newest - 1, newest], "round {round}");
        }
        assert!(newest >= last, "round {round}: {newest} after {last}");
        last = newest;
    }
    assert!(last > 20, "the writer went on between the snapshots: {last}");
}

#[tokio::test(start_paused = true)]
async fn what_one_writer_acknowledged_before_is_in_every_snapshot_of_what_came_later() {
    let (cluster, groups) = group_of_three().await;
    let one = store(&cluster);
    every_snapshot_is_one_moment([one.clone(), one.clone(), one], &cluster, &groups).await;
}

#[tokio::test(start_paused = true)]
async fn the_same_where_each_image_has_an_owner_of_its_own() {
    let (cluster, groups) = group_of_three().await;
    let stores = [store(&cluster), store(&cluster), store(&cluster)];
    every_snapshot_is_one_moment(stores, &cluster, &groups).await;
}

/// Two who take snapshots of one group at a time wait for each other, and for the writer.
#[tokio::test(start_paused = true)]
async fn two_snapshots_at_a_time_are_two_moments() {
    let (cluster, groups) = group_of_three().await;
    let store = store(&cluster);
    let mut images = Vec::new();
    for name in NAMES {
        images.push(open(&store, name).await);
    }
    let writer = tokio::spawn(write_on(images, Duration::from_millis(1)));
    tokio::time::sleep(Duration::from_millis(50)).await;
    let other = Groups::new(Arc::new(cluster.client()), options());
    let (one, two) = tokio::join!(
        groups.snap_create("g", "one", Quiesce::Required),
        other.snap_create("g", "two", Quiesce::Required)
    );
    one.unwrap();
    two.unwrap();
    stop(writer).await;
    for name in ["one", "two"] {
        let mut numbers: Vec<u64> = parts(&store, &groups, name).await.iter().map(|block| number(block)).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, [numbers[2] - 2, numbers[2] - 1, numbers[2]], "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_fails_half_way_leaves_nothing() {
    let (cluster, groups) = group_of_three().await;
    let store = store(&cluster);
    let c = open(&store, "c").await;
    c.snapshots().set_limit(Some(0)).await.unwrap();
    let full = Some(ErrorKind::Io { errno: nix::libc::EDQUOT });
    assert_eq!(kind(groups.snap_create("g", "s", Quiesce::Required).await), full);
    assert_eq!(groups.snapshots("g").await.unwrap(), []);
    for name in NAMES {
        assert_eq!(snapshots_of(&store, name).await, 0, "{name}");
    }
    c.snapshots().set_limit(None).await.unwrap();
    // A lock that is kept by hand is not taken away.
    c.locks().acquire().await.unwrap();
    assert_eq!(kind(groups.snap_create("g", "s", Quiesce::Required).await), Some(ErrorKind::ReadOnly));
    assert_eq!(groups.snapshots("g").await.unwrap(), []);
    c.locks().release().await.unwrap();
    groups.snap_create("g", "s", Quiesce::Required).await.unwrap();
    assert_eq!(kind(groups.snap_create("g", "s", Quiesce::Required).await), Some(ErrorKind::Exists));
    c.close().await.unwrap();
    assert_eq!(snapshots_of(&store, "a").await, 1);
}

#[tokio::test(start_paused = true)]
async fn what_a_crash_leaves_of_a_snapshot_is_incomplete_and_can_be_removed() {
    let (cluster, groups) = group_of_three().await;
    let store = store(&cluster);
    let memory = cluster.client();
    let gate = Gate::new(Arc::new(memory.clone()));
    let mut updates = 0;
    gate.close(move |op, name| {
        updates += usize::from(op == Op::Update && name.starts_with("lsd_group."));
        updates > 1
    });
    let dying = Groups::new(gate.clone(), options());
    let taking = tokio::spawn(async move { dying.snap_create("g", "s", Quiesce::Required).await });
    gate.until_waiting(1).await;
    cluster.expire(&memory);
    drop(gate.take());
    stop(taking).await;
    let [left] = &groups.snapshots("g").await.unwrap()[..] else { panic!("one snapshot") };
    assert!(!left.is_complete);
    assert_eq!(snapshots_of(&store, "a").await, 1, "it has its part");
    assert_eq!(kind(groups.rollback("g", "s", &silent).await), Some(ErrorKind::Invalid));
    groups.snap_remove("g", "s").await.unwrap();
    assert_eq!(groups.snapshots("g").await.unwrap(), []);
    for name in NAMES {
        assert_eq!(snapshots_of(&store, name).await, 0, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rollback_brings_back_all_images_or_none() {
    let (cluster, groups) = group_of_three().await;
    let store = store(&cluster);
    let mut images = Vec::new();
    for (seed, name) in (1..).zip(NAMES) {
        let image = open(&store, name).await;
        image.write(0, content(seed), false).await.unwrap();
        images.push(image);
    }
    groups.snap_create("g", "s", Quiesce::Required).await.unwrap();
    for image in &images {
        image.write(0, content(9), false).await.unwrap();
    }
    let expect = async |seeds: [u64; 3], why: &str| {
        for (image, seed) in images.iter().zip(seeds) {
            image.invalidate_cache().await.unwrap();
            assert!(read(image, 0, BLOCK).await == content(seed), "{why}: {seed}");
        }
    };
    assert_eq!(kind(groups.rollback("g", "none", &silent).await), Some(ErrorKind::NotFound));
    groups.remove_image("g", &store, &named("b")).await.unwrap();
    assert_eq!(kind(groups.rollback("g", "s", &silent).await), Some(ErrorKind::Invalid));
    expect([9, 9, 9], "other images are in the group than in the snapshot").await;
    groups.add_image("g", &store, &named("b")).await.unwrap();
    let steps = std::sync::Mutex::new(Vec::new());
    let progress = |done, total| {
        steps.lock().unwrap().push((done, total));
        Ok(())
    };
    groups.rollback("g", "s", &progress).await.unwrap();
    assert_eq!(*steps.lock().unwrap(), [(0, 3), (1, 3), (2, 3), (3, 3)]);
    expect([1, 2, 3], "rolled back").await;
    for image in &images {
        image.write(0, content(9), false).await.unwrap();
    }
    // Somebody removes one image's part by its id, as librbd allows it.
    let part = images[2].snapshots().list().await.unwrap().remove(0);
    assert!(matches!(part.namespace, SnapNamespace::Group { .. }));
    assert_eq!(images[2].group_snapshot(&part.namespace).await.unwrap().1, "s");
    assert_eq!(kind(images[2].snapshots().remove(&part.name).await), Some(ErrorKind::NotFound), "not by name");
    assert_eq!(kind(images[2].snapshots().rename(&part.name, "x").await), Some(ErrorKind::NotFound));
    images[2].snapshots().remove_by_id(part.id).await.unwrap();
    assert_eq!(kind(groups.rollback("g", "s", &silent).await), Some(ErrorKind::NotFound));
    expect([9, 9, 9], "one image has no part").await;
    groups.snap_rename("g", "s", "t").await.unwrap();
    assert_eq!(kind(groups.snap_rename("g", "t", "t").await), Some(ErrorKind::Exists));
    assert_eq!(kind(groups.snap_rename("g", "s", "u").await), Some(ErrorKind::NotFound));
    // An image that has left the group keeps its part until the group's snapshot goes.
    groups.remove_image("g", &store, &named("a")).await.unwrap();
    assert_eq!(images[0].snapshots().list().await.unwrap().len(), 1);
    groups.remove("g").await.unwrap();
    for image in images {
        assert_eq!(image.snapshots().list().await.unwrap(), []);
        image.close().await.unwrap();
    }
    for name in NAMES {
        Image::remove(&store, &named(name), &silent).await.unwrap();
    }
}

/// Wherever whoever takes it is in the meantime: after both have ended, the snapshot is there as a whole, or nothing of it is.
#[tokio::test(start_paused = true)]
async fn what_is_removed_while_it_is_taken_leaves_nothing_in_the_images() {
    for (passing, all) in (0..16).flat_map(|passing| [(passing, false), (passing, true)]) {
        let (cluster, groups) = group_of_three().await;
        let (gate, behind) = stopped_after(&cluster, passing);
        let taking = Groups::new(behind, options());
        let taking = tokio::spawn(async move { taking.snap_create("g", "s", Quiesce::Required).await });
        // It may need fewer updates than pass.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let removing = groups.clone();
        let removing =
            tokio::spawn(
                async move { if all { removing.remove("g").await } else { removing.snap_remove("g", "s").await } },
            );
        tokio::time::sleep(Duration::from_secs(2)).await;
        gate.open();
        let (taken, removed) = (taking.await.unwrap(), removing.await.unwrap());
        let is_listed = !all && !groups.snapshots("g").await.unwrap().is_empty();
        assert!(!is_listed || removed.is_err(), "{passing}: it is there after its removal");
        assert!(!is_listed || taken.is_ok(), "{passing}: it is there though {taken:?}");
        for name in NAMES {
            let count = snapshots_of(&store(&cluster), name).await;
            assert_eq!(count, usize::from(is_listed), "{passing}, {all}: {name} after {taken:?} and {removed:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_that_is_being_taken_is_not_renamed() {
    let (cluster, groups) = group_of_three().await;
    let (gate, behind) = stopped_after(&cluster, 1);
    let taking = Groups::new(behind, options());
    let taking = tokio::spawn(async move { taking.snap_create("g", "s", Quiesce::Required).await });
    gate.until_waiting(1).await;
    assert_eq!(kind(groups.snap_rename("g", "s", "t").await), Some(ErrorKind::Busy));
    gate.open();
    taking.await.unwrap().unwrap();
    groups.snap_rename("g", "s", "t").await.unwrap();
    assert_eq!(groups.snapshots("g").await.unwrap()[0].name, "t");
}
