//! Clones: each begins as a snapshot and goes its own way; what a family needs stays, and all of it comes back when it goes.
use crate::common::{BLOCK, MIB, content, kind, read, settings, silent, stored};
use lsd_engine::{
    Catalog, CloneFormat, CloneOptions, CreateOptions, ErrorKind, Fault, Features, Image, ImageRef, OpenOptions,
    ParentCache, RepairOptions, Severity, SnapNamespace, SnapRef, Trash,
};
use lsd_store::{KvUpdate, MEMORY_POOL, MemoryCluster, ObjectName, ObjectStore, Pools};
use std::sync::Arc;
use std::time::Duration;

pub fn client(cluster: &MemoryCluster) -> Arc<dyn ObjectStore> {
    Arc::new(cluster.client())
}

pub fn named(name: &str) -> ImageRef {
    ImageRef::Name(name.into())
}

async fn create(store: &Arc<dyn ObjectStore>, name: &str, size: u64) {
    Image::create(store, name, &CreateOptions { size, ..CreateOptions::default() }).await.unwrap();
}

pub async fn open(store: &Arc<dyn ObjectStore>, name: &str) -> Image {
    let options = OpenOptions { settings: settings(), ..OpenOptions::default() };
    Image::open(store, &named(name), &options).await.unwrap()
}

pub async fn open_at(store: &Arc<dyn ObjectStore>, name: &str, snapshot: &str) -> Image {
    let snapshot = Some(SnapRef::Name(snapshot.into()));
    let options = OpenOptions { settings: settings(), snapshot, ..OpenOptions::default() };
    Image::open(store, &named(name), &options).await.unwrap()
}

async fn clone_as(
    store: &Arc<dyn ObjectStore>,
    parent: &str,
    snapshot: &str,
    name: &str,
    format: CloneFormat,
) -> lsd_engine::Result<lsd_engine::ImageId> {
    let options = CloneOptions { format, ..CloneOptions::default() };
    let snapshot = SnapRef::Name(snapshot.into());
    Image::clone_from((store, &named(parent), &snapshot), (store, name), &options).await
}

async fn clone(store: &Arc<dyn ObjectStore>, parent: &str, snapshot: &str, name: &str) {
    clone_as(store, parent, snapshot, name, CloneFormat::Free).await.unwrap();
}

pub async fn put(image: &Image, block: u64, seed: u64) {
    image.write(block * BLOCK, content(seed), false).await.unwrap();
}

pub async fn expect(image: &Image, blocks: &[(u64, u64)]) {
    for (block, seed) in blocks {
        let found = read(image, block * BLOCK, BLOCK).await;
        let wanted = if *seed == 0 { vec![0; BLOCK as usize] } else { content(*seed).to_vec() };
        assert!(found == wanted, "block {block} has not content {seed}");
    }
}

pub async fn expect_of(store: &Arc<dyn ObjectStore>, name: &str, blocks: &[(u64, u64)]) {
    let image = open(store, name).await;
    expect(&image, blocks).await;
    image.close().await.unwrap();
}

async fn check_clean(store: &Arc<dyn ObjectStore>, names: &[&str]) {
    for name in names {
        let report = Image::check(store, &named(name), &silent).await.unwrap();
        let worse = report.findings.iter().filter(|finding| finding.fault.severity() > Severity::Note);
        assert_eq!(worse.collect::<Vec<_>>(), Vec::<&lsd_engine::Finding>::new(), "{name}");
    }
}

/// `base` with blocks 0 to 3 as 1 to 4, and a snapshot `s`.
async fn base(store: &Arc<dyn ObjectStore>) -> Image {
    create(store, "base", 8 * MIB).await;
    let base = open(store, "base").await;
    for block in 0..4 {
        put(&base, block, block + 1).await;
    }
    base.snapshots().create("s").await.unwrap();
    base
}

