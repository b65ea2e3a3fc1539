//! The completion thread: the only place where callbacks of callers run.
//!
//! Between callbacks it also goes on with the work behind operations that something has come for; where a callback
//! takes its time, the runtime does. What is done together costs everybody fewer wake-ups, down to the OSD: so before
//! it sleeps this thread gives way to those that bring it work.
//!
//! Owns: one queue and one thread per process. One thread, because librbd's users never see two of its callbacks
//! at once; a thread of its own, because a callback may block or call any function of the API.
//! Does not own: what a callback does (trait [`Deliver`]).
use crate::runtime::signals::Signals;
use crate::runtime::task::{Kind, Task};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;
use tokio::runtime::Handle;

/// How long operations wait for a callback to return before the runtime goes on with them. Most callbacks return at
/// once, and a timer for each of those that something came upon is not free.
const CALLBACK_PATIENCE: Duration = Duration::from_millis(10);

/// How often this thread lets others run before it sleeps, if it has polled tasks: then answers to more operations may
/// be on their way. Where processors are idle that is a microsecond each time.
const YIELDS: u32 = 8;

/// A callback of a caller, or whatever else must wait until those before it have returned.
pub trait Deliver: Send {
    /// Runs it, on the completion thread. `signals` are sent after the bunch that it is in.
    fn deliver(self: Box<Self>, signals: &mut Signals);
}

impl<F: FnOnce() + Send> Deliver for F {
    fn deliver(self: Box<Self>, _: &mut Signals) {
        self();
    }
}

#[derive(Default)]
struct Waiting {
    callbacks: Vec<Box<dyn Deliver>>,
    tasks: Vec<Arc<Task>>,
    thread_sleeps: bool,
    in_callbacks: bool,
    /// Somebody looks after the tasks that wait for a callback.
    watched: bool,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.callbacks.is_empty() && self.tasks.is_empty()
    }
}

#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    filled: Condvar,
}

pub struct Deliverer {
    queue: Arc<Queue>,
    thread: ThreadId,
}

impl Deliverer {
    pub fn start() -> io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let of_thread = queue.clone();
        let thread = thread::Builder::new().name("lsd-complete".into()).spawn(move || of_thread.run())?;
        Ok(Self { queue, thread: thread.thread().id() })
    }

    /// Queues a callback. Never blocks for longer than another thread takes to queue one.
    pub fn push(&self, callback: impl Deliver + 'static) {
        let callback = Box::new(callback);
        let mut waiting = self.queue.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.callbacks.push(callback);
        let wake = std::mem::take(&mut waiting.thread_sleeps);
        drop(waiting);
        if wake {
            self.queue.filled.notify_one();
        }
    }

    /// Queues a task to be polled. `runtime`: goes on with it if a callback keeps this thread.
    pub fn push_task(&self, task: Arc<Task>, runtime: &Handle) {
        let mut waiting = self.queue.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.in_callbacks && task.kind == Kind::Background {
            drop(waiting);
            runtime.spawn(async move { task.run() });
            return;
        }
        waiting.tasks.push(task);
        let wake = std::mem::take(&mut waiting.thread_sleeps);
        let watch = waiting.in_callbacks && !std::mem::replace(&mut waiting.watched, true);
        drop(waiting);
        if wake {
            self.queue.filled.notify_one();
        }
        if watch {
            let queue = self.queue.clone();
            runtime.spawn(async move {
                tokio::time::sleep(CALLBACK_PATIENCE).await;
                queue.take_stuck_tasks().into_iter().for_each(Task::run);
            });
        }
    }

    /// Waits until everything queued before has run; inside a callback, not at all.
    pub fn flush(&self) {
        if self.is_current() {
            return;
        }
        let (reached, wait) = std::sync::mpsc::channel();
        self.push(move || drop(reached));
        // Always an error: the sender is dropped when the queue comes to it.
        let _: Result<(), _> = wait.recv();
    }

    /// The same for who must not block, and is in no callback.
    pub async fn flushed(&self) {
        let (reached, wait) = tokio::sync::oneshot::channel::<()>();
        self.push(move || drop(reached));
        // Always an error, as above.
        let _: Result<(), _> = wait.await;
    }

    /// True inside a callback.
    pub fn is_current(&self) -> bool {
        thread::current().id() == self.thread
    }
}

impl Queue {
    /// Runs everything queued, a bunch at a time: one lock and one write to an event socket for many completions.
    fn run(&self) {
        let mut yields = 0;
        loop {
            let tasks = self.wait(yields);
            yields = if tasks.is_empty() { 0 } else { YIELDS };
            // Without this thread every later operation would hang, so a panic ends one task or callback only.
            for task in tasks {
                let _ = catch_unwind(AssertUnwindSafe(|| task.run()));
            }
            let bunch = self.begin_callbacks();
            let mut signals = Signals::default();
            for callback in bunch {
                let _ = catch_unwind(AssertUnwindSafe(|| callback.deliver(&mut signals)));
            }
            signals.send();
        }
    }

    /// Waits until there is something to do, having given way at most `yields` times; takes the tasks.
    fn wait(&self, yields: u32) -> Vec<Arc<Task>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.in_callbacks = false;
        for _ in 0..yields {
            if !waiting.is_empty() {
                break;
            }
            drop(waiting);
            thread::yield_now();
            waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        }
        while waiting.is_empty() {
            waiting.thread_sleeps = true;
            waiting = self.filled.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        waiting.thread_sleeps = false;
        std::mem::take(&mut waiting.tasks)
    }

    /// Takes the callbacks; none while tasks are there, which must not wait for them. No more tasks come than
    /// operations were started, so callbacks get their turn.
    fn begin_callbacks(&self) -> Vec<Box<dyn Deliver>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if !waiting.tasks.is_empty() {
            return Vec::new();
        }
        waiting.in_callbacks = true;
        std::mem::take(&mut waiting.callbacks)
    }

    /// The tasks, if a callback is still running.
    fn take_stuck_tasks(&self) -> Vec<Arc<Task>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.watched = false;
        if waiting.in_callbacks { std::mem::take(&mut waiting.tasks) } else { Vec::new() }
    }
}

#[cfg(test)]
mod tests;
