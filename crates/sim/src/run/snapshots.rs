//! What clients do with snapshots, each with its entry in the album.
//!
//! Owns: single changes of snapshots, looking at them. Does not own: rollbacks (`rollback.rs`), clients that only ask (`asker.rs`),
//! what is right (`verdict/album.rs`).
use crate::run::scenario::Scenario;
use crate::verdict::album::{Album, Key, Picked, Told};
use crate::verdict::history::lock;
use crate::verdict::owners::Found;
use crate::world::disk::GRANULE;
use lsd_engine::{Error, ErrorKind, Image, OpenOptions, SnapRef};
use lsd_store::ObjectStore;
use rand::Rng;
use rand::rngs::StdRng;
use std::sync::Arc;
use std::time::Duration;

/// More than so many are made rarely.
const MANY: usize = 6;

/// What one client does next.
#[derive(Clone, Debug)]
pub enum Deed {
    Create,
    Remove(Picked),
    Rename(Picked),
    Protect(Picked),
    List,
    /// Random ranges so many times, with pauses of up to so many milliseconds, after all of it.
    Look(Picked, Vec<(usize, usize, u64)>),
}

/// A client that has the image open.
#[derive(Clone)]
pub struct Visitor {
    pub scenario: Arc<Scenario>,
    pub client: usize,
    pub store: Arc<dyn ObjectStore>,
    pub image: Image,
    pub options: OpenOptions,
    /// It owns the image, as far as it was told.
    pub is_owner: bool,
}

impl Deed {
    /// `None`: there is nothing to do it with.
    pub fn choose(random: &mut StdRng, scenario: &Scenario, album: &Album) -> Option<Deed> {
        let many = album.count() >= MANY;
        match random.random_range(0..100) {
            0..35 if !many || random.random_bool(0.1) => Some(Deed::Create),
            0..35 => Some(Deed::Remove(album.pick(random, &|snap| !snap.protected)?)),
            35..45 => Some(Deed::Remove(album.pick(random, &|_| true)?)),
            45..53 => Some(Deed::Rename(album.pick(random, &|_| true)?)),
            53..63 => Some(Deed::Protect(album.pick(random, &|_| true)?)),
            63..73 => Some(Deed::List),
            _ => {
                let again = random.random_range(0..4);
                let mut range = || {
                    let (lo, count) = scenario.disk.pick(random);
                    (lo, count, random.random_range(0..400))
                };
                let ranges = (0..again).map(|_| range()).collect();
                Some(Deed::Look(album.glance(random)?, ranges))
            }
        }
    }
}

impl Visitor {
    fn album(&self) -> &Album {
        self.scenario.album.as_ref().expect("only runs with snapshots have such clients")
    }

    pub async fn act(&self, deed: Deed) {
        match deed {
            Deed::Create => self.create().await,
            Deed::Remove(snap) => self.remove(snap).await,
            Deed::Rename(snap) => self.rename(snap).await,
            Deed::Protect(snap) => self.protect(snap).await,
            Deed::List => self.list().await,
            Deed::Look(snap, ranges) => self.look(&snap, &ranges).await,
        }
    }

    async fn create(&self) {
        let name = format!("s{}", self.scenario.stamp());
        let history = self.scenario.owners.history_of(self.client);
        let called = self.scenario.owners.tick();
        let key = self.album().begin_create(&name, called);
        self.note("create", &name);
        let result = self.image.snapshots().create(&name).await;
        if result.is_ok() {
            // With it everything is durable that it has.
            if self.is_owner {
                lock(&history).flushed(self.client, called);
            }
            self.scenario.net.count(|coverage| coverage.snapshots += 1);
        }
        self.end(key, "snap-create", result, false);
    }

    async fn remove(&self, snap: Picked) {
        self.note("remove", &snap.name);
        self.album().begin_remove(snap.key);
        let result = match snap.id {
            Some(id) => self.image.snapshots().remove_by_id(id).await,
            None => self.image.snapshots().remove(&snap.name).await,
        };
        if snap.protected && result.is_ok() {
            self.fail(format!("snapshot {:?} was removed though it was protected", snap.name));
        }
        let count = u64::from(result.is_ok());
        self.scenario.net.count(|coverage| coverage.snapshots_removed += count);
        self.end(snap.key, "snap-remove", result, snap.protected);
    }

    async fn rename(&self, snap: Picked) {
        let to = format!("r{}", self.scenario.stamp());
        self.note("rename", &format!("{} {to}", snap.name));
        self.album().begin_rename(snap.key, &to);
        let result = self.image.snapshots().rename(&snap.name, &to).await;
        let count = u64::from(result.is_ok());
        self.scenario.net.count(|coverage| coverage.snapshots_changed += count);
        self.end(snap.key, "snap-rename", result, false);
    }

