//! Whose segment a number is.
//!
//! Owns: the one answer to that, for every reader: of the head, of a snapshot, of a moment of the past. Does not own: the names that
//! follow from it (`lsd_core::format::names`), which segments are there.
use lsd_core::format::header::{EpochStart, LogRecord};
use lsd_core::units::{Epoch, SegmentNo};

/// Where a segment is at home: what its name and its checksums have beside its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Home {
    /// Of the owner that wrote it.
    pub epoch: Epoch,
}

/// Who wrote which segment numbers.
#[derive(Clone, Debug, Default)]
pub struct Lineage {
    epochs: Vec<EpochStart>,
}

impl Lineage {
    pub fn of(log: &LogRecord) -> Self {
        Self { epochs: log.epochs.clone() }
    }

    /// `None`: nobody who is known wrote such a segment.
    pub fn home(&self, segment: SegmentNo) -> Option<Home> {
        LogRecord::epoch_in(&self.epochs, segment).map(|epoch| Home { epoch })
    }
}
