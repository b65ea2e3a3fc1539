//! Rule 49: an image of another kind that becomes one of lsd, and the ways back.
use super::*;
use bytes::Bytes;
use lsd_core::format::header::key;
use lsd_engine::{Bases, Catalog, ImageRef, MigrationOptions, Migrations};
use lsd_store::{
    Base, BaseSpec, ForeignDisk, ForeignFacts, ForeignFound, ForeignImage, ForeignPlace, MEMORY_POOL, ObjectName,
    OpenBases, PoolId, StoreError, StoreErrorKind, StoreFuture,
};
use std::ops::Range;
use std::sync::{Arc, Mutex};
use tokio::sync::{OwnedMutexGuard, Semaphore};

const SIZE: u64 = 2 * MIB;

#[derive(Debug, Default)]
struct Kept {
    content: Vec<u8>,
    /// For which image.
    frozen: Option<(String, Vec<u8>)>,
    is_aside: bool,
    is_gone: bool,
    note: Option<String>,
}

/// The image `old`, which another library keeps. A step waits, once, where it is told to.
#[derive(Clone, Debug)]
struct Foreign {
    kept: Arc<Mutex<Kept>>,
    /// Who has it open to write to it.
    lock: Arc<tokio::sync::Mutex<()>>,
    waits_at: Arc<Mutex<Option<&'static str>>>,
    waits: Arc<Semaphore>,
    goes_on: Arc<Semaphore>,
}

impl Foreign {
    /// Block n has content n.
    fn new() -> Foreign {
        let content = (0..SIZE / BLOCK).flat_map(content).collect();
        let [waits, goes_on] = [0, 0].map(|none| Arc::new(Semaphore::new(none)));
        let kept = Kept { content, ..Kept::default() };
        Foreign { kept: Arc::new(Mutex::new(kept)), lock: Arc::default(), waits_at: Arc::default(), waits, goes_on }
    }

    fn place() -> ForeignPlace {
        ForeignPlace { kind: "old".into(), pool: MEMORY_POOL, namespace: String::new(), id: "f00".into() }
    }

    fn wait_at(&self, step: &'static str) {
        *self.waits_at.lock().unwrap() = Some(step);
    }

    async fn until_it_waits(&self) {
        self.waits.acquire().await.unwrap().forget();
    }

    fn go_on(&self) {
        self.goes_on.add_permits(1);
    }

    async fn step(&self, step: &'static str) {
        let waits = {
            let mut at = self.waits_at.lock().unwrap();
            *at == Some(step) && at.take().is_some()
        };
        if waits {
            self.waits.add_permits(1);
            self.goes_on.acquire().await.unwrap().forget();
        }
    }

    fn does<T: Send + 'static>(
        &self,
        step: &'static str,
        work: impl FnOnce(&mut Kept) -> T + Send + 'static,
    ) -> StoreFuture<T> {
        let this = self.clone();
        Box::pin(async move {
            this.step(step).await;
            Ok(work(&mut this.kept.lock().unwrap()))
        })
    }

    fn migrations(&self, store: &Arc<dyn ObjectStore>) -> Migrations {
        let bases = Bases::new(Arc::new(self.clone()));
        Migrations::new(store.clone(), OpenOptions { settings: settings(), bases, ..OpenOptions::default() })
    }

    async fn open(&self, store: &Arc<dyn ObjectStore>) -> Result<Image, Error> {
        let bases = Bases::new(Arc::new(self.clone()));
        let options = OpenOptions { settings: settings(), bases, ..OpenOptions::default() };
        Image::open(store, &ImageRef::Name("disk".into()), &options).await
    }

    /// A guest that has it again.
    fn write_as_guest(&self, block: u64, seed: u64) {
        self.kept.lock().unwrap().content[(block * BLOCK) as usize..][..BLOCK as usize].copy_from_slice(&content(seed));
    }

    fn expect(&self, promised: &str, blocks: &[(u64, u64)]) {
        let kept = self.kept.lock().unwrap();
        assert!(!kept.is_gone && !kept.is_aside, "{promised}, and it is not there");
        for (block, seed) in blocks {
            let found = &kept.content[(block * BLOCK) as usize..][..BLOCK as usize];
            assert!(found == &content(*seed)[..], "{promised}, and block {block} is lost");
        }
    }
}

