//! What a review of clones found. Each test that is ignored shows a fault that is still there.
use crate::common::{BLOCK, Gate, MIB, Op, content, kind, read, settings, silent, stop, stored};
use lsd_core::format::header::{SnapRecord, key};
use lsd_core::units::SegmentNo;
use lsd_engine::{
    Catalog, CloneFormat, CloneOptions, CreateOptions, ErrorKind, Image, ImageId, ImageRef, OpenOptions, Severity,
    SnapRef,
};
use lsd_store::{KvUpdate, MEMORY_POOL, MemoryCluster, ObjectName, ObjectStore};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Longer than anything may take.
const PATIENCE: Duration = Duration::from_secs(300);

fn client(cluster: &MemoryCluster) -> Arc<dyn ObjectStore> {
    Arc::new(cluster.client())
}

fn named(name: &str) -> ImageRef {
    ImageRef::Name(name.into())
}

async fn open_with(
    store: &Arc<dyn ObjectStore>,
    name: &str,
    snapshot: Option<&str>,
    read_only: bool,
) -> lsd_engine::Result<Image> {
    let snapshot = snapshot.map(|name| SnapRef::Name(name.into()));
    let options = OpenOptions { settings: settings(), snapshot, read_only, ..OpenOptions::default() };
    Image::open(store, &named(name), &options).await
}

async fn open(store: &Arc<dyn ObjectStore>, name: &str) -> Image {
    open_with(store, name, None, false).await.unwrap()
}

async fn try_clone(
    store: &Arc<dyn ObjectStore>,
    parent: &str,
    snapshot: &str,
    name: &str,
) -> lsd_engine::Result<ImageId> {
    let options = CloneOptions { format: CloneFormat::Free, ..CloneOptions::default() };
    let snapshot = SnapRef::Name(snapshot.into());
    Image::clone_from((store, &named(parent), &snapshot), (store, name), &options).await
}

async fn clone(store: &Arc<dyn ObjectStore>, parent: &str, snapshot: &str, name: &str) {
    try_clone(store, parent, snapshot, name).await.unwrap();
}

async fn put(image: &Image, block: u64, seed: u64) {
    image.write(block * BLOCK, content(seed), false).await.unwrap();
}

async fn create(store: &Arc<dyn ObjectStore>, name: &str, size: u64) -> Image {
    Image::create(store, name, &CreateOptions { size, ..CreateOptions::default() }).await.unwrap();
    open(store, name).await
}

/// `base` with blocks 0 to 3 as 1 to 4, and a snapshot `s`.
async fn base(store: &Arc<dyn ObjectStore>) -> Image {
    let base = create(store, "base", 8 * MIB).await;
    for block in 0..4 {
        put(&base, block, block + 1).await;
    }
    base.snapshots().create("s").await.unwrap();
    base
}

/// It is what the snapshot of `base` is.
async fn expect_as_base(image: &Image) {
    for block in 0..4 {
        assert!(read(image, block * BLOCK, BLOCK).await == content(block + 1), "block {block}");
    }
}

