//! One run: a seed, a store with faults, and a row of clients that own the image one after another.
//!
//! Owns: who lives when, who is cut at which step, and what must hold at the end. Does not own: what a client does (`life.rs`).
mod asker;
mod breeder;
mod ending;
mod full_pools;
mod life;
mod mover;
mod panics;
mod removal;
mod rollback;
mod scenario;
mod snapshots;
mod work;

use crate::options::{migrates, shares, takes_snapshots};
use crate::record::report::{Coverage, Failure};
use crate::run::full_pools::full_pools;
use crate::run::life::{Ending, Life};
use crate::run::scenario::{Scenario, Site};
use crate::world::clock::VirtualClock;
use crate::world::disk::Disk;
use crate::world::faults::Faults;
use crate::world::net::{Cut, Net};
use crate::world::store::SimStore;
use lsd_engine::{Clock, CreateOptions, Image, ImageId};
use lsd_store::{MemoryCluster, StoreLimits};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// A life that takes longer than this is stuck, virtual time.
const STUCK_AFTER: Duration = Duration::from_secs(3600);
/// Until everything that was ever sent has arrived: longer than any packet of a dead client takes.
const EVERYTHING_ARRIVED: Duration = Duration::from_secs(120);

/// What became of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub coverage: Coverage,
    /// Of everything that happened: two runs of one seed have the same.
    pub trace_hash: u64,
    pub failure: Option<Failure>,
}

/// Runs one seed on this thread. `trace`: print everything that happens.
pub fn run(seed: u64, trace: bool) -> Outcome {
    panics::notice();
    panics::take();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without I/O needs nothing from the system");
    let (scenario, mut failure) = runtime.block_on(async {
        match Run::new(seed, trace).await {
            Ok(run) => (Some(run.scenario.clone()), run.go().await),
            Err(why) => (None, Some(why)),
        }
    });
    drop(runtime);
    if let Some(panic) = panics::take() {
        failure = Some(panic);
    }
    let (mut coverage, trace_hash) = scenario.map(|scenario| scenario.net.outcome()).unwrap_or_default();
    coverage.snapshot_crash_points = if takes_snapshots(seed) { coverage.crash_points } else { 0 };
    coverage.migration_crash_points = if migrates(seed) { coverage.crash_points } else { 0 };
    Outcome { coverage, trace_hash, failure: failure.map(|why| Failure { seed, why }) }
}

struct Run {
    scenario: Arc<Scenario>,
    random: StdRng,
    zombies: Vec<JoinHandle<()>>,
}

impl Run {
    async fn new(seed: u64, trace: bool) -> Result<Self, String> {
        let mut random = StdRng::seed_from_u64(seed);
        let net = Net::new(seed, Faults::new(&mut random), trace);
        let large = random.random_bool(0.2);
        let disk = Disk::new(&mut random, large);
        let clock: Arc<dyn Clock> = Arc::new(VirtualClock(tokio::time::Instant::now()));
        if random.random_bool(0.3) {
            net.cluster.forbid_blocklist();
        }
        // A replicated pool; one whose appends a power cut tears; a log in an erasure-coded pool.
        let (pool, data_pool) = match random.random_range(0..6) {
            0 => {
                let limits = StoreLimits { atomic_appends: false, ..MemoryCluster::replicated() };
                let pool = net.cluster.add_pool("torn", limits);
                (pool, None)
            }
            1 => (lsd_store::MEMORY_POOL, Some(net.cluster.add_pool("ec", MemoryCluster::erasure_coded(8192)))),
            _ => (lsd_store::MEMORY_POOL, None),
        };
        let (client, memory) = net.add_client();
        net.set_calm(client, true);
        let blocklist_lags = random.random_bool(0.5);
        let store = SimStore::open(&net, client, &memory, pool, blocklist_lags).await;
        let options = CreateOptions { size: disk.size, data_pool, ..CreateOptions::default() };
        let uuid = uuid::Builder::from_random_bytes(random.random()).into_uuid();
        let created = Image::create_as(&store, "disk", &options, clock.as_ref(), uuid).await;
        let id: ImageId = created.map_err(|error| format!("create: {error}"))?;
        net.bury(client);
        let site = Site { id, pool, data_pool: data_pool.unwrap_or(pool), blocklist_lags, clock };
        let scenario = Scenario::new(net, disk, site, seed);
        Ok(Self { scenario, random, zombies: Vec::new() })
    }

