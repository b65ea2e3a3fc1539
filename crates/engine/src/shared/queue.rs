//! The order in which changes are accepted that cannot be accepted at once: the order of their calls. Clients may have
//! overlapping writes in flight, and what they called last should be what stays.
//!
//! Owns: the line, and whether there is one; the changes that take several steps. Does not own: what those in it wait for.
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex as StdMutex, MutexGuard as StdMutexGuard, PoisonError};
use tokio::sync::{Mutex, MutexGuard, Notify};

#[derive(Debug, Default)]
pub(crate) struct FairQueue {
    waiting: AtomicUsize,
    /// Given in the order in which it was asked for.
    turn: Mutex<()>,
}

/// A ticket for the queue, from its call on; it is given back when it goes out of scope.
#[derive(Debug)]
pub(crate) struct Ticket<'a> {
    queue: &'a FairQueue,
}

impl FairQueue {
    /// True if nobody waits: a change may be accepted without a place in the line.
    pub(crate) fn is_free(&self) -> bool {
        self.waiting.load(Ordering::Acquire) == 0
    }

    pub(crate) fn enter(&self) -> Ticket<'_> {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        Ticket { queue: self }
    }
}

impl Ticket<'_> {
    /// Waits for everybody who asked before; the turn ends with the guard.
    pub(crate) async fn turn(&self) -> MutexGuard<'_, ()> {
        self.queue.turn.lock().await
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.queue.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Changes that are accepted in more than one step, or that read before they write: from their call until all of them was
/// accepted. A flush that is called meanwhile covers them (rule 21).
#[derive(Debug, Default)]
pub(crate) struct Underway {
    open: StdMutex<Open>,
    left: Notify,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    numbers: BTreeSet<u64>,
}

/// One of them; it has ended when this goes out of scope, also when its operation is dropped half-way.
#[derive(Debug)]
pub(crate) struct Passage<'a> {
    underway: &'a Underway,
    number: u64,
}

impl Underway {
    fn open(&self) -> StdMutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn enter(&self) -> Passage<'_> {
        let mut open = self.open();
        let number = open.next;
        open.next += 1;
        open.numbers.insert(number);
        Passage { underway: self, number }
    }

    /// What [`Underway::ended_before`] takes: everything that was called so far comes before it.
    pub(crate) fn called(&self) -> u64 {
        self.open().next
    }

    /// Waits for every change that was called before `call`.
    pub(crate) async fn ended_before(&self, call: u64) {
        loop {
            let left = self.left.notified();
            if self.open().numbers.first().is_none_or(|first| *first >= call) {
                return;
            }
            left.await;
        }
    }
}

impl Drop for Passage<'_> {
    fn drop(&mut self) {
        self.underway.open().numbers.remove(&self.number);
        self.underway.left.notify_waiters();
    }
}