#[tokio::test(start_paused = true)]
async fn a_clone_begins_as_the_snapshot_and_both_go_on() {
    let cluster = MemoryCluster::new();
    let store = client(&cluster);
    let base = base(&store).await;
    put(&base, 0, 100).await;
    clone(&store, "base", "s", "child").await;
    let child = open(&store, "child").await;
    assert_eq!(child.size(), 8 * MIB);
    expect(&child, &[(0, 1), (1, 2), (2, 3), (3, 4), (4, 0)]).await;
    put(&child, 1, 200).await;
    child.discard(2 * BLOCK, BLOCK, false).await.unwrap();
    put(&base, 3, 103).await;
    // Everything that may go has gone, on both sides.
    for image in [&base, &child] {
        image.collect(&silent).await.unwrap();
    }
    expect(&child, &[(0, 1), (1, 200), (2, 0), (3, 4)]).await;
    expect(&base, &[(0, 100), (1, 2), (2, 3), (3, 103)]).await;
    child.close().await.unwrap();
    base.close().await.unwrap();
    let child = open(&store, "child").await;
    expect(&child, &[(0, 1), (1, 200), (2, 0), (3, 4)]).await;
    expect(&open_at(&store, "base", "s").await, &[(0, 1), (1, 2), (2, 3), (3, 4)]).await;
    child.close().await.unwrap();
    check_clean(&store, &["base", "child"]).await;
}

