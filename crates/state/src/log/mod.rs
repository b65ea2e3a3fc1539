//! The owner's end of the log: the open group of batches and what is in flight.
//!
//! Owns: sequence numbers, sealing. Does not own: how large a batch becomes before that (`flow.rs`), what an open batch holds
//! (`group.rs`), places in segments (`lanes.rs`), the map, buffers, I/O (what is sealed is taken as jobs, in order). All of it is
//! called under the image's lock (rule 1).
mod budget;
mod flow;
mod group;
mod lanes;
mod recent;

pub use lanes::{OpenSegment, Stream};

use crate::limits::{DIVIDED_FRACTION, MIN_BATCH_ROOM_BYTES, STALE_SEGMENT_NUMBERS};
use crate::{Fault, Result};
use bytes::Bytes;
use flow::InFlight;
use group::{OpenBatch, OpenGroup};
use lanes::{Ended, Lanes};
use lsd_core::format::ImageUuid;
use lsd_core::format::batch::{Batch, BatchPlace, MAX_BATCH_RECORDS};
use lsd_core::format::block_sums::BlockSums;
use lsd_core::format::record::{Record, RecordKind};
use lsd_core::frontier::Frontier;
use lsd_core::units::{Epoch, Loc, SegmentNo, Seq};
use recent::{At, Recent};
use std::sync::Arc;

/// Something for the appender, in the order of its segment.
#[derive(Debug)]
pub enum Job {
    Batch(BatchJob),
    /// Appends the sealing part; nothing follows it in the segment.
    CloseSegment {
        segment: SegmentNo,
        at: u32,
        batches: Vec<Arc<Batch>>,
        /// What was durable when it ended.
        durable: Seq,
    },
}

#[derive(Debug)]
pub struct BatchJob {
    pub batch: Arc<Batch>,
    pub pieces: Vec<Piece>,
    pub data_len: u32,
    /// Bytes that were taken from the bound on dirty memory.
    pub dirty_bytes: u64,
    /// The batch fills its segment: the batches of all of it, this one included, for the sealing part that goes along.
    pub seals: Option<Vec<Arc<Batch>>>,
}

/// Data on its way into a batch, with the sums of its whole blocks where they are known.
#[derive(Clone, Debug)]
pub struct Piece {
    pub data: Bytes,
    pub sums: Option<BlockSums>,
}

/// A write in the open group: it can still be replaced, until the lock is given back.
#[derive(Clone, Copy, Debug)]
pub struct OpenWrite {
    at: At,
    pub loc: Loc,
}

/// What every new writer needs to know.
#[derive(Clone, Debug)]
pub struct WriterConfig {
    pub uuid: ImageUuid,
    pub epoch: Epoch,
    /// Batches are multiples of this many bytes.
    pub alignment: u32,
    pub segment_bytes: u32,
}

/// A sealed batch or a summary, for the books.
#[derive(Clone, Copy, Debug)]
pub struct Sealed {
    pub segment: SegmentNo,
    /// Bytes of the segment including it.
    pub segment_len: u32,
    pub bytes: u32,
    pub timestamp_ns: u64,
}

#[derive(Debug)]
pub struct Writer {
    config: WriterConfig,
    /// Decided and not taken yet.
    jobs: Vec<Job>,
    frontier: Frontier,
    last_seq: Seq,
    lanes: Lanes,
    open: Option<OpenGroup>,
    recent: Recent,
    /// Data bytes of the last group of the guest's writes.
    last_group_bytes: u32,
    in_flight: InFlight,
    /// The highest sequence that somebody waits to become durable.
    wanted: Seq,
    sealed: Vec<Sealed>,
    now_ns: u64,
    /// Of the last batch: times never go back, whatever the clock does.
    last_time_ns: u64,
    /// The last checkpoint of this writer was captured: garbage collection must not add to the log any more.
    pub is_closing: bool,
}

