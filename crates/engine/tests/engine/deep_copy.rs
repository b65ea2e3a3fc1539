//! Deep copies: every state of the image is in the copy, which is a clone of what the image is a clone of. And what goes with clones
//! beside: what a clone has by itself, flattening the clones of a snapshot.
use crate::common::{BLOCK, MIB, content, kind, read, settings, silent};
use lsd_engine::{
    CloneFormat, CloneOptions, CreateOptions, DeepCopy, ErrorKind, Image, ImageRef, OpenOptions, SnapRef,
};
use lsd_store::{MemoryCluster, ObjectStore};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;

const SIZE: u64 = 8 * MIB;

fn client(cluster: &MemoryCluster) -> Arc<dyn ObjectStore> {
    Arc::new(cluster.client())
}

fn options() -> OpenOptions {
    OpenOptions { settings: settings(), ..OpenOptions::default() }
}

async fn open(store: &Arc<dyn ObjectStore>, name: &str, snapshot: Option<&str>) -> Image {
    let snapshot = snapshot.map(|name| SnapRef::Name(name.into()));
    Image::open(store, &ImageRef::Name(name.into()), &OpenOptions { snapshot, ..options() }).await.unwrap()
}

async fn put(image: &Image, block: u64, seed: u64) {
    image.write(block * BLOCK, content(seed), false).await.unwrap();
}

async fn clone(store: &Arc<dyn ObjectStore>, parent: &str, snapshot: &str, name: &str, format: CloneFormat) {
    let options = CloneOptions { format, ..CloneOptions::default() };
    let parent = ImageRef::Name(parent.into());
    let snapshot = SnapRef::Name(snapshot.into());
    Image::clone_from((store, &parent, &snapshot), (store, name), &options).await.unwrap();
}

/// `base` with blocks 0 to 7 as 1 to 8, a snapshot `s`, and `child`, a clone of that.
async fn family(store: &Arc<dyn ObjectStore>) -> (Image, Image) {
    let create = CreateOptions { size: SIZE, ..CreateOptions::default() };
    Image::create(store, "base", &create).await.unwrap();
    let base = open(store, "base", None).await;
    for block in 0..8 {
        put(&base, block, block + 1).await;
    }
    base.snapshots().create("s").await.unwrap();
    clone(store, "base", "s", "child", CloneFormat::Free).await;
    let child = open(store, "child", None).await;
    (base, child)
}

fn copy_to(store: &Arc<dyn ObjectStore>, name: &str, flatten: bool) -> DeepCopy {
    DeepCopy {
        store: store.clone(),
        name: name.into(),
        layout: CreateOptions::default(),
        flatten,
        format: CloneFormat::Free,
        from: options(),
        to: options(),
    }
}

async fn expect_same(store: &Arc<dyn ObjectStore>, one: &str, other: &str, snapshot: Option<&str>) {
    let (one, other) = (open(store, one, snapshot).await, open(store, other, snapshot).await);
    assert_eq!(one.size(), other.size(), "{snapshot:?}");
    let (ours, theirs) = (read(&one, 0, one.size()).await, read(&other, 0, other.size()).await);
    let first = ours.iter().zip(&theirs).position(|(one, other)| one != other);
    assert_eq!(first, None, "the first byte of {snapshot:?} that differs");
    one.close().await.unwrap();
    other.close().await.unwrap();
}

/// Names, sizes and protection of the user's snapshots.
async fn snapshots(image: &Image) -> Vec<(String, u64, bool)> {
    let list = image.snapshots().list().await.unwrap();
    list.into_iter().map(|snapshot| (snapshot.name, snapshot.size, snapshot.is_protected)).collect()
}

