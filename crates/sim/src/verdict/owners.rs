//! Whose history counts: each owner that found the image begins one, and clients that hand it to each other share theirs.
//!
//! Owns: the histories of a run, and which of them a client's operations belong to. Does not own: what a history records
//! (`history.rs`), what is right (`check.rs`), when somebody becomes the owner (`run/`).
use crate::verdict::eras::{Era, Eras};
use crate::verdict::history::{History, SharedHistory, lock};
use crate::verdict::ticks::{Tick, Ticks};
use crate::world::disk::{Stamp, ZERO};
use crate::world::net::Net;
use lsd_engine::Image;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A history that ended, and what the next owner found: everything that is promised later must be in it as well.
struct Closed {
    history: SharedHistory,
    found: Found,
    end: usize,
}

/// Content that somebody found, and the size that the image had, bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub stamps: Vec<Stamp>,
    pub size: u64,
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
    eras: Eras,
}

pub struct Owners {
    net: Arc<Net>,
    ticks: Ticks,
    inner: Mutex<Inner>,
}

impl Owners {
    /// Before the first owner: the image is empty and of this size, bytes.
    pub fn new(net: Arc<Net>, granules: usize, size: u64) -> Self {
        let ticks = Ticks::new();
        let history = Arc::new(Mutex::new(History::new(vec![ZERO; granules], size, ticks.clone())));
        let (participants, last_owner, closed) = (BTreeMap::new(), usize::MAX, Vec::new());
        let mut eras = Eras::default();
        eras.begin(&history, usize::MAX, ticks.now());
        Self { net, ticks, inner: Mutex::new(Inner { history, participants, last_owner, closed, eras }) }
    }

    pub fn tick(&self) -> Tick {
        self.ticks.next()
    }

    /// The histories of which a moment of these may be.
    pub fn eras(&self, from: Tick, to: Tick) -> Vec<Era> {
        self.lock().eras.between(from, to)
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

    /// That of whoever owns the image now.
    pub fn present(&self) -> SharedHistory {
        self.lock().history.clone()
    }

    /// A new owner found this content, which was checked: its history begins. Whoever lives and believes that it is the owner is fenced
    /// and stays in the old one; whoever has handed the image over may get it again. `end`: the first granule beyond the end.
    pub fn begin(&self, client: usize, image: &Image, found: Found, end: usize) {
        let mut base = found.stamps.clone();
        base[end..].fill(ZERO);
        let mut inner = self.lock();
        let inner = &mut *inner;
        inner.participants.retain(|client, _| !self.net.is_dead(*client));
        let current = inner.history.clone();
        let shares = |one: &Participant| Arc::ptr_eq(&one.history, &current) && !one.image.locks().is_owner();
        let others: BTreeSet<usize> =
            inner.participants.iter().filter(|(_, one)| shares(one)).map(|(client, _)| *client).collect();
        let next = Arc::new(Mutex::new(lock(&current).next(base, found.size, &others)));
        for other in &others {
            if let Some(one) = inner.participants.get_mut(other) {
                one.history = next.clone();
            }
        }
        inner.participants.insert(client, Participant { image: image.clone(), history: next.clone() });
        inner.last_owner = client;
        let now = self.ticks.next();
        for ended in chain(&current) {
            inner.eras.end(&ended, now);
        }
        inner.eras.begin(&next, client, now);
        let history = std::mem::replace(&mut inner.history, next);
        inner.closed.push(Closed { history, found, end });
    }

    /// `client`, or another for it, is about to roll the present owner's image back to this content. Returns the history that is over
    /// if that happens; `None`: not now.
    pub fn roll_back(&self, client: usize, to: &Found, end: usize) -> Option<SharedHistory> {
        let mut inner = self.lock();
        let history = inner.history.clone();
        let is_its = inner.participants.get(&client).is_some_and(|one| Arc::ptr_eq(&one.history, &history));
        let mut before = lock(&history);
        if !is_its || before.rolled_back.is_some() {
            return None;
        }
        let mut base = to.stamps.clone();
        base[end..].fill(ZERO);
        let mut next = History::new(base, to.size, self.ticks.clone());
        before.carry_over(&mut next);
        let next = Arc::new(Mutex::new(next));
        before.rolled_back = Some(next.clone());
        drop(before);
        inner.eras.begin(&next, client, self.ticks.next());
        Some(history)
    }

    /// The rollback of `history` happened. It did so before another owner began, if one has: what that found is checked at the end.
    pub fn rolled_back(&self, history: &SharedHistory) {
        let mut inner = self.lock();
        let inner = &mut *inner;
        let next = {
            let mut history = lock(history);
            history.is_over = true;
            history.rolled_back.clone()
        };
        let Some(next) = next else { return };
        inner.eras.end(history, self.ticks.next());
        for one in inner.participants.values_mut().filter(|one| Arc::ptr_eq(&one.history, history)) {
            one.history = next.clone();
        }
        if Arc::ptr_eq(&inner.history, history) {
            inner.history = next;
        }
    }

    /// It did not happen, and will not.
    pub fn not_rolled_back(&self, history: &SharedHistory) {
        if let Some(next) = lock(history).rolled_back.take() {
            self.lock().eras.forget(&next);
        }
    }

    /// The client was cut off.
    pub fn cut(&self, client: usize) {
        self.lock().eras.cut(client, self.ticks.next());
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
            let checked = check_found(&history, &found, u64::MAX, end, Who::Owner);
            checked.err().map(|why| format!("promised after the image was taken over: {why}"))
        });
        broken.collect()
    }
}

/// Who looks at the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// It got the image: what it finds is the present.
    Owner,
    /// What it sees may be as old as its handle.
    Reader,
}

/// As [`History::check`], of the size also where an owner finds it; with what a rollback made of it instead.
pub fn check_found(history: &SharedHistory, found: &Found, durable: Tick, end: usize, who: Who) -> Result<(), String> {
    let (checked, instead) = {
        let history = lock(history);
        let sized = match who {
            Who::Owner if history.is_over => Err("the rollback that was acknowledged is not to be seen".to_owned()),
            Who::Owner => history.check_size(found.size),
            Who::Reader => Ok(()),
        };
        (sized.and_then(|()| history.check(&found.stamps, durable, end)), history.rolled_back.clone())
    };
    match (checked, instead) {
        (Err(why), Some(instead)) => check_found(&instead, found, durable, end, who)
            .map_err(|other| format!("{why}; and if the image was rolled back: {other}")),
        (checked, _) => checked,
    }
}

/// As [`History::check_read`], or what a rollback made of it instead.
pub fn check_read(history: &SharedHistory, lo: usize, seen: &[Stamp], since: Tick) -> Result<(), String> {
    let (checked, instead) = {
        let history = lock(history);
        (history.check_read(lo, seen, since), history.rolled_back.clone())
    };
    match (checked, instead) {
        (Err(why), Some(instead)) => check_read(&instead, lo, seen, since)
            .map_err(|other| format!("{why}; and if the image was rolled back: {other}")),
        (checked, _) => checked,
    }
}

/// The history and what rollbacks that nobody knows of made of it.
fn chain(history: &SharedHistory) -> Vec<SharedHistory> {
    let mut all = vec![history.clone()];
    while let Some(next) = all.last().and_then(|last| lock(last).rolled_back.clone()) {
        all.push(next);
    }
    all
}
