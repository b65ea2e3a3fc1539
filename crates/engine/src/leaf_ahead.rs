//! When to load leaves of the map ahead of operations that go through the image in order.
//!
//! A write of a leaf that is not in memory waits for an OSD that is busy with the writes before it, so a sequential writer
//! would stop at every leaf. Policy only: it says what to load, somebody else loads.
use crate::limits::LEAVES_AHEAD;
use lsd_core::units::LeafNo;
use std::ops::Range;

#[derive(Debug, Default)]
pub(crate) struct LeafAhead {
    /// The leaf of the last operation.
    last: Option<LeafNo>,
    /// Every leaf before this one was asked for, while operations stay in order.
    asked_to: u32,
}

impl LeafAhead {
    /// An operation touches `leaf`. Returns the numbers of the leaves to load ahead of the next ones, if any.
    pub(crate) fn observe(&mut self, leaf: LeafNo) -> Option<Range<u32>> {
        let next = leaf.0 + 1;
        match self.last {
            // Operations side by side cross from one leaf to the next in no strict order: one that comes late changes nothing.
            Some(last) if last == leaf || last.0 == next => None,
            Some(last) if last.0 + 1 == leaf.0 => {
                let from = self.asked_to.max(next);
                *self = Self { last: Some(leaf), asked_to: next + LEAVES_AHEAD };
                Some(from..self.asked_to)
            }
            _ => {
                *self = Self { last: Some(leaf), asked_to: next };
                None
            }
        }
    }
}

#[cfg(test)]
mod tests;
