//! Ranges of the image that a compare-and-write holds while it reads and compares.
use std::ops::Range;

#[derive(Debug, Default)]
pub struct RangeLocks {
    held: Vec<Range<u64>>,
}

impl RangeLocks {
    /// False if somebody holds a part of it.
    pub fn is_free(&self, range: &Range<u64>) -> bool {
        self.held.iter().all(|held| held.end <= range.start || range.end <= held.start)
    }

    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    pub fn hold(&mut self, range: Range<u64>) {
        self.held.push(range);
    }

    pub fn release(&mut self, range: &Range<u64>) {
        if let Some(index) = self.held.iter().position(|held| held == range) {
            self.held.swap_remove(index);
        }
    }
}
