//! What is kept elsewhere for an image over a base is let go when the image needs it no more, however that comes about.
use crate::clones::{client, named};
use crate::common::{Gate, MIB, Op, kind, read, settings, silent, stop};
use bytes::Bytes;
use lsd_core::format::header::key;
use lsd_core::format::names;
use lsd_engine::{Bases, CreateOptions, ErrorKind, Fault, Image, ImageId, OpenOptions, RepairOptions, Trash};
use lsd_store::{
    Base, BaseSpec, KvPresence, KvUpdate, MemoryCluster, ObjectStore, OpenBases, StoreError, StoreErrorKind,
    StoreFuture,
};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SIZE: u64 = 4 * MIB;

/// A base that is there as long as somebody keeps it: nines in its first half, zeroes in the other.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    by: Arc<Mutex<BTreeSet<String>>>,
    cannot_let_go: Arc<AtomicBool>,
}

impl Kept {
    pub fn spec() -> BaseSpec {
        BaseSpec { kind: "kept".into(), spec: "it".into(), identity: String::new(), size: SIZE }
    }

    /// An image over it.
    pub async fn image(&self, store: &Arc<dyn ObjectStore>, name: &str) -> ImageId {
        let options = CreateOptions { size: SIZE, ..CreateOptions::default() };
        let id = Image::create_over(store, name, &options, &Kept::spec()).await.unwrap();
        self.by.lock().unwrap().insert(id.0.clone());
        id
    }

    pub fn is_kept(&self) -> bool {
        !self.by.lock().unwrap().is_empty()
    }

    pub fn bases(&self) -> Bases {
        Bases::new(Arc::new(self.clone()))
    }

    pub fn options(&self) -> OpenOptions {
        OpenOptions { settings: settings(), bases: self.bases(), ..OpenOptions::default() }
    }

    /// It goes, whoever keeps it.
    fn forget(&self) {
        self.by.lock().unwrap().clear();
    }

    fn fail(&self, fail: bool) {
        self.cannot_let_go.store(fail, Ordering::Release);
    }

    fn check(&self) -> Result<(), StoreError> {
        match self.is_kept() {
            true => Ok(()),
            false => Err(StoreError::new(StoreErrorKind::Stale, "read base", "it")),
        }
    }
}

impl OpenBases for Kept {
    fn open(&self, _: &BaseSpec) -> StoreFuture<Arc<dyn Base>> {
        let base: Arc<dyn Base> = Arc::new(self.clone());
        let checked = self.check();
        Box::pin(async move { checked.map(|()| base) })
    }

    fn let_go(&self, spec: &BaseSpec, image: &str) -> StoreFuture<()> {
        assert_eq!(*spec, Kept::spec());
        let (this, image) = (self.clone(), image.to_owned());
        Box::pin(async move {
            if this.cannot_let_go.load(Ordering::Acquire) {
                return Err(StoreError::new(StoreErrorKind::Io, "let go of base", "it"));
            }
            this.by.lock().unwrap().remove(&image);
            Ok(())
        })
    }

    fn is_kept(&self, _: &BaseSpec, image: &str) -> StoreFuture<bool> {
        let is_kept = self.by.lock().unwrap().contains(image);
        Box::pin(async move { Ok(is_kept) })
    }

    fn keep(&self, _: &BaseSpec, image: &str) -> StoreFuture<()> {
        self.by.lock().unwrap().insert(image.to_owned());
        Box::pin(async { Ok(()) })
    }
}

impl Base for Kept {
    fn name(&self) -> String {
        "kept".into()
    }

    fn size(&self) -> u64 {
        SIZE
    }

    fn read(&self, offset: u64, len: u64) -> StoreFuture<Bytes> {
        let checked = self.check();
        let bytes: Vec<u8> = (offset..offset + len).map(|at| if at < SIZE / 2 { 9 } else { 0 }).collect();
        Box::pin(async move { checked.map(|()| Bytes::from(bytes)) })
    }

    fn data(&self, offset: u64, len: u64) -> StoreFuture<Vec<Range<u64>>> {
        let checked = self.check();
        let end = (offset + len).min(SIZE / 2);
        let found = if offset < end { std::iter::once(offset..end).collect() } else { Vec::new() };
        Box::pin(async move { checked.map(|()| found) })
    }
}

async fn shows_base(image: &Image) {
    assert_eq!(read(image, SIZE / 2 - 1, 2).await, [9, 0]);
}

