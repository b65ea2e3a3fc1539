//! Rules 45 to 47: what an image brings from its base, and that it is not forgotten that it did.
use super::*;
use bytes::Bytes;
use lsd_core::format::header::{REQUIRES_BASE, decode_requires, encode_requires, key};
use lsd_engine::{Bases, CloneOptions, CreateOptions, ImageRef, MigrationOptions, Migrations, RepairOptions, SnapRef};
use lsd_store::{
    Base, BaseSpec, KvPresence, KvUpdate, MEMORY_POOL, ObjectName, OpenBases, StoreError, StoreErrorKind, StoreFuture,
};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::sync::Semaphore;

const SIZE: u64 = 4 * MIB;
const WAS_ACKNOWLEDGED: &str = "a change was durable when the base arrived";

/// A base of which every block has content 7. Reads wait while it is told to hold them back.
#[derive(Clone, Debug)]
struct Slow {
    holds: Arc<AtomicBool>,
    waiting: Arc<AtomicUsize>,
    goes_on: Arc<Semaphore>,
    is_gone: Arc<AtomicBool>,
}

impl Slow {
    fn new() -> Slow {
        let flag = || Arc::new(AtomicBool::new(false));
        Slow { holds: flag(), waiting: Arc::default(), goes_on: Arc::new(Semaphore::new(0)), is_gone: flag() }
    }

    fn spec() -> BaseSpec {
        BaseSpec { kind: "slow".into(), spec: "it".into(), identity: String::new(), size: SIZE }
    }

    fn hold(&self) {
        self.holds.store(true, Ordering::Release);
    }

    async fn until_waiting(&self) {
        while self.waiting.load(Ordering::Acquire) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn let_go(&self) {
        self.holds.store(false, Ordering::Release);
        self.goes_on.add_permits(1000);
    }

    async fn open_through(&self, store: Arc<dyn ObjectStore>) -> Image {
        let bases = Bases::new(Arc::new(self.clone()));
        let options = OpenOptions { settings: settings(), bases, ..OpenOptions::default() };
        Image::open(&store, &ImageRef::Name("disk".into()), &options).await.unwrap()
    }
}

impl OpenBases for Slow {
    fn open(&self, spec: &BaseSpec) -> StoreFuture<Arc<dyn Base>> {
        let base: Arc<dyn Base> = Arc::new(self.clone());
        let is_there = *spec == Slow::spec() && !self.is_gone.load(Ordering::Acquire);
        let gone = || StoreError::new(StoreErrorKind::NotFound, "open base", "it");
        Box::pin(async move { if is_there { Ok(base) } else { Err(gone()) } })
    }

    fn let_go(&self, _spec: &BaseSpec, _image: &str) -> StoreFuture<()> {
        Box::pin(async { Ok(()) })
    }

    fn is_kept(&self, _spec: &BaseSpec, _image: &str) -> StoreFuture<bool> {
        Box::pin(async { Ok(true) })
    }

    fn keep(&self, _spec: &BaseSpec, _image: &str) -> StoreFuture<()> {
        Box::pin(async { Ok(()) })
    }
}

impl Base for Slow {
    fn name(&self) -> String {
        "slow".into()
    }

    fn size(&self) -> u64 {
        SIZE
    }

    fn read(&self, offset: u64, len: u64) -> StoreFuture<Bytes> {
        let base = self.clone();
        Box::pin(async move {
            if base.holds.load(Ordering::Acquire) {
                base.waiting.fetch_add(1, Ordering::AcqRel);
                base.goes_on.acquire().await.unwrap().forget();
            }
            let skipped = (offset % BLOCK) as usize;
            let blocks = content(7).repeat(((skipped as u64 + len).div_ceil(BLOCK)) as usize);
            Ok(Bytes::from(blocks).slice(skipped..skipped + len as usize))
        })
    }

