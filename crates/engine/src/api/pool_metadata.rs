//! Key-value metadata of a pool: above all the options that it overrides for its images (`conf_*`).
//!
//! Owns: the keyed object `lsd_info` in the pool's default namespace. Does not own: what the options are (`options.rs`).
use crate::api::error::{corrupt, invalid};
use crate::api::limits::MAX_METADATA_BYTES;
use crate::api::options::{self, Level, OVERRIDE_PREFIX};
use crate::compiled_here;
use crate::{Error, ErrorKind, Options, Result};
use lsd_core::format::header::{decode_text, encode_text, key};
use lsd_core::format::names;
use lsd_store::{KvPresence, KvUpdate, ObjectName, ObjectStore, StoreErrorKind};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The metadata of one pool.
#[derive(Clone, Debug)]
pub struct PoolMetadata {
    pool: Arc<dyn ObjectStore>,
}

impl PoolMetadata {
    /// `pool`: the pool's default namespace.
    pub fn new(pool: Arc<dyn ObjectStore>) -> Self {
        Self { pool }
    }

    fn object() -> ObjectName {
        names::POOL_METADATA.into()
    }

    /// Every key with its value, sorted. `Corrupt`: one of them does not verify; the error names it.
    #[compiled_here]
    pub async fn list(&self) -> Result<BTreeMap<String, String>> {
        self.read().await?.into_iter().map(|(name, value)| Ok((name, value?))).collect()
    }

    /// Each value by itself, so that a damaged one is in nobody's way but its own.
    async fn read(&self) -> Result<BTreeMap<String, Result<String>>> {
        let values = match self.pool.kv_get(&Self::object(), key::META).await {
            Ok(values) => values,
            // A pool of which nothing was ever said.
            Err(error) if error.kind == StoreErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(error) => return Err(error.into()),
        };
        let entry = |(stored, value): (&String, &bytes::Bytes)| {
            let name = stored[key::META.len()..].to_owned();
            let place = ObjectName::from(format!("{}, key {stored:?}", Self::object()));
            (name, decode_text(value).map_err(|error| corrupt(&place, error)))
        };
        Ok(values.iter().map(entry).collect())
    }

    /// Those that verify. The pool's images are opened and made whatever the others are.
    async fn readable(&self) -> Result<BTreeMap<String, String>> {
        let value = |(name, value): (String, Result<String>)| match value {
            Ok(value) => Some((name, value)),
            Err(error) => {
                tracing::warn!(target: "lsd::header", op = "pool-metadata", %error, "a pool's metadata is ignored");
                None
            }
        };
        Ok(self.read().await?.into_iter().filter_map(value).collect())
    }

    /// `NotFound`, `Corrupt`.
    #[compiled_here]
    pub async fn get(&self, name: &str) -> Result<String> {
        self.read().await?.remove(name).ok_or_else(|| not_found(name))?
    }

    /// `Invalid`: an override of an option with text that is not understood. Images that are open take it up when their header
    /// changes, or their cache is invalidated.
    #[compiled_here]
    pub async fn set(&self, name: &str, value: &str) -> Result<()> {
        check(name, value, Level::Pool)?;
        let update = KvUpdate::default().presence(KvPresence::Any).set(stored(name), encode_text(value));
        Ok(self.pool.kv_update(&Self::object(), update).await?)
    }

    /// `NotFound`.
    #[compiled_here]
    pub async fn remove(&self, name: &str) -> Result<()> {
        if !self.read().await?.contains_key(name) {
            return Err(not_found(name));
        }
        let update = KvUpdate::default().presence(KvPresence::MustExist).remove(stored(name));
        Ok(self.pool.kv_update(&Self::object(), update).await?)
    }

    /// The overrides by the names of their options, as far as they are understood: what is made in the pool goes by them. To a user
    /// who may not look there it says nothing.
    #[compiled_here]
    pub async fn overrides(&self) -> Result<BTreeMap<String, String>> {
        let metadata = self.visible().await?;
        let named = |(key, text): (String, String)| Some((key.strip_prefix(OVERRIDE_PREFIX)?.to_owned(), text));
        let overrides = metadata.into_iter().filter_map(named);
        Ok(overrides.filter(|(name, text)| options::is_understood(name, text)).collect())
    }

    /// Those that verify; nothing for a user who may not look there.
    pub(crate) async fn visible(&self) -> Result<BTreeMap<String, String>> {
        match self.readable().await {
            Err(error) if error.kind == ErrorKind::Permission => Ok(BTreeMap::new()),
            listed => listed,
        }
    }

    /// What the pool says of its images' options. To a user who may not look there it says nothing.
    pub(crate) async fn options(&self) -> Result<Options> {
        Ok(Options::of_metadata(&self.visible().await?).0)
    }
}

/// `Invalid`: no metadata of a pool or an image can be like that.
pub(crate) fn check(name: &str, value: &str, level: Level) -> Result<()> {
    if name.is_empty() || name.len() > MAX_METADATA_BYTES || value.len() > MAX_METADATA_BYTES {
        return Err(invalid("metadata keys and values have 1 byte to 1 MiB"));
    }
    options::check_metadata(name, value, level)
}

fn stored(name: &str) -> String {
    format!("{}{name}", key::META)
}

fn not_found(name: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("no metadata {name:?}"))
}
