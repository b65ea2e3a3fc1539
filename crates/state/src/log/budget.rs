//! How much a batch may have: what it takes in its segment, with everything that is only written when it is sealed.
//!
//! Owns: the arithmetic, in one place. Does not own: when a segment ends for other reasons (`lanes.rs`), when a batch goes (`flow.rs`).
use lsd_core::format::batch::{MAX_BATCH_DATA_BYTES, MAX_BATCH_RECORDS, encoded_len};
use lsd_core::format::segment::{MAX_SEGMENT_RECORDS, sealed_len};
use lsd_core::units::MAX_SEGMENT_BYTES;

/// What a segment has, and may have with one more batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    /// Bytes, batches and records that the segment has.
    pub(super) len: u32,
    pub(super) batches: usize,
    pub(super) records: usize,
    /// Bytes that it should not exceed when it is sealed.
    pub(super) most: u32,
    pub(super) alignment: u32,
}

impl Budget {
    /// Whether one more batch of so many data bytes, padding between them included, and records leaves the segment as it should be.
    pub(super) fn admits(&self, data_len: u32, records: usize) -> bool {
        let counts = records <= MAX_BATCH_RECORDS && self.records + records <= MAX_SEGMENT_RECORDS;
        counts && data_len <= MAX_BATCH_DATA_BYTES && self.sealed_with(data_len, records) <= self.most.into()
    }

    /// Whether the format has room for it: what is not, must never be accepted.
    pub(super) fn is_possible(&self, data_len: u32, records: usize) -> bool {
        self.sealed_with(data_len, records) <= MAX_SEGMENT_BYTES.into()
    }

    /// Bytes of the segment with the batch, sealed.
    fn sealed_with(&self, data_len: u32, records: usize) -> u64 {
        let len = u64::from(self.len) + encoded_len(data_len, records, self.alignment);
        sealed_len(len, self.batches + 1, self.records + records, self.alignment)
    }
}
