//! Runs of migrations: an image goes from name to name and pool to pool, while clients that work with it, and clients that move it, die at
//! any step.
//!
//! Owns: what such clients do. Does not own: what the image must hold (`verdict/moved.rs`).
use crate::run::EVERYTHING_ARRIVED;
use crate::run::asker::{died, options};
use crate::run::scenario::Scenario;
use crate::verdict::album::Fate;
use crate::verdict::moved::Moved;
use crate::verdict::owners::Found;
use crate::world::disk::{GRANULE, ZERO};
use crate::world::net::Cut;
use crate::world::store::SimStore;
use lsd_engine::{
    Error, ErrorKind, Image, ImageRef, MigrationOptions, MigrationState, Migrations, OpenOptions, Severity, SnapRef,
    Trash, TrashSource,
};
use lsd_store::{MemoryCluster, ObjectStore, PoolId};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A life that takes longer than this is stuck, virtual time.
const STUCK_AFTER: Duration = Duration::from_secs(3600);
/// What the image may be called, in either pool.
const NAMES: [&str; 2] = ["disk", "moved"];
/// More snapshots are not made.
const MANY: usize = 4;
/// How often the image is looked for, which somebody who died may keep.
const TRIES: u32 = 24;

/// What all clients of such a run know.
struct Route {
    scenario: Arc<Scenario>,
    pools: [PoolId; 2],
    moved: Moved,
}

struct Mover {
    route: Arc<Route>,
    client: usize,
    stores: Vec<Arc<dyn ObjectStore>>,
}

/// Lives, one or two at a time, until the run has enough of them; then the image is looked at a last time.
pub async fn move_about(scenario: &Arc<Scenario>, random: &mut StdRng) {
    let other = scenario.net.cluster.add_pool("other", MemoryCluster::replicated());
    let moved = Moved::new(scenario.disk.size, scenario.disk.granules);
    let route = Arc::new(Route { scenario: scenario.clone(), pools: [scenario.site.pool, other], moved });
    for _ in 0..random.random_range(15..30) {
        let (guest, rival) = (random.random(), random.random());
        match random.random_bool(0.5) {
            true => drop(tokio::join!(live(&route, guest, false), live(&route, rival, true))),
            false => live(&route, guest, false).await,
        }
        if scenario.judge.failure().is_some() {
            return;
        }
    }
    tokio::time::sleep(EVERYTHING_ARRIVED).await;
    let mover = Mover::connect(&route).await;
    scenario.net.set_calm(mover.client, true);
    if let Err(error) = mover.look_back(random).await {
        scenario.judge.fail(format!("at the end, when nothing fails: {:?}: {error}", error.kind));
    }
    scenario.net.bury(mover.client);
}

async fn live(route: &Arc<Route>, seed: u64, is_rival: bool) {
    let (mut random, net) = (StdRng::seed_from_u64(seed), &route.scenario.net);
    let mover = Mover::connect(route).await;
    let client = mover.client;
    if random.random_bool(0.75) {
        let most = if random.random_bool(0.5) { 120 } else { 600 };
        net.cut_at(client, random.random_range(1..most), Cut::Crash);
    }
    let living = async {
        if !is_rival && !mover.be_guest(&mut random).await {
            return;
        }
        for _ in 0..random.random_range(1..4) {
            tokio::time::sleep(Duration::from_millis(random.random_range(0..3_000))).await;
            mover.command(&mut random).await;
        }
    };
    tokio::select! {
        biased;
        () = died(net, client) => {}
        () = living => {}
        () = tokio::time::sleep(STUCK_AFTER) => route.scenario.judge.fail(format!("client {client}, who migrates, is stuck")),
    }
    if !net.is_dead(client) {
        net.bury(client);
    }
}

impl Mover {
    async fn connect(route: &Arc<Route>) -> Self {
        let Scenario { net, site, .. } = route.scenario.as_ref();
        let (client, memory) = net.add_client();
        let mut stores = Vec::new();
        for pool in route.pools {
            stores.push(SimStore::open(net, client, &memory, pool, site.blocklist_lags).await);
        }
        Self { route: route.clone(), client, stores }
    }

