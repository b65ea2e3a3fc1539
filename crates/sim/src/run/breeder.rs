//! A client that makes clones of the image's snapshots, works with them, and removes them, while owners come and go.
//!
//! Owns: its life and what it does. Does not own: what is right (`verdict/brood.rs`). There is one at a time.
use crate::run::asker::{died, options};
use crate::run::scenario::Scenario;
use crate::verdict::album::Album;
use crate::verdict::brood::{Brood, Key, Picked};
use crate::verdict::owners::Found;
use crate::world::net::Cut;
use lsd_engine::{CloneOptions, Error, ErrorKind, Fault, Finding, Image, ImageId, ImageRef, Severity, SnapRef};
use lsd_store::ObjectStore;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A life that takes longer than this is stuck, virtual time.
const STUCK_AFTER: Duration = Duration::from_secs(3600);
/// More than so many are not made.
const MANY: usize = 5;
/// How often the owner of a clone is waited for, who died.
const TRIES: u32 = 40;
/// The snapshot of a clone that clones of it are made of.
const BRANCH: &str = "branch";

pub struct Breeder {
    scenario: Arc<Scenario>,
    client: usize,
    store: Arc<dyn ObjectStore>,
    /// A handle was not closed: nobody else gets its clone as long as this client lives.
    left_open: AtomicBool,
}

/// Lives, one after the other, until the run has enough of them.
pub async fn breed(scenario: Arc<Scenario>, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    for _ in 0..random.random_range(6..16) {
        let (client, store) = scenario.connect().await;
        if random.random_bool(0.4) {
            scenario.net.cut_at(client, random.random_range(1..160), Cut::Crash);
        }
        let breeder = Breeder::new(&scenario, client, &store);
        tokio::select! {
            biased;
            () = died(&scenario.net, client) => {}
            () = breeder.live(&mut random) => {}
            () = tokio::time::sleep(STUCK_AFTER) => scenario.judge.fail(format!("client {client}, who clones, is stuck")),
        }
        if !scenario.net.is_dead(client) {
            scenario.net.bury(client);
        }
        if scenario.judge.failure().is_some() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(0..20_000))).await;
    }
}

impl Breeder {
    pub fn new(scenario: &Arc<Scenario>, client: usize, store: &Arc<dyn ObjectStore>) -> Self {
        Self { scenario: scenario.clone(), client, store: store.clone(), left_open: AtomicBool::new(false) }
    }

    fn brood(&self) -> &Brood {
        self.scenario.brood.as_ref().expect("only runs with clones have such clients")
    }

    fn album(&self) -> &Album {
        self.scenario.album.as_ref().expect("runs with clones take snapshots")
    }

