//! The I/O threads and the order they keep.
//!
//! Owns: the rule that operations of this store on one object take effect in the order of the calls. Each object that
//! has work is a strand: reads of it run side by side, everything else runs alone, nothing overtakes. Appends that
//! wait behind each other are handed out together, so that they share one flush. Objects do not wait for each other,
//! except for a free thread. Does not own: what the work does.
//!
//! The queue has no limit of its own: the engine bounds what it has in flight.
use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

/// One piece of blocking work.
pub(super) type Work = Box<dyn FnOnce() + Send>;

/// Carries out a group of consecutive appends to one object.
type Appender<A> = Arc<dyn Fn(&str, Vec<A>) + Send + Sync>;

/// Appends in one group; more wait for the next one. Bounds how long one flush can delay a reply.
const GROUP_MAX_APPENDS: usize = 64;

enum Job<A> {
    Read(Work),
    Write(Work),
    Append(A),
}

enum Task {
    Read(Work),
    Write(Work),
    /// The appends at the front of the strand, as many as there are when a thread gets to it.
    Appends,
}

struct Strand<A> {
    waiting: VecDeque<Job<A>>,
    readers: usize,
    writer: bool,
}

struct State<A> {
    strands: HashMap<String, Strand<A>>,
    ready: VecDeque<(String, Task)>,
    closing: bool,
}

struct Shared<A> {
    state: Mutex<State<A>>,
    work: Condvar,
    appender: Appender<A>,
}

pub(super) struct Strands<A: Send + 'static> {
    shared: Arc<Shared<A>>,
    threads: Vec<JoinHandle<()>>,
}

impl<A: Send + 'static> Strands<A> {
    pub fn new(threads: usize, appender: Appender<A>) -> std::io::Result<Self> {
        let state = State { strands: HashMap::new(), ready: VecDeque::new(), closing: false };
        let shared = Arc::new(Shared { state: Mutex::new(state), work: Condvar::new(), appender });
        let mut strands = Self { shared, threads: Vec::new() };
        for number in 0..threads {
            let shared = strands.shared.clone();
            let thread = thread::Builder::new().name(format!("lsd-dir-{number}"));
            strands.threads.push(thread.spawn(move || shared.serve())?);
        }
        Ok(strands)
    }

    pub fn read(&self, object: &str, work: Work) {
        self.submit(object, Job::Read(work));
    }

    pub fn write(&self, object: &str, work: Work) {
        self.submit(object, Job::Write(work));
    }

    pub fn append(&self, object: &str, append: A) {
        self.submit(object, Job::Append(append));
    }

    fn submit(&self, object: &str, job: Job<A>) {
        let mut state = self.shared.lock();
        let strand = state.strands.entry(object.to_owned()).or_insert_with(|| Strand {
            waiting: VecDeque::new(),
            readers: 0,
            writer: false,
        });
        strand.waiting.push_back(job);
        self.shared.advance(&mut state, object);
    }
}

impl<A: Send + 'static> Drop for Strands<A> {
    /// Work that was submitted is still done.
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.shared.work.notify_all();
        let this = thread::current().id();
        for thread in self.threads.drain(..).filter(|thread| thread.thread().id() != this) {
            // A panic in the work was caught and its caller knows.
            drop(thread.join());
        }
    }
}

impl<A: Send + 'static> Shared<A> {
    fn lock(&self) -> MutexGuard<'_, State<A>> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves everything of one strand that may run now to the ready queue.
    fn advance(&self, state: &mut State<A>, object: &str) {
        let Some(strand) = state.strands.get_mut(object) else { return };
        while let Some(task) = strand.next_task() {
            state.ready.push_back((object.to_owned(), task));
            self.work.notify_one();
        }
        if strand.is_idle() {
            state.strands.remove(object);
        }
    }

    fn serve(&self) {
        let mut state = self.lock();
        loop {
            let Some((object, task)) = state.ready.pop_front() else {
                if state.closing && state.strands.is_empty() {
                    self.work.notify_all();
                    return;
                }
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let group = match task {
                Task::Appends => state.strands.get_mut(&object).map(Strand::take_group).unwrap_or_default(),
                _ => Vec::new(),
            };
            drop(state);
            let reads = matches!(task, Task::Read(_));
            // A panic must not stop the object for ever; the caller sees that its answer never came.
            drop(catch_unwind(AssertUnwindSafe(|| match task {
                Task::Read(work) | Task::Write(work) => work(),
                Task::Appends => (self.appender)(&object, group),
            })));
            state = self.lock();
            if let Some(strand) = state.strands.get_mut(&object) {
                if reads {
                    strand.readers -= 1;
                } else {
                    strand.writer = false;
                }
            }
            self.advance(&mut state, &object);
        }
    }
}

impl<A> Strand<A> {
    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.readers == 0 && !self.writer
    }

    fn next_task(&mut self) -> Option<Task> {
        if self.writer {
            return None;
        }
        match self.waiting.front()? {
            Job::Read(_) => self.readers += 1,
            _ if self.readers > 0 => return None,
            _ => self.writer = true,
        }
        match self.waiting.pop_front()? {
            Job::Read(work) => Some(Task::Read(work)),
            Job::Write(work) => Some(Task::Write(work)),
            append @ Job::Append(_) => {
                self.waiting.push_front(append);
                Some(Task::Appends)
            }
        }
    }

    fn take_group(&mut self) -> Vec<A> {
        let mut group = Vec::new();
        while group.len() < GROUP_MAX_APPENDS {
            match self.waiting.pop_front() {
                Some(Job::Append(append)) => group.push(append),
                Some(other) => {
                    self.waiting.push_front(other);
                    break;
                }
                None => break,
            }
        }
        group
    }
}

#[cfg(test)]
mod tests;
