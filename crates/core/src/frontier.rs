//! The durable frontier: completions in any order become a contiguous durable prefix.
//!
//! Owns: which sequence numbers are issued, which of them are complete, and up to where all are. Does not own: who
//! writes, acknowledges or retries. Its size is the number of batches in flight, which the engine bounds.
use std::collections::VecDeque;

use crate::units::Seq;

/// A batch in flight, or complete behind one that is not.
#[derive(Clone, Copy, Debug)]
struct Batch {
    first: Seq,
    last: Seq,
    complete: bool,
}

/// Tracks batches of consecutive sequence numbers until everything before them is durable.
#[derive(Clone, Debug)]
pub struct Frontier {
    durable: Seq,
    issued: Seq,
    /// Ascending and gapless: begins after `durable`, ends at `issued`. The front is never complete.
    batches: VecDeque<Batch>,
}

impl Frontier {
    /// Starts where everything up to and including `durable` is durable and nothing is in flight.
    #[must_use]
    pub fn new(durable: Seq) -> Frontier {
        Frontier { durable, issued: durable, batches: VecDeque::new() }
    }

    /// A batch that carries `first..=last` is on its way.
    ///
    /// # Panics
    /// When the batch is empty or does not follow the last one issued: a frontier that steps over a gap would call
    /// lost records durable.
    pub fn issue(&mut self, first: Seq, last: Seq) {
        assert!(first == self.issued.next() && first <= last, "batch {first}..={last} after {}", self.issued);
        self.batches.push_back(Batch { first, last, complete: false });
        self.issued = last;
    }

    /// The batch that begins at `first` is durable. Returns the new frontier if it advanced. A batch that is unknown
    /// or already complete changes nothing.
    pub fn complete(&mut self, first: Seq) -> Option<Seq> {
        let index = self.batches.binary_search_by_key(&first, |batch| batch.first).ok()?;
        self.batches[index].complete = true;
        let before = self.durable;
        while let Some(batch) = self.batches.pop_front_if(|batch| batch.complete) {
            self.durable = batch.last;
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
