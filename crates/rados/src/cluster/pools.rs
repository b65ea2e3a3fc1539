//! Pools of a cluster: names, numbers, creation.
use super::Cluster;
use crate::error::{RadosResult, c_string, check};
use crate::text::grown_text;
use lsd_librados_sys as sys;
use lsd_store::PoolId;
use nix::libc;

/// Room for the names of this many bytes of pools in one call; more take a second call.
const POOL_LIST_BYTES: usize = 4096;

impl Cluster {
    /// A pool's number. ENOENT.
    pub fn pool_lookup(&self, name: &str) -> RadosResult<PoolId> {
        let text = c_string(name, "pool_lookup")?;
        // SAFETY: a connected handle and a C string.
        let id = unsafe { sys::rados_pool_lookup(self.raw(), text.as_ptr()) };
        let code = i32::try_from(id.min(0)).unwrap_or(-libc::EIO);
        check(code, "pool_lookup", name)?;
        Ok(PoolId(id))
    }

    /// A pool's name. ENOENT.
    pub fn pool_reverse_lookup(&self, pool: PoolId) -> RadosResult<String> {
        // SAFETY: the buffer has the length that is passed with it.
        let get =
            |buffer: *mut _, len: usize| unsafe { sys::rados_pool_reverse_lookup(self.raw(), pool.0, buffer, len) };
        grown_text(&[libc::ERANGE], get, "pool_reverse_lookup", &format!("pool {}", pool.0))
    }

    /// Creates a replicated pool with the cluster's defaults. EEXIST.
    pub fn pool_create(&self, name: &str) -> RadosResult<()> {
        let text = c_string(name, "pool_create")?;
        // SAFETY: a connected handle and a C string.
        check(unsafe { sys::rados_pool_create(self.raw(), text.as_ptr()) }, "pool_create", name).map(drop)
    }

    /// Deletes a pool and everything in it. ENOENT; EPERM unless the cluster allows it.
    pub fn pool_delete(&self, name: &str) -> RadosResult<()> {
        let text = c_string(name, "pool_delete")?;
        // SAFETY: a connected handle and a C string.
        check(unsafe { sys::rados_pool_delete(self.raw(), text.as_ptr()) }, "pool_delete", name).map(drop)
    }

    /// The names of all pools.
    pub fn pool_list(&self) -> RadosResult<Vec<String>> {
        let mut buffer = vec![0u8; POOL_LIST_BYTES];
        loop {
            // SAFETY: the buffer has the length that is passed with it.
            let code = unsafe { sys::rados_pool_list(self.raw(), buffer.as_mut_ptr().cast(), buffer.len()) };
            let needed = usize::try_from(check(code, "pool_list", "")?).unwrap_or_default();
            if needed <= buffer.len() {
                break;
            }
            buffer.resize(needed, 0);
        }
        // Names follow each other, each ended by a zero byte, and an empty one ends the list.
        let names = buffer.split(|byte| *byte == 0).take_while(|name| !name.is_empty());
        Ok(names.map(|name| String::from_utf8_lossy(name).into_owned()).collect())
    }
}
