//! The durable frontier: completions in any order become a contiguous durable prefix.
//!
//! What is issued is a group of batches, most often of one: none of its records is durable before all of its batches are.
//!
//! Owns: which sequence numbers are issued, which of them are complete, and up to where all are. Does not own: who
//! writes, acknowledges or retries. Its size is the number of batches in flight, which the engine bounds.
use std::collections::VecDeque;

use crate::units::Seq;

/// A group in flight, or complete behind one that is not.
#[derive(Clone, Copy, Debug)]
struct Group {
    first: Seq,
    last: Seq,
    /// Batches that are not complete.
    missing: usize,
}

/// Tracks groups of consecutive sequence numbers until everything before them is durable.
#[derive(Clone, Debug)]
pub struct Frontier {
    durable: Seq,
    issued: Seq,
    /// Ascending and gapless: begins after `durable`, ends at `issued`. The front is never complete.
    groups: VecDeque<Group>,
}

impl Frontier {
    /// Starts where everything up to and including `durable` is durable and nothing is in flight.
    #[must_use]
    pub fn new(durable: Seq) -> Frontier {
        Frontier { durable, issued: durable, groups: VecDeque::new() }
    }

    /// A group of so many batches that carries `first..=last` is on its way.
    ///
    /// # Panics
    /// When the group is empty or does not follow the last one issued: a frontier that steps over a gap would call
    /// lost records durable.
    pub fn issue(&mut self, first: Seq, last: Seq, batches: usize) {
        assert!(
            batches > 0 && first == self.issued.next() && first <= last,
            "batch {first}..={last} after {}",
            self.issued
        );
        self.groups.push_back(Group { first, last, missing: batches });
        self.issued = last;
    }

    /// A batch of the group that begins at `first` is durable. Returns the new frontier if it advanced. A group that is unknown
    /// or already complete changes nothing.
    pub fn complete(&mut self, first: Seq) -> Option<Seq> {
        let index = self.groups.binary_search_by_key(&first, |group| group.first).ok()?;
        let missing = &mut self.groups[index].missing;
        *missing = missing.saturating_sub(1);
        let before = self.durable;
        while let Some(group) = self.groups.pop_front_if(|group| group.missing == 0) {
            self.durable = group.last;
        }
        (self.durable > before).then_some(self.durable)
    }

    /// Everything up to and including this is durable.
    #[must_use]
    pub fn durable(&self) -> Seq {
        self.durable
    }

    /// The last sequence number issued; equal to [`Frontier::durable`] when nothing is in flight.
    #[must_use]
    pub fn issued(&self) -> Seq {
        self.issued
    }
}

#[cfg(test)]
mod tests;
