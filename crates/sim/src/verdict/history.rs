//! What a client issued and was told: the record of the disk's true history.
//!
//! Owns: operations with their order in time and what was promised of them. Does not own: which content may follow from it
//! (`check.rs`), whose history an operation belongs to (`owners.rs`).
//!
//! A rollback begins another history; while nobody knows whether it happened, both are kept.
//!
//! Clients that hand the image to each other share a history. What a client issued that lives and was not fenced may take effect until
//! it returns, also after others had the image (`docs/DURABILITY.md`, section 3).
use crate::verdict::ticks::{Tick, Ticks};
use crate::world::disk::Stamp;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub type SharedHistory = Arc<Mutex<History>>;

pub fn lock(history: &SharedHistory) -> MutexGuard<'_, History> {
    history.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Not returned: it may have happened or not.
    Pending,
    Done,
    /// It returned an error: it may have happened or not, but not later.
    Failed,
    /// It returned that it did not happen.
    Refused,
    /// It returned, but its client may lose the image without handing it over: what it does may be lost until it is durable.
    Unsafe(Tick),
}

/// What an operation does to its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Write,
    /// A write that nobody else may touch the range of meanwhile.
    Compare,
    /// The range reads as zeroes afterwards. Nobody else may touch it meanwhile: zeroes do not say whose they are.
    Clear,
}

#[derive(Clone, Debug)]
pub struct Op {
    pub client: usize,
    pub stamp: Stamp,
    pub kind: Kind,
    pub lo: usize,
    pub hi: usize,
    pub issued: Tick,
    pub returned: Tick,
    pub outcome: Outcome,
    /// When somebody was told that it is durable.
    pub durable: Option<Tick>,
    /// The part of the same write that comes before this one.
    pub after: Option<usize>,
    /// It was under way while the image was rolled back: it may have come before that, whatever is told of it.
    pub perhaps: bool,
}

impl Op {
    /// True if it came before `other` in every order.
    pub fn before(&self, other: &Op) -> bool {
        self.returned < other.issued
    }
}

#[derive(Clone, Debug)]
pub struct History {
    /// The content that it began with.
    pub base: Vec<Stamp>,
    pub ops: Vec<Op>,
    /// Sizes that the image may have, bytes.
    pub sizes: BTreeSet<u64>,
    /// When a change of size returned last; the end of time while one is under way.
    pub resized: Tick,
    /// Writes, as places in `ops`.
    pub by_stamp: BTreeMap<Stamp, usize>,
    /// Every change of `sizes`.
    pub size_log: Vec<(Tick, BTreeSet<u64>)>,
    /// What follows instead from a moment on, if a rollback has happened that was called for.
    pub rolled_back: Option<SharedHistory>,
    /// It has happened.
    pub is_over: bool,
    /// Clients that may lose the image without handing it over while another one of this history goes on.
    unsafe_clients: BTreeSet<usize>,
    ticks: Ticks,
}

impl History {
    pub fn new(base: Vec<Stamp>, size: u64, ticks: Ticks) -> Self {
        let sizes = BTreeSet::from([size]);
        Self {
            base,
            ops: Vec::new(),
            size_log: vec![(0, sizes.clone())],
            sizes,
            resized: 0,
            by_stamp: BTreeMap::new(),
            rolled_back: None,
            is_over: false,
            unsafe_clients: BTreeSet::new(),
            ticks,
        }
    }

    /// The history of the next owner, who found `base`. `others` live on: what they issued and have not been told of may still take
    /// effect in it.
    pub fn next(&self, base: Vec<Stamp>, size: u64, others: &BTreeSet<usize>) -> Self {
        let mut next = Self::new(base, size, self.ticks.clone());
        next.unsafe_clients.clone_from(others);
        let pending = |op: &&Op| op.outcome == Outcome::Pending && others.contains(&op.client);
        let mut places = BTreeMap::new();
        for op in self.ops.iter().filter(pending) {
            places.insert(op.stamp, next.ops.len());
            let after = op.after.and_then(|before| places.get(&self.ops[before].stamp).copied());
            next.enter(Op { after, ..op.clone() });
        }
        if self.resized == Tick::MAX && !next.ops.is_empty() {
            next.resized = Tick::MAX;
            next.sizes.extend(&self.sizes);
            next.size_log.push((0, next.sizes.clone()));
        }
        next
    }

    /// From now on the client may lose the image without handing it over, while another one goes on.
    pub fn distrust(&mut self, client: usize) {
        self.unsafe_clients.insert(client);
        let lost = |op: &&mut Op| op.client == client && op.outcome == Outcome::Done && op.durable.is_none();
        for op in self.ops.iter_mut().filter(lost) {
            op.outcome = Outcome::Unsafe(op.returned);
            op.returned = Tick::MAX;
        }
    }

    pub fn trusts(&self, client: usize) -> bool {
        !self.unsafe_clients.contains(&client)
    }

    pub fn tick(&self) -> Tick {
        self.ticks.next()
    }

