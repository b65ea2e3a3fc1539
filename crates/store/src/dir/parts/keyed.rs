//! Keyed objects in files.
use crate::dir::fault::Outcome;
use crate::dir::room::Urgency;
use crate::dir::{DirStore, Shared, keyed_object};
use crate::{Keyed, KvMap, KvPresence, KvUpdate, ObjectName, StoreFuture};

impl Keyed for DirStore {
    fn kv_get(&self, name: &ObjectName, prefix: &str) -> StoreFuture<KvMap> {
        let prefix = prefix.to_owned();
        self.read_side("kv_get", name, move |shared, name| get(shared, name, &prefix))
    }

    fn kv_update(&self, name: &ObjectName, update: KvUpdate) -> StoreFuture<()> {
        self.write("kv_update", name, move |shared, name| self::update(shared, name, &update))
    }
}

fn get(shared: &Shared, name: &str, prefix: &str) -> Outcome<KvMap> {
    let mut map = keyed_object::get(&shared.root, &shared.root.object(name)?)?;
    map.retain(|key, _| key.starts_with(prefix));
    Ok(map)
}

fn update(shared: &Shared, name: &str, update: &KvUpdate) -> Outcome<()> {
    // What makes something new can wait until there is room; what changes something may be what frees it.
    let is_urgent = update.presence == KvPresence::MustExist || update.set.is_empty();
    let urgency = if is_urgent { Urgency::Urgent } else { Urgency::Ordinary };
    keyed_object::modify(&shared.root, &shared.root.object(name)?, urgency, |present| Ok(update.apply(present)?))
}
