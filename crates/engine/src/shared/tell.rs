//! What is told of an open image to those who run it: each state once when it begins and once when it ends, and what comes again and
//! again once a minute.
//!
//! Owns: that a thousand writes that meet one full pool are one line. Does not own: where lines go (a subscriber of `tracing`; without
//! one they cost nothing), errors that a caller gets.
use super::Shared;
use crate::api::limits::DAMAGED_TOLD;
use crate::api::stats::Counter;
use crate::shared::seldom::Seldom;
use crate::{Error, ErrorKind};
use lsd_core::units::Epoch;
use lsd_store::{Locker, ObjectName};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// What was told already.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// That the store does not answer, and not yet that it does again.
    is_silent: AtomicBool,
    /// What is damaged: the object, or where none is known, what is wrong.
    damaged: Mutex<BTreeSet<String>>,
    waiting: Seldom,
    owner_silent: Seldom,
    refused: Seldom,
    taken: Seldom,
    not_taken: Seldom,
    given_away: Seldom,
    header_unread: Seldom,
}

impl Told {
    fn is_new_damage(&self, error: &Error) -> bool {
        let mut told = self.damaged.lock().unwrap_or_else(PoisonError::into_inner);
        told.len() < DAMAGED_TOLD && told.insert(error.object().map_or_else(|| error.to_string(), str::to_owned))
    }
}

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
        if !self.told.is_silent.swap(true, Ordering::Relaxed) {
            tracing::warn!(target: "lsd::append", image = self.image, op = "append", object = error.object(), %error,
                "the store does not take the log: it is tried again");
        }
    }

    /// A batch is in the store. `is_well`: none is tried again.
    pub(crate) fn tell_answered(&self, is_well: impl FnOnce() -> bool) {
        if self.told.is_silent.load(Ordering::Relaxed)
            && is_well()
            && self.told.is_silent.swap(false, Ordering::Relaxed)
        {
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
        if self.told.is_new_damage(error) {
            let object = error.object();
            tracing::error!(target: "lsd::damage", image = self.image, op, object, %error, "stored data is damaged");
        }
    }

    pub(crate) fn tell_waiting(&self, header: &ObjectName, holder: &Locker) {
        self.told.waiting.tell(|left_out| {
            tracing::info!(target: "lsd::ownership", image = self.image, op = "takeover", object = %header,
                holder = %holder.client, addr = %holder.addr, left_out, "another client owns the image: waiting for it");
        });
    }

    pub(crate) fn tell_owner_silent(&self, header: &ObjectName, holder: &Locker) {
        self.told.owner_silent.tell(|left_out| {
            let error = format!("{} at {} does not answer", holder.client, holder.addr);
            tracing::warn!(target: "lsd::ownership", image = self.image, op = "takeover", object = %header, %error, left_out,
                "the owner is silent: waiting for it");
        });
    }

    pub(crate) fn tell_refused(&self, header: &ObjectName, error: &Error) {
        self.told.refused.tell(|left_out| {
            tracing::warn!(target: "lsd::ownership", image = self.image, op = "takeover", object = %header, %error, left_out,
                "the owner does not give the image away");
        });
    }

    pub(crate) fn tell_taken(&self, header: &ObjectName, epoch: Epoch) {
        self.told.taken.tell(|left_out| {
            tracing::info!(target: "lsd::ownership", image = self.image, op = "takeover", epoch = epoch.0, object = %header,
                left_out, "this client owns the image");
        });
    }

    pub(crate) fn tell_not_taken(&self, error: &Error) {
        self.told.not_taken.tell(|left_out| {
            tracing::warn!(target: "lsd::ownership", image = self.image, op = "takeover", object = error.object(), %error,
                left_out, "the takeover failed");
        });
    }

    pub(crate) fn tell_given_away(&self, header: &ObjectName) {
        self.told.given_away.tell(|left_out| {
            tracing::info!(target: "lsd::ownership", image = self.image, op = "hand-over", object = %header, left_out,
                "this client gives the image away");
        });
    }

    pub(crate) fn tell_header_unread(&self, error: &Error) {
        self.told.header_unread.tell(|left_out| {
            tracing::warn!(target: "lsd::header", image = self.image, op = "refresh", object = error.object(), %error, left_out,
                "the header changed and could not be read");
        });
    }
}

#[cfg(test)]
mod tests;
