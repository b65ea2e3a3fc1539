//! Reads that wait for RADOS: polled first in the caller's thread, or by the completion thread if it is awake, then on that.
//!
//! Owns: polling such a future again when it is woken. Does not own: where it is polled (module `deliver`).
//! Only reads: they hold nothing that another operation waits for, so one that is not polled for a while, because a
//! callback takes its time, keeps nobody else waiting. A read on a runtime's worker would pass through one more thread.
use crate::runtime::Core;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Wake, Waker};

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

pub struct Task {
    core: &'static Core,
    /// `None` once it has ended.
    work: Mutex<Option<Work>>,
    /// It waits to be polled already.
    queued: AtomicBool,
}

impl Task {
    /// Polls the work now or very soon; whenever it is woken it goes on by itself.
    pub fn start(core: &'static Core, work: impl Future<Output = ()> + Send + 'static) {
        if let Some(task) = core.deliverer.push_new_task(Self::new(core, work)) {
            task.run();
        }
    }

    /// Nobody can wake it before it was polled, so it counts as queued, which it may be.
    pub fn new(core: &'static Core, work: impl Future<Output = ()> + Send + 'static) -> Arc<Self> {
        let work: Work = Box::pin(work);
        Arc::new(Self { core, work: Mutex::new(Some(work)), queued: AtomicBool::new(true) })
    }

    /// Polls the work once, if it has not ended.
    pub fn run(self: Arc<Self>) {
        // Before the poll: a wake-up during it means that there is more to do after it.
        self.queued.store(false, Ordering::Release);
        let waker = Waker::from(self.clone());
        let _context = self.core.handle().enter();
        let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = work.as_mut()
            && running.as_mut().poll(&mut Context::from_waker(&waker)).is_ready()
        {
            *work = None;
        }
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            let core = self.core;
            core.deliverer.push_task(self, core.handle());
        }
    }
}