/// Nothing of the image is left that nobody needs.
async fn empty(image: &Image) {
    image.discard(0, image.size(), true).await.unwrap();
    for _ in 0..2 {
        image.collect(&silent).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn header_of(store: &Arc<dyn ObjectStore>, name: &str) -> ObjectName {
    let id = Catalog::new(store.clone()).id_of(name).await.unwrap();
    ObjectName(format!("lsd_header.{id}"))
}

async fn worse_than_notes(store: &Arc<dyn ObjectStore>, name: &str) -> Vec<lsd_engine::Finding> {
    let mut findings = Image::check(store, &named(name), &silent).await.unwrap().findings;
    findings.retain(|finding| finding.fault.severity() > Severity::Note);
    findings
}

/// A client whose operations pass a gate opens the clone.
async fn gated(cluster: &MemoryCluster, name: &str) -> (lsd_store::MemoryStore, Arc<Gate>, Image) {
    let memory = cluster.client();
    let gate = Gate::new(Arc::new(memory.clone()));
    let store: Arc<dyn ObjectStore> = gate.clone();
    let image = open(&store, name).await;
    (memory, gate, image)
}

/// Dies while it flattens `child`, before the first update of a header that `stops` names. Then the parent is to be let go of.
async fn flatten_dies(stops: impl Fn(&str, &str) -> Box<dyn FnMut(Op, &str) -> bool + Send>) {
    let cluster = MemoryCluster::new();
    let store = client(&cluster);
    let base = base(&store).await;
    clone(&store, "base", "s", "child").await;
    let (parents, childs) = (header_of(&store, "base").await.0, header_of(&store, "child").await.0);
    let (memory, gate, child) = gated(&cluster, "child").await;
    gate.close(stops(&parents, &childs));
    let flattening = tokio::spawn(async move { child.flatten(&silent).await });
    gate.until_waiting(1).await;
    stop(flattening).await;
    drop(gate.take());
    cluster.expire(&memory);
    // Whoever owns the image next, and has no idea of it.
    let child = open(&store, "child").await;
    assert_eq!(kind(child.parent().await), Some(ErrorKind::NotFound));
    put(&child, 9, 9).await;
    child.flush().await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    child.close().await.unwrap();
    assert_eq!(base.children(None).await.unwrap(), []);
    base.snapshots().remove("s").await.unwrap();
    base.close().await.unwrap();
    Image::remove(&store, &named("base"), &silent).await.unwrap();
    let child = open(&store, "child").await;
    expect_as_base(&child).await;
    child.close().await.unwrap();
    assert_eq!(worse_than_notes(&store, "child").await, []);
}

/// The header says that the image is no clone: nobody can flatten it any more, and its parent is kept for ever.
#[tokio::test(start_paused = true)]
async fn a_flatten_that_died_before_its_tie_was_loosed_looses_it_later() {
    flatten_dies(|parents, _| {
        let parents = parents.to_owned();
        Box::new(move |op, name| op == Op::Update && name == parents)
    })
    .await;
}

/// The line of ancestors is still in the header, and nothing is kept for it.
#[tokio::test(start_paused = true)]
async fn a_flatten_that_died_behind_the_tie_has_no_parent_that_is_lost() {
    flatten_dies(|parents, childs| {
        let (parents, childs) = (parents.to_owned(), childs.to_owned());
        let mut is_loosed = false;
        Box::new(move |op, name| {
            is_loosed |= op == Op::Update && name == parents;
            is_loosed && op == Op::Update && name == childs
        })
    })
    .await;
}

/// The parent is able to do it, too: nobody need open the clone for that.
#[tokio::test(start_paused = true)]
async fn a_parent_is_not_held_by_a_clone_that_needs_it_no_more() {
    let cluster = MemoryCluster::new();
    let store = client(&cluster);
    let base = base(&store).await;
    clone(&store, "base", "s", "child").await;
    let parents = header_of(&store, "base").await.0;
    let (memory, gate, child) = gated(&cluster, "child").await;
    gate.close(move |op, name| op == Op::Update && name == parents);
    let flattening = tokio::spawn(async move { child.flatten(&silent).await });
    gate.until_waiting(1).await;
    stop(flattening).await;
    drop(gate.take());
    cluster.expire(&memory);
    base.snapshots().remove("s").await.unwrap();
    empty(&base).await;
    assert_eq!(base.snapshots().list().await.unwrap(), []);
    let child = open(&store, "child").await;
    expect_as_base(&child).await;
}

/// Records of snapshots that were taken before there were clones have no room for a count.
#[tokio::test(start_paused = true)]
async fn clones_of_snapshots_of_an_earlier_version_count() {
    let cluster = MemoryCluster::new();
    let store = client(&cluster);
    base(&store).await.close().await.unwrap();
    let header = header_of(&store, "base").await;
    let values = store.kv_get(&header, "").await.unwrap();
    let (name, value) = values.iter().find(|(name, _)| name.starts_with(key::SNAP)).unwrap();
    let old = SnapRecord { last_segment: SegmentNo(0), ..SnapRecord::decode(value).unwrap() };
    store.kv_update(&header, KvUpdate::default().set(name.clone(), old.encode())).await.unwrap();
    clone(&store, "base", "s", "child").await;
    let base = open(&store, "base").await;
    base.snapshots().remove("s").await.unwrap();
    empty(&base).await;
    let child = open(&store, "child").await;
    expect_as_base(&child).await;
}

/// As a farm of guests is made of one golden image: whenever one changes the header of the parent, all others have to look again.
#[tokio::test(start_paused = true)]
async fn many_clones_of_one_snapshot_are_made_and_removed_at_once() {
    const MANY: usize = 60;
    let cluster = MemoryCluster::new();
    let store = client(&cluster);
    base(&store).await.close().await.unwrap();
    let parents = header_of(&store, "base").await.0;
    let gate = Gate::new(client(&cluster));
    gate.close(move |op, name| op == Op::Update && name == parents);
    let through: Arc<dyn ObjectStore> = gate.clone();
    let made = together(
        &gate,
        (0..MANY).map(|index| {
            let store = through.clone();
            tokio::spawn(async move { try_clone(&store, "base", "s", &format!("clone{index}")).await.map(drop) })
        }),
    )
    .await;
    assert!(made.is_empty(), "{} of {MANY} are not made: {}", made.len(), made[0]);
    let removed = together(
        &gate,
        (0..MANY).map(|index| {
            let store = through.clone();
            tokio::spawn(async move { Image::remove(&store, &named(&format!("clone{index}")), &silent).await })
        }),
    )
    .await;
    assert!(removed.is_empty(), "{} of {MANY} are not removed: {}", removed.len(), removed[0]);
    let base = open(&store, "base").await;
    assert_eq!(base.children(None).await.unwrap(), []);
}

/// What waits at the gate arrives together, again and again. The errors.
async fn together(
    gate: &Gate,
    tasks: impl Iterator<Item = tokio::task::JoinHandle<lsd_engine::Result<()>>>,
) -> Vec<lsd_engine::Error> {
    let tasks: Vec<_> = tasks.collect();
    while tasks.iter().any(|task| !task.is_finished()) {
        tokio::time::sleep(Duration::from_millis(60)).await;
        gate.take().arrive();
    }
    let mut errors = Vec::new();
    for task in tasks {
        errors.extend(task.await.unwrap().err());
    }
    errors
}

async fn damage_header(store: &Arc<dyn ObjectStore>, name: &str, key: &str) {
    let header = header_of(store, name).await;
    store.kv_update(&header, KvUpdate::default().set(key, &b"damage"[..])).await.unwrap();
}

/// The parent finds later that the clone is gone.
#[tokio::test(start_paused = true)]
async fn a_clone_of_a_damaged_parent_is_removed() {
    let cluster = MemoryCluster::new();
    let store = client(&cluster);
    base(&store).await.close().await.unwrap();
    clone(&store, "base", "s", "child").await;
    damage_header(&store, "base", key::STATE).await;
    Image::remove(&store, &named("child"), &silent).await.unwrap();
    assert_eq!(kind(Catalog::new(store.clone()).id_of("child").await), Some(ErrorKind::NotFound));
}

/// The same of a flatten, which has copied all by then.
#[tokio::test(start_paused = true)]
async fn a_clone_of_a_damaged_parent_is_flattened() {
    let cluster = MemoryCluster::new();
    let store = client(&cluster);
    base(&store).await.close().await.unwrap();
    clone(&store, "base", "s", "child").await;
    damage_header(&store, "base", key::STATE).await;
    let child = open(&store, "child").await;
    child.flatten(&silent).await.unwrap();
    expect_as_base(&child).await;
}

/// Damage elsewhere in the header is no reason to take the bytes of other images with it.
#[tokio::test(start_paused = true)]
async fn a_damaged_parent_is_not_removed_from_under_its_clones() {
    let cluster = MemoryCluster::new();
    let store = client(&cluster);
    let base = base(&store).await;
    base.metadata().set("colour", "blue").await.unwrap();
    base.close().await.unwrap();
    clone(&store, "base", "s", "child").await;
    damage_header(&store, "base", "meta.colour").await;
    let removed = Image::remove_damaged(&store, &named("base"), &silent).await;
    let child = open(&store, "child").await;
    expect_as_base(&child).await;
    assert_eq!(kind(removed), Some(ErrorKind::NotEmpty));
}

/// Reads of the ancestors' segments wait: a flatten is under way.
fn slow(gate: &Gate, parents: &str) {
    let segments = format!("lsd_data.{}.", parents.trim_start_matches("lsd_header."));
    gate.close(move |op, name| op == Op::Read && name.starts_with(&segments));
}

/// The image goes to another writer while it is flattened: that one does it.
#[tokio::test(start_paused = true)]
async fn a_flatten_goes_on_when_the_image_is_handed_over() {
    let cluster = MemoryCluster::new();
    let store = client(&cluster);
    base(&store).await.close().await.unwrap();
    clone(&store, "base", "s", "child").await;
    let parents = header_of(&store, "base").await.0;
    let (_, gate, child) = gated(&cluster, "child").await;
    put(&child, 7, 7).await;
    slow(&gate, &parents);
    let flattening = tokio::spawn(async move {
        let flattened = child.flatten(&silent).await;
        drop(child);
        flattened
    });
    gate.until_waiting(1).await;
    let other = open(&store, "child").await;
    tokio::time::timeout(PATIENCE, other.write(8 * BLOCK, content(8), true)).await.unwrap().unwrap();
    gate.open();
    tokio::time::timeout(PATIENCE, flattening).await.unwrap().unwrap().unwrap();
    assert_eq!(kind(other.parent().await), Some(ErrorKind::NotFound));
    expect_as_base(&other).await;
}

/// A flatten may take hours.
#[tokio::test(start_paused = true)]
async fn an_owner_that_flattens_for_others_serves_them_meanwhile() {
    let cluster = MemoryCluster::new();
    let store = client(&cluster);
    base(&store).await.close().await.unwrap();
    clone(&store, "base", "s", "child").await;
    let parents = header_of(&store, "base").await.0;
    let (_, gate, owner) = gated(&cluster, "child").await;
    put(&owner, 7, 7).await;
    slow(&gate, &parents);
    let other = open(&store, "child").await;
    let flattening = tokio::spawn(async move { other.flatten(&silent).await });
    gate.until_waiting(1).await;
    let third = open(&client(&cluster), "child").await;
    let taken = tokio::time::timeout(PATIENCE, third.snapshots().create("t")).await;
    gate.open();
    taken.expect("a snapshot waits for a flatten").unwrap();
    tokio::time::timeout(PATIENCE, flattening).await.unwrap().unwrap().unwrap();
}

/// Who asks for it is told, as with any write.
#[tokio::test(start_paused = true)]
async fn a_flatten_in_a_full_pool_fails_and_is_taken_up_when_there_is_room() {
    let cluster = MemoryCluster::new();
    let store = client(&cluster);
    base(&store).await.close().await.unwrap();
    clone(&store, "base", "s", "child").await;
    let child = open(&store, "child").await;
    put(&child, 7, 7).await;
    child.flush().await.unwrap();
    cluster.set_full(MEMORY_POOL, true);
    let full = tokio::time::timeout(PATIENCE, child.flatten(&silent)).await;
    cluster.set_full(MEMORY_POOL, false);
    let full = full.expect("a flatten in a full pool waits without a word");
    assert_eq!(kind(full), Some(ErrorKind::NoSpace));
    child.flatten(&silent).await.unwrap();
    expect_as_base(&child).await;
}

/// Its view leads to what is gone by now.
#[tokio::test(start_paused = true)]
async fn readers_of_a_clone_follow_its_flatten() {
    let cluster = MemoryCluster::new();
    let store = client(&cluster);
    let base = base(&store).await;
    clone(&store, "base", "s", "child").await;
    let reader = open_with(&client(&cluster), "child", None, true).await.unwrap();
    let idle = open(&client(&cluster), "child").await;
    let options = OpenOptions { read_only: true, hold_moment: true, settings: settings(), ..OpenOptions::default() };
    let holding = Image::open(&client(&cluster), &named("child"), &options).await.unwrap();
    let child = open(&store, "child").await;
    child.flatten(&silent).await.unwrap();
    base.snapshots().remove("s").await.unwrap();
    base.close().await.unwrap();
    Image::remove(&store, &named("base"), &silent).await.unwrap();
    expect_as_base(&reader).await;
    expect_as_base(&idle).await;
    assert_eq!(kind(holding.read(0, BLOCK).await), Some(ErrorKind::Outdated));
}

/// Somebody deleted what it needs: an error, soon, and a check that says so.
#[tokio::test(start_paused = true)]
async fn a_clone_whose_parent_lost_its_data_is_told_so() {
    let cluster = MemoryCluster::new();
    let store = client(&cluster);
    base(&store).await.close().await.unwrap();
    clone(&store, "base", "s", "child").await;
    for name in store.list("lsd_data.").await.unwrap() {
        store.remove(&name).await.unwrap();
    }
    let child = open(&store, "child").await;
    let reading = tokio::time::timeout(PATIENCE, child.read(0, BLOCK)).await;
    assert_eq!(kind(reading.expect("a read hangs")), Some(ErrorKind::Corrupt));
    put(&child, 0, 9).await;
    let flattening = tokio::time::timeout(PATIENCE, child.flatten(&silent)).await;
    assert_eq!(kind(flattening.expect("a flatten hangs")), Some(ErrorKind::Corrupt));
    assert!(read(&child, 0, BLOCK).await == content(9));
    child.close().await.unwrap();
    assert_ne!(worse_than_notes(&store, "child").await, []);
}

#[tokio::test(start_paused = true)]
async fn the_progress_of_a_flatten_does_not_go_back() {
    let cluster = MemoryCluster::new();
    let store = client(&cluster);
    base(&store).await.close().await.unwrap();
    clone(&store, "base", "s", "child").await;
    let child = open(&store, "child").await;
    let seen = Mutex::new(Vec::new());
    let progress = |done: u64, total: u64| {
        seen.lock().unwrap().push((done, total));
        Ok(())
    };
    child.flatten(&progress).await.unwrap();
    let seen = seen.into_inner().unwrap();
    assert!(seen.is_sorted_by_key(|(done, _)| *done), "{seen:?}");
}

/// Its maker died before it had a name. The parent cannot be removed, and somebody has to be able to find out why.
/// Cause: `ties/stale.rs` sees a header with the right parent, so the clone lives; `image/kin.rs` leaves out what has no name, which
/// may be about to get one; and the check of the parent does not tell a clone that nobody can name from one that is in use.
#[tokio::test(start_paused = true)]
#[ignore = "a clone that has no name keeps its parent, and nothing says so"]
async fn a_clone_without_a_name_is_found_from_its_parent() {
    let cluster = MemoryCluster::new();
    let store = client(&cluster);
    let base = base(&store).await;
    let gate = Gate::new(Arc::new(cluster.client()));
    gate.close(|op, name| op == Op::Update && !name.starts_with("lsd_header."));
    let through: Arc<dyn ObjectStore> = gate.clone();
    let making = tokio::spawn(async move { try_clone(&through, "base", "s", "child").await });
    gate.until_waiting(1).await;
    stop(making).await;
    drop(gate.take());
    tokio::time::sleep(PATIENCE).await;
    let children = base.children(None).await.unwrap();
    base.close().await.unwrap();
    assert!(
        !children.is_empty() || !worse_than_notes(&store, "base").await.is_empty(),
        "nobody says what it is kept for"
    );
}

async fn changed(image: &Image, from: Option<&Image>) -> Vec<u64> {
    let mut found = Vec::new();
    let mut each = |change: lsd_engine::Extent| {
        found.extend(change.offset / BLOCK..(change.offset + change.len).div_ceil(BLOCK));
        Ok(())
    };
    image.changes(from, 0, u64::MAX, &mut each).await.unwrap();
    found
}

/// The copies are the same data.
#[tokio::test(start_paused = true)]
async fn a_difference_over_a_flatten_has_what_was_written_only() {
    let cluster = MemoryCluster::new();
    let store = client(&cluster);
    base(&store).await.close().await.unwrap();
    clone(&store, "base", "s", "child").await;
    let child = open(&store, "child").await;
    put(&child, 5, 5).await;
    child.snapshots().create("t").await.unwrap();
    child.flatten(&silent).await.unwrap();
    put(&child, 1, 9).await;
    let from = open_with(&store, "child", Some("t"), true).await.unwrap();
    assert_eq!(changed(&child, Some(&from)).await, [1]);
    child.close().await.unwrap();
    let child = open(&store, "child").await;
    assert_eq!(changed(&child, Some(&from)).await, [1]);
    assert_eq!(changed(&child, None).await, [0, 1, 2, 3, 5]);
}

/// Headers and data of a family in four pools.
#[tokio::test(start_paused = true)]
async fn a_family_in_several_pools() {
    let cluster = MemoryCluster::new();
    let ec = cluster.add_pool("ec", MemoryCluster::erasure_coded(16 << 10));
    let other = cluster.add_pool("other", MemoryCluster::replicated());
    let wide = cluster.add_pool("wide", MemoryCluster::erasure_coded(64 << 10));
    let one = client(&cluster);
    let two = one.open_pool(other).await.unwrap();
    let options = CreateOptions { size: 8 * MIB, data_pool: Some(ec), ..CreateOptions::default() };
    Image::create(&one, "base", &options).await.unwrap();
    let parent = open(&one, "base").await;
    for block in 0..4 {
        parent.write(block * BLOCK, content(block + 1), true).await.unwrap();
    }
    parent.snapshots().create("s").await.unwrap();
    let options = CloneOptions { data_pool: Some(wide), ..CloneOptions::default() };
    let s = SnapRef::Name("s".into());
    Image::clone_from((&one, &named("base"), &s), (&two, "child"), &options).await.unwrap();
    let child = open(&two, "child").await;
    put(&child, 5, 5).await;
    child.snapshots().create("s").await.unwrap();
    Image::clone_from((&two, &named("child"), &s), (&one, "grandchild"), &CloneOptions::default()).await.unwrap();
    parent.snapshots().remove("s").await.unwrap();
    child.snapshots().remove("s").await.unwrap();
    empty(&parent).await;
    empty(&child).await;
    let grandchild = open(&one, "grandchild").await;
    expect_as_base(&grandchild).await;
    assert!(read(&grandchild, 5 * BLOCK, BLOCK).await == content(5));
    assert_eq!(worse_than_notes(&two, "child").await, []);
    assert_eq!(worse_than_notes(&one, "grandchild").await, []);
    grandchild.flatten(&silent).await.unwrap();
    for image in [parent, child] {
        image.close().await.unwrap();
    }
    Image::remove(&two, &named("child"), &silent).await.unwrap();
    Image::remove(&one, &named("base"), &silent).await.unwrap();
    expect_as_base(&grandchild).await;
    grandchild.close().await.unwrap();
    assert_eq!(worse_than_notes(&one, "grandchild").await, []);
    for pool in [ec, other, wide] {
        assert_eq!(cluster.stored_bytes(pool), 0, "pool {pool:?}");
    }
}

/// One more is refused, and the last one works like any other.
#[tokio::test(start_paused = true)]
async fn an_image_with_as_many_ancestors_as_there_may_be() {
    const MOST: usize = lsd_core::format::header::MAX_ANCESTORS;
    let cluster = MemoryCluster::new();
    let store = client(&cluster);
    for depth in 0..=MOST {
        let name = format!("c{depth}");
        if depth > 0 {
            clone(&store, &format!("c{}", depth - 1), "s", &name).await;
        } else {
            create(&store, &name, 8 * MIB).await.close().await.unwrap();
        }
        let image = open(&store, &name).await;
        put(&image, depth as u64, depth as u64).await;
        image.snapshots().create("s").await.unwrap();
        image.close().await.unwrap();
    }
    let refused = try_clone(&store, &format!("c{MOST}"), "s", "beyond").await;
    assert_eq!(kind(refused), Some(ErrorKind::Invalid));
    let last = open(&store, &format!("c{MOST}")).await;
    for block in 0..=MOST as u64 {
        assert!(read(&last, block * BLOCK, BLOCK).await == content(block), "block {block}");
    }
    last.snapshots().remove("s").await.unwrap();
    last.flatten(&silent).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    last.close().await.unwrap();
    assert_eq!(worse_than_notes(&store, &format!("c{MOST}")).await, []);
    let middle = open(&store, &format!("c{}", MOST - 1)).await;
    assert_eq!(middle.children(None).await.unwrap(), []);
}

/// Blocks that the random images have.
const BLOCKS: u64 = 512;

#[derive(Clone)]
struct Model {
    name: String,
    blocks: Vec<u64>,
    snapshots: Vec<(String, Vec<u64>)>,
    image: Image,
}

struct Family {
    cluster: MemoryCluster,
    rng: StdRng,
    images: Vec<Model>,
    names: u64,
    log: Vec<String>,
}

impl Family {
    async fn new(seed: u64) -> Family {
        let cluster = MemoryCluster::new();
        let image = create(&client(&cluster), "i0", BLOCKS * BLOCK).await;
        let blocks = vec![0; BLOCKS as usize];
        let images = vec![Model { name: "i0".into(), blocks, snapshots: Vec::new(), image }];
        Family { cluster, rng: StdRng::seed_from_u64(seed), images, names: 0, log: Vec::new() }
    }

    fn new_name(&mut self, prefix: &str) -> String {
        self.names += 1;
        format!("{prefix}{}", self.names)
    }

    async fn step(&mut self) {
        let store = client(&self.cluster);
        let at = self.rng.random_range(0..self.images.len());
        let count = self.images.len();
        let what = self.rng.random_range(0..100);
        let name = self.images[at].name.clone();
        let pick = self.images[at].snapshots.len();
        let pick = (pick > 0).then(|| self.rng.random_range(0..pick));
        match what {
            0..30 => {
                let start = self.rng.random_range(0..BLOCKS);
                let len = self.rng.random_range(1..=64).min(BLOCKS - start);
                self.log.push(format!("{name}: write {start}+{len}"));
                for block in start..start + len {
                    self.names += 1;
                    put(&self.images[at].image, block, self.names).await;
                    self.images[at].blocks[block as usize] = self.names;
                }
            }
            30..40 => {
                let start = self.rng.random_range(0..BLOCKS);
                let len = self.rng.random_range(1..=BLOCKS - start);
                self.log.push(format!("{name}: discard {start}+{len}"));
                self.images[at].image.discard(start * BLOCK, len * BLOCK, false).await.unwrap();
                self.images[at].blocks[start as usize..(start + len) as usize].fill(0);
            }
            40..52 => {
                let snapshot = self.new_name("s");
                self.log.push(format!("{name}: snapshot {snapshot}"));
                let model = &mut self.images[at];
                model.image.snapshots().create(&snapshot).await.unwrap();
                model.snapshots.push((snapshot, model.blocks.clone()));
            }
            52..64 if count < 7 => {
                let Some(pick) = pick else { return };
                let (snapshot, blocks) = self.images[at].snapshots[pick].clone();
                let clone_name = self.new_name("i");
                self.log.push(format!("{name}@{snapshot}: clone {clone_name}"));
                clone(&store, &name, &snapshot, &clone_name).await;
                let image = open(&store, &clone_name).await;
                self.images.push(Model { name: clone_name, blocks, snapshots: Vec::new(), image });
            }
            64..72 => {
                self.log.push(format!("{name}: flatten"));
                match self.images[at].image.flatten(&silent).await {
                    Err(error) if error.kind == ErrorKind::Invalid => {}
                    flattened => flattened.unwrap(),
                }
            }
            72..79 => {
                let Some(pick) = pick else { return };
                let (snapshot, blocks) = self.images[at].snapshots[pick].clone();
                self.log.push(format!("{name}: roll back to {snapshot}"));
                self.images[at].image.snapshots().rollback(&snapshot).await.unwrap();
                self.images[at].blocks = blocks;
            }
            79..87 => {
                let Some(pick) = pick else { return };
                let (snapshot, _) = self.images[at].snapshots.remove(pick);
                self.log.push(format!("{name}: remove snapshot {snapshot}"));
                self.images[at].image.snapshots().remove(&snapshot).await.unwrap();
            }
            87..91 => {
                self.log.push(format!("{name}: collect"));
                self.images[at].image.collect(&silent).await.unwrap();
            }
            91..95 => {
                self.log.push(format!("{name}: open again"));
                self.images[at].image.close().await.unwrap();
                self.images[at].image = open(&store, &name).await;
            }
            _ if count > 1 => {
                self.log.push(format!("{name}: remove"));
                self.images[at].image.close().await.unwrap();
                for (snapshot, _) in std::mem::take(&mut self.images[at].snapshots) {
                    let image = open(&store, &name).await;
                    image.snapshots().remove(&snapshot).await.unwrap();
                    image.close().await.unwrap();
                }
                match Image::remove(&store, &named(&name), &silent).await {
                    Ok(()) => drop(self.images.remove(at)),
                    Err(error) if error.kind == ErrorKind::NotEmpty => {
                        self.log.push("  which has clones".into());
                        self.images[at].image = open(&store, &name).await;
                    }
                    Err(error) => panic!("{error}\n{}", self.log.join("\n")),
                }
            }
            _ => {}
        }
    }

    async fn verify(&self) {
        let store = client(&self.cluster);
        for Model { name, blocks, snapshots, image } in &self.images {
            self.compare(name, image, blocks).await;
            for (snapshot, blocks) in snapshots {
                let shown = open_with(&store, name, Some(snapshot), true).await.unwrap();
                self.compare(&format!("{name}@{snapshot}"), &shown, blocks).await;
            }
        }
    }

    async fn compare(&self, name: &str, image: &Image, blocks: &[u64]) {
        let found = match image.read(0, BLOCKS * BLOCK).await {
            Ok(found) => found.to_bytes(),
            Err(error) => panic!("{name}: {error}\n{}", self.log.join("\n")),
        };
        for (block, seed) in blocks.iter().enumerate() {
            let found = &found[block * BLOCK as usize..][..BLOCK as usize];
            let is_it = if *seed == 0 { found.iter().all(|byte| *byte == 0) } else { *found == content(*seed)[..] };
            assert!(is_it, "{name}: block {block} has not {seed}\n{}", self.log.join("\n"));
        }
    }

    /// Everything goes, the youngest first, and nothing is left.
    async fn end(mut self) {
        let store = client(&self.cluster);
        for model in &self.images {
            model.image.close().await.unwrap();
        }
        for model in &self.images {
            let found = worse_than_notes(&store, &model.name).await;
            assert!(found.is_empty(), "{}: {found:?}\n{}", model.name, self.log.join("\n"));
        }
        while let Some(model) = self.images.pop() {
            let image = open(&store, &model.name).await;
            for (snapshot, _) in &model.snapshots {
                image.snapshots().remove(snapshot).await.unwrap();
            }
            image.close().await.unwrap();
            if let Err(error) = Image::remove(&store, &named(&model.name), &silent).await {
                panic!("{}: {error}\n{}", model.name, self.log.join("\n"));
            }
        }
        let left = stored(&self.cluster, "lsd_data.").await + stored(&self.cluster, "lsd_map.").await;
        let headers = store.list("lsd_header.").await.unwrap();
        assert!(left == 0 && headers.is_empty(), "{left} bytes, {headers:?}\n{}", self.log.join("\n"));
    }
}

/// A family in which anything happens.
#[tokio::test(start_paused = true)]
async fn families_keep_what_they_should_and_nothing_else() {
    for seed in 0..3 {
        let mut family = Family::new(seed).await;
        family.log.push(format!("seed {seed}"));
        for step in 0..80 {
            family.step().await;
            if step % 8 == 7 {
                family.verify().await;
            }
        }
        family.verify().await;
        family.end().await;
    }
}