#[tokio::test(start_paused = true)]
async fn parent_and_children_know_each_other() {
    let cluster = MemoryCluster::new();
    let store = client(&cluster);
    let base = base(&store).await;
    assert_eq!(kind(base.parent().await), Some(ErrorKind::NotFound));
    for name in ["b", "a", "c"] {
        clone(&store, "base", "s", name).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let names = |children: Vec<lsd_engine::Child>| children.into_iter().map(|child| child.name).collect::<Vec<_>>();
    assert_eq!(names(base.children(None).await.unwrap()), ["b", "a", "c"]);
    assert_eq!(names(base.children(Some(99)).await.unwrap()), [""; 0]);
    let a = open(&store, "a").await;
    let parent = a.parent().await.unwrap();
    assert_eq!((parent.name.as_str(), parent.snapshot.name.as_str(), parent.overlap), ("base", "s", 8 * MIB));
    assert_eq!(a.info().op_features, Features::OP_CLONE_CHILD);
    a.snapshots().create("t").await.unwrap();
    clone(&store, "a", "t", "grandchild").await;
    assert_eq!(names(base.descendants(None).await.unwrap()), ["b", "a", "c", "grandchild"]);
    Trash::new(store.clone()).put("b", Duration::ZERO).await.unwrap();
    let children = base.children(None).await.unwrap();
    assert_eq!(children.iter().filter(|child| child.trash).count(), 1);
    base.invalidate_cache().await.unwrap();
    assert_eq!(base.info().op_features, Features::OP_CLONE_PARENT);
}

#[tokio::test(start_paused = true)]
async fn a_protected_snapshot_stays_as_long_as_it_has_clones() {
    let cluster = MemoryCluster::new();
    let store = client(&cluster);
    let base = base(&store).await;
    let strict = CloneFormat::Protected;
    assert_eq!(kind(clone_as(&store, "base", "s", "child", strict).await), Some(ErrorKind::Invalid));
    assert_eq!(kind(clone_as(&store, "base", "none", "child", strict).await), Some(ErrorKind::NotFound));
    base.snapshots().protect("s").await.unwrap();
    clone_as(&store, "base", "s", "child", strict).await.unwrap();
    assert_eq!(kind(clone_as(&store, "base", "s", "child", strict).await), Some(ErrorKind::Exists));
    assert_eq!(kind(base.snapshots().unprotect("s").await), Some(ErrorKind::Busy));
    assert_eq!(kind(base.snapshots().remove("s").await), Some(ErrorKind::Busy));
    base.close().await.unwrap();
    assert_eq!(kind(Image::remove(&store, &named("base"), &silent).await), Some(ErrorKind::NotEmpty));
    Image::remove(&store, &named("child"), &silent).await.unwrap();
    let base = open(&store, "base").await;
    base.snapshots().unprotect("s").await.unwrap();
    base.snapshots().remove("s").await.unwrap();
}

/// The snapshot is out of sight, and its space comes back with the last clone.
#[tokio::test(start_paused = true)]
async fn a_snapshot_that_is_removed_is_kept_for_its_clones() {
    let cluster = MemoryCluster::new();
    let store = client(&cluster);
    create(&store, "base", 8 * MIB).await;
    let base = open(&store, "base").await;
    for block in 0..1024 {
        put(&base, block, block + 1).await;
    }
    base.snapshots().create("s").await.unwrap();
    clone(&store, "base", "s", "one").await;
    clone(&store, "base", "s", "two").await;
    base.snapshots().remove("s").await.unwrap();
    let left = base.snapshots().list().await.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].namespace, SnapNamespace::Trash { name: "s".into() });
    assert_eq!(kind(base.snapshots().get("s").await), Some(ErrorKind::NotFound));
    assert_eq!(kind(base.snapshots().remove_by_id(left[0].id).await), Some(ErrorKind::Busy));
    base.snapshots().create("s").await.unwrap();
    base.snapshots().remove("s").await.unwrap();
    base.discard(0, 8 * MIB, true).await.unwrap();
    base.collect(&silent).await.unwrap();
    expect_of(&store, "one", &[(0, 1), (1023, 1024)]).await;
    Image::remove(&store, &named("one"), &silent).await.unwrap();
    expect_of(&store, "two", &[(0, 1), (1023, 1024)]).await;
    base.close().await.unwrap();
    Image::remove(&store, &named("two"), &silent).await.unwrap();
    let base = open(&store, "base").await;
    assert_eq!(base.snapshots().list().await.unwrap(), []);
    base.collect(&silent).await.unwrap();
    base.close().await.unwrap();
    check_clean(&store, &["base"]).await;
    let bytes = stored(&cluster, "lsd_data.").await;
    assert!(bytes < MIB / 4, "{bytes} bytes of nothing are left");
    Image::remove(&store, &named("base"), &silent).await.unwrap();
    assert_eq!(stored(&cluster, "lsd_data.").await + stored(&cluster, "lsd_map.").await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_flattened_clone_needs_its_parent_no_more() {
    let cluster = MemoryCluster::new();
    let store = client(&cluster);
    let base = base(&store).await;
    assert_eq!(kind(base.flatten(&silent).await), Some(ErrorKind::Invalid));
    clone(&store, "base", "s", "child").await;
    let child = open(&store, "child").await;
    put(&child, 1, 200).await;
    let reader = open(&store, "child").await;
    expect(&reader, &[(0, 1)]).await;
    child.flatten(&silent).await.unwrap();
    assert_eq!(kind(child.parent().await), Some(ErrorKind::NotFound));
    assert_eq!(child.info().op_features, 0);
    assert_eq!(base.children(None).await.unwrap(), []);
    base.snapshots().remove("s").await.unwrap();
    base.close().await.unwrap();
    Image::remove(&store, &named("base"), &silent).await.unwrap();
    expect(&child, &[(0, 1), (1, 200), (2, 3), (3, 4)]).await;
    child.close().await.unwrap();
    let child = open(&store, "child").await;
    expect(&child, &[(0, 1), (1, 200), (2, 3), (3, 4)]).await;
    child.close().await.unwrap();
    check_clean(&store, &["child"]).await;
}

/// A flatten of an image that another client owns is carried out by that one.
#[tokio::test(start_paused = true)]
async fn an_owner_flattens_for_others() {
    let cluster = MemoryCluster::new();
    let store = client(&cluster);
    let _base = base(&store).await;
    clone(&store, "base", "s", "child").await;
    let owner = open(&store, "child").await;
    put(&owner, 1, 200).await;
    let other = open(&client(&cluster), "child").await;
    other.flatten(&silent).await.unwrap();
    assert_eq!(kind(other.parent().await), Some(ErrorKind::NotFound));
    assert_eq!(kind(owner.parent().await), Some(ErrorKind::NotFound));
    put(&owner, 2, 201).await;
    expect(&owner, &[(0, 1), (1, 200), (2, 201), (3, 4)]).await;
}

/// Of a blank parent a clone has nothing but its root.
#[tokio::test(start_paused = true)]
async fn a_clone_of_nothing_is_flattened() {
    let cluster = MemoryCluster::new();
    let store = client(&cluster);
    create(&store, "base", 8 * MIB).await;
    let base = open(&store, "base").await;
    base.snapshots().create("s").await.unwrap();
    clone(&store, "base", "s", "child").await;
    let child = open(&store, "child").await;
    child.flatten(&silent).await.unwrap();
    child.close().await.unwrap();
    base.snapshots().remove("s").await.unwrap();
    base.close().await.unwrap();
    Image::remove(&store, &named("base"), &silent).await.unwrap();
    let child = open(&store, "child").await;
    expect(&child, &[(0, 0)]).await;
    put(&child, 0, 7).await;
    child.close().await.unwrap();
    check_clean(&store, &["child"]).await;
}

/// What a shrink cuts off stays cut off, as the overlap says.
#[tokio::test(start_paused = true)]
async fn what_a_shrunk_clone_had_of_its_parent_does_not_come_back() {
    let cluster = MemoryCluster::new();
    let store = client(&cluster);
    let _base = base(&store).await;
    clone(&store, "base", "s", "child").await;
    let child = open(&store, "child").await;
    child.snapshots().create("before").await.unwrap();
    child.resize(2 * BLOCK, true, &silent).await.unwrap();
    child.resize(8 * MIB, true, &silent).await.unwrap();
    assert_eq!(child.parent().await.unwrap().overlap, 2 * BLOCK);
    expect(&child, &[(0, 1), (1, 2), (2, 0), (3, 0)]).await;
    child.snapshots().rollback("before").await.unwrap();
    assert_eq!(child.parent().await.unwrap().overlap, 8 * MIB);
    expect(&child, &[(0, 1), (1, 2), (2, 3), (3, 4)]).await;
}

/// A snapshot of a clone needs the parent as long as it is there, also when the clone itself does not.
#[tokio::test(start_paused = true)]
async fn snapshots_of_a_flattened_clone_keep_the_parent() {
    let cluster = MemoryCluster::new();
    let store = client(&cluster);
    let base = base(&store).await;
    clone(&store, "base", "s", "child").await;
    let child = open(&store, "child").await;
    child.snapshots().create("linked").await.unwrap();
    clone(&store, "child", "linked", "grandchild").await;
    child.flatten(&silent).await.unwrap();
    assert_eq!(kind(child.parent().await), Some(ErrorKind::NotFound));
    assert_eq!(open_at(&store, "child", "linked").await.parent().await.unwrap().name, "base");
    base.snapshots().remove("s").await.unwrap();
    base.discard(0, 8 * MIB, true).await.unwrap();
    base.collect(&silent).await.unwrap();
    expect(&open_at(&store, "child", "linked").await, &[(0, 1), (3, 4)]).await;
    expect_of(&store, "grandchild", &[(0, 1), (3, 4)]).await;
    child.snapshots().remove("linked").await.unwrap();
    assert_eq!(base.children(None).await.unwrap().len(), 1);
    // The last one that leads to the base.
    let grandchild = open(&store, "grandchild").await;
    grandchild.flatten(&silent).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(base.children(None).await.unwrap(), []);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(base.snapshots().list().await.unwrap(), []);
    expect(&grandchild, &[(0, 1), (3, 4)]).await;
    expect(&child, &[(0, 1), (3, 4)]).await;
}

/// With deep-flatten, which is on by default, those of its snapshots that have no clones are flattened with it.
#[tokio::test(start_paused = true)]
async fn snapshots_of_a_clone_are_flattened_with_it() {
    let cluster = MemoryCluster::new();
    let store = client(&cluster);
    let base = base(&store).await;
    clone(&store, "base", "s", "child").await;
    let child = open(&store, "child").await;
    child.snapshots().create("first").await.unwrap();
    put(&child, 0, 21).await;
    child.discard(BLOCK, BLOCK, false).await.unwrap();
    child.snapshots().create("second").await.unwrap();
    child.discard(0, 8 * MIB, false).await.unwrap();
    put(&child, 2, 22).await;
    let early = open_at(&store, "child", "second").await;
    child.flatten(&silent).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(base.children(None).await.unwrap(), []);
    for name in ["first", "second"] {
        let shown = open_at(&store, "child", name).await;
        assert_eq!(kind(shown.parent().await), Some(ErrorKind::NotFound), "{name}");
    }
    // The parent goes with all it has.
    base.snapshots().remove("s").await.unwrap();
    base.close().await.unwrap();
    Image::remove(&store, &named("base"), &silent).await.unwrap();
    for _ in 0..2 {
        expect(&open_at(&store, "child", "first").await, &[(0, 1), (1, 2), (2, 3), (3, 4)]).await;
        expect(&open_at(&store, "child", "second").await, &[(0, 21), (1, 0), (2, 3), (3, 4)]).await;
        expect(&early, &[(0, 21), (1, 0), (2, 3), (3, 4)]).await;
        expect(&child, &[(0, 0), (2, 22), (3, 0)]).await;
        child.collect(&silent).await.unwrap();
    }
    child.snapshots().rollback("first").await.unwrap();
    expect(&child, &[(0, 1), (1, 2), (2, 3), (3, 4)]).await;
    child.close().await.unwrap();
    check_clean(&store, &["child"]).await;
    expect_of(&store, "child", &[(0, 1), (1, 2), (2, 3), (3, 4)]).await;
}

/// Each writes a block of its own, and reads those of all above it.
#[tokio::test(start_paused = true)]
async fn a_chain_of_clones_is_removed_from_any_end() {
    let cluster = MemoryCluster::new();
    let store = client(&cluster);
    create(&store, "c0", 8 * MIB).await;
    const DEPTH: u64 = 12;
    for depth in 0..=DEPTH {
        let name = format!("c{depth}");
        if depth > 0 {
            clone(&store, &format!("c{}", depth - 1), "s", &name).await;
        }
        let image = open(&store, &name).await;
        put(&image, depth, depth + 1).await;
        image.snapshots().create("s").await.unwrap();
        image.close().await.unwrap();
    }
    let all: Vec<(u64, u64)> = (0..=DEPTH).map(|depth| (depth, depth + 1)).collect();
    let last = open(&store, &format!("c{DEPTH}")).await;
    expect(&last, &all).await;
    last.close().await.unwrap();
    // From the middle: what is removed is kept for those below.
    for depth in [5, 6, 0, DEPTH, 11, 10, 9, 8, 7, 4, 3, 2, 1] {
        let name = format!("c{depth}");
        let image = open(&store, &name).await;
        expect(&image, &all[..=depth as usize]).await;
        image.snapshots().remove("s").await.unwrap();
        image.close().await.unwrap();
        match kind(Image::remove(&store, &named(&name), &silent).await) {
            None => assert!(depth >= 7 || depth == DEPTH, "c{depth} has a clone"),
            Some(ErrorKind::NotEmpty) => assert!(depth < 7, "c{depth} has no clone"),
            other => panic!("{other:?}"),
        }
    }
    for depth in (0..7).rev() {
        Image::remove(&store, &named(&format!("c{depth}")), &silent).await.unwrap();
    }
    assert_eq!(Catalog::new(store.clone()).list().await.unwrap(), []);
    assert_eq!(cluster.client().list("").await.unwrap().len(), 1, "the directory is left, and nothing else");
}

/// The values of an image's header.
async fn header_of(store: &Arc<dyn ObjectStore>, name: &str) -> (ObjectName, lsd_store::KvMap) {
    let id = Catalog::new(store.clone()).id_of(name).await.unwrap();
    let header = ObjectName(format!("lsd_header.{id}"));
    let values = store.kv_get(&header, "").await.unwrap();
    (header, values)
}

async fn faults_of(store: &Arc<dyn ObjectStore>, name: &str) -> Vec<Fault> {
    let report = Image::check(store, &named(name), &silent).await.unwrap();
    report.findings.into_iter().map(|finding| finding.fault).collect()
}

async fn repair(store: &Arc<dyn ObjectStore>, name: &str) {
    let report = Image::repair(store, &named(name), RepairOptions::default(), &silent).await.unwrap();
    assert_eq!(report.after.findings, [], "{name}");
}

#[tokio::test(start_paused = true)]
async fn a_check_finds_parents_that_are_kept_for_clones_that_are_gone() {
    let cluster = MemoryCluster::new();
    let store = client(&cluster);
    let base = base(&store).await;
    clone(&store, "base", "s", "child").await;
    base.snapshots().remove("s").await.unwrap();
    base.close().await.unwrap();
    let (header, _) = header_of(&store, "child").await;
    store.remove(&header).await.unwrap();
    assert!(matches!(faults_of(&store, "base").await[..], [Fault::LostClone { snapshot: 1, .. }]));
    repair(&store, "base").await;
    let base = open(&store, "base").await;
    base.invalidate_cache().await.unwrap();
    assert_eq!(base.snapshots().list().await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn a_check_finds_clones_that_nothing_is_kept_for() {
    let cluster = MemoryCluster::new();
    let store = client(&cluster);
    base(&store).await.close().await.unwrap();
    clone(&store, "base", "s", "child").await;
    let (header, values) = header_of(&store, "base").await;
    let tie = values.keys().find(|key| key.starts_with("child.")).unwrap().clone();
    store.kv_update(&header, KvUpdate::default().remove(tie)).await.unwrap();
    assert_eq!(faults_of(&store, "child").await, [Fault::Untied { parent: "base".into() }]);
    assert_eq!(faults_of(&store, "base").await, [Fault::Clones { name: "s".into(), recorded: 1, found: 0 }]);
    repair(&store, "base").await;
    repair(&store, "child").await;
    let base = open(&store, "base").await;
    base.snapshots().remove("s").await.unwrap();
    expect_of(&store, "child", &[(0, 1), (3, 4)]).await;
    base.close().await.unwrap();
    let (header, _) = header_of(&store, "base").await;
    store.remove(&header).await.unwrap();
    assert!(matches!(faults_of(&store, "child").await[0], Fault::ParentLost { .. }));
}

/// What the first two clones have read of their parent is in memory for all others, and what they write is theirs.
#[tokio::test]
async fn clones_share_what_they_read_of_their_parent() {
    let cluster = MemoryCluster::new();
    let store = client(&cluster);
    base(&store).await.close().await.unwrap();
    let options = OpenOptions { settings: settings(), parents: Some(ParentCache::default()), ..OpenOptions::default() };
    let mut clones = Vec::new();
    for index in 0..4_u64 {
        let name = format!("clone{index}");
        clone(&store, "base", "s", &name).await;
        clones.push(Image::open(&store, &named(&name), &options).await.unwrap());
    }
    let whole = [(0, 1), (1, 2), (2, 3), (3, 4)];
    put(&clones[1], 3, 77).await;
    clones[1].flush().await.unwrap();
    for clone in [&clones[0], &clones[2]] {
        expect(clone, &whole).await;
    }
    // It needs its map, but none of the parent's data.
    let before = cluster.reads(MEMORY_POOL).bytes;
    expect(&clones[3], &whole).await;
    let read = cluster.reads(MEMORY_POOL).bytes - before;
    assert!(read < BLOCK, "{read} bytes were read");
    expect(&clones[1], &[(0, 1), (1, 2), (2, 3), (3, 77)]).await;
    // Its own data is read from the store, and was never its sister's.
    clones[1].invalidate_cache().await.unwrap();
    expect(&clones[1], &[(0, 1), (3, 77)]).await;
    expect(&clones[3], &whole).await;
    for clone in clones {
        clone.close().await.unwrap();
    }
}
