//! One run: a seed, a store with faults, and a row of clients that own the image one after another.
//!
//! Owns: who lives when, who is cut at which step, and what must hold at the end. Does not own: what a client does (`life.rs`).
mod life;
mod scenario;
mod work;

use crate::record::report::{Coverage, Failure};
use crate::run::life::{Ending, Life};
use crate::run::scenario::{VirtualClock, World};
use crate::world::disk::Disk;
use crate::world::faults::Faults;
use crate::world::net::{Cut, Net};
use crate::world::store::SimStore;
use lsd_engine::{Clock, CreateOptions, Image, ImageId, ImageRef};
use lsd_store::{MemoryCluster, MemoryStore, ObjectStore, PoolId, StoreLimits};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::cell::RefCell;
use std::sync::{Arc, Once};
use std::time::Duration;
use tokio::task::JoinHandle;

/// A life that takes longer than this is stuck, virtual time.
const STUCK_AFTER: Duration = Duration::from_secs(3600);
/// Until everything that was ever sent has arrived: longer than any packet of a dead client takes.
const EVERYTHING_ARRIVED: Duration = Duration::from_secs(120);

/// Pages of a checkpoint of the run's small image: leaves, patches, root.
const PAGES_LEFT: u64 = 3;

/// Empty objects that a dead taker's packets may make after everybody has looked for them.
const TOMBSTONES_LEFT: u64 = 16;

/// What became of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub coverage: Coverage,
    /// Of everything that happened: two runs of one seed have the same.
    pub trace_hash: u64,
    pub failure: Option<Failure>,
}

thread_local! {
    /// What panicked on this thread: a task of the engine that panics would otherwise only fall silent.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

fn notice_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            PANIC.with(|panic| *panic.borrow_mut() = Some(info.to_string()));
            before(info);
        }));
    });
}

/// Runs one seed on this thread. `trace`: print everything that happens.
pub fn run(seed: u64, trace: bool) -> Outcome {
    notice_panics();
    PANIC.with(|panic| panic.borrow_mut().take());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without I/O needs nothing from the system");
    let (world, mut failure) = runtime.block_on(async {
        let world = Run::new(seed, trace).await;
        match world {
            Ok(run) => (Some(run.world.clone()), run.go().await),
            Err(why) => (None, Some(why)),
        }
    });
    drop(runtime);
    if let Some(panic) = PANIC.with(|panic| panic.borrow_mut().take()) {
        failure = Some(panic);
    }
    let (coverage, trace_hash) = world.map(|world| world.net.outcome()).unwrap_or_default();
    Outcome { coverage, trace_hash, failure: failure.map(|why| Failure { seed, why }) }
}

