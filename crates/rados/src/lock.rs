//! Advisory locks: the object class `lock` of the OSDs, called asynchronously.
//!
//! librados' own functions for locks block and cannot say what to do in a full pool. The class methods are called
//! directly instead, so that locking is submitted in the call like every other operation. Owns: the requests'
//! encoding (`codec`). Does not own: when to lock and whom to break.
use crate::error::{RadosError, RadosResult};
use crate::ioctx::IoCtx;
use crate::write_op::{OpFlags, WriteOp};
use futures::TryFutureExt;
use lsd_store::{LockMode, LockState};
use std::time::Duration;

mod codec;

/// How long a lock is held without being renewed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LockDuration {
    /// Until it is unlocked or broken.
    #[default]
    Unlimited,
    Limited(Duration),
}

/// A lock to take.
#[derive(Clone, Debug)]
pub struct LockSpec {
    pub name: String,
    pub cookie: String,
    pub mode: LockMode,
    /// Holders of a shared lock must agree on it.
    pub tag: String,
    /// For people.
    pub description: String,
    pub duration: LockDuration,
}

const CLASS: &str = "lock";

impl IoCtx {
    /// Takes a lock, and creates the object if it is missing. EBUSY: somebody else holds it; EEXIST: this client
    /// does, under this cookie.
    pub fn lock(&self, object: &str, spec: &LockSpec) -> impl Future<Output = RadosResult<()>> + Send + use<> {
        self.call(object, "lock", &codec::lock(spec))
    }

    /// Gives a lock of this client back. ENOENT: it does not hold it (any more).
    pub fn unlock(
        &self,
        object: &str,
        name: &str,
        cookie: &str,
    ) -> impl Future<Output = RadosResult<()>> + Send + use<> {
        self.call(object, "unlock", &codec::unlock(name, cookie))
    }

    /// Takes a lock away from `client` (as `client.4123`). ENOENT if it does not hold it (any more); EINVAL if that
    /// is no client's name.
    pub fn break_lock(
        &self,
        object: &str,
        name: &str,
        client: &str,
        cookie: &str,
    ) -> impl Future<Output = RadosResult<()>> + Send + use<> {
        let request = codec::break_lock(name, client, cookie);
        let call = request.map(|request| self.call(object, "break_lock", &request));
        let fault = RadosError::new(nix::libc::EINVAL, "break_lock", client);
        async move { call.ok_or(fault)?.await }
    }

    /// Who holds a lock. A lock that nobody ever took is free; ENOENT: no object.
    pub fn lock_state(&self, object: &str, name: &str) -> impl Future<Output = RadosResult<LockState>> + Send + use<> {
        let answer = self.exec(object, CLASS, "get_info", &codec::get_info(name));
        let object = object.to_owned();
        async move {
            let answer = answer.await?;
            codec::lock_state(&answer).ok_or_else(|| RadosError::new(nix::libc::EBADMSG, "get_info", object))
        }
    }

    fn call(
        &self,
        object: &str,
        method: &'static str,
        request: &[u8],
    ) -> impl Future<Output = RadosResult<()>> + Send + use<> {
        let written = self.write(object, WriteOp::new().exec(CLASS, method, request), OpFlags::FULL_TRY, method);
        written.map_ok(drop)
    }
}
