//! Namespaces of a pool: which there are. The images of one live in RADOS' namespace of that name.
//!
//! Owns: the object `lsd_namespace` in the pool's default namespace, one key per namespace.
use crate::caller::{put, put_texts, string};
use crate::ctypes::rados_ioctx_t;
use crate::errno::{Errno, Outcome};
use crate::panic::guard;
use crate::pool::Pool;
use crate::runtime::core;
use lsd_engine::Catalog;
use lsd_store::{KvPresence, KvUpdate, ObjectName, StoreErrorKind};
use std::ffi::{c_char, c_int};

/// Keys: `name_<namespace>`, value [`PRESENT`].
const OBJECT: &str = "lsd_namespace";
const KEY_PREFIX: &str = "name_";
/// Guards compare an absent key as empty, so a present one is not.
const PRESENT: &[u8] = b"1";

fn key(name: &str) -> String {
    format!("{KEY_PREFIX}{name}")
}

async fn names(pool: &Pool) -> Outcome<Vec<String>> {
    let store = pool.in_namespace("")?;
    match store.kv_get(&ObjectName::from(OBJECT), KEY_PREFIX).await {
        Ok(keys) => Ok(keys.keys().filter_map(|key| key.strip_prefix(KEY_PREFIX)).map(str::to_owned).collect()),
        Err(error) if error.kind == StoreErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// Changes the key of a namespace from one state to the other; `otherwise` if it was not in the first.
async fn change(pool: &Pool, name: &str, add: bool, otherwise: Errno) -> Outcome<()> {
    let (from, to) = if add { (&b""[..], Some(PRESENT)) } else { (PRESENT, None) };
    let mut update = KvUpdate::default().presence(KvPresence::Any).expect(key(name), from);
    update = match to {
        Some(value) => update.set(key(name), value),
        None => update.remove(key(name)),
    };
    match pool.in_namespace("")?.kv_update(&ObjectName::from(OBJECT), update).await {
        Ok(()) => Ok(()),
        Err(error) if matches!(error.kind, StoreErrorKind::Stale | StoreErrorKind::NotFound) => Err(otherwise),
        Err(error) => Err(error.into()),
    }
}

/// # Safety
/// A live io context and a string, by the contract of librbd.h.
unsafe fn arguments(io: rados_ioctx_t, name: *const c_char) -> Outcome<(Pool, String)> {
    // SAFETY: the same contract.
    let (pool, name) = unsafe { (Pool::adopt(io)?, string(name)?) };
    if name.is_empty() { Err(Errno::EINVAL) } else { Ok((pool, name)) }
}

/// EEXIST if it is there, EINVAL for an empty name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_namespace_create(io: rados_ioctx_t, namespace_name: *const c_char) -> c_int {
    guard(|| {
        // SAFETY: the same contract.
        let (pool, name) = unsafe { arguments(io, namespace_name) }?;
        core()?.block_on(change(&pool, &name, true, Errno::EEXIST))?;
        Ok(0)
    })
}

/// EBUSY if it has images, ENOENT if it is not there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_namespace_remove(io: rados_ioctx_t, namespace_name: *const c_char) -> c_int {
    guard(|| {
        // SAFETY: the same contract.
        let (pool, name) = unsafe { arguments(io, namespace_name) }?;
        core()?.block_on(async {
            let images = Catalog::new(pool.in_namespace(&name)?).list().await?;
            if !images.is_empty() {
                return Err(Errno::EBUSY);
            }
            change(&pool, &name, false, Errno::ENOENT).await
        })?;
        Ok(0)
    })
}

/// Names, each with its terminating zero; gives the bytes written. ERANGE with the size needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_namespace_list(
    io: rados_ioctx_t,
    namespace_names: *mut c_char,
    size: *mut usize,
) -> c_int {
    guard(|| {
        // SAFETY: a live io context by the contract of librbd.h.
        let pool = unsafe { Pool::adopt(io) }?;
        let names = core()?.block_on(names(&pool))?;
        // SAFETY: a buffer of that size by the contract of librbd.h.
        unsafe { put_texts(namespace_names, size, names.iter().map(String::as_str)) }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_namespace_exists(
    io: rados_ioctx_t,
    namespace_name: *const c_char,
    exists: *mut bool,
) -> c_int {
    guard(|| {
        // SAFETY: the same contract.
        let (pool, name) = unsafe { arguments(io, namespace_name) }?;
        let known = match core()?.block_on(names(&pool)) {
            Ok(names) => names.contains(&name),
            // A user confined to a namespace may not look outside of it; whether it exists shows when it is used.
            Err(Errno::EPERM) => true,
            Err(error) => return Err(error),
        };
        // SAFETY: a place by the contract of librbd.h.
        unsafe { put(exists, known) }
    })
}
