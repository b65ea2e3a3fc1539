//! Small keyed objects (RADOS: the omap of an object): the image header and the directory.
use crate::StoreErrorKind;
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