    /// What went wrong, if anything did.
    async fn go(mut self) -> Option<String> {
        if self.scenario.migrates {
            mover::move_about(&self.scenario, &mut self.random).await;
            return self.failure();
        }
        let Scenario { net, judge, site, .. } = self.scenario.as_ref();
        let data_pool = site.data_pool;
        let weather = full_pools(net.clone(), judge.clone(), data_pool, self.random.random());
        let weather = tokio::spawn(weather);
        if self.scenario.brood.is_some() {
            self.scenario.keep(tokio::spawn(breeder::breed(self.scenario.clone(), self.random.random())));
        }
        for _ in 0..self.random.random_range(15..30) {
            self.next_life(false).await;
            if self.failure().is_some() {
                return self.failure();
            }
        }
        for zombie in std::mem::take(&mut self.zombies) {
            let _ = zombie.await;
        }
        self.scenario.wait_for_askers().await;
        weather.abort();
        self.scenario.net.cluster.set_full(data_pool, false);
        self.scenario.judge.set_full(false);
        tokio::time::sleep(EVERYTHING_ARRIVED).await;
        self.next_life(true).await;
        self.scenario.wait_for_askers().await;
        for why in self.scenario.owners.check_promises() {
            self.scenario.judge.fail(why);
        }
        if self.failure().is_none() {
            tokio::time::sleep(EVERYTHING_ARRIVED).await;
            ending::look_back(&self.scenario).await;
        }
        if self.failure().is_none() {
            removal::remove(&self.scenario).await;
        }
        self.failure()
    }

    fn failure(&self) -> Option<String> {
        self.scenario.judge.failure().or_else(panics::last)
    }

    /// One client lives until it is done or cut. `last`: nothing goes wrong any more.
    async fn next_life(&mut self, last: bool) {
        let net = self.scenario.net.clone();
        let (client, store) = self.scenario.connect().await;
        let random = &mut self.random;
        let ending = if random.random_bool(0.5) { Ending::Close } else { Ending::Drop };
        let cut = match random.random_range(0..10) {
            0..6 => Some(Cut::Crash),
            6 => Some(Cut::Partition),
            7 => Some(Cut::Usurp),
            8 if shares() => Some(Cut::Share),
            _ => None,
        };
        let step = if random.random_bool(0.3) { random.random_range(1..200) } else { random.random_range(1..1500) };
        if last {
            net.set_calm(client, true);
        } else if let Some(cut) = cut {
            net.cut_at(client, step, cut);
        }
        let life = Life {
            scenario: self.scenario.clone(),
            client,
            store,
            random: StdRng::from_rng(random),
            ending,
            operations: random.random_range(0..if self.scenario.disk.has_blocks() { 240 } else { 120 }),
        };
        let mut task = tokio::spawn(life.live());
        let alive = loop {
            tokio::select! {
                biased;
                () = net.cut.notified() => if net.is_cut(client) { break true },
                _ = &mut task => break false,
                () = tokio::time::sleep(STUCK_AFTER) => {
                    return self.scenario.judge.fail(format!("client {client} is stuck"));
                }
            }
        };
        self.scenario.owners.distrust(client);
        self.scenario.owners.cut(client);
        let lent_to = self.scenario.take_back();
        lent_to.iter().filter(|guest| !net.is_dead(**guest)).for_each(|guest| net.bury(*guest));
        match cut {
            // Whoever has lent the image would take it back from its next owner.
            Some(Cut::Partition | Cut::Usurp | Cut::Share) if alive && !last && lent_to.is_none() => {
                self.leave_zombie(client, cut, task);
            }
            _ => {
                if alive && lent_to.is_some() && !net.is_dead(client) {
                    net.bury(client);
                } else if !net.is_cut(client) {
                    if ending == Ending::Close { net.bury(client) } else { net.cut_now(client, Cut::Crash) }
                }
                task.abort();
                if alive {
                    let _ = task.await;
                }
            }
        }
    }

    /// The client goes on for a while, though another one may take over, and is connected again at some time.
    fn leave_zombie(&mut self, client: usize, cut: Option<Cut>, task: JoinHandle<()>) {
        let net = self.scenario.net.clone();
        let until_healed = Duration::from_millis(self.random.random_range(0..60_000));
        let until_end = Duration::from_millis(self.random.random_range(0..60_000));
        self.zombies.push(tokio::spawn(async move {
            tokio::time::sleep(until_healed).await;
            if cut != Some(Cut::Share) {
                net.heal(client);
            }
            tokio::time::sleep(until_end).await;
            net.bury(client);
            task.abort();
            let _ = task.await;
        }));
    }
}
