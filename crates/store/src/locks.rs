//! The rules of advisory locks, without any store: who may hold which lock of one object.
//!
//! Owns: the decision and the table. Does not own: where a table is kept, or whether a holder is still alive. The
//! rules are those of RADOS's lock class, so that the engine sees the same answers everywhere.
use crate::{LockMode, LockRequest, LockState, Locker, StoreErrorKind};
use std::collections::BTreeMap;

/// Every lock of one object that somebody holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct LockTable {
    locks: BTreeMap<String, LockState>,
}

impl LockTable {
    /// `client` takes a lock: `Exists` if it already holds it under this cookie, `Busy` if others are in the way.
    pub fn acquire(&mut self, request: &LockRequest, client: &str, addr: &str) -> Result<(), StoreErrorKind> {
        let exclusive = request.mode == LockMode::Exclusive;
        if let Some(held) = self.locks.get(&request.name) {
            if held.tag != request.tag {
                return Err(StoreErrorKind::Busy);
            }
            if held.lockers.iter().any(|locker| locker.client == client && locker.cookie == request.cookie) {
                return Err(StoreErrorKind::Exists);
            }
            if exclusive || held.exclusive {
                return Err(StoreErrorKind::Busy);
            }
        }
        let state = self.locks.entry(request.name.clone()).or_default();
        state.exclusive = exclusive;
        state.tag.clone_from(&request.tag);
        state.lockers.push(Locker { client: client.to_owned(), cookie: request.cookie.clone(), addr: addr.to_owned() });
        Ok(())
    }

    /// Takes the lock away from (client, cookie): `NotFound` if they do not hold it.
    pub fn release(&mut self, lock: &str, client: &str, cookie: &str) -> Result<(), StoreErrorKind> {
        let state = self.locks.get_mut(lock).ok_or(StoreErrorKind::NotFound)?;
        let held = |locker: &Locker| locker.client == client && locker.cookie == cookie;
        let place = state.lockers.iter().position(held).ok_or(StoreErrorKind::NotFound)?;
        state.lockers.remove(place);
        if state.lockers.is_empty() {
            self.locks.remove(lock);
        }
        Ok(())
    }

    /// The state of one lock; the default if nobody holds it.
    pub fn state(&self, lock: &str) -> LockState {
        self.locks.get(lock).cloned().unwrap_or_default()
    }
    /// Every lock and its holders.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &LockState)> {
        self.locks.iter()
    }

    /// Puts a lock in that was decided before.
    pub fn insert(&mut self, lock: String, state: LockState) {
        self.locks.insert(lock, state);
    }

    /// Drops the holders that `alive` denies.
    pub fn retain(&mut self, mut alive: impl FnMut(&Locker) -> bool) {
        self.locks.retain(|_, state| {
            state.lockers.retain(&mut alive);
            !state.lockers.is_empty()
        });
    }
}