    async fn live(&self, random: &mut StdRng) {
        for _ in 0..random.random_range(1..4) {
            match random.random_range(0..10) {
                0..4 if self.brood().count() < MANY => self.clone_image(random).await,
                4..9 => {
                    if let Some(picked) = self.brood().pick(random) {
                        self.work(&picked, random).await;
                    }
                }
                _ => {
                    if let Some(picked) = self.brood().pick(random).filter(|picked| !picked.has_children) {
                        self.remove(&picked).await;
                    }
                }
            }
            if self.left_open.load(Ordering::Relaxed) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(random.random_range(0..2_000))).await;
        }
    }

    fn new_id(&self) -> ImageId {
        ImageId(format!("clone{}", self.scenario.stamp()))
    }

    async fn clone_image(&self, random: &mut StdRng) {
        let Some(snap) = self.album().glance(random) else { return };
        let (Some(found), Some(id)) = (snap.found, snap.id) else { return };
        self.clone_of(random, &self.scenario.image(), &SnapRef::Id(id), &found, None).await;
    }

    async fn clone_of(
        &self,
        random: &mut StdRng,
        parent: &ImageRef,
        snapshot: &SnapRef,
        found: &Found,
        of: Option<Key>,
    ) {
        let id = self.new_id();
        let key = self.brood().begin_clone(id.clone(), found, of);
        self.scenario.net.note(self.client, "clone", &id.0, &format!("{parent:?} {snapshot:?}"));
        let options = CloneOptions { id: Some(id.clone()), ..CloneOptions::default() };
        let uuid = uuid::Builder::from_random_bytes(random.random()).into_uuid();
        let (store, clock) = (&self.store, self.scenario.site.clock.clone());
        let from = (store, parent, snapshot);
        match Image::clone_from_as(from, (store, &id.0), &options, clock.as_ref(), uuid).await {
            Ok(_) => {
                self.brood().is_made(key);
                self.scenario.net.count(|coverage| coverage.clones += 1);
            }
            // The snapshot is gone, or kept for other clones only.
            Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::Invalid) => self.brood().is_gone(key),
            Err(error) => self.error("clone", &error),
        }
    }

    /// Becomes the clone's owner, compares all of it, and does something with it.
    async fn work(&self, picked: &Picked, random: &mut StdRng) {
        let Some((image, found)) = self.look(picked).await else { return };
        match random.random_range(0..10) {
            0..5 => self.write(picked.key, &image, random).await,
            5..7 => match image.flatten(&|_, _| Ok(())).await {
                Ok(()) => self.scenario.net.count(|coverage| coverage.flattened += 1),
                // It was before.
                Err(error) if error.kind == ErrorKind::Invalid => {}
                Err(error) => self.error("flatten", &error),
            },
            7..9 if self.brood().count() < MANY && !picked.has_children => {
                self.branch(picked, &image, &found, random).await
            }
            _ => {
                if let Err(error) = image.collect(&|_, _| Ok(())).await {
                    self.error("collect a clone", &error);
                }
            }
        }
        if random.random_bool(0.6) {
            self.close(&image).await;
        }
    }

    async fn close(&self, image: &Image) {
        match image.close().await {
            Ok(()) => self.left_open.store(false, Ordering::Relaxed),
            Err(error) => self.error("close a clone", &error),
        }
    }

    async fn branch(&self, picked: &Picked, image: &Image, found: &Found, random: &mut StdRng) {
        match image.snapshots().create(BRANCH).await {
            Ok(()) => {}
            // An earlier one, of other content.
            Err(error) if error.kind == ErrorKind::Exists => return,
            Err(error) => return self.error("snapshot of a clone", &error),
        }
        let (parent, snapshot) = (ImageRef::Id(picked.id.clone()), SnapRef::Name(BRANCH.into()));
        self.clone_of(random, &parent, &snapshot, found, Some(picked.key)).await;
        if let Err(error) = image.snapshots().remove(BRANCH).await {
            self.error("remove a snapshot of a clone", &error);
        }
    }

    async fn write(&self, key: Key, image: &Image, random: &mut StdRng) {
        let disk = &self.scenario.disk;
        let end = disk.first_beyond(image.size());
        for _ in 0..random.random_range(1..6) {
            let (first, count) = disk.pick(random);
            let count = count.min(end.saturating_sub(first));
            if count == 0 {
                continue;
            }
            let stamp = self.scenario.stamp();
            self.brood().begin_write(key, first, count, stamp);
            match image.write(disk.address(first), disk.data(stamp, first, count), true).await {
                Ok(()) => self.brood().written(key, first, count, stamp),
                Err(error) => return self.error("write to a clone", &error),
            }
        }
    }

    /// What its owner finds in it.
    pub async fn look(&self, picked: &Picked) -> Option<(Image, Found)> {
        let image = self.own(picked).await?;
        self.brood().is_there(picked.key);
        let size = image.size();
        let data = match image.read(0, size).await {
            Ok(data) => data,
            Err(error) => {
                self.error("read a clone", &error);
                return None;
            }
        };
        self.scenario.net.count(|coverage| coverage.clones_read += 1);
        let checked = self.scenario.disk.decode_all(&data).and_then(|stamps| {
            let found = Found { stamps, size };
            self.brood().check(picked.key, &found).map(|()| found)
        });
        match checked {
            Ok(found) => Some((image, found)),
            Err(why) => {
                self.scenario.judge.fail(format!("client {} reads {}: {why}", self.client, picked.id));
                None
            }
        }
    }

    async fn own(&self, picked: &Picked) -> Option<Image> {
        let (options, clock) = (options(), self.scenario.site.clock.clone());
        let reference = ImageRef::Id(picked.id.clone());
        let mut tries = 0;
        loop {
            let owned = async {
                let image = Image::open_with_clock(&self.store, &reference, &options, clock.clone()).await?;
                self.left_open.store(true, Ordering::Relaxed);
                // A write of nothing makes this handle the owner and changes nothing.
                image.write(0, bytes::Bytes::new(), false).await?;
                Ok::<_, Error>(image)
            };
            tries += 1;
            match owned.await {
                Ok(image) => return Some(image),
                Err(error) if error.kind == ErrorKind::NotFound && !picked.certain => return None,
                Err(error) if error.kind == ErrorKind::Busy && tries < TRIES => {}
                Err(error) => {
                    self.error("open a clone", &error);
                    return None;
                }
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    async fn remove(&self, picked: &Picked) {
        self.scenario.net.note(self.client, "remove a clone", &picked.id.0, "");
        self.brood().begin_remove(picked.key);
        if self.clear_branch(picked).await.is_none() {
            return;
        }
        match Image::remove(&self.store, &ImageRef::Id(picked.id.clone()), &|_, _| Ok(())).await {
            Ok(()) => {
                self.brood().is_gone(picked.key);
                self.scenario.net.count(|coverage| coverage.clones_removed += 1);
            }
            Err(error) if error.kind == ErrorKind::NotFound => {}
            Err(error) => self.error("remove a clone", &error),
        }
    }

    /// What a client that died in the middle of it has left. `None`: it cannot be removed now.
    async fn clear_branch(&self, picked: &Picked) -> Option<()> {
        let image = match self.own(&Picked { certain: false, ..picked.clone() }).await {
            Some(image) => image,
            None => return Some(()),
        };
        let cleared = async {
            for snapshot in image.snapshots().list().await? {
                image.snapshots().remove_by_id(snapshot.id).await?;
            }
            self.close(&image).await;
            Ok::<_, Error>(())
        };
        match cleared.await {
            Ok(()) => Some(()),
            Err(error) => {
                self.error("clear a clone", &error);
                None
            }
        }
    }

    /// Compares every clone a last time, checks it and removes it, the youngest first. Nothing fails any more.
    pub async fn look_back(&self) -> Result<(), Error> {
        for picked in self.brood().all().into_iter().rev() {
            let reference = ImageRef::Id(picked.id.clone());
            if let Some((image, _)) = self.look(&picked).await {
                image.close().await?;
                let report = Image::check(&self.store, &reference, &|_, _| Ok(())).await?;
                // Whoever made it died before it had a name.
                let is_half_made = |fault: &Fault| !picked.is_named && matches!(fault, Fault::Unlisted { .. });
                let bad = |finding: &&Finding| {
                    finding.fault.severity() == Severity::Corruption && !is_half_made(&finding.fault)
                };
                if let Some(finding) = report.findings.iter().find(bad) {
                    self.scenario.judge.fail(format!("the check of {} finds {finding:?}", picked.id));
                }
            }
            if self.clear_branch(&picked).await.is_none() {
                return Ok(());
            }
            match Image::remove(&self.store, &reference, &|_, _| Ok(())).await {
                Err(error) if error.kind != ErrorKind::NotFound => return Err(error),
                _ => self.brood().is_gone(picked.key),
            }
        }
        Ok(())
    }

    fn error(&self, doing: &str, error: &Error) {
        self.scenario.judge.error_of_asker(self.client, doing, error);
    }
}