    fn data(&self, offset: u64, len: u64) -> StoreFuture<Vec<Range<u64>>> {
        Box::pin(async move { Ok(std::iter::once(offset..offset + len).collect()) })
    }
}

async fn with_base() -> MemoryCluster {
    let cluster = MemoryCluster::new();
    let store: Arc<dyn ObjectStore> = Arc::new(cluster.client());
    let options = CreateOptions { size: SIZE, ..CreateOptions::default() };
    Image::create_over(&store, "disk", &options, &Slow::spec()).await.unwrap();
    cluster
}

fn flattening(image: &Image) -> JoinHandle<Result<(), Error>> {
    let image = image.clone();
    tokio::spawn(async move { image.flatten(&|_, _| Ok(())).await })
}

/// `None`: zeroes.
async fn expect_in(image: &Image, promised: &str, blocks: &[(u64, Option<u64>)]) {
    for (block, seed) in blocks {
        let expected = seed.map_or_else(|| Bytes::from(vec![0; BLOCK as usize]), content);
        let found = read(image, block * BLOCK, BLOCK).await;
        let what = if found == content(7) { "it has what the base has" } else { "it has other content" };
        assert!(found == expected, "{promised}, and block {block} is lost: {what}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_written_wins_against_a_base_that_comes_late() {
    let cluster = with_base().await;
    let base = Slow::new();
    let memory = cluster.client();
    let gate = crate::common::Gate::new(Arc::new(memory.clone()));
    let image = base.open_through(gate.clone()).await;
    put(&image, 9, 1).await;
    base.hold();
    let flatten = flattening(&image);
    base.until_waiting().await;
    // After the base was asked, and before it answers.
    image.write(0, content(2), true).await.unwrap();
    image.discard(3 * BLOCK, BLOCK, true).await.unwrap();
    image.write_zeroes(5 * BLOCK, BLOCK, false, true).await.unwrap();
    // The copies land, and the checkpoint behind them does not.
    gate.close(is_header);
    base.let_go();
    gate.until_waiting(1).await;
    let blocks = [(0, Some(2)), (1, Some(7)), (3, None), (4, Some(7)), (5, None), (9, Some(1)), (10, Some(7))];
    expect_in(&image, WAS_ACKNOWLEDGED, &blocks).await;
    stop(flatten).await;
    drop(image);
    cluster.expire(&memory);
    // The log says the same.
    let next = base.open_through(Arc::new(cluster.client())).await;
    expect_in(&next, WAS_ACKNOWLEDGED, &blocks).await;
    next.flatten(&|_, _| Ok(())).await.unwrap();
    expect_in(&next, WAS_ACKNOWLEDGED, &blocks).await;
}

#[tokio::test(start_paused = true)]
async fn a_base_goes_only_when_a_committed_map_has_all_of_it() {
    let cluster = with_base().await;
    let base = Slow::new();
    let memory = cluster.client();
    let image = base.open_through(Arc::new(memory.clone())).await;
    put(&image, 9, 1).await;
    image.flatten(&|_, _| Ok(())).await.unwrap();
    // Now the user may remove it.
    base.is_gone.store(true, Ordering::Release);
    drop(image);
    cluster.expire(&memory);
    let next = base.open_through(Arc::new(cluster.client())).await;
    expect_in(&next, "a flatten had returned", &[(0, Some(7)), (9, Some(1)), (1000, Some(7))]).await;
}

async fn headers(store: &Arc<dyn ObjectStore>) -> Vec<ObjectName> {
    store.list("lsd_header.").await.unwrap()
}

/// Every image that is there requires who touches it to know of bases.
async fn all_require_bases(store: &Arc<dyn ObjectStore>, last: &str) {
    for header in headers(store).await {
        let values = store.kv_get(&header, "").await.unwrap();
        let bits = values.get(key::REQUIRES).map_or(0, |value| decode_requires(value).unwrap());
        let whose = String::from_utf8_lossy(&values[key::NAME]).into_owned();
        let whose = ["disk", "child", "moved"].into_iter().find(|name| whose.contains(name));
        assert!(bits & REQUIRES_BASE != 0, "{last}, and {whose:?} does not say any more that there was a base");
    }
}

#[tokio::test(start_paused = true)]
async fn an_image_that_had_a_base_says_so_for_ever() {
    let cluster = with_base().await;
    let store: Arc<dyn ObjectStore> = Arc::new(cluster.client());
    let image = Slow::new().open_through(store.clone()).await;
    image.flatten(&|_, _| Ok(())).await.unwrap();
    image.snapshots().create("s").await.unwrap();
    all_require_bases(&store, "a snapshot was taken").await;
    image.close().await.unwrap();
    let named = |name: &str| ImageRef::Name(name.into());
    let clone = async |parent: &str, name: &str| {
        let snapshot = SnapRef::Name("s".into());
        let options = CloneOptions::default();
        Image::clone_from((&store, &named(parent), &snapshot), (&store, name), &options).await.unwrap();
        all_require_bases(&store, "a clone was made").await;
    };
    clone("disk", "child").await;
    let options = || OpenOptions { settings: settings(), ..OpenOptions::default() };
    let child = Image::open(&store, &named("child"), &options()).await.unwrap();
    child.flatten(&|_, _| Ok(())).await.unwrap();
    child.snapshots().create("s").await.unwrap();
    all_require_bases(&store, "a snapshot of a clone was taken").await;
    child.close().await.unwrap();
    clone("child", "child of it").await;
    Image::remove(&store, &named("child of it"), &|_, _| Ok(())).await.unwrap();
    let migrations = Migrations::new(store.clone(), options());
    migrations.prepare("child", (&store, "moved"), &MigrationOptions::default()).await.unwrap();
    all_require_bases(&store, "a migration was prepared").await;
}

/// As an image is that lost the word of its base to an earlier version.
#[tokio::test(start_paused = true)]
async fn a_repair_puts_no_zeroes_in_place_of_what_a_base_had() {
    let cluster = with_base().await;
    let store: Arc<dyn ObjectStore> = Arc::new(cluster.client());
    let image = Slow::new().open_through(store.clone()).await;
    put(&image, 9, 1).await;
    image.flatten(&|_, _| Ok(())).await.unwrap();
    image.close().await.unwrap();
    let header = headers(&store).await.remove(0);
    let update = KvUpdate::default().presence(KvPresence::MustExist).set(key::REQUIRES, encode_requires(0));
    store.kv_update(&header, update).await.unwrap();
    let mut damaged = Vec::new();
    for page in store.list("lsd_map.").await.unwrap() {
        let len = store.stat(&page).await.unwrap();
        let bytes = store.read(&page, 0, len).await.unwrap();
        if let Some(at) = bytes.windows(4).position(|window| window == b"LSDL") {
            damaged.push((page.0, at + 22, bytes[at + 22]));
        }
    }
    assert!(!damaged.is_empty(), "the map has no leaf");
    for (page, at, byte) in &damaged {
        assert!(cluster.corrupt(MEMORY_POOL, page, *at, &[byte ^ 1]));
    }
    let disk = ImageRef::Name("disk".into());
    let options = RepairOptions { watch_timeout: Duration::from_secs(1), ..RepairOptions::default() };
    Image::repair(&store, &disk, options, &|_, _| Ok(())).await.unwrap();
    // What was damaged is as it was, if it is still there.
    for (page, at, byte) in &damaged {
        cluster.corrupt(MEMORY_POOL, page, *at, &[*byte]);
    }
    let next = Slow::new().open_through(store.clone()).await;
    expect_in(&next, "a repair gives nothing up", &[(0, Some(7)), (9, Some(1)), (1000, Some(7))]).await;
}
