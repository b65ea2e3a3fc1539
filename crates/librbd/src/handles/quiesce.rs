//! A caller's functions that make it quiet while a snapshot is taken, and let it go on (rbd_quiesce_watch).
//!
//! Owns: a thread of its own for each watch, so that one may wait for whatever comes on the completion thread, and that nothing is
//! called once the watch has ended. Does not own: when they are called (the engine).
use crate::ffi::ctypes::rbd_update_callback_t;
use lsd_engine::QuiesceEvent;
use std::ffi::c_void;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, ThreadId};
use tokio::sync::oneshot;

/// `None`: the watch has ended.
type Call = Option<QuiesceEvent>;

struct Caller {
    quiesce: rbd_update_callback_t,
    unquiesce: rbd_update_callback_t,
    argument: *mut c_void,
    ended: AtomicBool,
}

// SAFETY: the argument is only handed back to the caller, on the watch's one thread.
unsafe impl Send for Caller {}
// SAFETY: as above.
unsafe impl Sync for Caller {}

impl Caller {
    fn run(&self, calls: &Receiver<Call>) {
        while let Ok(Some(event)) = calls.recv() {
            if self.ended.load(Ordering::SeqCst) {
                return;
            }
            let callback = match event {
                QuiesceEvent::Quiesce => self.quiesce,
                QuiesceEvent::Unquiesce => self.unquiesce,
            };
            // SAFETY: the caller gave these functions for exactly these calls, and has not taken them back.
            unsafe { callback(self.argument) };
        }
    }
}

pub struct QuiesceWatch {
    caller: Arc<Caller>,
    calls: Sender<Call>,
    thread: ThreadId,
    /// Ends when the thread does.
    finished: Mutex<Option<oneshot::Receiver<()>>>,
}

/// Calls that come while the caller does not know the watch's number yet: they wait.
pub struct Waiting {
    calls: Sender<Call>,
    to_make: Receiver<Call>,
}

impl Waiting {
    pub fn new() -> Self {
        let (calls, to_make) = channel();
        Self { calls, to_make }
    }

    /// What hands the engine's calls to the thread.
    pub fn listener(&self) -> Arc<dyn Fn(QuiesceEvent) + Send + Sync> {
        let calls = self.calls.clone();
        // Fails only when the watch has ended.
        Arc::new(move |event| {
            let _ = calls.send(Some(event));
        })
    }

    pub fn start(
        self,
        quiesce: rbd_update_callback_t,
        unquiesce: rbd_update_callback_t,
        argument: *mut c_void,
    ) -> io::Result<QuiesceWatch> {
        let caller = Arc::new(Caller { quiesce, unquiesce, argument, ended: AtomicBool::new(false) });
        let Self { calls, to_make } = self;
        let (finish, finished) = oneshot::channel::<()>();
        let of_thread = caller.clone();
        let thread = thread::Builder::new().name("lsd-quiesce".into()).spawn(move || {
            of_thread.run(&to_make);
            drop(finish);
        })?;
        Ok(QuiesceWatch { caller, calls, thread: thread.thread().id(), finished: Mutex::new(Some(finished)) })
    }
}

impl QuiesceWatch {
    /// No call begins after this; waits for one that has begun, unless that is who ends it.
    pub async fn end(&self) {
        self.caller.ended.store(true, Ordering::SeqCst);
        let _ = self.calls.send(None);
        let finished = self.finished.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(finished) = finished.filter(|_| thread::current().id() != self.thread) {
            // Always an error: the sender is dropped.
            let _ = finished.await;
        }
    }
}