struct Run {
    world: Arc<World>,
    random: StdRng,
    clock: Arc<dyn Clock>,
    /// Where log data goes.
    data_pool: PoolId,
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
        let store = store_of(&net, client, &memory, pool, blocklist_lags).await;
        let options = CreateOptions { size: disk.size, data_pool, ..CreateOptions::default() };
        let uuid = uuid::Builder::from_random_bytes(random.random()).into_uuid();
        let created = Image::create_as(&store, "disk", &options, clock.as_ref(), uuid).await;
        let id: ImageId = created.map_err(|error| format!("create: {error}"))?;
        net.bury(client);
        let world = World::new(net, disk, id, pool, blocklist_lags);
        Ok(Self { world, random, clock, data_pool: data_pool.unwrap_or(pool), zombies: Vec::new() })
    }

    /// What went wrong, if anything did.
    async fn go(mut self) -> Option<String> {
        let weather = tokio::spawn(full_pools(self.world.clone(), self.data_pool, self.random.random()));
        for _ in 0..self.random.random_range(15..30) {
            self.next_life(false).await;
            if self.failure().is_some() {
                return self.failure();
            }
        }
        for zombie in std::mem::take(&mut self.zombies) {
            let _ = zombie.await;
        }
        weather.abort();
        self.world.net.cluster.set_full(self.data_pool, false);
        self.world.set_full(false);
        tokio::time::sleep(EVERYTHING_ARRIVED).await;
        self.next_life(true).await;
        self.world.check_promises();
        if self.failure().is_none() {
            tokio::time::sleep(EVERYTHING_ARRIVED).await;
            self.remove().await;
        }
        self.failure()
    }

    fn failure(&self) -> Option<String> {
        let panic = PANIC.with(|panic| panic.borrow().clone());
        self.world.failure().or(panic)
    }

    /// One client lives until it is done or cut. `last`: nothing goes wrong any more.
    async fn next_life(&mut self, last: bool) {
        let net = self.world.net.clone();
        let (client, memory) = net.add_client();
        let store = store_of(&net, client, &memory, self.world.pool, self.world.blocklist_lags).await;
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
            world: self.world.clone(),
            client,
            store,
            clock: self.clock.clone(),
            random: StdRng::from_rng(random),
            ending,
            operations: random.random_range(0..if self.world.disk.has_blocks() { 240 } else { 120 }),
        };
        let mut task = tokio::spawn(life.live());
        let alive = loop {
            tokio::select! {
                biased;
                () = net.cut.notified() => if net.is_cut(client) { break true },
                _ = &mut task => break false,
                () = tokio::time::sleep(STUCK_AFTER) => {
                    return self.world.fail(format!("client {client} is stuck"));
                }
            }
        };
        self.world.distrust(client);
        match cut {
            Some(Cut::Partition | Cut::Usurp | Cut::Share) if alive && !last => self.leave_zombie(client, cut, task),
            _ => {
                if !net.is_cut(client) {
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
        let net = self.world.net.clone();
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

    /// Removes the image; nothing of it may stay in the pools.
    async fn remove(&mut self) {
        let net = &self.world.net;
        let (client, memory) = net.add_client();
        net.set_calm(client, true);
        let store = store_of(net, client, &memory, self.world.pool, false).await;
        let image = ImageRef::Id(self.world.id.clone());
        if let Err(error) = Image::remove(&store, &image, &|_, _| Ok(())).await {
            return self.world.fail(format!("the image cannot be removed: {:?}: {error}", error.kind));
        }
        // Nothing leads to the pages of a checkpoint that was cut short; each crash and each failed operation may leave one behind.
        let covered = net.outcome().0;
        let pages = (covered.crash_points + covered.failed_operations) * PAGES_LEFT;
        for pool in [self.world.pool, self.data_pool] {
            let store = store_of(net, client, &memory, pool, false).await;
            for (prefix, allowed) in [("lsd_data.", TOMBSTONES_LEFT), ("lsd_header.", 0), ("lsd_map.", pages)] {
                let left = store.list(prefix).await.unwrap_or_default();
                let mut data = 0;
                for name in left.iter().filter(|_| prefix == "lsd_data.") {
                    data += store.stat(name).await.unwrap_or_default();
                }
                if left.len() as u64 > allowed || data > 0 {
                    self.world.fail(format!("{} orphans after the removal: {left:?}", left.len()));
                }
            }
        }
        net.bury(client);
    }
}

/// The store as a client of the run sees it.
async fn store_of(
    net: &Arc<Net>,
    client: usize,
    memory: &MemoryStore,
    pool: PoolId,
    blocklist_lags: bool,
) -> Arc<dyn ObjectStore> {
    let truth = memory.open_pool(pool).await.expect("the run made this pool itself");
    SimStore::of(net.clone(), client, truth, blocklist_lags)
}

/// Fills the pool up now and then.
async fn full_pools(world: Arc<World>, pool: PoolId, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    if random.random_bool(0.6) {
        return;
    }
    loop {
        tokio::time::sleep(Duration::from_millis(random.random_range(1_000..60_000))).await;
        world.net.note(usize::MAX, "full", &format!("pool {}", pool.0), "");
        world.net.count(|coverage| coverage.full_pools += 1);
        world.set_full(true);
        world.net.cluster.set_full(pool, true);
        tokio::time::sleep(Duration::from_millis(random.random_range(100..6_000))).await;
        world.net.cluster.set_full(pool, false);
        world.set_full(false);
        world.net.note(usize::MAX, "room", &format!("pool {}", pool.0), "");
    }
}

/// Whether clients stay alive beside the next one and hand the image to each other (`LSD_SIM_SHARE`). Not by default: what the oracle
/// may demand of such histories is not settled yet (docs/TESTING.md).
pub fn shares() -> bool {
    std::env::var_os("LSD_SIM_SHARE").is_some()
}
