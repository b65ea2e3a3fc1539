//! The network between the clients and the store: it decides when each operation takes effect and when it is answered.
//!
//! Owns: the queue of what is under way, the order of one client's operations on one object (it is kept), who is dead or cut
//! off, and the crash of a client at a given step. Does not own: the truth (the memory cluster), which faults there are
//! (`faults.rs`).
mod cuts;

use crate::record::report::Coverage;
use crate::record::trace::Trace;
use crate::world::faults::{Fate, Faults};
use futures::FutureExt;
use lsd_store::{MemoryCluster, MemoryStore, StoreError, StoreErrorKind, StoreFuture, WatchHandler};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Duration, Instant};

/// How a client is cut off at its step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// It dies; what it sent arrives as far as the lot says.
    Crash,
    /// Its packets stay under way until it is healed, while the store believes that it is dead.
    Partition,
    /// Only its watches are lost, and nobody tells it for a while: it goes on beside its heir.
    Usurp,
    /// Nothing happens to it: from now on another client works beside it.
    Share,
}

/// Operations that change the store.
const CHANGES: [&str; 5] = ["append", "put", "kv_update", "remove", "fence"];

type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

/// One operation's way.
struct Route {
    client: usize,
    what: &'static str,
    object: String,
    fate: Fate,
}

type Action = Box<dyn FnOnce(&Arc<Net>) + Send>;

/// Something that will happen.
struct Event {
    client: Option<usize>,
    /// The object of an operation that has not taken effect; answers have none.
    object: Option<String>,
    run: Action,
    /// What takes effect instead if a power cut tears the operation.
    torn: Option<Action>,
}

#[derive(Default)]
struct Client {
    memory: Option<MemoryStore>,
    /// When the last operation on an object takes effect.
    last: BTreeMap<String, u64>,
    dead: bool,
    calm: bool,
    /// Everything of a client that is cut off, in order.
    held: Option<VecDeque<Event>>,
    steps: u64,
    unlocks: u64,
    cut_at: Option<(u64, Cut)>,
    /// How often the image had been taken over when the client was cut.
    cut_in: Option<u64>,
    handlers: Vec<Arc<dyn WatchHandler>>,
}

struct State {
    random: StdRng,
    queue: BTreeMap<(u64, u64), Event>,
    number: u64,
    clients: Vec<Client>,
    coverage: Coverage,
    trace: Trace,
    takeovers: u64,
    /// Takeovers before the last change of a header by a client that was cut off and goes on.
    zombie_update: Option<u64>,
}

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
        let state = State {
            random: StdRng::seed_from_u64(seed ^ 0x006e_6574),
            queue: BTreeMap::new(),
            number: 0,
            clients: Vec::new(),
            coverage: Coverage { runs: 1, ..Coverage::default() },
            trace: Trace::new(print),
            takeovers: 0,
            zombie_update: None,
        };
        let net = Arc::new(Self {
            state: Mutex::new(state),
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
        state.clients.push(Client { memory: Some(memory.clone()), ..Client::default() });
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

    /// Sends an operation on its way. `torn`: what it is when a power cut tears it.
    pub fn submit<T: Send + 'static>(
        self: &Arc<Self>,
        client: usize,
        what: &'static str,
        object: &str,
        operation: impl FnOnce() -> StoreFuture<T> + Send + 'static,
        torn: Option<Box<dyn FnOnce() + Send>>,
    ) -> StoreFuture<T> {
        let (sender, receiver) = oneshot::channel();
        self.step(client);
        let now = self.now_ms();
        let mut state = self.lock();
        if state.clients[client].dead {
            return std::future::pending().boxed();
        }
        let fate = match state.clients[client].calm {
            true => Faults::calm(),
            false => self.faults.fate(&mut state.random),
        };
        let mut sender = Some(sender);
        if let Some(kind) = fate.error {
            let error = StoreError::new(kind, what, object).with_detail("simulated");
            let sender = sender.take();
            let tell = Box::new(move |net: &Arc<Net>| {
                net.step(client);
                drop(sender.map(|sender| sender.send(Err(error))));
            });
            state.coverage.failed_operations += 1;
            state.schedule(Some(client), now + fate.back_ms, Event::new(tell));
        }
        let route = Route { client, what, object: object.to_owned(), fate };
        let run = Box::new(move |net: &Arc<Net>| net.effect(route, operation, sender));
        let torn = torn.map(|torn| Box::new(move |_: &Arc<Net>| torn()) as Action);
        let event = Event { object: Some(object.to_owned()), torn, ..Event::new(run) };
        state.schedule(Some(client), now + fate.there_ms, event);
        drop(state);
        self.wake.notify_one();
        // Whoever is dead waits for ever.
        async move {
            match receiver.await {
                Ok(result) => result,
                Err(_) => std::future::pending().await,
            }
        }
        .boxed()
    }

    /// The operation arrives.
    fn effect<T: Send + 'static>(
        self: &Arc<Self>,
        route: Route,
        operation: impl FnOnce() -> StoreFuture<T>,
        sender: Option<Answer<T>>,
    ) {
        self.step(route.client);
        // A watch ends with the connection of its client.
        let too_late = route.what == "watch" && self.is_dead(route.client);
        if !route.fate.takes_effect || too_late {
            return self.note(route.client, route.what, &route.object, "is lost");
        }
        let mut answer = operation();
        match (&mut answer).now_or_never() {
            Some(result) => self.answer(&route, result, sender),
            None => {
                let net = self.clone();
                tokio::spawn(async move {
                    let result = answer.await;
                    net.answer(&route, result, sender);
                });
            }
        }
    }

    /// The operation took effect, or was refused; its answer goes back.
    fn answer<T: Send + 'static>(
        self: &Arc<Self>,
        route: &Route,
        result: Result<T, StoreError>,
        sender: Option<Answer<T>>,
    ) {
        let Route { client, what, ref object, fate } = *route;
        let detail = result.as_ref().err().map_or_else(|| "done".to_owned(), |error| format!("{:?}", error.kind));
        self.note(client, what, object, if sender.is_some() { &detail } else { "done, answer lost" });
        let now = self.now_ms();
        let mut state = self.lock();
        state.clients[client].unlocks += u64::from(what == "unlock");
        let fenced = result.as_ref().is_err_and(|error| error.kind == StoreErrorKind::Fenced);
        let goes_on = state.clients[client].cut_in.is_some() && !state.clients[client].dead;
        if goes_on && what == "kv_update" && result.is_ok() {
            state.zombie_update = Some(state.takeovers);
        }
        let late = state.clients[client].cut_in.is_some_and(|then| state.takeovers > then);
        if late && !fenced && CHANGES.contains(&what) {
            state.coverage.zombie_landings += 1;
        }
        match sender {
            None if CHANGES.contains(&what) => state.coverage.lost_answers += 1,
            None => {}
            Some(sender) => {
                let tell = Box::new(move |net: &Arc<Net>| {
                    net.step(client);
                    drop(sender.send(result));
                });
                state.schedule(Some(client), now + fate.back_ms, Event::new(tell));
            }
        }
        drop(state);
        self.wake.notify_one();
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

    /// A client did something, or something reached it: a step at which it may be cut.
    fn step(self: &Arc<Self>, client: usize) {
        let cut = {
            let mut state = self.lock();
            let client = &mut state.clients[client];
            client.steps += 1;
            client.cut_at.take_if(|(step, _)| *step <= client.steps)
        };
        if let Some((_, cut)) = cut {
            self.cut_now(client, cut);
        }
    }
}

