//! Whose history counts: each owner that found the image begins one, and clients that hand it to each other share theirs.
//!
//! Owns: the histories of a run, and which of them a client's operations belong to. Does not own: what a history records
//! (`history.rs`), what is right (`check.rs`), when somebody becomes the owner (`run/`).
use crate::verdict::history::History;
use crate::world::disk::{Stamp, ZERO};
use crate::world::net::Net;
use lsd_engine::Image;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub type SharedHistory = Arc<Mutex<History>>;

/// A history that ended, and what the next owner found: everything that is promised later must be in it as well.
struct Closed {
    history: SharedHistory,
    found: Vec<Stamp>,
    end: usize,
}

/// A client that owned the image, and the history that its operations belong to: the present one unless it was fenced.
struct Participant {
    image: Image,
    history: SharedHistory,
}

struct Inner {
    history: SharedHistory,
    participants: BTreeMap<usize, Participant>,
    last_owner: usize,
    closed: Vec<Closed>,
}

pub struct Owners {
    net: Arc<Net>,
    inner: Mutex<Inner>,
}

impl Owners {
    /// Before the first owner: the image is as `history` begins.
    pub fn new(net: Arc<Net>, history: History) -> Self {
        let history = Arc::new(Mutex::new(history));
        let (participants, closed) = (BTreeMap::new(), Vec::new());
        Self { net, inner: Mutex::new(Inner { history, participants, last_owner: usize::MAX, closed }) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The history of the present owner, or of the last one.
    pub fn history(&self) -> SharedHistory {
        self.lock().history.clone()
    }

    /// The history that the operations of a client belong to.
    pub fn history_of(&self, client: usize) -> SharedHistory {
        let inner = self.lock();
        inner.participants.get(&client).map_or_else(|| inner.history.clone(), |client| client.history.clone())
    }

    /// A new owner found this content, which was checked: its history begins. Whoever lives and believes that it is the owner is fenced
    /// and stays in the old one; whoever has handed the image over may get it again. `end`: the first granule beyond `size`, bytes.
    pub fn begin(&self, client: usize, image: &Image, found: Vec<Stamp>, size: u64, end: usize) {
        let mut base = found.clone();
        base[end..].fill(ZERO);
        let mut inner = self.lock();
        let inner = &mut *inner;
        inner.participants.retain(|client, _| !self.net.is_dead(*client));
        let current = inner.history.clone();
        let shares = |one: &Participant| Arc::ptr_eq(&one.history, &current) && !one.image.locks().is_owner();
        let others: BTreeSet<usize> =
            inner.participants.iter().filter(|(_, one)| shares(one)).map(|(client, _)| *client).collect();
        let next = Arc::new(Mutex::new(lock(&current).next(base, size, &others)));
        for other in &others {
            if let Some(one) = inner.participants.get_mut(other) {
                one.history = next.clone();
            }
        }
        inner.participants.insert(client, Participant { image: image.clone(), history: next.clone() });
        inner.last_owner = client;
        let history = std::mem::replace(&mut inner.history, next);
        inner.closed.push(Closed { history, found, end });
    }

    /// True if nobody else lives who may get the image by a hand-over.
    pub fn is_alone(&self, client: usize) -> bool {
        let inner = self.lock();
        let shares = |one: &Participant| Arc::ptr_eq(&one.history, &inner.history);
        !inner.participants.iter().any(|(other, one)| *other != client && shares(one) && !self.net.is_dead(*other))
    }

    /// The client died, was cut off or was fenced: where others share its history, they may go on without what it had in memory.
    pub fn distrust(&self, client: usize) {
        if !self.is_alone(client) {
            lock(&self.history_of(client)).distrust(client);
        }
    }

    /// The client changed the image; counts how often it goes from hand to hand.
    pub fn wrote(&self, client: usize) {
        let mut inner = self.lock();
        let shares = |one: &Participant| Arc::ptr_eq(&one.history, &inner.history) && one.image.locks().is_owner();
        if inner.last_owner != client && inner.participants.get(&client).is_some_and(shares) {
            inner.last_owner = client;
            self.net.count(|coverage| coverage.hand_overs += 1);
        }
    }

    /// Checks again what every owner found, now that all that was ever promised is known. Returns which promises were broken.
    pub fn check_promises(&self) -> Vec<String> {
        let closed = std::mem::take(&mut self.lock().closed);
        let broken = closed.into_iter().filter_map(|Closed { history, found, end }| {
            let checked = lock(&history).check(&found, u64::MAX, end);
            checked.err().map(|why| format!("promised after the image was taken over: {why}"))
        });
        broken.collect()
    }
}

pub fn lock(history: &SharedHistory) -> MutexGuard<'_, History> {
    history.lock().unwrap_or_else(PoisonError::into_inner)
}
