//! What the network knows: what is under way and when it arrives, and how each client stands.
//!
//! Owns: the queue, the order of one client's operations on one object (it is kept), which of a dead client's operations still
//! arrive. Does not own: what an arrival does (`A`, an action of whoever carries it).
use crate::record::report::Coverage;
use crate::record::trace::Trace;
use lsd_store::{MemoryStore, WatchHandler};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

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

/// Something that will happen.
pub(super) struct Event<A> {
    pub client: Option<usize>,
    /// The object of an operation that has not taken effect; answers have none.
    pub object: Option<String>,
    pub run: A,
    /// What takes effect instead if a power cut tears the operation.
    pub torn: Option<A>,
}

/// What the queue has for its carrier.
pub(super) enum Due<A> {
    Now(Event<A>),
    /// Nothing before this moment, virtual milliseconds.
    At(u64),
    Never,
}

pub(super) struct Client<A> {
    pub memory: Option<MemoryStore>,
    /// When the last operation on an object takes effect.
    pub last: BTreeMap<String, u64>,
    pub dead: bool,
    pub calm: bool,
    /// Everything of a client that is cut off, in order.
    pub held: Option<VecDeque<Event<A>>>,
    pub steps: u64,
    pub unlocks: u64,
    pub cut_at: Option<(u64, Cut)>,
    /// How often the image had been taken over when the client was cut.
    pub cut_in: Option<u64>,
    pub handlers: Vec<Arc<dyn WatchHandler>>,
}

pub(super) struct State<A> {
    pub random: StdRng,
    /// By moment and number.
    queue: BTreeMap<(u64, u64), Event<A>>,
    number: u64,
    pub clients: Vec<Client<A>>,
    pub coverage: Coverage,
    pub trace: Trace,
    pub takeovers: u64,
    /// Takeovers before the last change of a header by a client that was cut off and goes on.
    pub zombie_update: Option<u64>,
}

impl<A> State<A> {
    /// `seed`: of the network's own lot.
    pub fn new(seed: u64, print: bool) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
            queue: BTreeMap::new(),
            number: 0,
            clients: Vec::new(),
            coverage: Coverage { runs: 1, ..Coverage::default() },
            trace: Trace::new(print),
            takeovers: 0,
            zombie_update: None,
        }
    }

    /// Puts an event into the queue; operations of one client on one object keep their order.
    pub fn schedule(&mut self, client: Option<usize>, at: u64, mut event: Event<A>) {
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

    /// What is next, if it is due.
    pub fn due(&mut self, now: u64) -> Due<A> {
        let Some(first) = self.queue.first_entry() else { return Due::Never };
        let at = first.key().0;
        if at <= now { Due::Now(first.remove()) } else { Due::At(at) }
    }

    /// Takes everything of a client out of the queue, in order.
    pub fn take_events(&mut self, client: usize) -> VecDeque<Event<A>> {
        let mine = self.queue.extract_if(.., |_, event| event.client == Some(client));
        mine.map(|(_, event)| event).collect()
    }

    /// What a dead client sent: of each object's operations a prefix arrives, now or later; the last may be torn.
    pub fn strand(&mut self, client: usize, now: u64, events: impl Iterator<Item = Event<A>>) {
        let mut by_object: BTreeMap<String, Vec<Event<A>>> = BTreeMap::new();
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

impl<A> Event<A> {
    pub fn new(run: A) -> Self {
        Self { client: None, object: None, run, torn: None }
    }
}

impl<A> Client<A> {
    pub fn new(memory: MemoryStore) -> Self {
        Self {
            memory: Some(memory),
            last: BTreeMap::new(),
            dead: false,
            calm: false,
            held: None,
            steps: 0,
            unlocks: 0,
            cut_at: None,
            cut_in: None,
            handlers: Vec::new(),
        }
    }
}
