//! The settings of an open image, which its metadata and its pool's may change while it is open.
//!
//! Owns: what is in force now, and what the pool said last. Does not own: what an option means (`settings.rs`), who takes a
//! change up.
use crate::api::config::image_config;
use crate::{ConfigOption, Error, Options, PoolMetadata, Result, Settings};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

#[derive(Debug)]
pub(crate) struct LiveSettings {
    /// Whoever opened the image said so.
    opened_with: Settings,
    pool: PoolMetadata,
    pool_options: Mutex<Options>,
    now: RwLock<Settings>,
    /// Held by whoever puts settings in force.
    turn: Mutex<()>,
}

impl LiveSettings {
    /// Reads what the pool says. `metadata`: the image's.
    pub(crate) async fn new(
        opened_with: Settings,
        pool: PoolMetadata,
        metadata: &BTreeMap<String, String>,
    ) -> Result<Self> {
        let pool_options = Mutex::new(pool.options().await?);
        let (now, turn) = (RwLock::new(opened_with.clone()), Mutex::default());
        let live = Self { now, opened_with, pool, pool_options, turn };
        live.take_up(metadata);
        Ok(live)
    }

    /// To be held while settings are taken up and put in force.
    pub(crate) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Not to be held: whoever changes the settings waits for it.
    pub(crate) fn now(&self) -> RwLockReadGuard<'_, Settings> {
        self.now.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what the pool says now, for the next time that settings are taken up. What cannot be read is as it was.
    pub(crate) async fn look_at_pool(&self) {
        if let Ok(options) = self.pool.options().await {
            *self.pool_options.lock().unwrap_or_else(PoisonError::into_inner) = options;
        }
    }

    /// Every option that an image may override, with what holds: `config` is the opener's, `metadata` the image's.
    pub(crate) async fn listed(
        &self,
        config: &(dyn Fn(&str) -> Option<String> + Sync),
        metadata: &BTreeMap<String, String>,
    ) -> Result<Vec<ConfigOption>> {
        let pool = self.pool.visible().await?;
        Ok(image_config(config, &pool, metadata))
    }

    /// Puts in force what the pool and the image say: the image's word counts more than the pool's, and that more than the
    /// opener's. Returns what of the image's is not understood.
    pub(crate) fn take_up(&self, metadata: &BTreeMap<String, String>) -> Vec<Error> {
        let (image, faults) = Options::of_metadata(metadata);
        let pool = self.pool_options.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let settings = self.opened_with.with(&[&pool, &image]);
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = settings;
        faults
    }
}
