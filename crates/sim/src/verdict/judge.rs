//! What fails a run, and which errors a client is entitled to.
//!
//! Owns: the first broken promise, and what the run knows of full pools. Does not own: which content is right (`check.rs`).
use crate::world::net::Net;
use lsd_engine::{Error, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// After a full pool has room again, clients may be told that it is full for so long, milliseconds.
const FULL_ECHO_MS: u64 = 15_000;

#[derive(Default)]
struct Inner {
    failure: Option<String>,
    /// When a pool was full the last time.
    full_at: Option<u64>,
    full: bool,
}

pub struct Judge {
    net: Arc<Net>,
    clones: bool,
    inner: Mutex<Inner>,
}

impl Judge {
    /// `clones`: whoever removes a clone may own the image for a moment, to let go of what its snapshot needed.
    pub fn new(net: Arc<Net>, clones: bool) -> Self {
        Self { net, clones, inner: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn fail(&self, why: impl Into<String>) {
        let why = why.into();
        self.net.note(usize::MAX, "FAILURE", "", &why);
        self.lock().failure.get_or_insert(why);
    }

    pub fn failure(&self) -> Option<String> {
        self.lock().failure.clone()
    }

    pub fn set_full(&self, full: bool) {
        let now = self.net.now_ms();
        let mut inner = self.lock();
        inner.full = full;
        inner.full_at = Some(now);
    }

    pub fn is_full(&self) -> bool {
        self.lock().full
    }

    /// An error of `client`: it fails the run unless the client is entitled to it. `alone`: nobody else can hold the image.
    pub fn error(&self, client: usize, doing: &str, error: &Error, alone: bool) {
        self.net.note(client, "error", doing, &format!("{:?}: {error}", error.kind));
        let contested = self.net.is_cut(client) || self.net.has_zombies() || self.net.had_zombie();
        let entitled = match error.kind {
            // It may have given the image away, and ask who is dead.
            ErrorKind::TimedOut if self.net.is_cut(client) => true,
            // It may ask one who is dead, or who has just begun to take over from one.
            ErrorKind::TimedOut if contested && doing.starts_with("snap-") => true,
            ErrorKind::TimedOut | ErrorKind::Io { .. } => self.net.may_fail(),
            ErrorKind::NoSpace => self.was_full(client),
            // Also alone: a lock whose release was lost is in its own handle's way (docs/TESTING.md).
            ErrorKind::Busy => !alone || contested || self.net.may_fail(),
            // What the owner of a newer epoch does not need any more is gone for an older one.
            ErrorKind::Fenced | ErrorKind::Corrupt => contested,
            // What was issued before the image changed hands may lie outside the size that others gave it since.
            ErrorKind::Invalid => contested,
            ErrorKind::ReadOnly => self.clones && doing == "snap-rollback",
            // Who was taken for dead, and still owns the image, may have resized it first.
            ErrorKind::Canceled => contested && doing == "resize",
            _ => false,
        };
        self.require(entitled, client, doing, error);
    }

    /// An error of a client that asks whoever owns the image.
    pub fn error_of_asker(&self, client: usize, doing: &str, error: &Error) {
        self.net.note(client, "error", doing, &format!("{:?}: {error}", error.kind));
        let contested = self.net.is_cut(client) || self.net.has_zombies() || self.net.had_zombie();
        let entitled = match error.kind {
            // The owner may be dead or cut off.
            ErrorKind::TimedOut | ErrorKind::Busy => true,
            ErrorKind::Io { .. } => self.net.may_fail(),
            ErrorKind::NoSpace => self.was_full(client),
            ErrorKind::Fenced => contested,
            // Who removes the snapshot forgets clones of which nothing is there yet (rule 36).
            ErrorKind::Canceled => doing == "clone",
            // Somebody has asked for the image since it took it.
            ErrorKind::ReadOnly => doing == "snap-rollback",
            _ => false,
        };
        self.require(entitled, client, doing, error);
    }

    fn was_full(&self, client: usize) -> bool {
        let now = self.net.now_ms();
        let inner = self.lock();
        // Answers to a client that was cut off arrive whenever it is connected again.
        let late = inner.full_at.is_some() && self.net.is_cut(client);
        inner.full || late || inner.full_at.is_some_and(|at| now < at + FULL_ECHO_MS)
    }

    fn require(&self, entitled: bool, client: usize, doing: &str, error: &Error) {
        if !entitled {
            self.fail(format!("client {client}, {doing}: not entitled to {:?}: {error}", error.kind));
        }
    }
}