#[tokio::test(start_paused = true)]
async fn every_state_is_copied_and_a_clone_stays_one() {
    let cluster = MemoryCluster::new();
    let store = client(&cluster);
    let (base, child) = family(&store).await;
    put(&child, 1, 100).await;
    child.discard(2 * BLOCK, BLOCK, false).await.unwrap();
    child.snapshots().create("a").await.unwrap();
    child.snapshots().protect("a").await.unwrap();
    child.resize(4 * BLOCK, true, &silent).await.unwrap();
    child.resize(2 * SIZE, true, &silent).await.unwrap();
    put(&child, 3000, 101).await;
    child.snapshots().create("b").await.unwrap();
    put(&child, 1, 102).await;
    // Other handles see what is durable.
    child.flush().await.unwrap();
    child.metadata().set("key", "value").await.unwrap();
    child.deep_copy(&copy_to(&store, "copy", false), &silent).await.unwrap();
    assert_eq!(kind(child.deep_copy(&copy_to(&store, "copy", false), &silent).await), Some(ErrorKind::Exists));
    child.deep_copy(&copy_to(&store, "flat", true), &silent).await.unwrap();
    for copy in ["copy", "flat"] {
        for snapshot in [Some("a"), Some("b"), None] {
            expect_same(&store, "child", copy, snapshot).await;
        }
        let image = open(&store, copy, None).await;
        assert_eq!(snapshots(&image).await, snapshots(&child).await);
        assert_eq!(image.metadata().get("key").await.unwrap(), "value");
        let overlap = if copy == "copy" { 4 * BLOCK } else { 0 };
        assert_eq!(image.overlap().await.unwrap(), overlap);
        image.close().await.unwrap();
    }
    // What is the parent's is not stored again.
    let copy = open(&store, "copy", Some("a")).await;
    assert_eq!(copy.overlap().await.unwrap(), SIZE);
    let mut own = Vec::new();
    copy.own_changes(None, 0, u64::MAX, &mut |change| {
        own.push((change.offset / BLOCK, change.len / BLOCK));
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(own, [(1, 1)]);
    assert_eq!(base.children(None).await.unwrap().len(), 2);
    // Of a snapshot: what it shows, with the snapshots until then.
    let a = open(&store, "child", Some("a")).await;
    a.deep_copy(&copy_to(&store, "early", false), &silent).await.unwrap();
    let early = open(&store, "early", None).await;
    assert_eq!(snapshots(&early).await, [("a".to_owned(), SIZE, true)]);
    assert!(read(&early, 0, SIZE).await == read(&a, 0, SIZE).await);
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_is_canceled_says_so() {
    let cluster = MemoryCluster::new();
    let store = client(&cluster);
    let (_base, child) = family(&store).await;
    let cancel = |_, _| Err(lsd_engine::Error::new(ErrorKind::Canceled, "enough"));
    assert_eq!(kind(child.deep_copy(&copy_to(&store, "copy", true), &cancel).await), Some(ErrorKind::Canceled));
}

/// What is the same as in the parent is not told, nor kept, whatever the clone and its snapshots went through.
#[tokio::test(start_paused = true)]
async fn whatever_was_done_to_a_clone_its_copies_are_the_same() {
    for seed in 0..12 {
        let cluster = MemoryCluster::new();
        let store = client(&cluster);
        let (_base, child) = family(&store).await;
        let mut random = StdRng::seed_from_u64(seed);
        let mut names: Vec<String> = Vec::new();
        for step in 0..40 {
            let blocks = child.size() / BLOCK;
            let block = random.random_range(0..blocks.max(1)).min(random.random_range(0..64));
            match random.random_range(0..20) {
                0..=8 if block < blocks => put(&child, block, 1000 * seed + step).await,
                9..=12 if block + 4 < blocks => child.discard(block * BLOCK, 4 * BLOCK, false).await.unwrap(),
                13 => child.resize(random.random_range(1..16) * BLOCK, true, &silent).await.unwrap(),
                14 => child.resize(random.random_range(64..3000) * BLOCK, true, &silent).await.unwrap(),
                15 if !names.is_empty() => {
                    let name = &names[random.random_range(0..names.len())];
                    child.snapshots().rollback(name).await.unwrap();
                }
                16 if step > 25 => drop(child.flatten(&silent).await),
                17 => child.collect(&silent).await.unwrap(),
                18 | 19 => {
                    names.push(format!("{step}"));
                    child.snapshots().create(&format!("{step}")).await.unwrap();
                }
                _ => {}
            }
        }
        child.flush().await.unwrap();
        for (name, flatten) in [("copy", false), ("flat", true)] {
            child.deep_copy(&copy_to(&store, name, flatten), &silent).await.unwrap();
            let states = names.iter().map(|name| Some(name.as_str())).chain([None]);
            for snapshot in states {
                expect_same(&store, "child", name, snapshot).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_clone_has_of_its_parent_is_no_change_of_its_own() {
    let cluster = MemoryCluster::new();
    let store = client(&cluster);
    let (base, child) = family(&store).await;
    put(&child, 2, 200).await;
    child.snapshots().create("a").await.unwrap();
    put(&child, 4, 201).await;
    child.discard(2 * BLOCK, BLOCK, false).await.unwrap();
    let changes = async |from: Option<&Image>, own: bool| {
        let mut found: Vec<(u64, u64, bool)> = Vec::new();
        let mut each = |change: lsd_engine::Extent| {
            found.push((change.offset / BLOCK, change.len / BLOCK, change.data));
            Ok(())
        };
        match own {
            true => child.own_changes(from, 0, u64::MAX, &mut each).await.unwrap(),
            false => child.changes(from, 0, u64::MAX, &mut each).await.unwrap(),
        }
        found
    };
    assert_eq!(changes(None, true).await, [(4, 1, true)]);
    assert_eq!(changes(None, false).await.iter().map(|change| change.1).sum::<u64>(), 7);
    let a = open(&store, "child", Some("a")).await;
    for own in [true, false] {
        assert_eq!(changes(Some(&a), own).await, [(2, 1, false), (4, 1, true)]);
    }
    // Beside its parent's snapshot, and no other.
    let s = open(&store, "base", Some("s")).await;
    assert_eq!(changes(Some(&s), false).await, [(2, 1, false), (4, 1, true)]);
    base.snapshots().create("later").await.unwrap();
    let later = open(&store, "base", Some("later")).await;
    assert_eq!(kind(child.changes(Some(&later), 0, SIZE, &mut |_| Ok(())).await), Some(ErrorKind::Invalid));
}

#[tokio::test(start_paused = true)]
async fn the_clones_of_a_snapshot_are_flattened() {
    let cluster = MemoryCluster::new();
    let store = client(&cluster);
    let (base, child) = family(&store).await;
    base.snapshots().protect("s").await.unwrap();
    clone(&store, "base", "s", "strict", CloneFormat::Protected).await;
    assert_eq!(kind(base.snapshots().unprotect("s").await), Some(ErrorKind::Busy));
    let told = std::sync::Mutex::new(Vec::new());
    let progress = |done, total| {
        told.lock().unwrap().push((done, total));
        Ok(())
    };
    base.snapshots().flatten_children("s", &options(), &progress).await.unwrap();
    assert_eq!(*told.lock().unwrap(), [(1, 2), (2, 2)]);
    assert_eq!(base.children(None).await.unwrap(), []);
    assert_eq!(child.overlap().await.unwrap(), 0);
    base.snapshots().unprotect("s").await.unwrap();
    base.snapshots().remove("s").await.unwrap();
    assert!(read(&child, 0, BLOCK).await == content(1));
    let none = base.snapshots().flatten_children("s", &options(), &silent).await;
    assert_eq!(kind(none), Some(ErrorKind::NotFound));
}
