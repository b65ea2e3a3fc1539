//! The owner's end of the log: the open batch, the lanes it goes to, and what is in flight.
//!
//! Owns: sequence numbers, places in segments, when a batch is sealed. Does not own: the map, buffers, I/O (jobs go to
//! the appender, in order). Everything here is synchronous and called under the image's lock (rule 1).
use crate::clock::Clock;
use crate::limits::{
    BATCH_EAGER_BYTES, BATCH_TARGET_BYTES, BUSY_IN_FLIGHT, COPY_LANES, EAGER_IN_FLIGHT, LANES, MIN_BATCH_ROOM_BYTES,
    STALE_SEGMENT_NUMBERS, SYNC_IN_FLIGHT,
};
use bytes::Bytes;
use lsd_core::format::ImageUuid;
use lsd_core::format::batch::{BATCH_HEADER_BYTES, Batch, BatchPlace, INLINE_RECORDS};
use lsd_core::format::batch::{MAX_BATCH_DATA_BYTES, MAX_BATCH_RECORDS};
use lsd_core::format::block_sums::BlockSums;
use lsd_core::format::record::{RECORD_BYTES, Record, RecordKind};
use lsd_core::format::segment::{MAX_SEGMENT_RECORDS, seal_len};
use lsd_core::frontier::Frontier;
use lsd_core::units::{BLOCK_BYTES, Epoch, Loc, SegmentNo, Seq};
use std::sync::Arc;
use tokio::sync::mpsc::UnboundedSender;

/// Something for the appender, in the order of its segment.
#[derive(Debug)]
pub(crate) enum Job {
    Batch(BatchJob),
    /// Appends the sealing part; nothing follows it in the segment.
    Seal {
        segment: SegmentNo,
        at: u32,
        batches: Vec<Arc<Batch>>,
    },
}

#[derive(Debug)]
pub(crate) struct BatchJob {
    pub(crate) batch: Arc<Batch>,
    pub(crate) pieces: Vec<Piece>,
    pub(crate) data_len: u32,
    /// Bytes that were taken from the bound on dirty memory.
    pub(crate) dirty_bytes: u64,
    /// The batch fills its segment: the batches of all of it, this one included, for the sealing part that goes along.
    pub(crate) seals: Option<Vec<Arc<Batch>>>,
}

/// Data on its way into a batch, with the sums of its whole blocks where they are known.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub(crate) data: Bytes,
    pub(crate) sums: Option<BlockSums>,
}

/// What every new writer needs to know.
#[derive(Clone, Debug)]
pub(crate) struct WriterConfig {
    pub(crate) uuid: ImageUuid,
    pub(crate) epoch: Epoch,
    /// Batches are multiples of this many bytes.
    pub(crate) alignment: u32,
    pub(crate) segment_bytes: u32,
    pub(crate) clock: Arc<dyn Clock>,
}

/// What is written together: data that will be superseded at about the same time should share segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    /// What the guest writes.
    Fresh,
    /// What garbage collection moves for the first time.
    Moved,
    /// What it moved before: nobody has overwritten it for long.
    Settled,
}

impl Stream {
    fn lanes(self) -> std::ops::Range<usize> {
        match self {
            Stream::Fresh => 0..LANES,
            Stream::Moved => LANES..LANES + COPY_LANES,
            Stream::Settled => LANES + COPY_LANES..ALL_LANES,
        }
    }
}

const ALL_LANES: usize = LANES + 2 * COPY_LANES;

#[derive(Debug, Default)]
struct Lane {
    segment: Option<OpenSegment>,
    in_flight: usize,
}

#[derive(Debug)]
pub(crate) struct OpenSegment {
    pub(crate) number: SegmentNo,
    /// Bytes planned so far.
    pub(crate) len: u32,
    records: usize,
    pub(crate) batches: Vec<Arc<Batch>>,
}

#[derive(Debug)]
struct OpenBatch {
    stream: Stream,
    lane: usize,
    place: BatchPlace,
    first_seq: Seq,
    records: Vec<Record>,
    pieces: Vec<Piece>,
    data_len: u32,
    room: u32,
    dirty_bytes: u64,
    /// Bytes of its largest record.
    largest: u32,
}

/// A sealed batch or a summary, for the books.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sealed {
    pub(crate) segment: SegmentNo,
    /// Bytes of the segment including it.
    pub(crate) segment_len: u32,
    pub(crate) bytes: u32,
    pub(crate) timestamp_ns: u64,
}

