//! Shares of a group: batches in several segments whose sequence numbers interleave, and that count together or not at all.
//!
//! Owns: which sequence numbers a share's records have, and when they make sense. Does not own: the bytes around them (`batch.rs`,
//! `segment.rs`), whether all shares of a group are there (`replay.rs`).
use super::record::Record;
use super::{FormatError, FormatResult, Refusal};

/// What a batch says of the group that it is a share of. The group's first sequence is the batch's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// Records of all shares: the group has so many sequence numbers, without a gap.
    pub group_records: u32,
    /// For each record of this share, its sequence minus the group's first; ascending.
    pub steps: Vec<u32>,
}

/// Most records of a group: a step takes three bytes.
pub const MAX_GROUP_RECORDS: u32 = 1 << 24;

/// Collects the steps of a batch's records as they are read.
pub(super) struct Steps {
    group_records: u32,
    steps: Vec<u32>,
}

impl Steps {
    /// `group_records`: 0 for a batch that is a group by itself.
    pub(super) fn new(group_records: u32, records: usize) -> Self {
        Self { group_records, steps: Vec::with_capacity(if group_records > 0 { records } else { 0 }) }
    }

    /// Takes the step of a record off it.
    pub(super) fn accept(&mut self, (record, step): (Record, u32)) -> FormatResult<Record> {
        let fits = match self.group_records {
            0 => step == 0,
            records => step < records && self.steps.last().is_none_or(|last| *last < step),
        };
        if !fits {
            return Err(refusal("step"));
        }
        if self.group_records > 0 {
            self.steps.push(step);
        }
        Ok(record)
    }

    pub(super) fn finish(self) -> FormatResult<Option<Share>> {
        let Self { group_records, steps } = self;
        if group_records == 0 {
            return Ok(None);
        }
        // A share has company.
        if group_records > MAX_GROUP_RECORDS || steps.len() >= group_records as usize {
            return Err(refusal("records of the group"));
        }
        Ok(Some(Share { group_records, steps }))
    }
}

fn refusal(field: &'static str) -> FormatError {
    FormatError::new("batch", Refusal::Value(field))
}
