//! When to load leaves of the map ahead of operations that go through the image in order.
//!
//! A write of a leaf that is not in memory waits for an OSD that is busy with the writes before it, so a sequential writer
//! would stop at every leaf. Policy only: it says what to load, somebody else loads.
use crate::api::limits::{IN_ORDER_LEAST_BYTES, LEAVES_AHEAD};
use lsd_core::units::LeafNo;
use std::ops::Range;

#[derive(Debug, Default)]
pub(crate) struct LeafAhead {
    /// The leaf of the last operation.
    last: Option<LeafNo>,
    /// Bytes that operations have touched in order, this one included.
    in_order: u64,
    /// Every leaf before this one was asked for, while operations stay in order.
    asked_to: u32,
}

impl LeafAhead {
    /// An operation of `len` bytes begins in `leaf`. Returns the numbers of the leaves to load ahead of the next ones, if any.
    pub(crate) fn observe(&mut self, leaf: LeafNo, len: u64) -> Option<Range<u32>> {
        let next = leaf.0 + 1;
        let crossed = self.last.is_some_and(|last| last.0 + 1 == leaf.0);
        // Operations side by side cross from one leaf to the next in no strict order: one that comes late changes nothing.
        if !crossed && self.last.is_some_and(|last| last == leaf || last.0 == next) {
            self.in_order += len;
            return None;
        }
        if !crossed {
            *self = Self { last: Some(leaf), in_order: len, asked_to: next };
            return None;
        }
        self.last = Some(leaf);
        self.in_order += len;
        // A random operation comes upon the next leaf by chance, in a small image often.
        if self.in_order < IN_ORDER_LEAST_BYTES {
            return None;
        }
        let from = self.asked_to.max(next);
        self.asked_to = next + LEAVES_AHEAD;
        Some(from..self.asked_to)
    }
}

#[cfg(test)]
mod tests;