#[tokio::test(start_paused = true)]
async fn whoever_removes_an_image_lets_go_of_its_base() {
    let cluster = MemoryCluster::new();
    let store = client(&cluster);
    let kept = Kept::default();
    let bases = kept.bases();
    kept.image(&store, "disk").await;
    Image::remove_with(&store, &named("disk"), &bases, &silent).await.unwrap();
    assert!(!kept.is_kept(), "rm");
    let trash = || Trash::new(store.clone()).with_bases(kept.bases());
    let id = kept.image(&store, "disk").await;
    trash().put("disk", Duration::ZERO).await.unwrap();
    assert!(kept.is_kept(), "it can be brought back");
    trash().remove(&id, false, &silent).await.unwrap();
    assert!(!kept.is_kept(), "trash rm");
    kept.image(&store, "disk").await;
    trash().put("disk", Duration::ZERO).await.unwrap();
    trash().purge(None, &silent).await.unwrap();
    assert!(!kept.is_kept(), "trash purge");
    // One whose header does not verify.
    let id = kept.image(&store, "disk").await;
    let update = KvUpdate::default().presence(KvPresence::MustExist).set(key::STATE, b"nothing".to_vec());
    store.kv_update(&names::header(&id.0).into(), update).await.unwrap();
    assert_eq!(kind(Image::remove_with(&store, &named("disk"), &bases, &silent).await), Some(ErrorKind::Corrupt));
    assert!(kept.is_kept());
    Image::remove_damaged_with(&store, &named("disk"), &bases, &silent).await.unwrap();
    assert!(!kept.is_kept(), "rm --force");
    assert!(store.list("lsd_header.").await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_removal_that_could_not_let_go_is_taken_up_again() {
    let cluster = MemoryCluster::new();
    let store = client(&cluster);
    let kept = Kept::default();
    kept.image(&store, "disk").await;
    kept.fail(true);
    assert!(Image::remove_with(&store, &named("disk"), &kept.bases(), &silent).await.is_err());
    let error = Image::open(&store, &named("disk"), &kept.options()).await.map(drop).unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound, "it is half removed: {error}");
    kept.fail(false);
    Image::remove_with(&store, &named("disk"), &kept.bases(), &silent).await.unwrap();
    assert!(!kept.is_kept());
    // A program that does not know such bases removes the image all the same.
    kept.image(&store, "disk").await;
    Image::remove(&store, &named("disk"), &silent).await.unwrap();
    assert!(store.list("lsd_header.").await.unwrap().is_empty());
}

async fn open(store: &Arc<dyn ObjectStore>, kept: &Kept) -> Image {
    Image::open(store, &named("disk"), &kept.options()).await.unwrap()
}

/// Only letting go of it fails, and then another owner comes, or the image is flattened again or removed.
#[tokio::test(start_paused = true)]
async fn a_flatten_that_could_not_let_go_is_completed_later() {
    for way in 0..3 {
        let cluster = MemoryCluster::new();
        let store = client(&cluster);
        let kept = Kept::default();
        kept.image(&store, "disk").await;
        kept.fail(true);
        let image = open(&store, &kept).await;
        assert!(image.flatten(&silent).await.is_err(), "it says so");
        assert!(image.base().is_none() && kept.is_kept());
        shows_base(&image).await;
        image.close().await.unwrap();
        kept.fail(false);
        match way {
            0 => {
                let image = open(&store, &kept).await;
                image.write(0, Bytes::from(vec![9; 512]), true).await.unwrap();
                tokio::time::sleep(Duration::from_secs(1)).await;
                image.close().await.unwrap();
            }
            1 => {
                let image = open(&store, &kept).await;
                image.flatten(&silent).await.unwrap();
                assert_eq!(kind(image.flatten(&silent).await), Some(ErrorKind::Invalid), "nothing is left");
                image.close().await.unwrap();
            }
            _ => Image::remove_with(&store, &named("disk"), &kept.bases(), &silent).await.unwrap(),
        }
        assert!(!kept.is_kept(), "{way}");
        if way < 2 {
            shows_base(&open(&store, &kept).await).await;
        }
    }
}

/// Nobody hears whether the update that drops the base took effect.
#[tokio::test(start_paused = true)]
async fn a_flatten_whose_end_is_in_doubt_is_completed_later() {
    let cluster = MemoryCluster::new();
    let kept = Kept::default();
    let memory = cluster.client();
    let store: Arc<dyn ObjectStore> = Arc::new(memory.clone());
    let id = kept.image(&store, "disk").await;
    let gate = Gate::new(store.clone());
    let behind: Arc<dyn ObjectStore> = gate.clone();
    let image = open(&behind, &kept).await;
    image.write(0, Bytes::from(vec![9; 512]), true).await.unwrap();
    gate.close(|op, name| op == Op::Update && name.starts_with("lsd_header."));
    let flatten = tokio::spawn({
        let image = image.clone();
        async move { image.flatten(&silent).await }
    });
    let has_base =
        async || store.kv_get(&names::header(&id.0).into(), key::BASE).await.unwrap().contains_key(key::BASE);
    loop {
        gate.until_waiting(1).await;
        let late = gate.take();
        late.arrive();
        if !has_base().await {
            break;
        }
    }
    stop(flatten).await;
    drop(image);
    gate.open();
    cluster.expire(&memory);
    assert!(kept.is_kept(), "the owner died before it let go");
    let image = open(&client(&cluster), &kept).await;
    assert!(image.base().is_none());
    image.flatten(&silent).await.unwrap();
    assert!(!kept.is_kept());
    shows_base(&image).await;
}

/// Between the last checkpoint of a flatten and the update that drops the base, somebody else opens the image.
#[tokio::test(start_paused = true)]
async fn who_takes_over_behind_a_flatten_asks_no_base() {
    let cluster = MemoryCluster::new();
    let kept = Kept::default();
    let memory = cluster.client();
    let store: Arc<dyn ObjectStore> = Arc::new(memory.clone());
    let id = kept.image(&store, "disk").await;
    let gate = Gate::new(store.clone());
    let behind: Arc<dyn ObjectStore> = gate.clone();
    let owner = open(&behind, &kept).await;
    owner.resize(SIZE - MIB / 2, true, &silent).await.unwrap();
    owner.resize(SIZE, true, &silent).await.unwrap();
    gate.close(|op, name| op == Op::Update && name.starts_with("lsd_header."));
    let flatten = tokio::spawn({
        let image = owner.clone();
        async move { image.flatten(&silent).await }
    });
    let other = client(&cluster);
    let has_base =
        async || other.kv_get(&names::header(&id.0).into(), key::BASE).await.unwrap().contains_key(key::BASE);
    let next = loop {
        gate.until_waiting(1).await;
        let next = open(&other, &kept).await;
        gate.take().arrive();
        if !has_base().await {
            break next;
        }
        next.close().await.unwrap();
    };
    stop(flatten).await;
    drop(owner);
    cluster.expire(&memory);
    kept.forget();
    next.write(0, Bytes::from(vec![9; 512]), true).await.unwrap();
    shows_base(&next).await;
    let end = read(&next, SIZE - MIB, MIB).await;
    assert!(end.iter().all(|byte| *byte == 0), "its holes are zeroes");
    next.close().await.unwrap();
}

/// What a base that is gone gives is an error, never zeroes; and that is no error where the base was dropped before.
#[tokio::test(start_paused = true)]
async fn readers_of_a_base_that_was_dropped_are_told_so() {
    let cluster = MemoryCluster::new();
    let store = client(&cluster);
    let kept = Kept::default();
    kept.image(&store, "disk").await;
    let reader = async |hold_moment| {
        let options = OpenOptions { read_only: true, hold_moment, ..kept.options() };
        let reader = Image::open(&client(&cluster), &named("disk"), &options).await.unwrap();
        shows_base(&reader).await;
        reader
    };
    let (follows, holds) = (reader(false).await, reader(true).await);
    let owner = open(&store, &kept).await;
    owner.flatten(&silent).await.unwrap();
    assert!(!kept.is_kept());
    shows_base(&follows).await;
    assert_eq!(kind(holds.read(0, 512).await), Some(ErrorKind::Outdated));
    assert_eq!(kind(holds.extents(0, SIZE).await), Some(ErrorKind::Outdated));
    // Where it is gone and the image still needs it, nobody reads on.
    kept.image(&store, "other").await;
    let other = Image::open(&store, &named("other"), &kept.options()).await.unwrap();
    kept.forget();
    assert_eq!(kind(other.read(0, 512).await), Some(ErrorKind::Corrupt));
}

#[tokio::test(start_paused = true)]
async fn a_repair_keeps_a_base_that_nothing_keeps() {
    let cluster = MemoryCluster::new();
    let store = client(&cluster);
    let kept = Kept::default();
    let id = kept.image(&store, "disk").await;
    kept.image(&store, "other").await;
    let faults = async || {
        let report = Image::check_with(&store, &named("disk"), &kept.bases(), &silent).await.unwrap();
        report.findings.into_iter().map(|finding| finding.fault).collect::<Vec<_>>()
    };
    assert_eq!(faults().await, []);
    kept.by.lock().unwrap().remove(&id.0);
    assert_eq!(faults().await, [Fault::BaseUnkept { base: "kept:it".into() }]);
    let options = RepairOptions { watch_timeout: Duration::from_secs(1), ..RepairOptions::default() };
    Image::repair_with(&store, &named("disk"), options, &kept.bases(), &silent).await.unwrap();
    assert_eq!(faults().await, []);
    assert!(kept.by.lock().unwrap().contains(&id.0));
}
