//! Keyed objects: the omap of an object.
use super::{RadosStore, boxed};
use crate::error::RadosError;
use crate::ioctx::IoCtx;
use crate::write_op::{Compare, OpFlags, WriteOp};
use futures::TryFutureExt;
use lsd_store::{Keyed, KvMap, KvPresence, KvUpdate, ObjectName, StoreFuture};
use nix::libc;

impl Keyed for RadosStore {
    fn kv_get(&self, name: &ObjectName, prefix: &str) -> StoreFuture<KvMap> {
        self::kv_get(&self.io, &name.0, prefix)
    }

    fn kv_update(&self, name: &ObjectName, update: KvUpdate) -> StoreFuture<()> {
        self::kv_update(&self.io, &name.0, &update)
    }
}

/// All pages are of one state of the object.
fn kv_get(io: &IoCtx, name: &str, prefix: &str) -> StoreFuture<KvMap> {
    let read = io.omap_all(name, prefix);
    let name = name.to_owned();
    boxed(async move {
        let text = |key: &[u8]| match std::str::from_utf8(key) {
            Ok(key) => Ok(key.to_owned()),
            Err(_) => Err(RadosError::new(libc::EBADMSG, "kv_get", name.as_str())),
        };
        read.await?.into_iter().map(|(key, value)| Ok((text(&key)?, value))).collect()
    })
}

fn kv_update(io: &IoCtx, name: &str, update: &KvUpdate) -> StoreFuture<()> {
    let mut keys = update.set.iter().map(|(key, _)| key).chain(&update.remove);
    let mut keys_too = update.expect.iter().map(|guard| &guard.key);
    if let Some(wrong) = keys.find(|key| key.contains('\0')).or_else(|| keys_too.find(|key| key.contains('\0'))) {
        // Reading page by page could not name it.
        let error = RadosError::new(libc::EINVAL, "kv_update", format!("{name}: key {}", wrong.escape_default()));
        return boxed(async move { Err(error) });
    }
    // First, because a guard on a missing object would give ENOENT instead of comparing with nothing. If a guard does
    // not hold, the creation does not happen either.
    let present = match update.presence {
        KvPresence::Any => WriteOp::new().create(false),
        KvPresence::MustCreate => WriteOp::new().create(true),
        KvPresence::MustExist => WriteOp::new().assert_exists(),
    };
    let guarded = update
        .expect
        .iter()
        .fold(present, |op, guard| op.compare_omap(guard.key.as_bytes(), Compare::Equal, &guard.value));
    // In this order, so that a key in both lists is set.
    let op = guarded
        .remove_omap(update.remove.iter().map(|key| key.as_bytes()))
        .set_omap(update.set.iter().map(|(key, value)| (key.as_bytes(), &value[..])));
    // What exists can be changed in a full pool: headers tell where space is freed.
    let flags = if update.presence == KvPresence::MustExist { OpFlags::FULL_FORCE } else { OpFlags::FULL_TRY };
    let written = io.write(name, op, flags, "kv_update");
    boxed(written.map_ok(drop))
}
