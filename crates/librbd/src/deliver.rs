//! The completion thread: the only place where callbacks of callers run.
//!
//! It also goes on with reads whose data has come, but never while a callback runs: those go to the runtime then.
//!
//! Owns: one queue and one thread per process. One thread, because librbd's users never see two of its callbacks
//! at once; a thread of its own, because a callback may block or call any function of the API.
//! Does not own: what finishing a completion means (module `completion`).
use crate::completion::Done;
use crate::errno::{Errno, Outcome};
use crate::notify::Wakeups;
use crate::task::Task;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::ThreadId;

pub enum Item {
    Done(Done),
    /// Any other callback of a caller (rbd_update_watch).
    Call(Box<dyn FnOnce() + Send>),
}

#[derive(Default)]
struct Waiting {
    items: Vec<Item>,
    tasks: Vec<Arc<Task>>,
    thread_sleeps: bool,
    in_callbacks: bool,
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
    pub fn start() -> Outcome<Self> {
        let queue = Arc::new(Queue::default());
        let of_thread = queue.clone();
        let thread = std::thread::Builder::new()
            .name("lsd-complete".into())
            .spawn(move || of_thread.run())
            .map_err(|error| Errno(error.raw_os_error().unwrap_or(Errno::ENOMEM.0)))?;
        Ok(Self { queue, thread: thread.thread().id() })
    }

    /// Queues a callback. Never blocks for longer than another thread takes to queue one.
    pub fn push(&self, item: Item) {
        let mut waiting = self.queue.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.items.push(item);
        let wake = std::mem::take(&mut waiting.thread_sleeps);
        drop(waiting);
        if wake {
            self.queue.filled.notify_one();
        }
    }

    /// Queues a read to be polled; gives it back while callbacks run.
    pub fn push_task(&self, task: Arc<Task>) -> Result<(), Arc<Task>> {
        let mut waiting = self.queue.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.in_callbacks {
            return Err(task);
        }
        waiting.tasks.push(task);
        let wake = std::mem::take(&mut waiting.thread_sleeps);
        drop(waiting);
        if wake {
            self.queue.filled.notify_one();
        }
        Ok(())
    }

    /// Waits until everything queued before has run; inside a callback, not at all.
    pub fn flush(&self) {
        if self.is_current() {
            return;
        }
        let (reached, wait) = std::sync::mpsc::channel();
        self.push(Item::Call(Box::new(move || drop(reached))));
        // Always an error: the sender is dropped when the queue comes to it.
        let _: Result<(), _> = wait.recv();
    }

    /// True inside a callback.
    pub fn is_current(&self) -> bool {
        std::thread::current().id() == self.thread
    }
}

impl Queue {
    /// Runs everything queued, a bunch at a time: one lock and one write to an event socket for many completions.
    fn run(&self) {
        loop {
            let tasks = self.wait();
            // Without this thread every later operation would hang, so a panic ends one task or item only.
            for task in tasks {
                let _ = catch_unwind(AssertUnwindSafe(|| task.run()));
            }
            let (bunch, left) = self.begin_callbacks();
            left.into_iter().for_each(Task::hand_over);
            let mut wakeups = Wakeups::default();
            for item in bunch {
                let _ = catch_unwind(AssertUnwindSafe(|| match item {
                    Item::Done(done) => done.finish(&mut wakeups),
                    Item::Call(call) => call(),
                }));
            }
            wakeups.send();
        }
    }

    /// Sleeps until there is something to do; takes the tasks.
    fn wait(&self) -> Vec<Arc<Task>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.in_callbacks = false;
        while waiting.items.is_empty() && waiting.tasks.is_empty() {
            waiting.thread_sleeps = true;
            waiting = self.filled.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        waiting.thread_sleeps = false;
        std::mem::take(&mut waiting.tasks)
    }

    /// Takes the callbacks; the tasks that came meanwhile must not wait for them.
    fn begin_callbacks(&self) -> (Vec<Item>, Vec<Arc<Task>>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let items = std::mem::take(&mut waiting.items);
        if items.is_empty() {
            return (items, Vec::new());
        }
        waiting.in_callbacks = true;
        (items, std::mem::take(&mut waiting.tasks))
    }
}
