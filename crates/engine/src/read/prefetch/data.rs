//! When to read ahead of a sequential reader, as librbd's `rbd_readahead_*` settings have it.
use crate::api::limits::{READAHEAD_MAX_BYTES, READAHEAD_TRIGGER};

/// Follows one reader; policy only: it says what to fetch, somebody else fetches.
#[derive(Debug, Default)]
pub(crate) struct Readahead {
    /// Where the next sequential read would start.
    expected: u64,
    in_sequence: u32,
    /// Everything before this was fetched ahead already.
    fetched_to: u64,
}

impl Readahead {
    /// A read of `offset~len` came in. Returns the range to fetch ahead, if any: (offset, len) within `size`.
    pub(crate) fn observe(&mut self, offset: u64, len: u64, size: u64) -> Option<(u64, u64)> {
        if offset != self.expected {
            self.in_sequence = 0;
            self.fetched_to = 0;
        }
        self.in_sequence = self.in_sequence.saturating_add(1);
        let end = offset + len;
        self.expected = end;
        if self.in_sequence < READAHEAD_TRIGGER || len >= READAHEAD_MAX_BYTES {
            return None;
        }
        // Fetch the next window when less than half of the last one is left.
        if self.fetched_to > end + READAHEAD_MAX_BYTES / 2 {
            return None;
        }
        let from = self.fetched_to.max(end);
        let to = (end + READAHEAD_MAX_BYTES).min(size);
        self.fetched_to = to;
        (from < to).then_some((from, to - from))
    }
}

#[cfg(test)]
mod tests;
