//! The settings of an open image, which its metadata and its pool's may change while it is open.
//!
//! Owns: what is in force now. Does not own: what an option means (`settings.rs`), who takes the change up.
use crate::{Error, Options, Settings};
use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

#[derive(Debug)]
pub(crate) struct LiveSettings {
    /// Whoever opened the image said so.
    opened_with: Settings,
    now: RwLock<Settings>,
}

impl LiveSettings {
    pub(crate) fn new(opened_with: Settings) -> Self {
        Self { now: RwLock::new(opened_with.clone()), opened_with }
    }

    /// Not to be held: whoever changes the settings waits for it.
    pub(crate) fn now(&self) -> RwLockReadGuard<'_, Settings> {
        self.now.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts in force what the pool and the image say: the image's word counts more than the pool's, and that more than the
    /// opener's. Returns what of the image's is not understood.
    pub(crate) fn take_up(&self, pool: &Options, metadata: &BTreeMap<String, String>) -> Vec<Error> {
        let (image, faults) = Options::of_metadata(metadata);
        let settings = self.opened_with.with(&[pool, &image]);
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = settings;
        faults
    }
}
