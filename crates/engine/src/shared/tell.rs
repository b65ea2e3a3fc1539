//! What is told of an open image to those who run it, each state once when it begins and once when it ends.
//!
//! Owns: that a thousand writes that meet one full pool are one line. Does not own: where lines go (a subscriber of `tracing`; without
//! one they cost nothing), errors that a caller gets.
use super::Shared;
use crate::api::limits::DAMAGED_TOLD;
use crate::api::stats::Counter;
use crate::{Error, ErrorKind};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

impl Shared {
    pub(super) fn tell_full(&self, error: Option<&Error>) {
        let image = &self.image;
        match error {
            Some(error) => {
                self.counters.count(Counter::PoolFull);
                tracing::warn!(target: "lsd::append", image, op = "append", object = error.object(), %error,
                    "the pool is full: writes fail until it has room");
            }
            None => tracing::info!(target: "lsd::append", image, op = "append", "the pool takes data again"),
        }
    }

    pub(super) fn tell_silent(&self, error: &Error) {
        if !self.is_silent.swap(true, Ordering::Relaxed) {
            tracing::warn!(target: "lsd::append", image = self.image, op = "append", object = error.object(), %error,
                "the store does not take the log: it is tried again");
        }
    }

    /// A batch is in the store. `is_well`: none is tried again.
    pub(crate) fn tell_answered(&self, is_well: impl FnOnce() -> bool) {
        if self.is_silent.load(Ordering::Relaxed) && is_well() && self.is_silent.swap(false, Ordering::Relaxed) {
            tracing::info!(target: "lsd::append", image = self.image, op = "append", "the store takes the log again");
        }
    }

    pub(super) fn tell_failed(&self, error: &Error) {
        if error.kind != ErrorKind::Closed {
            let (op, object) = (error.op(), error.object());
            tracing::error!(target: "lsd::image", image = self.image, op, object, %error, "the image failed: open it again");
        }
    }

    /// `Corrupt` errors, each object once; others are their callers'.
    pub(crate) fn tell_damage(&self, op: &'static str, error: &Error) {
        if error.kind != ErrorKind::Corrupt {
            return;
        }
        let object = error.object().unwrap_or_default();
        let is_news = {
            let mut told = self.told_damaged.lock().unwrap_or_else(PoisonError::into_inner);
            told.len() < DAMAGED_TOLD && told.insert(object.to_owned())
        };
        if is_news {
            tracing::error!(target: "lsd::damage", image = self.image, op, object, %error, "stored data is damaged");
        }
    }
}
