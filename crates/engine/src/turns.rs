//! The order in which changes are accepted that cannot be accepted at once: the order of their calls. Clients may have
//! overlapping writes in flight, and what they called last should be what stays.
//!
//! Owns: the line, and whether there is one. Does not own: what those in it wait for.
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{Mutex, MutexGuard};

#[derive(Debug, Default)]
pub(crate) struct Turns {
    waiting: AtomicUsize,
    /// Given in the order in which it was asked for.
    turn: Mutex<()>,
}

/// A place in the line, from its call on; it is left when it goes out of scope.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    turns: &'a Turns,
}

impl Turns {
    /// True if nobody waits: a change may be accepted without a place in the line.
    pub(crate) fn is_free(&self) -> bool {
        self.waiting.load(Ordering::Acquire) == 0
    }

    pub(crate) fn enter(&self) -> Place<'_> {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        Place { turns: self }
    }
}

impl Place<'_> {
    /// Waits for everybody who asked before; the turn ends with the guard.
    pub(crate) async fn turn(&self) -> MutexGuard<'_, ()> {
        self.turns.turn.lock().await
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.turns.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}
