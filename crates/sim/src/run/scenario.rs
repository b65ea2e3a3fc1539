//! What the clients of one run share: the image, its true history, and the first broken promise.
use crate::verdict::history::History;
use crate::world::disk::{Disk, Stamp};
use crate::world::net::Net;
use lsd_engine::{Clock, Error, ErrorKind, Image, ImageId};
use lsd_store::PoolId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// After a full pool has room again, clients may be told that it is full for so long, milliseconds.
const FULL_ECHO_MS: u64 = 15_000;

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
    last_stamp: Stamp,
    failure: Option<String>,
    /// When a pool was full the last time.
    full_at: Option<u64>,
    full: bool,
}

pub struct World {
    pub net: Arc<Net>,
    pub disk: Disk,
    pub id: ImageId,
    /// Where the header is.
    pub pool: PoolId,
    pub blocklist_lags: bool,
    inner: Mutex<Inner>,
}

impl World {
    pub fn new(net: Arc<Net>, disk: Disk, id: ImageId, pool: PoolId, blocklist_lags: bool) -> Arc<Self> {
        let history = Arc::new(Mutex::new(History::new(vec![0; disk.granules], disk.size)));
        let inner = Inner {
            history,
            participants: BTreeMap::new(),
            last_owner: usize::MAX,
            closed: Vec::new(),
            last_stamp: 0,
            failure: None,
            full_at: None,
            full: false,
        };
        Arc::new(Self { net, disk, id, pool, blocklist_lags, inner: Mutex::new(inner) })
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
    /// and stays in the old one; whoever has handed the image over may get it again.
    pub fn begin(&self, client: usize, image: &Image, found: Vec<Stamp>, size: u64) {
        let end = self.disk.first_beyond(size);
        let mut base = found.clone();
        base[end..].fill(crate::world::disk::ZERO);
        let mut inner = self.lock();
        let inner = &mut *inner;
        inner.participants.retain(|client, _| !self.net.is_dead(*client));
        let current = inner.history.clone();
        let shares = |one: &Participant| Arc::ptr_eq(&one.history, &current) && !one.image.is_lock_owner();
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
        let shares = |one: &Participant| Arc::ptr_eq(&one.history, &inner.history) && one.image.is_lock_owner();
        if inner.last_owner != client && inner.participants.get(&client).is_some_and(shares) {
            inner.last_owner = client;
            self.net.count(|coverage| coverage.hand_overs += 1);
        }
    }

    /// Checks again what every owner found, now that all that was ever promised is known.
    pub fn check_promises(&self) {
        let closed = std::mem::take(&mut self.lock().closed);
        for Closed { history, found, end } in closed {
            if let Err(why) = lock(&history).check(&found, u64::MAX, end) {
                self.fail(format!("promised after the image was taken over: {why}"));
            }
        }
    }

    pub fn stamp(&self) -> Stamp {
        let mut inner = self.lock();
        inner.last_stamp += 1;
        inner.last_stamp
    }

    pub fn fail(&self, why: impl Into<String>) {
        let why = why.into();
        self.net.note(usize::MAX, "FAILURE", "", &why);
        self.lock().failure.get_or_insert(why);
    }

    pub fn failure(&self) -> Option<String> {
        self.lock().failure.clone()
    }

    pub fn set_full(&self, full: bool) {
        let now = self.net.now_ms();
        let mut inner = self.lock();
        inner.full = full;
        inner.full_at = Some(now);
    }

    pub fn is_full(&self) -> bool {
        self.lock().full
    }

    /// An error of `client`: it fails the run unless the client is entitled to it. `alone`: nobody else can hold the image.
    pub fn judge(&self, client: usize, doing: &str, error: &Error, alone: bool) {
        self.net.note(client, "error", doing, &format!("{:?}: {error}", error.kind));
        let contested = self.net.is_cut(client) || self.net.has_zombies() || self.net.had_zombie();
        let now = self.net.now_ms();
        let entitled = match error.kind {
            ErrorKind::TimedOut | ErrorKind::Io { .. } => self.net.may_fail(),
            ErrorKind::NoSpace => {
                let inner = self.lock();
                // Answers to a client that was cut off arrive whenever it is connected again.
                let late = inner.full_at.is_some() && self.net.is_cut(client);
                inner.full || late || inner.full_at.is_some_and(|at| now < at + FULL_ECHO_MS)
            }
            // Also alone: a lock whose release was lost is in its own handle's way (docs/TESTING.md).
            ErrorKind::Busy => !alone || contested || self.net.may_fail(),
            // What the owner of a newer epoch does not need any more is gone for an older one.
            ErrorKind::Fenced | ErrorKind::Corrupt => contested,
            // What was issued before the image changed hands may lie outside the size that others gave it since.
            ErrorKind::Invalid => contested,
            // Who was taken for dead, and still owns the image, may have resized it first.
            ErrorKind::Canceled => contested && doing == "resize",
            _ => false,
        };
        if !entitled {
            self.fail(format!("client {client}, {doing}: not entitled to {:?}: {error}", error.kind));
        }
    }
}

pub fn lock(history: &SharedHistory) -> MutexGuard<'_, History> {
    history.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The clock of the run: virtual time since an arbitrary moment.
#[derive(Debug)]
pub struct VirtualClock(pub tokio::time::Instant);

impl Clock for VirtualClock {
    fn now_ns(&self) -> u64 {
        1_700_000_000_000_000_000 + self.0.elapsed().as_nanos() as u64
    }
}
