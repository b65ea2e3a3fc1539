//! The change of the books that goes with a checkpoint, until it is known what became of that.
//!
//! Owns: that it is kept, taken back or put into doubt, also where the checkpoint is given up half-way because whoever asked for it
//! went away. Does not own: the changes (`checkpoint/purpose.rs`).
use super::purpose::{Changed, Doubt};
use crate::shared::Shared;
use crate::shared::locked::Locked;
use crate::{Error, ErrorKind};
use lsd_core::format::header::CheckpointPointer;
use lsd_state::pins::PageKey;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

#[derive(Debug)]
pub(super) struct Booked<'a> {
    shared: &'a Shared,
    doubt: &'a Mutex<Option<Doubt>>,
    changed: Option<Changed>,
    /// The update of the header was sent: the checkpoint's root, and the pages that its leaves are in.
    attempted: Option<(CheckpointPointer, BTreeSet<PageKey>)>,
}

impl<'a> Booked<'a> {
    pub(super) fn new(shared: &'a Shared, doubt: &'a Mutex<Option<Doubt>>, changed: Changed) -> Self {
        Self { shared, doubt, changed: Some(changed), attempted: None }
    }

    /// The update is sent from here on.
    pub(super) fn attempt(&mut self, root: CheckpointPointer, leaves: &BTreeSet<PageKey>) {
        self.attempted = Some((root, leaves.clone()));
    }

    /// It did not happen, or nobody knows.
    pub(super) fn refused(&mut self, in_doubt: bool) {
        if !in_doubt {
            self.attempted = None;
        }
    }

    /// It happened.
    pub(super) fn commit(&mut self, state: &mut Locked<'_>) {
        if let (Some(changed), Some((root, leaves))) = (self.changed.take(), self.attempted.take()) {
            changed.commit(state, root, &leaves);
        }
    }

    pub(super) fn changed(&self) -> Option<&Changed> {
        self.changed.as_ref()
    }
}

impl Drop for Booked<'_> {
    fn drop(&mut self) {
        let Some(changed) = self.changed.take() else { return };
        let Some((root, leaves)) = self.attempted.take() else {
            changed.take_back(&mut self.shared.lock());
            return;
        };
        match changed.doubt(root, leaves) {
            Some(Ok(doubt)) => *self.doubt.lock().unwrap_or_else(PoisonError::into_inner) = Some(doubt),
            // What readers see now may be what the header does not say.
            Some(Err(reason)) => self.shared.fail(Error::new(ErrorKind::Io { errno: nix::libc::EIO }, reason)),
            None => {}
        }
    }
}
