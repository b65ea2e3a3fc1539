//! The network between the clients and the store: it decides when each operation takes effect and when it is answered.
//!
//! Owns: carrying what is due, one after another; what everybody may ask of a client's connection. Does not own: the truth (the memory
//! cluster), which faults there are (`faults.rs`), what is under way (`state.rs`), an operation's way (`operations.rs`), cutting
//! clients off (`cuts.rs`).
mod cuts;
mod operations;
mod state;

pub use state::Cut;

use crate::record::report::Coverage;
use crate::world::faults::Faults;
use lsd_store::{MemoryCluster, MemoryStore, WatchHandler};
use rand::Rng;
use state::{Client, Due, Event};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio::time::{Duration, Instant};

/// What happens when something arrives.
type Action = Box<dyn FnOnce(&Arc<Net>) + Send>;

type State = state::State<Action>;

pub struct Net {
    state: Mutex<State>,
    start: Instant,
    faults: Faults,
    pub cluster: MemoryCluster,
    /// Something was put into the queue.
    wake: Notify,
    /// A client was cut.
    pub cut: Notify,
}

impl Net {
    pub fn new(seed: u64, faults: Faults, print: bool) -> Arc<Self> {
        let net = Arc::new(Self {
            state: Mutex::new(State::new(seed ^ 0x006e_6574, print)),
            start: Instant::now(),
            faults,
            cluster: MemoryCluster::new(),
            wake: Notify::new(),
            cut: Notify::new(),
        });
        tokio::spawn(carry(net.clone()));
        net
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Virtual milliseconds since the run began.
    pub fn now_ms(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }

    pub fn add_client(&self) -> (usize, MemoryStore) {
        let memory = self.cluster.client();
        let mut state = self.lock();
        state.clients.push(Client::new(memory.clone()));
        (state.clients.len() - 1, memory)
    }

    /// From now on nothing goes wrong for this client, or it does again.
    pub fn set_calm(&self, client: usize, calm: bool) {
        self.lock().clients[client].calm = calm;
    }

    /// Cuts the client at its `step`-th step from now on.
    pub fn cut_at(&self, client: usize, step: u64, cut: Cut) {
        let mut state = self.lock();
        let client = &mut state.clients[client];
        client.cut_at = Some((client.steps + step, cut));
    }

    pub fn is_cut(&self, client: usize) -> bool {
        self.lock().clients[client].cut_in.is_some()
    }

    pub fn is_dead(&self, client: usize) -> bool {
        self.lock().clients[client].dead
    }

    /// How often the client gave the lock back.
    pub fn unlocks(&self, client: usize) -> u64 {
        self.lock().clients[client].unlocks
    }

    /// True if a client that was cut off, and believed dead, goes on: it may take the image from a living owner.
    pub fn has_zombies(&self) -> bool {
        self.lock().clients.iter().any(|client| client.cut_in.is_some() && !client.dead)
    }

    pub fn note(&self, client: usize, what: &str, object: &str, detail: &str) {
        let now = self.now_ms();
        self.lock().trace.note(now, client, what, object, detail);
    }

    pub fn count(&self, add: impl FnOnce(&mut Coverage)) {
        add(&mut self.lock().coverage);
    }

    /// True if one that was cut off and went on has changed the header since the last takeover: it may have taken the image from
    /// the living owner before it died.
    pub fn had_zombie(&self) -> bool {
        let state = self.lock();
        state.zombie_update == Some(state.takeovers)
    }

    /// The image has a new owner.
    pub fn taken_over(&self) {
        let mut state = self.lock();
        state.takeovers += 1;
        state.coverage.takeovers += 1;
    }

    pub fn outcome(&self) -> (Coverage, u64) {
        let state = self.lock();
        let mut coverage = state.coverage.clone();
        coverage.events = state.trace.events;
        (coverage, state.trace.hash())
    }

    pub fn may_fail(&self) -> bool {
        self.faults.may_fail()
    }

    pub fn add_handler(&self, client: usize, handler: Arc<dyn WatchHandler>) {
        self.lock().clients[client].handlers.push(handler);
    }

    /// True if the client hears nothing: it is dead or cut off.
    pub fn is_deaf(&self, client: usize) -> bool {
        let state = self.lock();
        let client = &state.clients[client];
        client.dead || client.held.is_some()
    }

    /// Does `action` after a while, whoever is alive by then.
    pub fn later(&self, after_ms: u64, action: impl FnOnce(&Arc<Net>) + Send + 'static) {
        let at = self.now_ms() + after_ms;
        self.lock().schedule(None, at, Event::new(Box::new(action)));
        self.wake.notify_one();
    }

    /// A random number below `end`, from the network's own lot.
    pub fn lot(&self, end: u64) -> u64 {
        self.lock().random.random_range(0..end)
    }
}

/// Runs what is due, one after another; between two of them every task may go on.
async fn carry(net: Arc<Net>) {
    loop {
        let wake = net.wake.notified();
        let now = net.now_ms();
        let due = net.lock().due(now);
        match due {
            Due::Now(event) => {
                (event.run)(&net);
                tokio::task::yield_now().await;
            }
            Due::Never => wake.await,
            Due::At(next) => {
                let until = net.start + Duration::from_millis(next);
                tokio::select! {
                    biased;
                    () = wake => {}
                    () = tokio::time::sleep_until(until) => {}
                }
            }
        }
    }
}