    /// An operation of `client` is issued; `after` chains the parts of one write.
    pub fn issue(&mut self, client: usize, kind: Kind, stamp: Stamp, range: Range<usize>, after: Option<Stamp>) {
        let issued = if after.is_some() { self.ticks.now() } else { self.tick() };
        let (lo, hi) = (range.start, range.end);
        let (outcome, returned, durable) = (Outcome::Pending, Tick::MAX, None);
        let after = after.and_then(|stamp| self.ops.iter().rposition(|op| op.stamp == stamp));
        let op = Op { client, stamp, kind, lo, hi, issued, returned, outcome, durable, after, perhaps: false };
        if let Some(instead) = &self.rolled_back {
            lock(instead).enter_perhaps(op.clone());
        }
        self.enter(op);
    }

    /// What is under way here may come after the rollback that `instead` begins with.
    pub fn carry_over(&self, instead: &mut History) {
        for op in self.ops.iter().filter(|op| op.outcome == Outcome::Pending) {
            instead.enter_perhaps(op.clone());
        }
    }

    /// Parts of one write that may be cut in two by a rollback count each for itself.
    fn enter_perhaps(&mut self, op: Op) {
        self.enter(Op { after: None, perhaps: true, ..op });
    }

    /// True if the operation was under way while the image was rolled back.
    pub fn is_perhaps(&self, stamp: Stamp) -> bool {
        self.ops.iter().rev().find(|op| op.stamp == stamp).is_some_and(|op| op.perhaps)
    }

    /// A change of size is under way.
    pub fn resizing(&mut self, size: u64) {
        self.sizes.insert(size);
        self.resized = Tick::MAX;
        self.size_log.push((self.tick(), self.sizes.clone()));
    }

    /// It returned; `None`: nobody knows what the size is.
    pub fn resized_to(&mut self, size: Option<u64>) {
        self.resized = self.tick();
        if let Some(size) = size {
            self.sizes = [size].into();
            self.size_log.push((self.resized, self.sizes.clone()));
        }
    }

    pub fn check_size(&self, size: u64) -> Result<(), String> {
        match self.sizes.contains(&size) {
            true => Ok(()),
            false => Err(format!("the size is {size}, and should be one of {:?}", self.sizes)),
        }
    }

    /// The sizes that the image may have had at some moment of these.
    pub fn sizes_between(&self, from: Tick, to: Tick) -> BTreeSet<u64> {
        let before = self.size_log.iter().rev().find(|(at, _)| *at < from);
        let between = self.size_log.iter().filter(|(at, _)| from <= *at && *at <= to);
        before.into_iter().chain(between).flat_map(|(_, sizes)| sizes).copied().collect()
    }

    fn enter(&mut self, op: Op) {
        if op.kind != Kind::Clear {
            self.by_stamp.insert(op.stamp, self.ops.len());
        }
        self.ops.push(op);
    }

    /// `durable`: the return promises it.
    pub fn returned(&mut self, stamp: Stamp, outcome: Outcome, durable: bool) {
        if let Some(instead) = &self.rolled_back {
            lock(instead).returned(stamp, outcome, durable);
        }
        let now = self.tick();
        let Some(op) = self.ops.iter_mut().rev().find(|op| op.stamp == stamp) else { return };
        if outcome == Outcome::Done && !durable && self.unsafe_clients.contains(&op.client) {
            op.outcome = Outcome::Unsafe(now);
            return;
        }
        op.returned = now;
        if op.perhaps && outcome == Outcome::Done {
            op.outcome = Outcome::Failed;
            return;
        }
        op.outcome = outcome;
        if outcome == Outcome::Done && durable {
            op.durable = Some(now);
        }
    }

    /// A flush that `client` issued at `since` returned success.
    pub fn flushed(&mut self, client: usize, since: Tick) {
        let now = self.tick();
        for op in self.ops.iter_mut().filter(|op| op.client == client) {
            match op.outcome {
                Outcome::Done if op.returned < since => {
                    op.durable.get_or_insert(now);
                }
                Outcome::Unsafe(told) if told < since => {
                    op.outcome = Outcome::Done;
                    op.returned = now;
                    op.durable = Some(now);
                }
                _ => {}
            }
        }
    }

    /// Everything of these that is seen in a snapshot is durable with it.
    pub fn is_kept(&mut self, seen: &BTreeSet<Stamp>) {
        let now = self.tick();
        for op in self.ops.iter_mut().filter(|op| op.kind != Kind::Clear && seen.contains(&op.stamp)) {
            op.durable.get_or_insert(now);
        }
    }

    /// True if nothing is under way in the range.
    pub fn is_quiet(&self, lo: usize, hi: usize) -> bool {
        self.under_way(lo, hi).next().is_none()
    }

    /// True if nothing is under way there that wants to be alone.
    pub fn is_shared(&self, lo: usize, hi: usize) -> bool {
        self.under_way(lo, hi).all(|op| op.kind == Kind::Write)
    }

    fn under_way(&self, lo: usize, hi: usize) -> impl Iterator<Item = &Op> {
        self.ops.iter().filter(move |op| op.outcome == Outcome::Pending && op.lo < hi && lo < op.hi)
    }
}