impl Writer {
    /// A writer that continues after `end`, with segments from `next_segment`.
    pub fn new(config: WriterConfig, end: Seq, next_segment: SegmentNo) -> Self {
        let lanes = Lanes::new(next_segment, config.segment_bytes, config.alignment);
        Self {
            config,
            jobs: Vec::new(),
            frontier: Frontier::new(end),
            last_seq: end,
            lanes,
            open: None,
            recent: Recent::default(),
            last_group_bytes: 0,
            in_flight: InFlight::default(),
            wanted: Seq(0),
            sealed: Vec::new(),
            now_ns: 0,
            last_time_ns: 0,
            is_closing: false,
        }
    }

    /// No batch of this writer is older than `time_ns`.
    pub fn not_before(mut self, time_ns: u64) -> Self {
        self.last_time_ns = time_ns;
        self
    }

    pub fn epoch(&self) -> Epoch {
        self.config.epoch
    }

    /// Everything up to and including it is durable.
    pub fn durable(&self) -> Seq {
        self.frontier.durable()
    }

    /// Whether the guest's writes come in batches that are worth being divided: each takes an operation and a header page.
    pub fn divides(&self) -> bool {
        self.last_group_bytes >= self.config.segment_bytes / DIVIDED_FRACTION
    }

    /// First sequence of the open group.
    pub fn open_first_seq(&self) -> Option<Seq> {
        self.open.as_ref().map(|open| open.first_seq)
    }

    /// The lowest segment that may still get batches; what replay must read from after a checkpoint taken now.
    pub fn oldest_open_segment(&self) -> SegmentNo {
        self.lanes.oldest_open_segment()
    }

    /// The first segment number that was not given out.
    pub fn next_segment(&self) -> SegmentNo {
        self.lanes.next_segment()
    }

    pub fn tell_time(&mut self, now_ns: u64) {
        self.now_ns = now_ns;
    }

    pub fn now_ns(&self) -> u64 {
        self.now_ns
    }

    /// What the appender has to do since the last call, in order.
    pub fn take_jobs(&mut self) -> Vec<Job> {
        std::mem::take(&mut self.jobs)
    }

    /// Takes the batches sealed since the last call.
    pub fn take_sealed(&mut self) -> Vec<Sealed> {
        std::mem::take(&mut self.sealed)
    }

    /// Accepts a write record; returns its sequence and where its data lives.
    pub fn push_write(&mut self, stream: Stream, offset: u64, piece: Piece, data_crc: u32) -> Result<(Seq, Loc)> {
        let len = piece.data.len() as u32;
        let kind = |data_offset| RecordKind::Write { len, data_offset, data_crc };
        let loc = self.push_data(stream, offset, piece, kind)?;
        self.seal_if_worth_it();
        Ok((self.last_seq, loc))
    }

    /// Accepts a copy of the data at `from`; returns its sequence and where the copy lives. The caller seals the
    /// last batch of copies, so that the guest's next write does not wait behind it.
    pub fn push_copy(
        &mut self,
        stream: Stream,
        offset: u64,
        from: Loc,
        piece: Piece,
        data_crc: u32,
    ) -> Result<(Seq, Loc)> {
        let len = piece.data.len() as u32;
        let kind = |data_offset| RecordKind::Relocate { len, data_offset, data_crc, from };
        let loc = self.push_data(stream, offset, piece, kind)?;
        if self.open.as_ref().is_some_and(|open| open.records() >= MAX_BATCH_RECORDS) {
            self.seal();
        }
        Ok((self.last_seq, loc))
    }

    fn push_data(
        &mut self,
        stream: Stream,
        offset: u64,
        piece: Piece,
        kind: impl FnOnce(u32) -> RecordKind,
    ) -> Result<Loc> {
        let len = piece.data.len() as u32;
        let Room { group, step, index, batch } = self.batch_with_room(stream, len)?;
        let (data_offset, loc) = batch.push_data(piece);
        let kind = kind(data_offset);
        let at = At { batch: index, record: batch.records.len(), piece: batch.pieces.len() - 1 };
        batch.push(step, Record { offset, kind });
        if matches!(kind, RecordKind::Write { .. }) {
            batch.accepted_bytes += u64::from(len);
            self.recent.note(group, offset, at);
        }
        self.last_seq = self.last_seq.next();
        Ok(loc)
    }

