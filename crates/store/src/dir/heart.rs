//! The signs of life of this client.
//!
//! Owns: the thread that gives them, and the end of this client's watches when they came too late or it was fenced off.
//! Does not own: what a sign is (`clients`), when others take it for silent (`presence`).
use super::clients::Clients;
use super::fault::Outcome;
use super::hub::Watches;
use super::root::Root;
use crate::{StoreError, StoreErrorKind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The longest silence that a watch may ask for. Beyond it nobody would be helped by waiting.
const TIMEOUT_MAX: Duration = Duration::from_secs(3600);

#[derive(Default)]
struct State {
    stopping: bool,
    /// The last sign of life, and how long this client could be silent after it.
    last: Option<(Instant, Duration)>,
}

struct Shared {
    root: Arc<Root>,
    watches: Arc<Watches>,
    state: Mutex<State>,
    changed: Condvar,
}

pub(super) struct Heart {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Heart {
    /// A client that only reads shows no signs of life: nothing depends on it.
    pub fn start(root: Arc<Root>, watches: Arc<Watches>) -> Outcome<Self> {
        let only_reads = root.clients.own_folder().is_err();
        let shared = Arc::new(Shared { root, watches, state: Mutex::default(), changed: Condvar::new() });
        if only_reads {
            return Ok(Self { shared, thread: None });
        }
        let serving = shared.clone();
        let thread = thread::Builder::new().name("lsd-dir-heart".into()).spawn(move || serving.serve())?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// From now on this client may be silent for so long.
    pub fn set_timeout(&self, timeout: Duration) -> Outcome<()> {
        let clients = &self.shared.root.clients;
        let mut state = self.shared.lock();
        clients.set_timeout(timeout.min(TIMEOUT_MAX))?;
        state.last = Some((Instant::now(), clients.timeout()));
        self.shared.changed.notify_all();
        Ok(())
    }
}

impl Drop for Heart {
    fn drop(&mut self) {
        self.shared.lock().stopping = true;
        self.shared.changed.notify_all();
        // A handler may hold the store: then its thread cannot wait for itself.
        if let Some(thread) = self.thread.take().filter(|thread| thread.thread().id() != thread::current().id()) {
            drop(thread.join());
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self) {
        let clients = &self.root.clients;
        let mut state = self.lock();
        while !state.stopping {
            let pause = clients.beat_pause();
            state = self.changed.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner).0;
            // One that fails leaves this client silent for longer; the next may succeed.
            let beaten = clients.beat().is_ok();
            let now = Instant::now();
            let was_silent = state.last.is_some_and(|(last, allowed)| now.duration_since(last) > allowed);
            if beaten {
                state.last = Some((now, clients.timeout()));
            }
            drop(state);
            self.end_watches(clients, was_silent && beaten);
            state = self.lock();
        }
    }

    /// Others may have dropped this client's watches by now, so they have ended.
    fn end_watches(&self, clients: &Clients, was_silent: bool) {
        let fenced = clients.check().is_err_and(|fault| fault.kind == StoreErrorKind::Fenced);
        let (kind, detail) = match (fenced, was_silent) {
            (true, _) => (StoreErrorKind::Fenced, "another client has taken over from this one"),
            (false, true) => (StoreErrorKind::TimedOut, "this client was silent for longer than the watch lasts"),
            (false, false) => return,
        };
        self.watches.lose_all(|object| StoreError::new(kind, "watch", object).with_detail(detail));
    }
}
