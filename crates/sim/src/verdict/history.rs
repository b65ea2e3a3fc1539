//! What a client issued and was told: the record of the disk's true history.
//!
//! Owns: operations with their order in time and what was promised of them. Does not own: which content may follow from it
//! (`check.rs`), whose history an operation belongs to (`owners.rs`).
//!
//! Clients that hand the image to each other share a history. What a client issued that lives and was not fenced may take effect until
//! it returns, also after others had the image (`docs/DURABILITY.md`, section 3).
use crate::world::disk::Stamp;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// A moment: every issue and every return has its own.
pub type Tick = u64;

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
    /// Clients that may lose the image without handing it over while another one of this history goes on.
    unsafe_clients: BTreeSet<usize>,
    now: Tick,
}

impl History {
    pub fn new(base: Vec<Stamp>, size: u64) -> Self {
        let (sizes, by_stamp) = (BTreeSet::from([size]), BTreeMap::new());
        Self { base, ops: Vec::new(), sizes, resized: 0, by_stamp, unsafe_clients: BTreeSet::new(), now: 1 }
    }

    /// The history of the next owner, who found `base`. `others` live on: what they issued and have not been told of may still take
    /// effect in it.
    pub fn next(&self, base: Vec<Stamp>, size: u64, others: &BTreeSet<usize>) -> Self {
        let mut next = Self::new(base, size);
        next.now = self.now;
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

    pub fn tick(&mut self) -> Tick {
        self.now += 1;
        self.now
    }

    /// An operation of `client` is issued; `after` chains the parts of one write.
    pub fn issue(&mut self, client: usize, kind: Kind, stamp: Stamp, range: Range<usize>, after: Option<Stamp>) {
        let issued = if after.is_some() { self.now } else { self.tick() };
        let (lo, hi) = (range.start, range.end);
        let (outcome, returned, durable) = (Outcome::Pending, Tick::MAX, None);
        let after = after.and_then(|stamp| self.ops.iter().rposition(|op| op.stamp == stamp));
        self.enter(Op { client, stamp, kind, lo, hi, issued, returned, outcome, durable, after });
    }

    fn enter(&mut self, op: Op) {
        if op.kind != Kind::Clear {
            self.by_stamp.insert(op.stamp, self.ops.len());
        }
        self.ops.push(op);
    }

    /// `durable`: the return promises it.
    pub fn returned(&mut self, stamp: Stamp, outcome: Outcome, durable: bool) {
        let now = self.tick();
        let Some(op) = self.ops.iter_mut().rev().find(|op| op.stamp == stamp) else { return };
        if outcome == Outcome::Done && !durable && self.unsafe_clients.contains(&op.client) {
            op.outcome = Outcome::Unsafe(now);
            return;
        }
        op.returned = now;
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
