//! Keyed objects in memory.
use super::client::MemoryStore;
use super::state::Pool;
use crate::{Keyed, KvMap, KvPresence, KvUpdate, ObjectName, StoreErrorKind, StoreFuture};

impl Keyed for MemoryStore {
    fn kv_get(&self, name: &ObjectName, prefix: &str) -> StoreFuture<KvMap> {
        let prefix = prefix.to_owned();
        self.on_pool("kv_get", name, move |pool, name| get(pool, name, &prefix))
    }

    fn kv_update(&self, name: &ObjectName, update: KvUpdate) -> StoreFuture<()> {
        self.on_pool("kv_update", name, move |pool, name| self::update(pool, name, &update))
    }
}

fn get(pool: &mut Pool, name: &str, prefix: &str) -> Result<KvMap, StoreErrorKind> {
    keyed(pool)?;
    let keys = &pool.object(name)?.keys;
    let from = keys.range(prefix.to_owned()..);
    Ok(from.take_while(|(key, _)| key.starts_with(prefix)).map(|(key, value)| (key.clone(), value.clone())).collect())
}

fn update(pool: &mut Pool, name: &str, update: &KvUpdate) -> Result<(), StoreErrorKind> {
    keyed(pool)?;
    if !update.set.is_empty() && update.presence != KvPresence::MustExist {
        pool.room()?;
    }
    let present = pool.objects.get(name).map(|object| &object.keys);
    let changed = update.apply(present)?;
    pool.objects.entry(name.to_owned()).or_default().keys = changed;
    Ok(())
}

fn keyed(pool: &Pool) -> Result<(), StoreErrorKind> {
    if pool.limits.keyed_objects { Ok(()) } else { Err(StoreErrorKind::Unsupported) }
}