impl OpenBases for Foreign {
    fn open(&self, _spec: &BaseSpec) -> StoreFuture<Arc<dyn Base>> {
        let base: Arc<dyn Base> = Arc::new(self.clone());
        Box::pin(async { Ok(base) })
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

    fn foreign(&self, place: &ForeignPlace) -> StoreFuture<Arc<dyn ForeignImage>> {
        assert_eq!(*place, Foreign::place());
        let this = self.clone();
        Box::pin(async move {
            this.step("foreign").await;
            let image: Arc<dyn ForeignImage> = Arc::new(this);
            Ok(image)
        })
    }

    fn find_foreign(&self, _place: (PoolId, &str), name: &str) -> StoreFuture<Vec<ForeignFound>> {
        let is_it = name == "old";
        self.does("find", move |kept| match is_it && !kept.is_gone {
            true => vec![ForeignFound { place: Foreign::place(), note: kept.note.clone() }],
            false => Vec::new(),
        })
    }
}

impl Base for Foreign {
    fn name(&self) -> String {
        "old".into()
    }

    fn size(&self) -> u64 {
        SIZE
    }

    fn read(&self, offset: u64, len: u64) -> StoreFuture<Bytes> {
        let kept = self.kept.clone();
        Box::pin(async move {
            let kept = kept.lock().unwrap();
            let gone = || StoreError::new(StoreErrorKind::NotFound, "read base", "old");
            let frozen = kept.frozen.as_ref().ok_or_else(gone)?;
            Ok(Bytes::copy_from_slice(&frozen.1[offset as usize..(offset + len) as usize]))
        })
    }

    fn data(&self, offset: u64, len: u64) -> StoreFuture<Vec<Range<u64>>> {
        Box::pin(async move { Ok(std::iter::once(offset..offset + len).collect()) })
    }
}

impl ForeignImage for Foreign {
    fn facts(&self) -> StoreFuture<ForeignFacts> {
        self.does("facts", |_| ForeignFacts { size: SIZE, order: 22, ..ForeignFacts::default() })
    }

    fn note(&self) -> StoreFuture<Option<String>> {
        self.does("note", |kept| kept.note.clone())
    }

    fn set_aside(&self, _name: &str, note: &str) -> StoreFuture<()> {
        let (this, note) = (self.clone(), note.to_owned());
        Box::pin(async move {
            this.step("set aside").await;
            let mut kept = this.kept.lock().unwrap();
            if kept.note.is_some() {
                return Err(StoreError::new(StoreErrorKind::Busy, "set aside", "old"));
            }
            (kept.note, kept.is_aside) = (Some(note), true);
            Ok(())
        })
    }

    fn freeze(&self, image: &str) -> StoreFuture<BaseSpec> {
        let image = image.to_owned();
        self.does("freeze", |kept| {
            kept.frozen = Some((image, kept.content.clone()));
            BaseSpec { kind: "old".into(), spec: "f00".into(), identity: String::new(), size: SIZE }
        })
    }

    fn open(&self) -> StoreFuture<Arc<dyn ForeignDisk>> {
        let this = self.clone();
        Box::pin(async move {
            this.step("open").await;
            let held = this.lock.clone().lock_owned().await;
            let disk: Arc<dyn ForeignDisk> = Arc::new(Disk { foreign: this, held: Mutex::new(Some(held)) });
            Ok(disk)
        })
    }

    fn give_name_back(&self, _name: &str) -> StoreFuture<()> {
        let this = self.clone();
        Box::pin(async move {
            this.kept.lock().unwrap().is_aside = false;
            this.step("gave back").await;
            Ok(())
        })
    }

