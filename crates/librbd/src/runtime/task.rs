//! Operations that wait for RADOS, and the work behind them: polled first in the caller's thread, then operations by
//! the thread of librados that brings what they wait for, and the work behind them by the completion thread.
//!
//! Each thread that an operation passes through costs a wake-up, some ten microseconds of both cores. So a runtime's
//! workers have no part in it, and whoever wakes a task by what it is polling goes on with that task itself. Nothing
//! polled here may block: librados calls back for one operation of a connection at a time. (Starting another operation
//! may wait for room among those in flight; that is made by another of librados' threads.)
//!
//! Owns: polling such a future again when it is woken, never in two threads at once. Does not own: where it is polled
//! when no thread is at it (module `deliver`).
use lsd_rados::on_librados_thread;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Wake, Waker};
use tokio::runtime::Handle;

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Waits to be woken.
const IDLE: u8 = 0;
/// Somebody will poll it soon: it was woken, or is new.
const QUEUED: u8 = 1;
/// Is being polled.
const POLLED: u8 = 2;
/// Is being polled, and was woken since that began: so there is more to do after it.
const WOKEN: u8 = 3;

/// Polls in a row of a task that is woken while it is polled: `FuturesUnordered` does that after each future that is
/// new to it, and there is nothing to do then. Not more, for this may be a caller's thread that has something else to
/// do.
const POLLS: usize = 3;

/// What a task is, which says who goes on with it when it is woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One operation of a caller. librados' thread goes on with it. If something else wakes it, the completion thread
    /// does, and a callback may keep it waiting a little, for most callbacks return at once.
    Operation,
    /// What many operations wait for. It has more to do than librados' thread should, and never waits for a callback.
    Background,
}

/// What a task needs of the threads that are there.
pub trait Spawner: Send + Sync {
    /// Leaves a task to the completion thread.
    fn queue(&self, task: Arc<Task>);

    /// The tokio runtime whose timers and tasks the work uses.
    fn handle(&self) -> &Handle;
}

pub struct Task {
    spawner: &'static dyn Spawner,
    pub kind: Kind,
    /// `None` once it has ended.
    work: Mutex<Option<Work>>,
    state: AtomicU8,
}

thread_local! {
    /// The tasks that were woken by what this thread polls; `None` while it polls nothing.
    static FOUND: RefCell<Option<VecDeque<Arc<Task>>>> = const { RefCell::new(None) };
}

impl Task {
    /// Nobody can wake it before it was polled, so it counts as queued, which it may be.
    pub fn new(
        spawner: &'static dyn Spawner,
        kind: Kind,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> Arc<Self> {
        let work: Work = Box::pin(work);
        Arc::new(Self { spawner, kind, work: Mutex::new(Some(work)), state: AtomicU8::new(QUEUED) })
    }

    /// Sees to it that a task that was woken is polled, by the thread that should.
    fn go_on(self: Arc<Self>) {
        let on_librados_thread = on_librados_thread();
        if on_librados_thread && self.kind == Kind::Background {
            return self.queue();
        }
        let Some(task) = keep_found(self) else { return };
        if on_librados_thread {
            // A panic must not reach librados, and is the task's alone.
            let _ = catch_unwind(AssertUnwindSafe(|| task.run()));
        } else {
            task.queue();
        }
    }

    /// Leaves it to the completion thread.
    fn queue(self: Arc<Self>) {
        let spawner = self.spawner;
        spawner.queue(self);
    }

    /// Polls the work, if it has not ended, and then what that has woken. Only for a task that is queued, once.
    pub fn run(self: Arc<Self>) {
        with_found(|| self.poll());
    }

    fn poll(self: Arc<Self>) {
        for _ in 0..POLLS {
            self.state.store(POLLED, Ordering::Release);
            let ended = self.poll_once();
            let idle = || self.state.compare_exchange(POLLED, IDLE, Ordering::AcqRel, Ordering::Acquire).is_ok();
            if ended || idle() {
                return;
            }
        }
        self.state.store(QUEUED, Ordering::Release);
        self.queue();
    }

    /// Returns true when the work has ended.
    fn poll_once(self: &Arc<Self>) -> bool {
        let waker = Waker::from(self.clone());
        let _context = self.spawner.handle().enter();
        let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = work.as_mut().is_none_or(|work| work.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
        if ended {
            *work = None;
        }
        ended
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        let next = |state| match state {
            IDLE => Some(QUEUED),
            POLLED => Some(WOKEN),
            _ => None,
        };
        if self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, next) == Ok(IDLE) {
            self.go_on();
        }
    }
}

/// Leaves a task to what this thread does after its poll; gives it back if it polls nothing.
fn keep_found(task: Arc<Task>) -> Option<Arc<Task>> {
    FOUND.with_borrow_mut(|found| match found {
        Some(found) => {
            found.push_back(task);
            None
        }
        None => Some(task),
    })
}

/// Polls something, and then the tasks that this and they have woken.
pub fn with_found<T>(poll: impl FnOnce() -> T) -> T {
    if FOUND.with_borrow(Option::is_some) {
        return poll();
    }
    FOUND.set(Some(VecDeque::new()));
    let _end = End;
    let value = poll();
    poll_found();
    value
}

/// The same for who then waits in this thread, perhaps inside a poll (a synchronous call in a progress callback):
/// nobody else would come to the tasks that were left to this thread, and the wait may be for one of them.
pub fn with_found_before_waiting<T>(poll: impl FnOnce() -> T) -> T {
    if FOUND.with_borrow(Option::is_none) {
        return with_found(poll);
    }
    let value = poll();
    poll_found();
    value
}

fn poll_found() {
    while let Some(task) = FOUND.with_borrow_mut(|found| found.as_mut().and_then(VecDeque::pop_front)) {
        task.poll();
    }
}

/// Also after a panic nothing stays behind.
struct End;

impl Drop for End {
    fn drop(&mut self) {
        FOUND.take().into_iter().flatten().for_each(Task::queue);
    }
}

#[cfg(test)]
mod tests;
