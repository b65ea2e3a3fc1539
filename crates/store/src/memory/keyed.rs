//! Keyed objects in memory.
use super::state::Pool;
use crate::{KvMap, KvPresence, KvUpdate, StoreErrorKind};

pub(super) fn get(pool: &mut Pool, name: &str, prefix: &str) -> Result<KvMap, StoreErrorKind> {
    keyed(pool)?;
    let keys = &pool.object(name)?.keys;
    let from = keys.range(prefix.to_owned()..);
    Ok(from.take_while(|(key, _)| key.starts_with(prefix)).map(|(key, value)| (key.clone(), value.clone())).collect())
}

pub(super) fn update(pool: &mut Pool, name: &str, update: &KvUpdate) -> Result<(), StoreErrorKind> {
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
