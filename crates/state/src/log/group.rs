//! The group of batches that is being filled: most often one batch, and two where the guest's writes go to segments by how often
//! their place is overwritten. They are sealed together, count together, and share their sequence numbers.
//!
//! Owns: what an open batch holds. Does not own: where batches go, when the group is sealed.
use super::budget::Budget;
use super::recent::At;
use super::{Piece, Stream};
use bytes::Bytes;
use lsd_core::format::batch::{
    BATCH_HEADER_BYTES, BatchPlace, MAX_BATCH_DATA_BYTES, MAX_BATCH_RECORDS, data_start, encoded_len,
};
use lsd_core::format::record::{Record, RecordKind};
use lsd_core::format::share::Share;
use lsd_core::units::{BLOCK_BYTES, Loc, Seq};

static ZEROES: [u8; BLOCK_BYTES as usize] = [0; BLOCK_BYTES as usize];

#[derive(Debug)]
pub(super) struct OpenGroup {
    pub(super) first_seq: Seq,
    /// One for each stream that has something, never of copies and of the guest's writes together.
    pub(super) batches: Vec<OpenBatch>,
}

#[derive(Debug)]
pub(super) struct OpenBatch {
    pub(super) stream: Stream,
    pub(super) lane: usize,
    pub(super) place: BatchPlace,
    pub(super) records: Vec<Record>,
    /// For each record, its sequence minus the group's first.
    steps: Vec<u32>,
    pub(super) pieces: Vec<Piece>,
    pub(super) data_len: u32,
    budget: Budget,
    /// Of the guest's writes, those included whose place another has taken.
    pub(super) accepted_bytes: u64,
    /// Bytes of its largest record.
    pub(super) largest: u32,
}

impl OpenGroup {
    pub(super) fn position(&self, stream: Stream) -> Option<usize> {
        self.batches.iter().position(|batch| batch.stream == stream)
    }

    /// Whether a batch of the stream may be filled beside those that are.
    pub(super) fn admits(&self, stream: Stream) -> bool {
        self.batches.iter().all(|batch| batch.stream.is_fresh() && stream.is_fresh())
    }

    pub(super) fn data_len(&self) -> u32 {
        self.batches.iter().map(|batch| batch.data_len).sum()
    }

    /// Data bytes, or what the guest has written of them if that is more.
    pub(super) fn accepted_bytes(&self) -> u64 {
        let accepted = self.batches.iter().map(|batch| batch.accepted_bytes).sum();
        u64::from(self.data_len()).max(accepted)
    }

    /// Whether it has all that it should have: the next write is probably like the largest of these, and would not fit.
    pub(super) fn is_full(&self) -> bool {
        self.data_len() >= MAX_BATCH_DATA_BYTES
            || self.records() >= MAX_BATCH_RECORDS
            || self.batches.iter().any(|batch| !batch.fits(batch.largest))
    }

    pub(super) fn records(&self) -> usize {
        self.batches.iter().map(|batch| batch.records.len()).sum()
    }
}

impl OpenBatch {
    pub(super) fn new(stream: Stream, lane: usize, place: BatchPlace, budget: Budget) -> Self {
        Self {
            stream,
            lane,
            place,
            records: Vec::new(),
            steps: Vec::new(),
            pieces: Vec::new(),
            data_len: 0,
            budget,
            accepted_bytes: 0,
            largest: 0,
        }
    }

    /// Whether it may have one more record of `len` data bytes; a first one always, as far as the format has room.
    pub(super) fn fits(&self, len: u32) -> bool {
        let (data_len, records) = self.with(len);
        self.budget.admits(data_len, records) || (self.records.is_empty() && self.is_possible(len))
    }

    /// Whether the format has room for one more record.
    pub(super) fn is_possible(&self, len: u32) -> bool {
        let (data_len, records) = self.with(len);
        self.budget.is_possible(data_len, records)
    }

    /// What it has with one more record.
    fn with(&self, len: u32) -> (u32, usize) {
        (self.data_len + self.padding_before(len) + len, self.records.len() + 1)
    }

    pub(super) fn push(&mut self, step: u32, record: Record) {
        self.steps.push(step);
        self.records.push(record);
    }

    /// Takes data in; returns its place in the batch and in the image's log.
    pub(super) fn push_data(&mut self, piece: Piece) -> (u32, Loc) {
        let len = piece.data.len() as u32;
        let padding = self.padding_before(len);
        if padding > 0 {
            self.pieces.push(Piece { data: Bytes::from_static(&ZEROES[..padding as usize]), sums: None });
        }
        let data_offset = BATCH_HEADER_BYTES as u32 + self.data_len + padding;
        self.data_len += padding + len;
        self.largest = self.largest.max(len);
        self.pieces.push(piece);
        (data_offset, self.place.loc(data_offset))
    }

    /// Another write takes the place of one that is as long.
    pub(super) fn rewrite(&mut self, at: At, piece: Piece, crc: u32) {
        let RecordKind::Write { len, data_crc, .. } = &mut self.records[at.record].kind else { return };
        debug_assert_eq!(piece.data.len() as u32, *len, "another length");
        *data_crc = crc;
        self.accepted_bytes += u64::from(*len);
        self.pieces[at.piece] = piece;
    }

    fn padding_before(&self, len: u32) -> u32 {
        data_start(self.data_len, len) - self.data_len
    }

    /// Bytes that it takes in the segment.
    pub(super) fn total_len(&self, alignment: u32) -> u32 {
        encoded_len(self.data_len, self.records.len(), alignment) as u32
    }

    /// What it says of a group with so many records; `None` if they are all in it.
    pub(super) fn take_share(&mut self, group_records: usize) -> Option<Share> {
        let steps = std::mem::take(&mut self.steps);
        (steps.len() < group_records).then_some(Share { group_records: group_records as u32, steps })
    }
}