#[derive(Debug)]
pub(crate) struct Writer {
    config: WriterConfig,
    jobs: UnboundedSender<Job>,
    frontier: Frontier,
    last_seq: Seq,
    lanes: [Lane; ALL_LANES],
    next_lane: usize,
    open: Option<OpenBatch>,
    next_segment: SegmentNo,
    in_flight: usize,
    /// The highest sequence that somebody waits to become durable.
    wanted: Seq,
    sealed: Vec<Sealed>,
    /// The last checkpoint of this writer was captured: garbage collection must not add to the log any more.
    pub(crate) is_closing: bool,
}

static ZEROES: [u8; BLOCK_BYTES as usize] = [0; BLOCK_BYTES as usize];

impl Writer {
    /// A writer that continues after `end`, with segments from `next_segment`.
    pub(crate) fn new(config: WriterConfig, jobs: UnboundedSender<Job>, end: Seq, next_segment: SegmentNo) -> Self {
        Self {
            config,
            jobs,
            frontier: Frontier::new(end),
            last_seq: end,
            lanes: Default::default(),
            next_lane: 0,
            open: None,
            next_segment,
            in_flight: 0,
            wanted: Seq(0),
            sealed: Vec::new(),
            is_closing: false,
        }
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.config.epoch
    }

    /// Everything up to and including it is durable.
    pub(crate) fn durable(&self) -> Seq {
        self.frontier.durable()
    }

    /// First sequence of the open batch.
    pub(crate) fn open_first_seq(&self) -> Option<Seq> {
        self.open.as_ref().map(|open| open.first_seq)
    }

    /// The lowest segment that may still get batches; what replay must read from after a checkpoint taken now.
    pub(crate) fn oldest_open_segment(&self) -> SegmentNo {
        let open = self.lanes.iter().filter_map(|lane| lane.segment.as_ref()).map(|segment| segment.number);
        open.min().unwrap_or(self.next_segment)
    }

    /// The first segment number that was not given out.
    pub(crate) fn next_segment(&self) -> SegmentNo {
        self.next_segment
    }

    /// Takes the batches sealed since the last call.
    pub(crate) fn take_sealed(&mut self) -> Vec<Sealed> {
        std::mem::take(&mut self.sealed)
    }

    /// Accepts a write record; returns its sequence and where its data lives.
    pub(crate) fn push_write(&mut self, offset: u64, piece: Piece, data_crc: u32) -> (Seq, Loc) {
        let len = piece.data.len() as u32;
        let kind = |data_offset| RecordKind::Write { len, data_offset, data_crc };
        let loc = self.push_data(Stream::Fresh, offset, piece, kind);
        if let Some(open) = &mut self.open {
            open.dirty_bytes += u64::from(len);
        }
        (self.pushed(), loc)
    }

    /// Accepts a copy of the data at `from`; returns its sequence and where the copy lives. The caller seals the
    /// last batch of copies, so that the guest's next write does not wait behind it.
    pub(crate) fn push_copy(
        &mut self,
        stream: Stream,
        offset: u64,
        from: Loc,
        piece: Piece,
        data_crc: u32,
    ) -> (Seq, Loc) {
        let len = piece.data.len() as u32;
        let kind = |data_offset| RecordKind::Relocate { len, data_offset, data_crc, from };
        let loc = self.push_data(stream, offset, piece, kind);
        self.last_seq = self.last_seq.next();
        if self.open.as_ref().is_some_and(|open| open.records.len() >= MAX_BATCH_RECORDS) {
            self.seal();
        }
        (self.last_seq, loc)
    }

    fn push_data(&mut self, stream: Stream, offset: u64, piece: Piece, kind: impl FnOnce(u32) -> RecordKind) -> Loc {
        let len = piece.data.len() as u32;
        let open = self.batch_with_room(stream, len);
        let padding = open.padding_before(len);
        if padding > 0 {
            open.pieces.push(Piece { data: Bytes::from_static(&ZEROES[..padding as usize]), sums: None });
        }
        let data_offset = BATCH_HEADER_BYTES as u32 + open.data_len + padding;
        open.data_len += padding + len;
        open.largest = open.largest.max(len);
        open.pieces.push(piece);
        open.records.push(Record { offset, kind: kind(data_offset) });
        Loc::new(open.place.segment, open.place.offset + data_offset)
    }

    /// Accepts a record without data.
    pub(crate) fn push_plain(&mut self, record: Record) -> Seq {
        self.batch_with_room(Stream::Fresh, 0).records.push(record);
        self.pushed()
    }

    fn pushed(&mut self) -> Seq {
        self.last_seq = self.last_seq.next();
        self.seal_if_worth_it();
        self.last_seq
    }

