//! Small keyed objects (RADOS: the omap of an object): the image header and the directory.
use bytes::Bytes;
use std::collections::BTreeMap;

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
}
