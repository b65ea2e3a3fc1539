//! The state of an open image with those who wait for it to change.
pub(crate) mod gate;
mod leaves;
pub(crate) mod locked;
pub(crate) mod queue;
pub(crate) mod seldom;
mod tell;
pub(crate) mod waiters;

use crate::api::limits::{CHECKPOINT_COST_MULTIPLE, SPACE_PATIENCE, UNSTORED_LEAVES_DUE, UNSTORED_LEAVES_LEAST_BYTES};
use crate::api::parent_cache::ParentData;
use crate::api::stats::{Counter, Counters};
use crate::objects::checksums::ChecksumCache;
use crate::shared::gate::Gate;
use crate::shared::locked::{Held, Locked};
use crate::shared::waiters::Waiters;
use crate::{Error, ErrorKind, Result, Settings};
use lsd_core::units::Seq;
use lsd_state::log::BatchJob;
use lsd_state::protocol;
use lsd_state::state::State;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, Semaphore, watch};

/// The least and the most dirty memory that an image can be given.
pub(crate) const MIN_DIRTY_BYTES: u64 = 4 << 20;
const MAX_DIRTY_BYTES: u64 = 1 << 30;

#[derive(Debug)]
pub(crate) struct Shared {
    /// The image's name when it was opened, for those who read what is told of it.
    pub(crate) image: String,
    state: Mutex<Held>,
    /// Taken under the state's lock or alone, never before it.
    waiters: Mutex<Waiters>,
    /// Bytes that may still be accepted without being durable.
    dirty: Semaphore,
    dirty_most: u64,
    /// The store was short of room when a write was last asked for.
    short: AtomicBool,
    /// The pool has no room for appends.
    full: watch::Sender<bool>,
    /// The last time that the store did not answer.
    stalled: watch::Sender<Option<Error>>,
    told: tell::Told,
    leaves_loaded: AtomicBool,
    /// One of them is held while a leaf is read, so that those who need the same leaf read it once.
    leaf_reads: [tokio::sync::Mutex<()>; leaves::LEAF_READS],
    pub(crate) checksums: ChecksumCache,
    /// What handles share of the image's ancestors. Taken under the state's lock or alone.
    pub(crate) parents: Option<Arc<ParentData>>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) gate: Gate,
    /// Log bytes before a checkpoint is considered.
    checkpoint_log_bytes: AtomicU64,
    /// Memory for leaves that no checkpoint has as they are.
    unstored_leaves_bytes: u64,
    /// A range lock was released.
    pub(crate) unlocked: Notify,
    /// Enough log for a checkpoint.
    pub(crate) checkpoint_due: Notify,
    /// Garbage collection should look whether there is something to do.
    pub(crate) gc_due: Notify,
    /// Space was given back, or will not be for now: writers that wait for it look again.
    pub(crate) space_freed: Notify,
    /// A batch was opened in write-back mode: it must not grow old.
    pub(crate) batch_opened: Notify,
}

impl Shared {
    pub(crate) fn new(image: &str, state: State, settings: &Settings, counters: Arc<Counters>) -> Self {
        let dirty_most = settings.max_dirty_bytes.clamp(MIN_DIRTY_BYTES, MAX_DIRTY_BYTES);
        Self {
            image: image.to_owned(),
            state: Mutex::new(Held::new(state)),
            waiters: Mutex::default(),
            dirty: Semaphore::new(dirty_most as usize),
            dirty_most,
            short: AtomicBool::new(false),
            full: watch::Sender::new(false),
            stalled: watch::Sender::new(None),
            told: tell::Told::default(),
            leaves_loaded: AtomicBool::new(false),
            leaf_reads: Default::default(),
            checksums: ChecksumCache::default(),
            parents: None,
            counters,
            gate: Gate::default(),
            checkpoint_log_bytes: AtomicU64::new(settings.checkpoint_log_bytes),
            unstored_leaves_bytes: settings.map_cache_bytes.max(UNSTORED_LEAVES_LEAST_BYTES),
            unlocked: Notify::new(),
            checkpoint_due: Notify::new(),
            gc_due: Notify::new(),
            space_freed: Notify::new(),
            batch_opened: Notify::new(),
        }
    }

    /// Takes up settings that changed. How much may be dirty stays as it was when the image was opened.
    pub(crate) fn take_up(&self, settings: &Settings) {
        self.checkpoint_log_bytes.store(settings.checkpoint_log_bytes, Ordering::Relaxed);
        self.lock().buffers.set_capacity(settings.cache_bytes);
        self.gate.set(&settings.limits, &self.image);
    }

