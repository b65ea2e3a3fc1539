//! The threads of this library: one tokio runtime and one completion thread per process, made on first use.
//!
//! Owns: starting them, also again in a forked child, and waiting for a future from a caller's thread.
//! Does not own: what runs on them.
use crate::runtime::deliver::Deliverer;
use crate::runtime::task::{Kind, Spawner, Task, with_found_before_waiting};
use lsd_engine::{Executor, ParentCache};
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use tokio::runtime::{Builder, Handle, Runtime};

/// For background work, which is mostly waiting for RADOS and copying; librados has its own threads for the network.
const WORKER_THREADS: usize = 2;

/// What one process has of threads. Never dropped: threads may be in use until the process ends.
pub struct Core {
    process: u32,
    runtime: Runtime,
    /// By the id of the cluster.
    parents: Mutex<HashMap<String, ParentCache>>,
    pub deliverer: Deliverer,
}

static CORE: AtomicPtr<Core> = AtomicPtr::new(std::ptr::null_mut());

/// The threads of this process. A forked child inherits no threads, so it gets new ones here.
pub fn core() -> io::Result<&'static Core> {
    let process = std::process::id();
    loop {
        let current = CORE.load(Ordering::Acquire);
        // SAFETY: a stored pointer comes from Box::into_raw below and is never freed.
        if let Some(core) = unsafe { current.as_ref() }
            && core.process == process
        {
            return Ok(core);
        }
        let made = Box::into_raw(Box::new(Core::start(process)?));
        if CORE.compare_exchange(current, made, Ordering::AcqRel, Ordering::Acquire).is_err() {
            // Another thread was first; of the threads just made, one stays asleep for good.
            // SAFETY: `made` was never shared.
            drop(unsafe { Box::from_raw(made) });
        }
    }
}

impl Core {
    fn start(process: u32) -> io::Result<Core> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(WORKER_THREADS)
            .thread_name("lsd-worker")
            .enable_all()
            .build()?;
        Ok(Core { process, runtime, parents: Mutex::default(), deliverer: Deliverer::start()? })
    }

    pub fn handle(&self) -> &Handle {
        self.runtime.handle()
    }

    /// What images of a cluster share of their parents in this process.
    pub fn parents(&self, cluster: &str) -> ParentCache {
        let mut parents = self.parents.lock().unwrap_or_else(PoisonError::into_inner);
        parents.entry(cluster.to_owned()).or_default().clone()
    }

    /// Runs an image's appender: where its news come up, so in the thread that gives it a batch or takes completions.
    pub fn executor(&'static self) -> Executor {
        Executor::new(move |work| Task::new(self, Kind::Background, work).run())
    }

    /// Waits for a future in the calling thread, whichever it is: a caller's, one of its callbacks, nested or not.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        let _context = self.runtime.enter();
        let parker = Arc::new(Parker::default());
        let waker = Waker::from(parker.clone());
        let mut context = Context::from_waker(&waker);
        let mut future = pin!(future);
        loop {
            if let Poll::Ready(value) = with_found_before_waiting(|| future.as_mut().poll(&mut context)) {
                return value;
            }
            parker.park();
        }
    }
}

impl Spawner for Core {
    fn queue(&self, task: Arc<Task>) {
        self.deliverer.push_task(task, self.handle());
    }

    fn handle(&self) -> &Handle {
        self.runtime.handle()
    }
}

#[derive(Default)]
struct Parker {
    woken: Mutex<bool>,
    wake: Condvar,
}

impl Parker {
    fn park(&self) {
        let mut woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        while !*woken {
            woken = self.wake.wait(woken).unwrap_or_else(PoisonError::into_inner);
        }
        *woken = false;
    }
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        *self.woken.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.wake.notify_one();
    }
}