    fn thaw(&self, image: &str) -> StoreFuture<()> {
        let image = image.to_owned();
        self.does("thaw", move |kept| kept.frozen.take_if(|(of, _)| *of == image).map_or((), drop))
    }

    fn forget(&self, note: &str) -> StoreFuture<()> {
        let note = Some(note.to_owned());
        self.does("forget", move |kept| {
            if kept.note == note {
                kept.note = None;
            }
        })
    }

    fn remove(&self, _image: &str) -> StoreFuture<()> {
        self.does("remove", |kept| (kept.is_gone, kept.frozen) = (true, None))
    }
}

#[derive(Debug)]
struct Disk {
    foreign: Foreign,
    held: Mutex<Option<OwnedMutexGuard<()>>>,
}

impl ForeignDisk for Disk {
    fn size(&self) -> StoreFuture<u64> {
        self.foreign.does("size", |kept| kept.content.len() as u64)
    }

    fn resize(&self, size: u64) -> StoreFuture<()> {
        self.foreign.does("resize", move |kept| kept.content.resize(size as usize, 0))
    }

    fn data(&self, offset: u64, len: u64) -> StoreFuture<Vec<Range<u64>>> {
        self.foreign.does("data", move |_| std::iter::once(offset..offset + len).collect())
    }

    fn read(&self, offset: u64, len: u64) -> StoreFuture<Bytes> {
        let range = offset as usize..(offset + len) as usize;
        self.foreign.does("read", move |kept| Bytes::copy_from_slice(&kept.content[range]))
    }

    fn write(&self, offset: u64, data: Bytes) -> StoreFuture<()> {
        let write = move |kept: &mut Kept| kept.content[offset as usize..][..data.len()].copy_from_slice(&data);
        self.foreign.does("write", write)
    }

    fn zero(&self, offset: u64, len: u64) -> StoreFuture<()> {
        self.foreign.does("zero", move |kept| kept.content[offset as usize..][..len as usize].fill(0))
    }

    fn set_metadata(&self, _key: &str, _value: Option<&str>) -> StoreFuture<()> {
        self.foreign.does("metadata", |_| ())
    }

    fn flush(&self) -> StoreFuture<()> {
        self.foreign.does("flush", |_| ())
    }

