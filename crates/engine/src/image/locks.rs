//! The locks of an open image: a part of its public face.
//!
//! Owns: the words of the calls. Does not own: taking and giving back (`session/handover.rs`), the lock in the store
//! (`ownership/lock.rs`).
use crate::Result;
use crate::session::Session;
use lsd_store::{LockState, Locker};
use std::sync::Arc;

/// Made by [`crate::Image::locks`].
#[derive(Clone, Copy, Debug)]
pub struct Locks<'a> {
    session: &'a Arc<Session>,
}

impl<'a> Locks<'a> {
    pub(super) fn of(session: &'a Arc<Session>) -> Self {
        Self { session }
    }

    /// Takes the exclusive lock and keeps it until it is given back by hand; other clients' requests for it are refused.
    /// From here on this handle's writes fail (`ReadOnly`) while it does not have the lock. `Invalid`: the image has no
    /// exclusive-lock feature, or the handle is read-only. `ReadOnly`: another client keeps it in the same way.
    pub async fn acquire(self) -> Result<()> {
        self.session.lock_by_hand().await
    }

    /// Makes everything accepted durable and gives the exclusive lock back. `Invalid`: this handle does not have it.
    pub async fn release(self) -> Result<()> {
        self.session.unlock_by_hand().await
    }

    pub fn is_owner(self) -> bool {
        self.session.owns()
    }

    /// The same as the store has it now. `Fenced`: this client was fenced off the cluster.
    pub async fn confirm_owner(self) -> Result<bool> {
        self.session.confirm_owner().await
    }

    /// Who has the exclusive lock. `NotFound`, `Invalid` (no such feature), `Busy` (held as an advisory lock).
    pub async fn owner(self) -> Result<Locker> {
        self.session.lock_owner().await
    }

    /// Takes the exclusive lock away from the client at `addr` and fences it off the cluster: its handles fail for good.
    /// `NotFound`, `Busy` (another client has it, or this one), `ReadOnly`.
    pub async fn break_owner(self, addr: &str) -> Result<()> {
        self.session.break_owner(addr).await
    }

    /// Who holds the image's lock, as an advisory lock or as its owner.
    pub async fn holders(self) -> Result<LockState> {
        self.session.advisory_state().await
    }

    /// Takes an advisory lock, shared with others of the same `tag` or exclusive. `Busy`, `Exists`.
    pub async fn lock_advisory(self, cookie: &str, tag: Option<&str>) -> Result<()> {
        self.session.advisory_lock(cookie, tag).await
    }

    /// `NotFound`.
    pub async fn unlock_advisory(self, cookie: &str) -> Result<()> {
        self.session.advisory_unlock(cookie).await
    }

    /// Takes an advisory lock away from `client` (`client.4123`), which is fenced off the cluster first. `NotFound`.
    pub async fn break_advisory(self, client: &str, cookie: &str) -> Result<()> {
        self.session.advisory_break(client, cookie).await
    }
}