    fn moved(&self) -> &Moved {
        &self.route.moved
    }

    /// Everywhere that the image may be.
    fn places(&self) -> impl Iterator<Item = (&Arc<dyn ObjectStore>, &'static str)> {
        self.stores.iter().flat_map(|store| NAMES.map(|name| (store, name)))
    }

    /// Works with the image as the one who has it open. False: a handle was not closed, so nobody else gets the image as long as this
    /// client lives.
    async fn be_guest(&self, random: &mut StdRng) -> bool {
        let Some((store, name, image)) = self.own(random).await else { return false };
        let some = random.random_bool(0.5);
        let worked = async {
            self.check(&store, name, &image, some).await?;
            for _ in 0..random.random_range(0..12) {
                self.work(&image, random).await?;
            }
            let closes = random.random_bool(0.85);
            if closes {
                image.close().await?;
            }
            Ok::<_, Error>(closes)
        };
        worked.await.unwrap_or_else(|error| {
            self.error("work", &error, &[]);
            false
        })
    }

    /// Opens the image by whatever leads to it and becomes its owner. A migration that keeps it from that goes on, or back.
    async fn own(&self, random: &mut StdRng) -> Option<(Arc<dyn ObjectStore>, &'static str, Image)> {
        for _ in 0..TRIES {
            for (store, name) in self.places() {
                let (options, clock) = (options(), self.route.scenario.site.clock.clone());
                let opened = async {
                    let image =
                        Image::open_with_clock(store, &ImageRef::Name(name.into()), &options, clock.clone()).await?;
                    // A write of nothing makes this handle the owner and changes nothing.
                    match image.write(0, bytes::Bytes::new(), false).await {
                        Ok(()) => Ok::<_, Error>(image),
                        Err(error) => {
                            let _ = image.close().await;
                            Err(error)
                        }
                    }
                };
                match opened.await {
                    Ok(image) => return Some((store.clone(), name, image)),
                    Err(error) if error.kind == ErrorKind::NotFound => {}
                    Err(error) => self.error("open", &error, &[ErrorKind::ReadOnly]),
                }
            }
            if self.route.scenario.judge.failure().is_some() {
                return None;
            }
            self.command(random).await;
            self.restore().await;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        None
    }

    /// Whoever prepared a migration too slowly, and died, has left the image in the trash.
    async fn restore(&self) {
        for store in &self.stores {
            let trash = Trash::new(store.clone());
            for entry in trash.list().await.unwrap_or_default() {
                if entry.source == TrashSource::Migration && trash.restore(&entry.id, None).await.is_ok() {
                    self.route.scenario.net.count(|coverage| coverage.restored += 1);
                }
            }
        }
    }

    /// Compares all of it with what must be there; `some`: and what its snapshots show.
    async fn check(&self, store: &Arc<dyn ObjectStore>, name: &str, image: &Image, some: bool) -> Result<(), Error> {
        self.judge(self.read(image).await?, |found| self.moved().check(found));
        let names: Vec<String> = image.snapshots().list().await?.into_iter().map(|one| one.name).collect();
        if let Err(why) = self.moved().check_names(&names) {
            self.route.scenario.judge.fail(format!("client {}: {why}", self.client));
        }
        for snapshot in names.iter().filter(|_| some) {
            let at = OpenOptions { snapshot: Some(SnapRef::Name(snapshot.clone())), ..options() };
            let (image, clock) = (ImageRef::Name(name.into()), self.route.scenario.site.clock.clone());
            let image = Image::open_with_clock(store, &image, &at, clock).await?;
            self.judge(self.read(&image).await?, |found| self.moved().check_snapshot(snapshot, found));
            self.route.scenario.net.count(|coverage| coverage.snapshots_read += 1);
            image.close().await?;
        }
        Ok(())
    }

    async fn read(&self, image: &Image) -> Result<Result<Found, String>, Error> {
        let size = image.size();
        let data = image.read(0, size).await?;
        self.route.scenario.net.count(|coverage| coverage.checks += 1);
        Ok(self.route.scenario.disk.decode_all(&data).map(|stamps| Found { stamps, size }))
    }

    fn judge(&self, found: Result<Found, String>, check: impl FnOnce(&Found) -> Result<(), String>) {
        if let Err(why) = found.and_then(|found| check(&found)) {
            self.route.scenario.judge.fail(format!("client {} has the image: {why}", self.client));
        }
    }

    /// One change, which is durable when it returns. An error: nobody knows.
    async fn work(&self, image: &Image, random: &mut StdRng) -> Result<(), Error> {
        let (disk, net) = (&self.route.scenario.disk, &self.route.scenario.net);
        match random.random_range(0..12) {
            0..7 => {
                let ((first, count), stamp) = (disk.pick(random), self.route.scenario.stamp());
                self.moved().begin_write(first, count, stamp);
                image.write(disk.address(first), disk.data(stamp, first, count), true).await?;
                self.moved().written(first, count, stamp);
            }
            7 => {
                let (first, count) = disk.pick(random);
                let start = disk.address(first);
                self.moved().begin_write(first, count, ZERO);
                image.discard(start, disk.address(first + count - 1) + GRANULE - start, true).await?;
                self.moved().written(first, count, ZERO);
            }
            8 | 9 if self.moved().names().len() < MANY => {
                let name = format!("s{}", self.route.scenario.stamp());
                self.moved().begin_snapshot(&name);
                image.snapshots().create(&name).await?;
                self.moved().settle(&name, Fate::There);
                net.count(|coverage| coverage.snapshots += 1);
            }
            8..11 => {
                let names = self.moved().names();
                if !names.is_empty() {
                    let name = &names[random.random_range(0..names.len())];
                    self.moved().begin_remove(name);
                    image.snapshots().remove(name).await?;
                    self.moved().settle(name, Fate::Gone);
                    net.count(|coverage| coverage.snapshots_removed += 1);
                }
            }
            _ => match image.collect(&|_, _| Ok(())).await {
                // Who executes the migration owns the image meanwhile.
                Err(error) if error.kind == ErrorKind::ReadOnly => {}
                collected => collected?,
            },
        }
        Ok(())
    }

    /// One command, whatever others do at the same time.
    async fn command(&self, random: &mut StdRng) {
        let places: Vec<_> = self.places().collect();
        for (store, name) in &places {
            let migrations = self.migrations(store);
            let state = match migrations.status(name).await {
                Ok(status) => Some(status.state),
                Err(error) if error.kind == ErrorKind::Invalid => None,
                Err(error) if error.kind == ErrorKind::NotFound => continue,
                Err(error) => return self.error("status", &error, &[]),
            };
            let count = |add: fn(&mut crate::Coverage)| self.route.scenario.net.count(add);
            let parts = random.random_range(0..12);
            let called = AtomicU64::new(0);
            let some = |_, _| match called.fetch_add(1, Ordering::Relaxed) >= parts && parts < 6 {
                true => Err(Error::new(ErrorKind::Canceled, "enough")),
                false => Ok(()),
            };
            let (doing, done) = match (state, random.random_range(0..10)) {
                (None, _) => {
                    let (to, to_name) = places[random.random_range(0..places.len())];
                    ("migration prepare", self.prepare(&migrations, name, (to, to_name), random).await)
                }
                (Some(MigrationState::Prepared | MigrationState::Executing), 0..6)
                | (Some(MigrationState::Aborting | MigrationState::Executed), 0..3) => {
                    let is_led_back = state == Some(MigrationState::Aborting);
                    let executed = migrations.execute(name, &some).await;
                    if executed.is_ok() {
                        count(|coverage| coverage.executed += 1);
                        if is_led_back {
                            count(|coverage| coverage.led_back += 1);
                        }
                    }
                    ("migration execute", executed)
                }
                (Some(MigrationState::Executed), 3..7) | (_, 9) => {
                    let committed = migrations.commit(name, &some).await;
                    if committed.is_ok() {
                        count(|coverage| coverage.committed += 1);
                    }
                    ("migration commit", committed)
                }
                _ => {
                    let aborted = migrations.abort(name, &some).await;
                    if aborted.is_ok() {
                        count(|coverage| coverage.aborted += 1);
                    }
                    ("migration abort", aborted)
                }
            };
            use ErrorKind::{Canceled, Closed, Corrupt, Exists, Fenced, Invalid, NotFound, ReadOnly};
            // Others change the migration at the same time: what one of them brings back may be gone with the other's commit.
            let entitled = [Canceled, Closed, Corrupt, Exists, Fenced, Invalid, NotFound, ReadOnly];
            if let Err(error) = done {
                self.error(doing, &error, &entitled);
            }
            return;
        }
    }

    fn migrations(&self, store: &Arc<dyn ObjectStore>) -> Migrations {
        Migrations::with_clock(store.clone(), options(), self.route.scenario.site.clock.clone())
    }

    async fn prepare(
        &self,
        migrations: &Migrations,
        name: &str,
        to: (&Arc<dyn ObjectStore>, &str),
        random: &mut StdRng,
    ) -> Result<(), Error> {
        let site = &self.route.scenario.site;
        let data_pool = random.random_bool(0.5).then_some(site.data_pool);
        let order = random.random_bool(0.5).then(|| random.random_range(20..24));
        let wanted = MigrationOptions { data_pool, order, ..MigrationOptions::default() };
        let uuid = uuid::Builder::from_random_bytes(random.random()).into_uuid();
        let prepared = migrations.prepare_as(name, to, &wanted, uuid).await;
        if prepared.is_ok() {
            self.route.scenario.net.count(|coverage| coverage.prepared += 1);
        }
        prepared.map(drop)
    }

    /// The migration ends one way or the other, and then everything is there. Nothing fails any more.
    async fn look_back(&self, random: &mut StdRng) -> Result<(), Error> {
        let is_forward = random.random_bool(0.5);
        for _ in 0..TRIES {
            for (store, name) in self.places() {
                let migrations = self.migrations(store);
                if migrations.status(name).await.is_err() {
                    continue;
                }
                // What is aborted already, or not prepared, does not go on.
                if !is_forward
                    || migrations.execute(name, &|_, _| Ok(())).await.is_err()
                    || migrations.commit(name, &|_, _| Ok(())).await.is_err()
                {
                    let _ = migrations.abort(name, &|_, _| Ok(())).await;
                    let _ = migrations.commit(name, &|_, _| Ok(())).await;
                }
            }
            self.restore().await;
        }
        for (store, name) in self.places() {
            if let Ok(status) = migrations_status(&self.migrations(store), name).await {
                self.route.scenario.judge.fail(format!("the migration does not end: {status}"));
            }
        }
        let Some((store, name, image)) = self.own(random).await else {
            self.route.scenario.judge.fail("nothing leads to the image");
            return Ok(());
        };
        self.check(&store, name, &image, true).await?;
        image.close().await?;
        let report = Image::check(&store, &ImageRef::Name(name.into()), &|_, _| Ok(())).await?;
        let bad = report.findings.iter().find(|finding| finding.fault.severity() == Severity::Corruption);
        if let Some(finding) = bad {
            self.route.scenario.judge.fail(format!("the check finds {finding:?}"));
        }
        Ok(())
    }

    /// `entitled`: kinds beside those that everybody meets whose packets are lost.
    fn error(&self, doing: &str, error: &Error, entitled: &[ErrorKind]) {
        if entitled.contains(&error.kind) {
            return self.route.scenario.net.note(self.client, "error", doing, &format!("{:?}: {error}", error.kind));
        }
        self.route.scenario.judge.error_of_asker(self.client, doing, error);
    }
}

async fn migrations_status(migrations: &Migrations, name: &str) -> Result<String, Error> {
    migrations.status(name).await.map(|status| format!("{status:?}"))
}
