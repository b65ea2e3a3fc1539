//! When a group of batches goes: the more is in flight, the larger it becomes before. Small ones when the store is idle, few and
//! large ones when it is busy.
//!
//! Owns: what is in flight of the guest's batches, and the decision. Does not own: what waits in the group, who waits for it.
use super::group::OpenGroup;
use crate::limits::{
    BATCH_EAGER_BYTES, BATCH_TARGET_BYTES, BUSY_BYTES_IN_FLIGHT, BUSY_IN_FLIGHT, EAGER_IN_FLIGHT, SYNC_IN_FLIGHT,
};

#[derive(Debug, Default)]
pub(super) struct InFlight {
    batches: usize,
    bytes: u64,
}

impl InFlight {
    pub(super) fn add(&mut self, bytes: u32) {
        self.batches += 1;
        self.bytes += u64::from(bytes);
    }

    pub(super) fn remove(&mut self, bytes: u32) {
        self.batches = self.batches.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes.into());
    }

    /// Whether the group goes although nobody waits for it. A divided group is never small: it has twice the operations and
    /// header pages.
    pub(super) fn is_worth_sending(&self, group: &OpenGroup) -> bool {
        let enough = match self.batches {
            0..EAGER_IN_FLIGHT if group.batches.len() == 1 => BATCH_EAGER_BYTES,
            0..BUSY_IN_FLIGHT if !self.is_saturated() => BATCH_TARGET_BYTES,
            _ => return group.is_full(),
        };
        group.accepted_bytes() >= enough.into() || group.is_full()
    }

    /// Whether a group goes that somebody waits for. If not, it gathers more until something comes back from the store, which
    /// asks again: with nothing in flight the answer is always yes.
    pub(super) fn admits_wanted(&self) -> bool {
        self.batches < SYNC_IN_FLIGHT && !self.is_saturated()
    }

    /// The store has as much as a full batch to do.
    fn is_saturated(&self) -> bool {
        self.bytes >= BUSY_BYTES_IN_FLIGHT
    }
}

#[cfg(test)]
mod tests;
