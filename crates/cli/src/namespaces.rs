//! Namespaces of a pool: which there are. The images of one lie in the store's namespace of that name.
//!
//! The list is the object `lsd_namespace` in the pool's default namespace, one key `name_<namespace>` each, as the C API
//! has it.
use lsd_store::{KvPresence, KvUpdate, ObjectName, ObjectStore, StoreError, StoreErrorKind};
use std::sync::Arc;

const OBJECT: &str = "lsd_namespace";
const KEY_PREFIX: &str = "name_";
/// Guards compare an absent key as empty, so a present one is not.
const PRESENT: &[u8] = b"1";

/// Every namespace, sorted. `pool`: the pool's default namespace.
pub async fn list(pool: &Arc<dyn ObjectStore>) -> Result<Vec<String>, StoreError> {
    match pool.kv_get(&ObjectName::from(OBJECT), KEY_PREFIX).await {
        Ok(keys) => Ok(keys.keys().filter_map(|key| key.strip_prefix(KEY_PREFIX)).map(str::to_owned).collect()),
        Err(error) if error.kind == StoreErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// `Stale` if it is there.
pub async fn add(pool: &Arc<dyn ObjectStore>, name: &str) -> Result<(), StoreError> {
    let key = format!("{KEY_PREFIX}{name}");
    let update = KvUpdate::default().presence(KvPresence::Any).expect(key.as_str(), &b""[..]).set(key, PRESENT);
    pool.kv_update(&ObjectName::from(OBJECT), update).await
}

/// `Stale` if it is not there.
pub async fn remove(pool: &Arc<dyn ObjectStore>, name: &str) -> Result<(), StoreError> {
    let key = format!("{KEY_PREFIX}{name}");
    let update = KvUpdate::default().presence(KvPresence::Any).expect(key.as_str(), PRESENT).remove(key);
    pool.kv_update(&ObjectName::from(OBJECT), update).await
}
