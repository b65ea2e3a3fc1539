//! Namespaces of a pool: which there are. The images of one lie in the store's namespace of that name.
//!
//! Owns: the keyed object `lsd_namespace` in the pool's default namespace. Does not own: what a namespace holds
//! ([`crate::Catalog`]).
use crate::compiled_here;
use crate::{Catalog, Error, ErrorKind, Result};
use lsd_core::format::names;
use lsd_store::{KvPresence, KvUpdate, ObjectName, ObjectStore, StoreErrorKind};
use std::sync::Arc;

const KEY_PREFIX: &str = "name_";
/// Guards compare an absent key as empty, so a present one is not.
const PRESENT: &[u8] = b"1";

/// The list of one pool's namespaces.
#[derive(Clone, Debug)]
pub struct Namespaces {
    pool: Arc<dyn ObjectStore>,
}

impl Namespaces {
    /// `pool`: the pool's default namespace.
    pub fn new(pool: Arc<dyn ObjectStore>) -> Self {
        Self { pool }
    }

    fn object() -> ObjectName {
        names::NAMESPACES.into()
    }

    /// Every namespace, sorted.
    #[compiled_here]
    pub async fn list(&self) -> Result<Vec<String>> {
        match self.pool.kv_get(&Self::object(), KEY_PREFIX).await {
            Ok(keys) => Ok(keys.keys().filter_map(|key| key.strip_prefix(KEY_PREFIX)).map(str::to_owned).collect()),
            // A pool without the list has no namespaces yet.
            Err(error) if error.kind == StoreErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether there is one of this name. A user confined to a namespace may not look outside of it: to such a user every
    /// namespace exists, and whether it does shows when it is used.
    #[compiled_here]
    pub async fn exists(&self, name: &str) -> Result<bool> {
        match self.list().await {
            Ok(names) => Ok(names.iter().any(|known| known == name)),
            Err(error) if error.kind == ErrorKind::Permission => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// `Exists`.
    #[compiled_here]
    pub async fn add(&self, name: &str) -> Result<()> {
        let key = format!("{KEY_PREFIX}{name}");
        let update = KvUpdate::default().presence(KvPresence::Any).expect(key.as_str(), &b""[..]).set(key, PRESENT);
        let taken = || Error::new(ErrorKind::Exists, format!("namespace {name:?} exists"));
        self.update(update, taken).await
    }

    /// `Busy` while it has images, `NotFound`. `inside`: the pool in that namespace.
    #[compiled_here]
    pub async fn remove(&self, name: &str, inside: &Catalog) -> Result<()> {
        // Images in the trash are lost with it, too.
        if !inside.list().await?.is_empty() || !inside.trash().await?.is_empty() {
            return Err(Error::new(ErrorKind::Busy, format!("namespace {name:?} has images")));
        }
        let key = format!("{KEY_PREFIX}{name}");
        let update = KvUpdate::default().presence(KvPresence::Any).expect(key.as_str(), PRESENT).remove(key);
        let missing = || Error::new(ErrorKind::NotFound, format!("no namespace {name:?}"));
        self.update(update, missing).await
    }

    async fn update(&self, update: KvUpdate, otherwise: impl FnOnce() -> Error) -> Result<()> {
        match self.pool.kv_update(&Self::object(), update).await {
            Ok(()) => Ok(()),
            Err(error) if matches!(error.kind, StoreErrorKind::Stale | StoreErrorKind::NotFound) => Err(otherwise()),
            Err(error) => Err(error.into()),
        }
    }
}
