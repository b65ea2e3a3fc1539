//! Small keyed objects (RADOS: the omap of an object): the image header and the directory.
use crate::{ObjectName, StoreErrorKind, StoreFuture};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::fmt;

/// Keyed objects: small maps of keys and values that are changed under guards.
///
/// An implementor holds:
/// - An update is atomic: others see all of its changes or none, and so does a reader after a crash.
/// - A read is of one state of the object. It has every update of this client that was called before it.
/// - Of updates under the same guard exactly one wins, whichever clients they are from; of one client's the first call.
/// - Keys are text without a NUL and sort by their bytes; values are any bytes.
///
/// A pool may have none ([`StoreLimits::keyed_objects`](crate::StoreLimits::keyed_objects)): then both methods fail `Unsupported`.
pub trait Keyed: Send + Sync + fmt::Debug + 'static {
    /// All keys and values of a keyed object that start with `prefix`. `NotFound`.
    fn kv_get(&self, name: &ObjectName, prefix: &str) -> StoreFuture<KvMap>;

    /// One atomic compare-then-write: see [`KvUpdate`]. `Stale` if a guard does not hold; `Exists` or `NotFound` if the object's
    /// presence is not as demanded. Works in a full pool when it only removes keys, or the object must exist; `Full` otherwise.
    fn kv_update(&self, name: &ObjectName, update: KvUpdate) -> StoreFuture<()>;
}

/// The keys and values of one object.
pub type KvMap = BTreeMap<String, Bytes>;

/// Whether the object itself must be there before an update.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KvPresence {
    /// Created if it is missing.
    #[default]
    Any,
    /// Must not exist: else `Exists`.
    MustCreate,
    /// Must exist: else `NotFound`.
    MustExist,
}

/// One guard: the key's present value. An absent key and an empty value are the same
/// (RADOS compares an absent omap key as empty), so values stored under guarded keys are never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvExpect {
    pub key: String,
    pub value: Bytes,
}

/// One atomic compare-then-write of a keyed object: every guard holds and every change is made, or nothing is
/// (`Stale`).
#[derive(Clone, Debug, Default)]
pub struct KvUpdate {
    pub presence: KvPresence,
    pub expect: Vec<KvExpect>,
    pub set: Vec<(String, Bytes)>,
    pub remove: Vec<String>,
}

impl KvUpdate {
    #[must_use]
    pub fn expect(mut self, key: impl Into<String>, value: impl Into<Bytes>) -> Self {
        self.expect.push(KvExpect { key: key.into(), value: value.into() });
        self
    }

    #[must_use]
    pub fn set(mut self, key: impl Into<String>, value: impl Into<Bytes>) -> Self {
        self.set.push((key.into(), value.into()));
        self
    }

    #[must_use]
    pub fn remove(mut self, key: impl Into<String>) -> Self {
        self.remove.push(key.into());
        self
    }

    #[must_use]
    pub fn presence(mut self, presence: KvPresence) -> Self {
        self.presence = presence;
        self
    }

    /// What a keyed object holds after this update; `present` is what it holds now, `None` if it does not exist.
    pub(crate) fn apply(&self, present: Option<&KvMap>) -> Result<KvMap, StoreErrorKind> {
        match (self.presence, present) {
            (KvPresence::MustCreate, Some(_)) => return Err(StoreErrorKind::Exists),
            (KvPresence::MustExist, None) => return Err(StoreErrorKind::NotFound),
            _ => {}
        }
        let mut map = present.cloned().unwrap_or_default();
        let holds = |guard: &KvExpect| map.get(&guard.key).map_or(&b""[..], |value| value) == guard.value;
        if !self.expect.iter().all(holds) {
            return Err(StoreErrorKind::Stale);
        }
        for key in &self.remove {
            map.remove(key);
        }
        map.extend(self.set.iter().cloned());
        Ok(map)
    }
}