    fn close(&self) -> StoreFuture<()> {
        self.held.lock().unwrap().take();
        self.foreign.does("close", |_| ())
    }
}

fn silent(_: u64, _: u64) -> Result<(), Error> {
    Ok(())
}

fn fresh() -> (Foreign, Arc<dyn ObjectStore>) {
    (Foreign::new(), Arc::new(MemoryCluster::new().client()))
}

async fn prepare(foreign: &Foreign, store: &Arc<dyn ObjectStore>) -> Result<lsd_engine::ImageId, Error> {
    foreign.migrations(store).prepare("old", (store, "disk"), &MigrationOptions::default()).await
}

/// Prepared, and this block written to the image of lsd.
async fn moved(block: u64, seed: u64) -> (Foreign, Arc<dyn ObjectStore>) {
    let (foreign, store) = fresh();
    prepare(&foreign, &store).await.unwrap();
    let image = foreign.open(&store).await.unwrap();
    image.write(block * BLOCK, content(seed), true).await.unwrap();
    image.close().await.unwrap();
    (foreign, store)
}

fn preparing(foreign: &Foreign, store: &Arc<dyn ObjectStore>) -> JoinHandle<Result<lsd_engine::ImageId, Error>> {
    let (foreign, store) = (foreign.clone(), store.clone());
    tokio::spawn(async move { prepare(&foreign, &store).await })
}

fn committing(foreign: &Foreign, store: &Arc<dyn ObjectStore>) -> JoinHandle<Result<(), Error>> {
    let migrations = foreign.migrations(store);
    tokio::spawn(async move { migrations.commit("disk", &silent).await })
}

fn aborting(foreign: &Foreign, store: &Arc<dyn ObjectStore>) -> JoinHandle<Result<(), Error>> {
    let (migrations, by) = (foreign.migrations(store), "disk");
    tokio::spawn(async move { migrations.abort(by, &silent).await })
}

#[tokio::test(start_paused = true)]
async fn what_was_written_to_a_destination_comes_back_to_a_foreign_source() {
    let (foreign, store) = moved(3, 100).await;
    let image = foreign.open(&store).await.unwrap();
    image.discard(5 * BLOCK, BLOCK, true).await.unwrap();
    assert_eq!(read(&image, 4 * BLOCK, BLOCK).await, content(4), "the base is there");
    image.close().await.unwrap();
    aborting(&foreign, &store).await.unwrap().unwrap();
    foreign.expect("the migration was taken back", &[(2, 2), (3, 100), (4, 4)]);
    let kept = foreign.kept.lock().unwrap();
    assert!(kept.content[(5 * BLOCK) as usize..][..BLOCK as usize].iter().all(|byte| *byte == 0));
    assert!(kept.note.is_none() && kept.frozen.is_none());
}

/// Somebody takes it back while the destination's header is not there yet.
#[tokio::test(start_paused = true)]
async fn a_destination_whose_foreign_source_was_given_back_is_not_made() {
    let (foreign, store) = fresh();
    foreign.wait_at("freeze");
    let preparing = preparing(&foreign, &store);
    foreign.until_it_waits().await;
    foreign.migrations(&store).abort("old", &silent).await.unwrap();
    foreign.write_as_guest(1, 100);
    foreign.go_on();
    let prepared = preparing.await.unwrap();
    assert!(prepared.is_err(), "the source has a guest again, and its migration is prepared");
    foreign.expect("the guest wrote", &[(1, 100)]);
    assert!(Catalog::new(store.clone()).list().await.unwrap().is_empty());
    let left = store.list("lsd_header.").await.unwrap();
    assert!(left.is_empty() && foreign.kept.lock().unwrap().frozen.is_none(), "{left:?} is left for ever");
}

/// Somebody takes it back, is slow, and the destination's header wants to come into being meanwhile.
#[tokio::test(start_paused = true)]
async fn a_destination_is_not_made_while_its_foreign_source_is_given_back() {
    let (foreign, store) = fresh();
    foreign.wait_at("freeze");
    let preparing = preparing(&foreign, &store);
    foreign.until_it_waits().await;
    foreign.wait_at("thaw");
    let slow = {
        let migrations = foreign.migrations(&store);
        tokio::spawn(async move { migrations.abort("old", &silent).await })
    };
    foreign.until_it_waits().await;
    foreign.write_as_guest(1, 100);
    foreign.go_on();
    let prepared = preparing.await.unwrap();
    foreign.go_on();
    let _ = slow.await.unwrap();
    assert!(prepared.is_err(), "the source has a guest again, and its migration is prepared");
    foreign.expect("the guest wrote", &[(1, 100)]);
    let left = store.list("lsd_header.").await.unwrap();
    assert!(left.is_empty() && foreign.kept.lock().unwrap().frozen.is_none(), "{left:?} is left for ever");
}

/// Two prepare the same image at once.
#[tokio::test(start_paused = true)]
async fn who_prepares_late_gives_no_foreign_source_back_that_another_one_has_moved() {
    let (foreign, store) = fresh();
    foreign.wait_at("set aside");
    let late = {
        let (foreign, store) = (foreign.clone(), store.clone());
        let options = MigrationOptions::default();
        tokio::spawn(async move { foreign.migrations(&store).prepare("old", (&store, "late"), &options).await })
    };
    foreign.until_it_waits().await;
    prepare(&foreign, &store).await.unwrap();
    foreign.go_on();
    assert!(late.await.unwrap().is_err());
    let is_aside = foreign.kept.lock().unwrap().is_aside;
    assert!(is_aside, "the source is under its name again, where a guest finds it, while its destination is in use");
    let image = foreign.open(&store).await.unwrap();
    assert_eq!(read(&image, 4 * BLOCK, BLOCK).await, content(4));
    image.close().await.unwrap();
    aborting(&foreign, &store).await.unwrap().unwrap();
    foreign.expect("it was taken back", &[(4, 4)]);
}

/// One that takes it back is slow, and another one is done before it.
#[tokio::test(start_paused = true)]
async fn who_takes_back_late_writes_nothing_to_a_foreign_source_that_has_a_guest() {
    let (foreign, store) = moved(3, 100).await;
    foreign.wait_at("open");
    let slow = aborting(&foreign, &store);
    foreign.until_it_waits().await;
    foreign.wait_at("gave back");
    let fast = aborting(&foreign, &store);
    foreign.until_it_waits().await;
    foreign.write_as_guest(3, 200);
    foreign.go_on();
    let _ = slow.await.unwrap();
    foreign.go_on();
    let _ = fast.await.unwrap();
    foreign.expect("its guest wrote when the source was given back", &[(3, 200)]);
}

/// Somebody leads the destination back to its writers while it is compared.
#[tokio::test(start_paused = true)]
async fn an_abort_takes_no_destination_of_a_foreign_source_that_was_written_to_since() {
    let (foreign, store) = moved(3, 100).await;
    foreign.wait_at("flush");
    let slow = aborting(&foreign, &store);
    foreign.until_it_waits().await;
    foreign.migrations(&store).execute("disk", &silent).await.unwrap();
    let image = foreign.open(&store).await.unwrap();
    image.write(4 * BLOCK, content(101), true).await.unwrap();
    image.close().await.unwrap();
    foreign.go_on();
    let slow = slow.await.unwrap();
    assert!(slow.is_err(), "a write was acknowledged that the source does not have, and the destination is gone");
    let image = foreign.open(&store).await.unwrap();
    assert_eq!(read(&image, 4 * BLOCK, BLOCK).await, content(101));
}

/// Somebody takes it back while the source is being removed.
#[tokio::test(start_paused = true)]
async fn a_migration_whose_foreign_source_goes_is_not_taken_back() {
    let (foreign, store) = moved(3, 100).await;
    foreign.migrations(&store).execute("disk", &silent).await.unwrap();
    foreign.wait_at("remove");
    let committing = committing(&foreign, &store);
    foreign.until_it_waits().await;
    let aborted = aborting(&foreign, &store).await.unwrap();
    foreign.go_on();
    let committed = committing.await.unwrap();
    assert!(foreign.kept.lock().unwrap().is_gone);
    let image = match foreign.open(&store).await {
        Ok(image) => image,
        Err(error) => panic!("the source is gone, and so is the destination: {error} ({aborted:?}, {committed:?})"),
    };
    assert_eq!(read(&image, 3 * BLOCK, BLOCK).await, content(100));
    assert_eq!(read(&image, 4 * BLOCK, BLOCK).await, content(4));
    committed.unwrap();
    let header: ObjectName = lsd_core::format::names::header(&image.info().id.0).into();
    assert!(!store.kv_get(&header, key::MIGRATION).await.unwrap().contains_key(key::MIGRATION));
}

/// Somebody takes it back, and has looked at it before the source began to be removed.
#[tokio::test(start_paused = true)]
async fn an_abort_that_began_before_the_commit_takes_nothing() {
    let (foreign, store) = moved(3, 100).await;
    foreign.migrations(&store).execute("disk", &silent).await.unwrap();
    foreign.wait_at("foreign");
    let slow = aborting(&foreign, &store);
    foreign.until_it_waits().await;
    foreign.wait_at("remove");
    let committing = committing(&foreign, &store);
    foreign.until_it_waits().await;
    foreign.go_on();
    let aborted = slow.await.unwrap();
    foreign.go_on();
    let committed = committing.await.unwrap();
    let image = match foreign.open(&store).await {
        Ok(image) => image,
        Err(error) => panic!("the source is gone, and so is the destination: {error} ({aborted:?}, {committed:?})"),
    };
    assert_eq!(read(&image, 3 * BLOCK, BLOCK).await, content(100));
    assert!(aborted.is_err(), "the source is gone");
}