    async fn protect(&self, snap: Picked) {
        self.note("protect", &format!("{} {}", snap.name, !snap.protected));
        self.album().begin_protect(snap.key, !snap.protected);
        let snapshots = self.image.snapshots();
        let result = match snap.protected {
            true => snapshots.unprotect(&snap.name).await,
            false => snapshots.protect(&snap.name).await,
        };
        let count = u64::from(result.is_ok());
        self.scenario.net.count(|coverage| coverage.snapshots_changed += count);
        self.end(snap.key, "snap-protect", result, false);
    }

    /// `refused`: it must be, with `Busy`.
    fn end(&self, key: Key, doing: &str, result: Result<(), Error>, refused: bool) {
        let now = self.scenario.owners.tick();
        let told = match &result {
            Ok(()) => Told::Done,
            Err(error) if refused && error.kind == ErrorKind::Busy => Told::Refused,
            // One that was cut off knows an older list.
            Err(error) if error.kind == ErrorKind::NotFound && self.is_cut() => Told::Refused,
            Err(error) => {
                self.error(doing, error);
                Told::Unknown
            }
        };
        self.album().end(key, told, now);
    }

    pub async fn list(&self) {
        let called = self.scenario.owners.tick();
        match self.image.snapshots().list().await {
            Ok(_) if self.is_cut() => {}
            Ok(list) => {
                self.scenario.net.count(|coverage| coverage.snapshot_lists += 1);
                let now = self.scenario.owners.tick();
                if let Err(why) = self.album().check_list(&list, called, now) {
                    self.fail(format!("client {} lists snapshots: {why}", self.client));
                }
            }
            Err(error) => self.error("snap-list", &error),
        }
    }

    /// Reads all of a snapshot, then parts of it again.
    pub async fn look(&self, snap: &Picked, ranges: &[(usize, usize, u64)]) {
        let Some((image, called)) = self.open(snap).await else { return };
        let (size, disk) = (image.size(), &self.scenario.disk);
        let data = match image.read(0, size).await {
            Ok(data) => data,
            Err(error) => return self.unreadable(snap, None, called, "read a snapshot", &error),
        };
        self.scenario.net.count(|coverage| coverage.snapshots_read += 1);
        let checked = disk.decode_all(&data).and_then(|stamps| {
            let found = Found { stamps, size };
            self.album().check_content(snap.key, &found, &self.scenario.owners, disk).map(|()| found)
        });
        let found = match checked {
            Ok(found) => found,
            Err(why) => return self.fail(format!("client {} reads snapshot {:?}: {why}", self.client, snap.name)),
        };
        let end = disk.first_beyond(size);
        for (lo, count, pause) in ranges {
            tokio::time::sleep(Duration::from_millis(*pause)).await;
            let (lo, hi) = (*lo, (lo + count).min(end));
            if hi <= lo {
                continue;
            }
            match image.read(disk.address(lo), (hi - lo) as u64 * GRANULE).await {
                Ok(data) if disk.decode(lo, hi - lo, &data.to_bytes()) == found.stamps[lo..hi] => {}
                Ok(_) => {
                    return self.fail(format!("client {}: {:?} has changed under a reader", self.client, snap.name));
                }
                Err(error) => return self.unreadable(snap, None, called, "read a snapshot", &error),
            }
        }
    }

    /// Opens a snapshot; also the moment of the call.
    async fn open(&self, snap: &Picked) -> Option<(Image, u64)> {
        let called = self.scenario.owners.tick();
        let (at, by_name) = match snap.id.filter(|id| id % 2 == 0) {
            Some(id) => (SnapRef::Id(id), None),
            None => (SnapRef::Name(snap.name.clone()), Some(snap.name.as_str())),
        };
        let options = OpenOptions { snapshot: Some(at), ..self.options.clone() };
        let clock = self.scenario.site.clock.clone();
        match Image::open_with_clock(&self.store, &self.scenario.image(), &options, clock).await {
            Ok(_) if self.is_cut() => None,
            // Where there are clones, it may be kept for them.
            Ok(_) if self.scenario.brood.is_none() && self.album().is_gone(snap.key, called) => {
                self.fail(format!("snapshot {:?} opens though it was removed", snap.name));
                None
            }
            Ok(image) => Some((image, called)),
            Err(error) => {
                self.unreadable(snap, by_name, called, "open a snapshot", &error);
                None
            }
        }
    }

    fn unreadable(&self, snap: &Picked, by_name: Option<&str>, called: u64, doing: &str, error: &Error) {
        let missing = error.kind == ErrorKind::NotFound;
        if missing && (self.is_cut() || self.album().may_be_missing(snap.key, by_name, called)) {
            return;
        }
        self.error(doing, error);
    }

    fn is_cut(&self) -> bool {
        self.scenario.net.is_cut(self.client)
    }

    pub fn note(&self, doing: &str, what: &str) {
        self.scenario.net.note(self.client, doing, what, "");
    }

    pub fn fail(&self, why: String) {
        self.scenario.judge.fail(why);
    }

    pub fn error(&self, doing: &str, error: &Error) {
        match self.is_owner {
            true => self.scenario.judge.error(self.client, doing, error, true),
            false => self.scenario.judge.error_of_asker(self.client, doing, error),
        }
    }
}