    /// The more is in flight, the larger a batch becomes before it goes: small ones when the store is idle, few and
    /// large ones when it is busy.
    fn seal_if_worth_it(&mut self) {
        let worth = self.open.as_ref().is_some_and(|open| {
            let enough = match self.in_flight {
                0..EAGER_IN_FLIGHT => BATCH_EAGER_BYTES,
                EAGER_IN_FLIGHT..BUSY_IN_FLIGHT => BATCH_TARGET_BYTES,
                _ => MAX_BATCH_DATA_BYTES,
            };
            open.data_len >= enough || open.records.len() >= MAX_BATCH_RECORDS
        });
        if worth {
            self.seal();
        }
    }

    /// Somebody waits until `seq` is durable: seals the open batch unless enough is in flight already.
    pub(crate) fn want_durable(&mut self, seq: Seq) {
        self.wanted = self.wanted.max(seq);
        self.seal_if_wanted();
    }

    fn seal_if_wanted(&mut self) {
        let wanted = self.open.as_ref().is_some_and(|open| open.first_seq <= self.wanted);
        if wanted && self.in_flight < SYNC_IN_FLIGHT {
            self.seal();
        }
    }

    /// A batch is durable. Returns the new frontier if it moved.
    pub(crate) fn batch_durable(&mut self, batch: &Batch) -> Option<Seq> {
        if !is_of_copies(batch) {
            self.in_flight = self.in_flight.saturating_sub(1);
        }
        for lane in &mut self.lanes {
            if lane.segment.as_ref().is_some_and(|segment| segment.number == batch.place.segment) {
                lane.in_flight = lane.in_flight.saturating_sub(1);
            }
        }
        let frontier = self.frontier.complete(batch.first_seq);
        self.seal_if_wanted();
        self.seal_if_worth_it();
        frontier
    }

    /// Sends the open batch, if there is one, on its way.
    pub(crate) fn seal(&mut self) {
        let Some(open) = self.open.take() else { return };
        let further = open.records.len().saturating_sub(INLINE_RECORDS) * RECORD_BYTES;
        let total_len =
            (BATCH_HEADER_BYTES as u32 + open.data_len + further as u32).next_multiple_of(self.config.alignment);
        let timestamp_ns = self.config.clock.now_ns();
        let batch = Arc::new(Batch {
            place: open.place,
            first_seq: open.first_seq,
            timestamp_ns,
            total_len,
            records: open.records,
        });
        self.frontier.issue(batch.first_seq, batch.last_seq());
        if !is_of_copies(&batch) {
            self.in_flight += 1;
        }
        let lane = &mut self.lanes[open.lane];
        lane.in_flight += 1;
        if let Some(segment) = &mut lane.segment {
            segment.len += total_len;
            segment.records += batch.records.len();
            segment.batches.push(batch.clone());
            self.sealed.push(Sealed {
                segment: segment.number,
                segment_len: segment.len,
                bytes: total_len,
                timestamp_ns,
            });
        }
        // The next write is probably like the largest of these: where it would not fit, the segment ends here.
        let seals = self.finish_segment(open.lane, open.largest.max(MIN_BATCH_ROOM_BYTES)).map(|full| full.batches);
        let OpenBatch { pieces, data_len, dirty_bytes, .. } = open;
        self.send(BatchJob { batch, pieces, data_len, dirty_bytes, seals });
    }

    /// Takes a lane's segment out if it has no room for `needed` bytes more: it will be sealed.
    fn finish_segment(&mut self, lane: usize, needed: u32) -> Option<OpenSegment> {
        let room = self.lanes[lane].segment.as_ref().map(|segment| self.room_in(segment));
        if room.is_none_or(|room| room >= needed) { None } else { self.end_segment(lane) }
    }

    /// Takes a lane's segment out; the caller sends what seals it.
    fn end_segment(&mut self, lane: usize) -> Option<OpenSegment> {
        // What is still in flight there does not slow down the segment that comes next.
        let full = std::mem::take(&mut self.lanes[lane]).segment.filter(|segment| segment.len > 0)?;
        let blocks = (full.len / BLOCK_BYTES) as usize;
        let seal = seal_len(blocks, full.batches.len(), full.records).next_multiple_of(self.config.alignment as usize);
        self.sealed.push(Sealed {
            segment: full.number,
            segment_len: full.len + seal as u32,
            bytes: seal as u32,
            timestamp_ns: 0,
        });
        Some(full)
    }

    fn send_seal(&self, full: OpenSegment) {
        let _ = self.jobs.send(Job::Seal { segment: full.number, at: full.len, batches: full.batches });
    }

    fn send(&self, job: BatchJob) {
        // The appender ends only after the writer is gone; then nobody waits for the job either.
        let _ = self.jobs.send(Job::Batch(job));
    }

