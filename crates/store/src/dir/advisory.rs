//! Who locks and watches an object: a keyed file beside the object, whose entries count only while their client lives; watches
//! only while it shows that it does.
//!
//! Owns: that file. Does not own: the rules of locks (`locks`), the life of clients (`clients`), the delivery of
//! notifications (`hub`).
use super::clients::Clients;
use super::fault::{Fault, Outcome};
use super::keyed_object;
use super::room::Urgency;
use super::root::Root;
use crate::locks::LockTable;
use crate::{KvMap, LockState, Locker, StoreErrorKind, Watcher};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

const LOCK: &str = "lock/";
const WATCH: &str = "watch/";

/// A lock as its key's value, JSON.
#[derive(Serialize, Deserialize)]
struct StoredLock {
    exclusive: bool,
    tag: String,
    lockers: Vec<StoredLocker>,
}

#[derive(Serialize, Deserialize)]
struct StoredLocker {
    client: String,
    cookie: String,
    addr: String,
}

/// The living holders and watchers of one object.
#[derive(Default)]
pub(super) struct Advisory {
    pub locks: LockTable,
    pub watchers: Vec<Watcher>,
}

/// What is there now; `NotFound` if the object is missing.
pub(super) fn load(root: &Root, name: &str) -> Outcome<Advisory> {
    must_exist(root, name)?;
    load_leftover(root, name)
}

/// What is there now, whether the object still exists or not.
pub(super) fn load_leftover(root: &Root, name: &str) -> Outcome<Advisory> {
    match keyed_object::get(root, &root.advisory(name)?) {
        Ok(map) => Advisory::decode(&map, &root.clients),
        Err(fault) if fault.kind == StoreErrorKind::NotFound => Ok(Advisory::default()),
        Err(fault) => Err(fault.while_doing("list of locks and watches")),
    }
}

/// One atomic change of it; `NotFound` if the object is missing.
pub(super) fn modify(
    root: &Root,
    name: &str,
    mut change: impl FnMut(&mut Advisory) -> Result<(), StoreErrorKind>,
) -> Outcome<()> {
    must_exist(root, name)?;
    keyed_object::modify(root, &root.advisory(name)?, Urgency::Urgent, |present| {
        let mut advisory = match present {
            Some(map) => Advisory::decode(map, &root.clients)?,
            None => Advisory::default(),
        };
        change(&mut advisory)?;
        advisory.encode()
    })
}

fn must_exist(root: &Root, name: &str) -> Outcome<()> {
    if root.object(name)?.exists() { Ok(()) } else { Err(StoreErrorKind::NotFound.into()) }
}

impl Advisory {
    fn decode(map: &KvMap, clients: &Clients) -> Outcome<Self> {
        let mut advisory = Self::default();
        for (key, value) in map {
            let understood = match (key.strip_prefix(LOCK), key.strip_prefix(WATCH)) {
                (Some(lock), _) => advisory.add_lock(lock, value),
                (_, Some(watch)) => advisory.add_watch(watch, value),
                _ => None,
            };
            understood.ok_or_else(|| Fault::corrupt(format!("the entry {key:?} cannot be understood")))?;
        }
        advisory.locks.retain(|holder| number_of(&holder.client).is_some_and(|client| clients.is_there(client)));
        // A lock stays with a client that is silent: who wants it sees that its watch has ended, and takes it away.
        advisory.watchers.retain(|watcher| clients.answers(watcher.client));
        Ok(advisory)
    }

    fn add_lock(&mut self, lock: &str, value: &[u8]) -> Option<()> {
        let stored: StoredLock = serde_json::from_slice(value).ok()?;
        let lockers = stored.lockers.into_iter();
        let lockers = lockers.map(|one| Locker { client: one.client, cookie: one.cookie, addr: one.addr }).collect();
        self.locks.insert(lock.to_owned(), LockState { exclusive: stored.exclusive, tag: stored.tag, lockers });
        Some(())
    }

    fn add_watch(&mut self, watch: &str, value: &[u8]) -> Option<()> {
        let (client, cookie) = watch.split_once('/')?;
        let addr = std::str::from_utf8(value).ok()?.to_owned();
        self.watchers.push(Watcher { addr, client: client.parse().ok()?, cookie: cookie.parse().ok()? });
        Some(())
    }

    fn encode(&self) -> Outcome<KvMap> {
        let mut map = KvMap::new();
        for (lock, state) in self.locks.iter() {
            let holders = state.lockers.iter().cloned();
            let lockers = holders.map(|one| StoredLocker { client: one.client, cookie: one.cookie, addr: one.addr });
            let stored = StoredLock { exclusive: state.exclusive, tag: state.tag.clone(), lockers: lockers.collect() };
            let value = serde_json::to_vec(&stored).map_err(|error| Fault::corrupt(error.to_string()))?;
            map.insert(format!("{LOCK}{lock}"), value.into());
        }
        for watcher in &self.watchers {
            let key = format!("{WATCH}{}/{}", watcher.client, watcher.cookie);
            map.insert(key, Bytes::from(watcher.addr.clone()));
        }
        Ok(map)
    }
}

fn number_of(client: &str) -> Option<u64> {
    client.strip_prefix("client.")?.parse().ok()
}