    /// Where the open group has a write of `len` bytes at `offset` of the image, if it is known to.
    pub fn open_write(&self, offset: u64, len: u32) -> Option<OpenWrite> {
        let group = self.open.as_ref()?;
        let at = self.recent.find(group.first_seq, offset)?;
        let batch = &group.batches[at.batch];
        match batch.records[at.record].kind {
            RecordKind::Write { len: known, data_offset, .. } if known == len => {
                Some(OpenWrite { at, loc: batch.place.loc(data_offset) })
            }
            _ => None,
        }
    }

    /// Another write to the place of one in the open group, to which the map still points with all of it: it takes the other's
    /// place, as if it had come first. Nothing that came between them has touched that place, and the group counts as a whole.
    pub fn rewrite(&mut self, write: OpenWrite, piece: Piece, crc: u32) {
        let Some(group) = &mut self.open else { return };
        group.batches[write.at.batch].rewrite(write.at, piece, crc);
        self.seal_if_worth_it();
    }

    /// Accepts a record without data.
    pub fn push_plain(&mut self, record: Record) -> Result<Seq> {
        let Room { step, batch, .. } = self.batch_with_room(Stream::Fresh, 0)?;
        batch.push(step, record);
        self.last_seq = self.last_seq.next();
        self.seal_if_worth_it();
        Ok(self.last_seq)
    }

    fn seal_if_worth_it(&mut self) {
        if self.open.as_ref().is_some_and(|open| self.in_flight.is_worth_sending(open)) {
            self.seal();
        }
    }

    /// Somebody waits until `seq` is durable: seals the open group unless enough is in flight already.
    pub fn want_durable(&mut self, seq: Seq) {
        self.wanted = self.wanted.max(seq);
        self.seal_if_wanted();
    }

    fn seal_if_wanted(&mut self) {
        let wanted = self.open.as_ref().is_some_and(|open| open.first_seq <= self.wanted);
        if wanted && self.in_flight.admits_wanted() {
            self.seal();
        }
    }

    /// A batch is durable. Returns the new frontier if it moved.
    pub fn retire(&mut self, batch: &Batch) -> Option<Seq> {
        if !is_of_copies(batch) {
            self.in_flight.remove(batch.total_len);
        }
        self.lanes.complete(batch.place.segment);
        let frontier = self.frontier.complete(batch.first_seq);
        self.seal_if_wanted();
        self.seal_if_worth_it();
        frontier
    }

    /// Sends the open group, if there is one, on its way.
    pub fn seal(&mut self) {
        let Some(group) = self.open.take() else { return };
        if group.batches.iter().any(|batch| batch.stream.is_fresh()) {
            self.last_group_bytes = group.data_len();
        }
        let records = group.records();
        self.frontier.issue(group.first_seq, self.last_seq, group.batches.len());
        for batch in group.batches {
            self.seal_batch(group.first_seq, records, batch);
        }
    }

    fn seal_batch(&mut self, first_seq: Seq, group_records: usize, mut open: OpenBatch) {
        let total_len = open.total_len(self.config.alignment);
        let timestamp_ns = self.last_time_ns.max(self.now_ns);
        self.last_time_ns = timestamp_ns;
        let share = open.take_share(group_records);
        let durable = self.frontier.durable();
        let OpenBatch { stream, lane, place, records, pieces, data_len, accepted_bytes, largest, .. } = open;
        let batch = Arc::new(Batch { place, first_seq, timestamp_ns, durable, total_len, records, share });
        if stream.is_fresh() {
            self.in_flight.add(total_len);
        }
        let segment_len = self.lanes.add(lane, &batch);
        self.sealed.push(Sealed { segment: place.segment, segment_len, bytes: total_len, timestamp_ns });
        // The next write is probably like the largest of these: where it would not fit, the segment ends here.
        let full = self.lanes.end_if_full(lane, largest.max(MIN_BATCH_ROOM_BYTES));
        let seals = full.map(|full| self.book_end(full).batches);
        self.jobs.push(Job::Batch(BatchJob { batch, pieces, data_len, dirty_bytes: accepted_bytes, seals }));
    }