    /// Sends the open batch on its way and takes out every segment that is being filled: nothing will follow in them, and
    /// when their batches are durable they can be sealed. This writer is about to end.
    pub(crate) fn end_segments(&mut self) -> Vec<OpenSegment> {
        self.seal();
        self.is_closing = true;
        (0..ALL_LANES).filter_map(|lane| self.end_segment(lane)).collect()
    }

    /// Batches and sealing parts are multiples of this many bytes.
    pub(crate) fn alignment(&self) -> u32 {
        self.config.alignment
    }

    /// Sends the open batch on its way and ends every segment that is being filled: collection and deletion only touch
    /// segments that have ended.
    pub(crate) fn seal_segments(&mut self) {
        self.seal_segments_before(self.next_segment);
    }

    /// The same for segments that fell far behind, because a stream of copies has little to do: as long as they are open,
    /// replay starts at them and nothing after them is deleted.
    pub(crate) fn seal_stale_segments(&mut self) {
        self.seal_segments_before(SegmentNo(self.next_segment.0.saturating_sub(STALE_SEGMENT_NUMBERS)));
    }

    fn seal_segments_before(&mut self, end: SegmentNo) {
        self.seal();
        for lane in 0..ALL_LANES {
            let is_meant = self.lanes[lane].segment.as_ref().is_some_and(|segment| segment.number < end);
            if is_meant && let Some(full) = self.end_segment(lane) {
                self.send_seal(full);
            }
        }
    }

    fn batch_with_room(&mut self, stream: Stream, len: u32) -> &mut OpenBatch {
        let fits = self
            .open
            .as_ref()
            .is_some_and(|open| open.stream == stream && open.padding_before(len) + len <= open.room - open.data_len);
        if !fits {
            self.seal();
        }
        if self.open.is_none() {
            let open = self.open_batch(stream, len);
            self.open = Some(open);
        }
        self.open.as_mut().expect("opened above")
    }

    fn open_batch(&mut self, stream: Stream, len: u32) -> OpenBatch {
        let lane = self.idlest_lane(stream);
        let needed = len.max(MIN_BATCH_ROOM_BYTES);
        if let Some(full) = self.finish_segment(lane, needed) {
            self.send_seal(full);
        }
        if self.lanes[lane].segment.is_none() {
            self.start_segment(lane);
        }
        let segment = self.lanes[lane].segment.as_ref().expect("started above");
        OpenBatch {
            stream,
            lane,
            place: BatchPlace {
                image: self.config.uuid,
                epoch: self.config.epoch,
                segment: segment.number,
                offset: segment.len,
            },
            first_seq: self.last_seq.next(),
            records: Vec::new(),
            pieces: Vec::new(),
            data_len: 0,
            room: self.room_in(segment).min(MAX_BATCH_DATA_BYTES).max(len),
            dirty_bytes: 0,
            largest: 0,
        }
    }

    /// Data bytes that another batch in the segment may have.
    fn room_in(&self, segment: &OpenSegment) -> u32 {
        if segment.records + MAX_BATCH_RECORDS > MAX_SEGMENT_RECORDS {
            return 0;
        }
        let blocks = (self.config.segment_bytes / BLOCK_BYTES) as usize;
        let seal = seal_len(blocks, segment.batches.len() + 1, segment.records) as u32;
        self.config.segment_bytes.saturating_sub(segment.len + BATCH_HEADER_BYTES as u32 + seal)
    }

    fn idlest_lane(&mut self, stream: Stream) -> usize {
        if stream != Stream::Fresh {
            // In a fixed order, so that one segment is filled before the next is begun.
            return stream.lanes().min_by_key(|lane| self.lanes[*lane].in_flight).unwrap_or(LANES);
        }
        let order = (0..LANES).map(|step| (self.next_lane + step) % LANES);
        let lane = order.min_by_key(|lane| self.lanes[*lane].in_flight).unwrap_or(0);
        self.next_lane = (lane + 1) % LANES;
        lane
    }

    fn start_segment(&mut self, lane: usize) {
        let fresh = OpenSegment { number: self.next_segment, len: 0, records: 0, batches: Vec::new() };
        self.next_segment = self.next_segment.next();
        self.lanes[lane].segment = Some(fresh);
    }
}

/// A batch has either copies or what the guest did.
fn is_of_copies(batch: &Batch) -> bool {
    matches!(batch.records.first(), Some(Record { kind: RecordKind::Relocate { .. }, .. }))
}

impl OpenBatch {
    /// Data of whole blocks starts at a block of the segment, so that reading it touches no more blocks than it has.
    fn padding_before(&self, len: u32) -> u32 {
        if len >= BLOCK_BYTES { self.data_len.next_multiple_of(BLOCK_BYTES) - self.data_len } else { 0 }
    }
}
