//! Where operations wait that would exceed a limit of the image (`rbd_qos_*`).
//!
//! Owns: who passes when. Each limit has a line of its own, in the order of the calls; an operation passes when every limit has let
//! it. Nothing is held meanwhile that others need. Does not own: tokens (crate `lsd-core`), which limits there are
//! (`api/io_limits.rs`).
use crate::api::io_limits::{Io, IoLimits, Limited};
use lsd_core::rate::{Bucket, Limit};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

#[derive(Debug)]
pub(crate) struct Gate {
    /// Nothing is limited: the fast answer.
    is_open: AtomicBool,
    /// The image is being closed: nothing will be limited any more.
    is_lifted: AtomicBool,
    limits: Mutex<IoLimits>,
    lines: [Line; 6],
    /// The limits changed: who waits looks again.
    changed: Notify,
    began: Instant,
}

#[derive(Debug)]
struct Line {
    /// Given in the order in which it was asked for.
    turn: tokio::sync::Mutex<()>,
    bucket: Mutex<Bucket>,
}

impl Default for Gate {
    fn default() -> Self {
        let line = || Line { turn: tokio::sync::Mutex::default(), bucket: Mutex::new(empty()) };
        Self {
            is_open: AtomicBool::new(true),
            is_lifted: AtomicBool::new(false),
            limits: Mutex::default(),
            lines: std::array::from_fn(|_| line()),
            changed: Notify::new(),
            began: Instant::now(),
        }
    }
}

fn empty() -> Bucket {
    Bucket::new(Limit::NONE, Duration::ZERO)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Gate {
    /// True: nothing waits.
    pub(crate) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Acquire)
    }

    /// Puts limits in force, also for those who wait already.
    pub(crate) fn set(&self, limits: &IoLimits, image: &str) {
        let mut now = locked(&self.limits);
        if *now == *limits || self.is_lifted.load(Ordering::Acquire) {
            return;
        }
        *now = *limits;
        for what in Limited::ALL {
            let limit = limits.of(what);
            if limit.is_burst_ignored() {
                tracing::warn!(target: "lsd::limits", image = %image, op = "limit", limit = ?what, rate = limit.rate,
                    burst = limit.burst, "a burst below the limit has no effect");
            }
            let mut bucket = locked(&self.lines[what as usize].bucket);
            if bucket.limit() != limit {
                bucket.set(limit, self.began.elapsed());
            }
        }
        self.is_open.store(limits.are_none(), Ordering::Release);
        drop(now);
        self.changed.notify_waiters();
    }

    /// Whoever waits passes, and everybody after.
    pub(crate) fn lift(&self) {
        let limits = locked(&self.limits);
        self.is_lifted.store(true, Ordering::Release);
        for line in &self.lines {
            *locked(&line.bucket) = empty();
        }
        self.is_open.store(true, Ordering::Release);
        drop(limits);
        self.changed.notify_waiters();
    }

    /// Waits until the operation exceeds no limit.
    pub(crate) async fn pass(&self, io: Io, bytes: u64) {
        let lines = Limited::ALL.iter().map(|what| self.pass_one(*what, what.tokens(io, bytes)));
        futures::future::join_all(lines).await;
    }

    async fn pass_one(&self, what: Limited, mut tokens: u64) {
        let line = &self.lines[what as usize];
        if tokens == 0 || locked(&line.bucket).limit().rate == 0 {
            return;
        }
        let _turn = line.turn.lock().await;
        loop {
            let changed = self.changed.notified();
            let Some(wait) = locked(&line.bucket).take(&mut tokens, self.began.elapsed()) else { return };
            let least = locked(&self.limits).least_wait;
            tokio::select! {
                () = tokio::time::sleep(wait.max(least)) => {}
                () = changed => {}
            }
        }
    }
}
