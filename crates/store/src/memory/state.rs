//! What a memory cluster holds, and the checks every operation starts with.
use crate::locks::LockTable;
use crate::{KvMap, PoolId, StoreErrorKind, StoreLimits, WatchHandler, Watcher};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::time::Instant;

/// The first client's number: away from zero, so that a mistaken index shows.
const FIRST_CLIENT: u64 = 4100;

/// One object; as in RADOS, any object can have data, keys and locks.
#[derive(Default)]
pub(super) struct Object {
    pub data: Vec<u8>,
    /// Epoch and summary length of a log object.
    pub log: Option<LogState>,
    pub keys: KvMap,
    pub locks: LockTable,
    pub watches: Vec<Watch>,
}

#[derive(Clone, Copy)]
pub(super) struct LogState {
    pub epoch: u64,
    pub summary_len: u32,
}

#[derive(Clone)]
pub(super) struct Watch {
    pub watcher: Watcher,
    pub handler: Arc<dyn WatchHandler>,
}

/// What was read of a pool's objects so far, tails and keys apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryReads {
    pub operations: u64,
    pub bytes: u64,
}

pub(super) struct Pool {
    pub name: String,
    pub limits: StoreLimits,
    pub full: bool,
    /// Bytes that there could be; what is stored fits whatever it says.
    pub capacity: Option<u64>,
    pub reads: MemoryReads,
    pub objects: BTreeMap<String, Object>,
    /// Data bytes of all objects.
    pub stored_bytes: u64,
    /// The most there ever were since it was last asked.
    pub peak_bytes: u64,
    /// Data bytes written so far.
    pub written_bytes: u64,
}

impl Pool {
    /// `Full` if the pool has no room for another write.
    pub fn room(&self) -> Result<(), StoreErrorKind> {
        if self.full { Err(StoreErrorKind::Full) } else { Ok(()) }
    }

    /// Books data that was added to an object.
    pub fn grew(&mut self, bytes: u64) {
        self.stored_bytes += bytes;
        self.peak_bytes = self.peak_bytes.max(self.stored_bytes);
        self.written_bytes += bytes;
    }

    pub fn object(&mut self, name: &str) -> Result<&mut Object, StoreErrorKind> {
        self.objects.get_mut(name).ok_or(StoreErrorKind::NotFound)
    }
}

#[derive(Default)]
pub(super) struct State {
    pub pools: BTreeMap<PoolId, Pool>,
    clients: u64,
    cookies: u64,
    /// Address and end of every entry; no end means for ever.
    blocklist: BTreeMap<String, Option<Instant>>,
    pub blocklist_forbidden: bool,
}

impl State {
    pub fn add_pool(&mut self, name: &str, limits: StoreLimits) -> PoolId {
        let id = PoolId(self.pools.keys().last().map_or(1, |last| last.0 + 1));
        let pool = Pool {
            name: name.to_owned(),
            limits,
            full: false,
            capacity: None,
            reads: MemoryReads::default(),
            objects: BTreeMap::new(),
            stored_bytes: 0,
            peak_bytes: 0,
            written_bytes: 0,
        };
        self.pools.insert(id, pool);
        id
    }

    pub fn add_client(&mut self) -> u64 {
        self.clients += 1;
        FIRST_CLIENT + self.clients
    }

    pub fn next_cookie(&mut self) -> u64 {
        self.cookies += 1;
        self.cookies
    }

    pub fn pool(&mut self, id: PoolId) -> Result<&mut Pool, StoreErrorKind> {
        self.pools.get_mut(&id).ok_or(StoreErrorKind::NotFound)
    }

    pub fn block(&mut self, addr: &str, until: Option<Instant>) {
        self.blocklist.insert(addr.to_owned(), until);
    }

    pub fn is_blocked(&self, addr: &str, now: Instant) -> bool {
        self.blocklist.get(addr).is_some_and(|until| until.is_none_or(|until| now < until))
    }

    /// Takes every watch that `matches` out of every pool.
    pub fn take_watches(&mut self, mut matches: impl FnMut(&Watcher) -> bool) -> Vec<Watch> {
        let mut taken = Vec::new();
        for object in self.pools.values_mut().flat_map(|pool| pool.objects.values_mut()) {
            taken.extend(object.watches.extract_if(.., |watch| matches(&watch.watcher)));
        }
        taken
    }
}