    /// A segment gets no more batches; the caller sends what seals it.
    fn book_end(&mut self, ended: Ended) -> OpenSegment {
        let Ended { segment, seal_len } = ended;
        let segment_len = segment.len + seal_len;
        self.sealed.push(Sealed { segment: segment.number, segment_len, bytes: seal_len, timestamp_ns: 0 });
        segment
    }

    fn send_close(&mut self, full: OpenSegment) {
        let OpenSegment { number: segment, len: at, batches, .. } = full;
        self.jobs.push(Job::CloseSegment { segment, at, batches, durable: self.frontier.durable() });
    }

    /// Sends the open group on its way and takes out every segment that is being filled: nothing will follow in them, and
    /// when their batches are durable they can be sealed. This writer is about to end.
    pub fn end_segments(&mut self) -> Vec<OpenSegment> {
        self.seal();
        self.is_closing = true;
        let ended = self.lanes.end_before(self.lanes.next_segment());
        ended.into_iter().map(|ended| self.book_end(ended)).collect()
    }

    /// Bytes that a segment should have at most.
    pub fn segment_bytes(&self) -> u32 {
        self.config.segment_bytes
    }

    /// Batches and sealing parts are multiples of this many bytes.
    pub fn alignment(&self) -> u32 {
        self.config.alignment
    }

    /// Sends the open group on its way and ends every segment that is being filled: collection and deletion only touch
    /// segments that have ended.
    pub fn close_segments(&mut self) {
        self.close_segments_before(self.lanes.next_segment());
    }

    /// The same for segments that fell far behind, because a stream of copies has little to do: as long as they are open,
    /// replay starts at them and nothing after them is deleted.
    pub fn close_stale_segments(&mut self) {
        self.close_segments_before(SegmentNo(self.lanes.next_segment().0.saturating_sub(STALE_SEGMENT_NUMBERS)));
    }

    fn close_segments_before(&mut self, end: SegmentNo) {
        self.seal();
        for ended in self.lanes.end_before(end) {
            let full = self.book_end(ended);
            self.send_close(full);
        }
    }

    /// The open batch of the stream, with room for a record of `len` data bytes. An error if there is none: then nothing was accepted.
    fn batch_with_room(&mut self, stream: Stream, len: u32) -> Result<Room<'_>> {
        let fits = self.open.as_ref().is_none_or(|group| match group.position(stream) {
            Some(index) => group.batches[index].fits(len),
            None => group.admits(stream),
        });
        if !fits {
            self.seal();
        }
        let next = self.last_seq.next();
        let known = self.open.as_ref().and_then(|group| group.position(stream));
        let opened = if known.is_none() { Some(self.open_batch(stream, len)?) } else { None };
        let group = self.open.get_or_insert_with(|| OpenGroup { first_seq: next, batches: Vec::with_capacity(2) });
        group.batches.extend(opened);
        let index = known.unwrap_or(group.batches.len() - 1);
        let first = group.first_seq;
        Ok(Room { group: first, step: (next.0 - first.0) as u32, index, batch: &mut group.batches[index] })
    }

    fn open_batch(&mut self, stream: Stream, len: u32) -> Result<OpenBatch> {
        let lane = self.lanes.pick(stream);
        if let Some(full) = self.lanes.end_if_full(lane, len.max(MIN_BATCH_ROOM_BYTES)) {
            let full = self.book_end(full);
            self.send_close(full);
        }
        let (segment, budget) = self.lanes.place(lane);
        let place = BatchPlace { image: self.config.uuid, epoch: self.config.epoch, segment, offset: budget.len };
        let batch = OpenBatch::new(stream, lane, place, budget);
        if batch.is_possible(len) { Ok(batch) } else { Err(Fault::NoRoom { segment, len }) }
    }
}

/// An open batch for one more record.
struct Room<'a> {
    /// The first sequence of the group.
    group: Seq,
    /// The record's.
    step: u32,
    /// Of the batch in the group.
    index: usize,
    batch: &'a mut OpenBatch,
}

/// A batch has either copies or what the guest did.
fn is_of_copies(batch: &Batch) -> bool {
    matches!(batch.records.first(), Some(Record { kind: RecordKind::Relocate { .. }, .. }))
}

#[cfg(test)]
mod tests;