    /// Short critical sections only; never held across I/O.
    pub(crate) fn lock(&self) -> Locked<'_> {
        // A panic inside a critical section leaves the state in doubt: such an image only answers with an error.
        let held = self.state.lock().unwrap_or_else(|poisoned: PoisonError<_>| {
            let mut held = poisoned.into_inner();
            let error = Error::new(ErrorKind::Io { errno: nix::libc::EIO }, "a panic left the image in doubt");
            if held.fail(error.clone()) {
                // And with it what it had decided.
                held.forget_jobs();
                self.tell_failed(&error);
                self.end_waiting(&error);
            }
            held
        });
        Locked::new(held)
    }

    /// This handle does not write any more. Who waits for what is not durable now is told so: nobody else will.
    pub(crate) fn end_writing(&self, state: &mut Locked<'_>) {
        let durable = state.writer.as_ref().map(|writer| writer.durable());
        state.end_writing();
        if durable.is_some() {
            let error = Error::new(ErrorKind::Closed, "the image was given away before it was durable");
            self.waiters().fail_beyond(durable, &error);
        }
    }

    fn waiters(&self) -> MutexGuard<'_, Waiters> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `len` (up to [`MIN_DIRTY_BYTES`]) bytes of dirty memory are free and takes them. `NoSpace` instead of
    /// waiting for a pool that is full, `TimedOut` when the store does not answer; the failure of an image that failed.
    pub(crate) async fn take_dirty(&self, len: u64) -> Result<()> {
        if let Ok(permit) = self.dirty.try_acquire_many(len as u32) {
            permit.forget();
            return Ok(());
        }
        // What is in the open batch comes back only when the batch goes. It need not go at once: what is in flight comes back first.
        {
            let mut state = self.lock();
            let end = state.view.end;
            state.want_durable(end);
        }
        let mut full = self.full.subscribe();
        let mut stalled = self.stalled.subscribe();
        tokio::select! {
            biased;
            permit = self.dirty.acquire_many(len as u32) => {
                // The semaphore is closed when the image fails; the next look at the state says why.
                permit.map(|permit| permit.forget()).map_err(|_| self.failure())
            }
            _ = full.wait_for(|full| *full) => Err(Error::new(ErrorKind::NoSpace, "the pool is full")),
            _ = stalled.changed() => Err(stalled.borrow().clone().unwrap_or_else(|| self.failure())),
        }
    }

    /// Waits while the log is beyond its bound on space and garbage collection can do something about it; not for ever.
    pub(crate) async fn wait_for_space(&self) {
        // From the first look on: what is given back again and again may never be enough.
        let until = tokio::time::Instant::now() + SPACE_PATIENCE;
        loop {
            let freed = self.space_freed.notified();
            {
                let state = self.lock();
                let is_full = *self.full.borrow();
                // Nothing can be collected in a full pool, and whoever writes to it is told so. Who gave the image away does not collect.
                if state.failure().is_some() || state.writer.is_none() || is_full {
                    return;
                }
                if !state.throttle.holds_writers(&state.segments.space()) {
                    return;
                }
            }
            self.gc_due.notify_one();
            if tokio::time::timeout_at(until, freed).await.is_err() {
                return;
            }
        }
    }

    /// Whether what makes leaves dirty waits for the next checkpoint.
    pub(crate) fn holds_leaves(&self, state: &State) -> bool {
        state.view.map.unstored_bytes() as u64 >= self.unstored_leaves_bytes
    }

    /// Waits while the map has no memory for more dirty leaves until a checkpoint was written. An error: checkpoints have failed for
    /// about a minute.
    pub(crate) async fn wait_for_leaves(&self) -> Result<()> {
        loop {
            let stored = self.space_freed.notified();
            {
                let state = self.lock();
                // Who writes to a full pool is told so: its data has a bound as well.
                let is_full = *self.full.borrow();
                if !self.holds_leaves(&state) || state.failure().is_some() || state.writer.is_none() || is_full {
                    return Ok(());
                }
                // Who is refused asks for it as well: nobody else may come by, and the store may be well again.
                self.checkpoint_due.notify_one();
                if let Some(error) = state.checkpoint_failure() {
                    return Err(error.clone());
                }
            }
            stored.await;
        }
    }

    /// Takes dirty memory if neither it nor the log's space has to be waited for.
    pub(crate) fn try_take_dirty(&self, len: u64) -> bool {
        let is_held = {
            let state = self.lock();
            state.throttle.holds_writers(&state.segments.space()) || self.holds_leaves(&state)
        };
        !is_held && self.dirty.try_acquire_many(len as u32).map(|permit| permit.forget()).is_ok()
    }

    /// The pool is full, or takes data again. Those who wait for durability are told: their data stays in memory
    /// and is tried again, but it is not durable now. `hopeless`: not even what frees space found room, so those who wait for
    /// that are told as well.
    pub(crate) fn set_full(&self, error: Option<Error>, hopeless: bool) {
        let is_full = error.is_some();
        let is_news = self.full.send_if_modified(|full| std::mem::replace(full, is_full) != is_full);
        // Every durable batch says that there is room: only the first one after a full pool is worth the lock.
        if !is_full && is_news {
            self.lock().throttle.set_full(false);
        }
        if is_news {
            self.tell_full(error.as_ref());
        }
        if let Some(error) = error {
            {
                let mut state = self.lock();
                state.throttle.set_full(true);
                let forced = (!hopeless).then_some(state.forced);
                self.waiters().fail_beyond(forced, &error);
            }
            self.space_freed.notify_waiters();
            self.gc_due.notify_one();
        }
    }

    /// The store does not take the log now. Those who wait for it are told why: their data stays in memory and is tried again, but it is
    /// not durable now. Who waits from now on waits for the same data.
    pub(crate) fn stalled(&self, error: Error) {
        self.waiters().fail(&error);
        self.tell_silent(&error);
        self.stalled.send_replace(Some(error));
    }

    /// Bytes that are accepted and not durable.
    pub(crate) fn dirty_bytes(&self) -> u64 {
        self.dirty_most - (self.dirty.available_permits() as u64).min(self.dirty_most)
    }

    /// The store is short of room. True if collection or a checkpoint may give some back: they were asked to.
    pub(crate) fn press_for_room(&self) -> bool {
        self.short.store(true, Ordering::Relaxed);
        let can_free = {
            let mut state = self.lock();
            state.throttle.press(true);
            let space = state.segments.space();
            state.throttle.wants_checkpoint(&space) || state.throttle.is_due(&space)
        };
        if can_free {
            self.gc_due.notify_one();
        }
        can_free
    }

    /// The store has room.
    pub(crate) fn relieve(&self) {
        if self.short.load(Ordering::Relaxed) && self.short.swap(false, Ordering::Relaxed) {
            self.lock().throttle.press(false);
        }
    }

    pub(crate) fn give_dirty(&self, bytes: u64) {
        self.dirty.add_permits(bytes as usize);
    }

    /// The image fails for good: everybody who waits hears why.
    pub(crate) fn fail(&self, error: Error) {
        let mut state = self.lock();
        if state.fail(error.clone()) {
            self.tell_failed(&error);
        }
        self.end_waiting(&error);
    }

    /// With the state's lock held: nobody begins to wait in between.
    fn end_waiting(&self, error: &Error) {
        self.waiters().fail(error);
        self.dirty.close();
        self.space_freed.notify_waiters();
    }

    fn failure(&self) -> Error {
        self.lock().failure().cloned().unwrap_or_else(|| Error::new(ErrorKind::Closed, "the image is closed"))
    }

    /// A batch is in the store.
    pub(crate) fn on_durable(&self, job: &BatchJob) {
        let (due, gc_due) = {
            let mut state = self.lock();
            let frontier = state.on_durable(job);
            if let Some(frontier) = frontier {
                self.waiters().advance(frontier);
            }
            let space = state.segments.space();
            (self.is_checkpoint_due(&state), state.throttle.is_due(&space) || state.throttle.wants_checkpoint(&space))
        };
        self.counters.count(Counter::Batches);
        self.counters.add(Counter::BatchBytes, job.batch.total_len.into());
        self.counters.add(Counter::Records, job.batch.records.len() as u64);
        self.give_dirty(job.dirty_bytes);
        if gc_due {
            self.gc_due.notify_one();
        }
        if due {
            self.checkpoint_due.notify_one();
        }
    }

    /// Whether a checkpoint is due. Batches that became durable while one was written saw the log before it as well, and asked for
    /// another.
    pub(crate) fn checkpoint_is_due(&self) -> bool {
        self.is_checkpoint_due(&self.lock())
    }

    /// Waits until everything up to `seq` is durable.
    pub(crate) async fn wait_durable(&self, seq: Seq) -> Result<()> {
        let waiter = {
            let mut state = self.lock();
            state.check_alive()?;
            let Some(writer) = &state.writer else { return Ok(()) };
            if protocol::is_durable(seq, writer.durable()) {
                return Ok(());
            }
            let waiter = self.waiters().add(seq);
            state.want_durable(seq);
            waiter
        };
        waiter.await.unwrap_or_else(|_| Err(Error::new(ErrorKind::Closed, "the image was closed")))
    }

    /// When the log since the last checkpoint exceeds a multiple of what a checkpoint will cost, or dirty leaves their memory.
    fn is_checkpoint_due(&self, state: &State) -> bool {
        let cost = state.view.map.dirty_bytes() as u64 + state.root_bytes;
        let least = self.checkpoint_log_bytes.load(Ordering::Relaxed);
        let by_log = state.log_bytes >= least && state.log_bytes >= cost * CHECKPOINT_COST_MULTIPLE;
        by_log || state.view.map.dirty_loaded_bytes() as u64 >= self.unstored_leaves_bytes / UNSTORED_LEAVES_DUE
    }
}
