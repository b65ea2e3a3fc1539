//! Which tests run side by side. Owns: the one lock that a test of the cluster holds from its start to its end. Does not own: how
//! many tests run at once, which `./test` decides.
//!
//! - Nearly all tests share the cluster: their images, users and namespaces have names of their own.
//! - A test that must not be beside them has it alone: it stops daemons of a second cluster, or watches what another would disturb.
//!
//! The lock is of one program. `./test` runs the programs of clients one after another, and `tests/failures` beside none of them, so that is
//! enough.
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

static CLUSTER: RwLock<()> = RwLock::new(());

/// Held by the test's `Ceph` and its copies. A test takes one, and only one: who waits to be alone lets nobody else begin, so
/// a test that asked a second time would wait for itself.
pub enum Turn {
    Shared { _guard: RwLockReadGuard<'static, ()> },
    Alone { _guard: RwLockWriteGuard<'static, ()> },
}

impl Turn {
    /// Waits while a test has the cluster alone.
    pub fn shared() -> Self {
        Self::Shared { _guard: CLUSTER.read().unwrap_or_else(PoisonError::into_inner) }
    }

    /// Waits until no other test uses the cluster. That one of them failed does not matter.
    pub fn alone() -> Self {
        Self::Alone { _guard: CLUSTER.write().unwrap_or_else(PoisonError::into_inner) }
    }
}