impl State {
    /// Puts an event into the queue; operations of one client on one object keep their order.
    fn schedule(&mut self, client: Option<usize>, at: u64, mut event: Event) {
        event.client = client;
        let mut at = at;
        if let Some(client) = client.map(|client| &mut self.clients[client]) {
            if client.dead && event.object.is_none() {
                return;
            }
            if let Some(held) = &mut client.held {
                return held.push_back(event);
            }
            if let Some(object) = &event.object {
                let last = client.last.entry(object.clone()).or_default();
                at = at.max(*last);
                *last = at;
            }
        }
        self.number += 1;
        self.queue.insert((at, self.number), event);
    }

    /// What a dead client sent: of each object's operations a prefix arrives, now or later; the last may be torn.
    fn strand(&mut self, client: usize, now: u64, events: impl Iterator<Item = Event>) {
        let mut by_object: BTreeMap<String, Vec<Event>> = BTreeMap::new();
        for event in events {
            if let Some(object) = &event.object {
                by_object.entry(object.clone()).or_default().push(event);
            }
        }
        for (_, mut events) in by_object {
            events.truncate(self.random.random_range(0..=events.len()));
            if self.random.random_bool(0.5)
                && let Some(last) = events.last_mut()
                && let Some(torn) = last.torn.take()
            {
                last.run = torn;
                self.coverage.torn_appends += 1;
            }
            let within = if self.random.random_bool(0.5) { 50 } else { 60_000 };
            for event in events {
                let at = now + self.random.random_range(0..within);
                self.schedule(Some(client), at, event);
            }
        }
    }
}

impl Event {
    fn new(run: Action) -> Self {
        Self { client: None, object: None, run, torn: None }
    }
}

/// Runs what is due, one after another; between two of them every task may go on.
async fn carry(net: Arc<Net>) {
    loop {
        let wake = net.wake.notified();
        let now = net.now_ms();
        let (due, next) = {
            let mut state = net.lock();
            match state.queue.first_key_value().map(|((at, _), _)| *at) {
                Some(at) if at <= now => (state.queue.pop_first(), at),
                Some(at) => (None, at),
                None => (None, u64::MAX),
            }
        };
        match due {
            Some((_, event)) => {
                (event.run)(&net);
                tokio::task::yield_now().await;
            }
            None if next == u64::MAX => wake.await,
            None => {
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
