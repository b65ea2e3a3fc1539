//! The state of an open image under its one lock, and the changes to it.
//!
//! Owns: the critical section in which a write gets its sequence, its place and its map entry (rule 1 of `protocol.rs`).
//! Does not own: who waits for what, fetching leaves or data (the engine's), copies (`relocation.rs`).
mod relocation;

pub use relocation::{Copied, Relocation};

use crate::buffers::Buffers;
use crate::limits::{CLEAR_BYTES, CLEAR_LEAVES};
use crate::lineage::{Ancestors, Lineage};
use crate::log::{BatchJob, Job, OpenSegment, Piece, Stream, Writer};
use crate::pins::{PageKey, SnapshotPins};
use crate::protocol;
use crate::range_locks::RangeLocks;
use crate::segments::Segments;
use crate::throttle::GcThrottle;
use crate::view::View;
use crate::{Fault, Result};
use bytes::Bytes;
use lsd_core::format::batch::Batch;
use lsd_core::format::block_sums::{BlockSums, SummedCopy};
use lsd_core::format::checkpoint::LeafPlace;
use lsd_core::format::header::LogRecord;
use lsd_core::format::record::{Record, RecordKind};
use lsd_core::heat::{Heat, Temperature};
use lsd_core::map::{Extent, ExtentMap, Superseded};
use lsd_core::units::{LeafNo, Loc, MAX_IMAGE_BYTES, SegmentNo, Seq, SnapId};
use std::collections::BTreeMap;

/// What a read of the log passed by.
#[derive(Debug, Default)]
pub struct Rest {
    /// Batches beyond a gap, which perhaps will count.
    pub ahead: Vec<Batch>,
    /// Where segments do not decode: perhaps an append is under way.
    pub torn: BTreeMap<SegmentNo, u32>,
}

#[derive(Debug)]
pub struct State {
    /// What is read: of the head's last moment, or of the one that this handle shows.
    pub view: View,
    pub buffers: Buffers,
    pub segments: Segments,
    /// What the image's snapshots need beside segments.
    pub snapshots: SnapshotPins,
    /// Those that the committed checkpoint has as dead, as far as this handle read it from the store: they may be gone already, and
    /// leave the table when they are seen to be.
    pub dead: Vec<SegmentNo>,
    /// Pages that the committed checkpoint let go, as far as this handle read it from the store: its writer may not have lived to
    /// delete them.
    pub left_pages: Vec<PageKey>,
    /// The log of an owner that did not close, as its successor found it: there may be pages of a checkpoint that it began.
    pub left_by: Option<LogRecord>,
    log: LogRecord,
    /// Present while this handle owns the image.
    pub writer: Option<Writer>,
    pub locks: RangeLocks,
    /// The image is being handed over or closed: only what holds its range already is accepted.
    pub yielding: bool,
    /// Another view was put in force and is not committed: nothing is copied into the log, which may have to go on from the one before.
    pub is_replaced: bool,
    /// Every further call fails; why is known to who said so.
    has_failed: bool,
    /// Log bytes since the last checkpoint.
    pub log_bytes: u64,
    /// What was found of the log and is not in the map, for who goes on reading it.
    pub rest: Rest,
    /// Bytes of the last checkpoint's root: what the next will cost at least.
    pub root_bytes: u64,
    /// What was accepted up to here passes in a full pool: records that free space, and what the log has before them.
    pub forced: Seq,
    /// How garbage collection and the writers keep pace.
    pub throttle: GcThrottle,
    /// Where the guest writes much.
    pub heat: Heat,
    /// The last sequence that was acknowledged before it was durable.
    pub promised: Seq,
    /// Something that was acknowledged was not durable when the image failed.
    lost: bool,
    /// A flush was seen, so writes may be acknowledged from memory.
    pub flushed: bool,
    superseded: Superseded,
}

/// What became of an attempt to change the image.
#[derive(Debug)]
pub enum Attempt {
    /// Accepted up to this sequence.
    Done(Seq),
    /// These leaves have to be loaded first.
    NeedLeaves(Vec<(LeafNo, LeafPlace)>),
    /// A compare-and-write holds a part of the range.
    Held,
    /// More than one record may empty.
    Wide,
    /// This handle is not the owner, or soon will not be: it must take the image first.
    NotOwner,
}

/// One record's share of a write, with its checksums.
#[derive(Clone, Debug)]
pub struct Chunk {
    pub piece: Piece,
    pub crc: u32,
}

impl Chunk {
    /// At most one record's bytes.
    pub fn new(data: Bytes) -> Self {
        let (sums, crc) = BlockSums::of(&data);
        Self { piece: Piece { data, sums: Some(sums) }, crc }
    }

    /// Bytes.
    pub fn bytes(&self) -> u64 {
        self.piece.data.len() as u64
    }

    /// Bytes of several.
    pub fn total(chunks: &[Chunk]) -> u64 {
        chunks.iter().map(Chunk::bytes).sum()
    }
}

impl From<SummedCopy> for Chunk {
    fn from(copy: SummedCopy) -> Self {
        let (data, sums, crc) = copy.finish();
        Self { piece: Piece { data: data.into(), sums: Some(sums) }, crc }
    }
}

impl State {
    /// An image as a checkpoint has it.
    pub fn new(size: u64, log: LogRecord, map: ExtentMap<LeafPlace>, segments: Segments, cache: u64) -> Self {
        let end = log.checkpoint.map_or(Seq(0), |checkpoint| checkpoint.frontier);
        let lineage = Lineage::new(Ancestors::default(), &log);
        Self {
            view: View { map, size, features: 0, end, lineage, rolled_back: SnapId(0) },
            buffers: Buffers::new(cache),
            segments,
            snapshots: SnapshotPins::default(),
            dead: Vec::new(),
            left_pages: Vec::new(),
            left_by: None,
            log,
            writer: None,
            locks: RangeLocks::default(),
            yielding: false,
            is_replaced: false,
            has_failed: false,
            log_bytes: 0,
            rest: Rest::default(),
            root_bytes: 0,
            forced: Seq(0),
            throttle: GcThrottle::default(),
            heat: Heat::default(),
            promised: Seq(0),
            lost: false,
            flushed: false,
            superseded: Superseded::new(),
        }
    }

    /// The same for a clone.
    #[must_use]
    pub fn with_ancestors(mut self, ancestors: Ancestors) -> Self {
        self.view.lineage = Lineage::new(ancestors, &self.log);
        self
    }

    /// Takes up another state of the same image, read from the store; this handle has nothing in flight.
    pub fn reload(&mut self, fresh: State) {
        self.view = fresh.view;
        self.segments = fresh.segments;
        self.snapshots = fresh.snapshots;
        self.dead = fresh.dead;
        self.left_pages = fresh.left_pages;
        self.log = fresh.log;
        self.log_bytes = fresh.log_bytes;
        self.root_bytes = fresh.root_bytes;
        self.buffers.clear_clean();
    }

    /// Pages that a checkpoint let go of, and that are kept for the destination of a migration.
    pub fn kept_frozen(&self) -> Vec<PageKey> {
        self.snapshots.kept_frozen(&self.left_pages)
    }

    /// As committed in the header.
    pub fn log(&self) -> &LogRecord {
        &self.log
    }

    /// The header says this now.
    pub fn set_log(&mut self, log: LogRecord) {
        self.view.lineage.set_log(&log);
        self.log = log;
    }

    /// [`Fault::Failed`] once the image has failed.
    pub fn check_alive(&self) -> Result<()> {
        if self.has_failed { Err(Fault::Failed) } else { Ok(()) }
    }

    /// [`Fault::Outside`] unless the range lies inside the image.
    pub fn check(&self, offset: u64, len: u64) -> Result<()> {
        self.check_alive()?;
        match offset.checked_add(len) {
            Some(end) if end <= self.view.size => Ok(()),
            _ => Err(Fault::Outside { offset, len, size: self.view.size }),
        }
    }

    /// Rule 1: sequence, place and map entry in one step, for all chunks of a write. `owned`: the caller holds the range.
    pub fn try_write(&mut self, offset: u64, chunks: &[Chunk], owned: bool) -> Result<Attempt> {
        let len = Chunk::total(chunks);
        if let Some(obstacle) = self.obstacle(offset, len, owned)? {
            return Ok(obstacle);
        }
        let mut at = offset;
        for chunk in chunks {
            if !self.rewrite(at, chunk)? {
                self.append(at, chunk)?;
            }
            at += chunk.bytes();
        }
        self.book_sealed();
        Ok(Attempt::Done(self.view.end))
    }

    /// The same for a discard or write-zeroes of no more than [`Self::clear_len`]: the range has no content afterwards.
    pub fn try_clear(&mut self, record: Record, owned: bool) -> Result<Attempt> {
        let (offset, len) = cleared_range(&record);
        match self.obstacle(offset, len, owned)? {
            Some(obstacle) => Ok(obstacle),
            None => self.try_empty(record, (offset, len)),
        }
    }

    /// How much of a range, from its start, one record may empty: what that takes of time and memory is bounded.
    pub fn clear_len(&self, offset: u64, len: u64) -> u64 {
        let stored_bytes = |place: &LeafPlace| place.pointers().map(|at| at.len as usize).sum();
        self.view.map.len_with_bytes((offset, len), CLEAR_LEAVES, CLEAR_BYTES, stored_bytes)
    }

    /// A record without data, wherever it is in the image or beyond. `range`: of what it empties all that is not empty yet, no more
    /// than [`Self::clear_len`].
    pub fn try_empty(&mut self, record: Record, (offset, len): (u64, u64)) -> Result<Attempt> {
        self.check_alive()?;
        let missing = self.view.map.missing(offset, len);
        if !missing.is_empty() {
            return Ok(Attempt::NeedLeaves(missing));
        }
        self.view.end = self.writer()?.push_plain(record)?;
        self.clear(offset, len)?;
        self.force_when_full();
        self.book_sealed();
        Ok(Attempt::Done(self.view.end))
    }

    /// Enters a write at the end of the log.
    fn append(&mut self, offset: u64, chunk: &Chunk) -> Result<()> {
        let len = chunk.bytes();
        let stream = self.stream_of(offset, len);
        let (seq, loc) = self.writer()?.push_write(stream, offset, chunk.piece.clone(), chunk.crc)?;
        self.buffers.insert_dirty(loc, chunk.piece.data.clone());
        self.map_to(offset, len, loc, seq)?;
        self.view.end = seq;
        Ok(())
    }

    /// Lets a write take the place of the last one there, if that is in a batch that was not sealed yet and nothing has touched a part
    /// of it since. Returns whether it did; then it is durable with what was accepted last.
    fn rewrite(&mut self, offset: u64, chunk: &Chunk) -> Result<bool> {
        let writer = self.writer()?;
        let len = chunk.bytes();
        let Some(write) = writer.open_write(offset, len as u32) else { return Ok(false) };
        let mut found = Vec::new();
        self.view.map.lookup(offset, len, &mut found)?;
        if found != [Extent { offset, len, loc: Some(write.loc) }] {
            return Ok(false);
        }
        self.buffers.insert_dirty(write.loc, chunk.piece.data.clone());
        self.writer()?.rewrite(write, chunk.piece.clone(), chunk.crc);
        Ok(true)
    }

    fn obstacle(&mut self, offset: u64, len: u64, owned: bool) -> Result<Option<Attempt>> {
        self.check(offset, len)?;
        if self.writer.is_none() || (self.yielding && !owned) {
            return Ok(Some(Attempt::NotOwner));
        }
        if !owned && !self.locks.is_free(&(offset..offset + len)) {
            return Ok(Some(Attempt::Held));
        }
        let missing = self.view.map.missing(offset, len);
        Ok((!missing.is_empty()).then_some(Attempt::NeedLeaves(missing)))
    }

    fn writer(&mut self) -> Result<&mut Writer> {
        self.writer.as_mut().ok_or(Fault::NotOwner)
    }

    /// Where a write goes: where space is short and batches are large, cold data is kept apart.
    fn stream_of(&mut self, offset: u64, len: u64) -> Stream {
        let Some(scale) = self.throttle.heat_scale(&self.segments.space()) else { return Stream::Fresh };
        let leaf = LeafNo::of(offset);
        self.heat.note(leaf, len, scale);
        let divides = self.writer.as_ref().is_some_and(Writer::divides);
        match self.heat.temperature(leaf, self.view.map.leaf_count()) {
            Temperature::Cold if divides => Stream::FreshCold,
            _ => Stream::Fresh,
        }
    }

    /// `seq`: nothing of it was written later.
    fn map_to(&mut self, offset: u64, len: u64, loc: Loc, seq: Seq) -> Result<()> {
        self.superseded.clear();
        self.view.map.set(offset, len as u32, loc, &mut self.superseded)?;
        self.segments.supersede(&self.superseded);
        self.segments.add_live(loc, len as u32, seq.into());
        Ok(())
    }

    pub fn clear(&mut self, offset: u64, len: u64) -> Result<()> {
        self.superseded.clear();
        self.view.map.clear(offset, len, &mut self.superseded)?;
        self.segments.supersede(&self.superseded);
        Ok(())
    }

    /// Takes note of a group of batches that replay found; its records follow.
    pub fn begin_replay(&mut self, group: &[Batch]) {
        for batch in group {
            let len = batch.place.offset + batch.total_len;
            self.segments.grow(batch.place.segment, len, batch.timestamp_ns);
            self.log_bytes += u64::from(batch.total_len);
            self.view.end = batch.last_seq();
        }
    }

    /// Applies a record with data; the leaves that it touches are loaded.
    pub fn replay(&mut self, batch: &Batch, record: &Record) -> Result<()> {
        match record.kind {
            RecordKind::Write { len, data_offset, .. } => {
                self.map_to(record.offset, u64::from(len), batch.loc(data_offset), batch.last_seq())
            }
            RecordKind::Relocate { len, data_offset, from, .. } => {
                self.move_to((record.offset, len), from, batch.loc(data_offset))
            }
            RecordKind::Discard { .. } | RecordKind::WriteZeroes { .. } | RecordKind::Resize { .. } => Ok(()),
        }
    }

    /// It is `now_ns` nanoseconds after 1970: what is sealed from now on says so.
    pub fn tell_time(&mut self, now_ns: u64) {
        if let Some(writer) = &mut self.writer {
            writer.tell_time(now_ns);
        }
    }

    /// The latest time that was told, nanoseconds since 1970; 0 where this handle does not write.
    pub fn now_ns(&self) -> u64 {
        self.writer.as_ref().map_or(0, Writer::now_ns)
    }

    /// What has to be appended to the log since the last call, in the order in which it was decided.
    pub fn take_jobs(&mut self) -> Vec<Job> {
        self.writer.as_mut().map(Writer::take_jobs).unwrap_or_default()
    }

    /// First sequence of the batch that is being filled.
    pub fn open_batch(&self) -> Option<Seq> {
        self.writer.as_ref().and_then(Writer::open_first_seq)
    }

    /// Seals the open batch and takes the books up to date.
    pub fn seal(&mut self) {
        if let Some(writer) = &mut self.writer {
            writer.seal();
        }
        self.book_sealed();
    }

    /// Lets everything accepted so far pass in a full pool: nothing else would ever free space there. It is at most the dirty memory,
    /// so a quota is exceeded by no more than that, and by the copies of a round of collection.
    pub fn force_when_full(&mut self) {
        self.forced = self.view.end;
    }

    /// Ends every segment that is being filled, so that it carries its checksums and can be collected.
    pub fn close_segments(&mut self) {
        if let Some(writer) = &mut self.writer {
            writer.close_segments();
        }
        self.book_sealed();
    }

    /// Seals the open batch and ends every segment: this ownership writes nothing more.
    pub fn end_segments(&mut self) -> Vec<OpenSegment> {
        let ended = self.writer.as_mut().map(Writer::end_segments).unwrap_or_default();
        self.book_sealed();
        ended
    }

    /// Seals what a checkpoint captures.
    pub fn close_for_checkpoint(&mut self) {
        if let Some(writer) = &mut self.writer {
            writer.close_stale_segments();
        }
        self.book_sealed();
    }

    /// Somebody waits for `seq`.
    pub fn want_durable(&mut self, seq: Seq) {
        if let Some(writer) = &mut self.writer {
            writer.want_durable(seq);
        }
        self.book_sealed();
    }

    fn book_sealed(&mut self) {
        let Some(writer) = &mut self.writer else { return };
        for sealed in writer.take_sealed() {
            self.segments.grow(sealed.segment, sealed.segment_len, sealed.timestamp_ns);
            self.log_bytes += u64::from(sealed.bytes);
        }
    }

    /// A batch is in the store: its data need not be held. Returns the frontier if it moved.
    pub fn on_durable(&mut self, job: &BatchJob) -> Option<Seq> {
        for record in &job.batch.records {
            match record.kind {
                RecordKind::Write { data_offset, .. } | RecordKind::Relocate { data_offset, .. } => {
                    self.buffers.written(job.batch.loc(data_offset));
                }
                _ => {}
            }
        }
        self.buffers.trim();
        let frontier = self.writer.as_mut().and_then(|writer| writer.retire(&job.batch));
        self.book_sealed();
        frontier
    }

    /// The image fails for good: every later call is refused.
    pub fn fail(&mut self) {
        if !self.has_failed {
            self.lost = self.has_lost();
        }
        self.has_failed = true;
    }
}

impl State {
    /// True if something that was acknowledged is not durable. It may still become so, unless the image has failed.
    pub fn has_lost(&self) -> bool {
        self.lost || self.writer.as_ref().is_some_and(|writer| !protocol::is_durable(self.promised, writer.durable()))
    }
}

/// The range that a record without data empties.
pub fn cleared_range(record: &Record) -> (u64, u64) {
    match record.kind {
        RecordKind::Discard { len } | RecordKind::WriteZeroes { len } => (record.offset, len),
        RecordKind::Resize { .. } => (record.offset, MAX_IMAGE_BYTES - record.offset),
        RecordKind::Write { .. } | RecordKind::Relocate { .. } => (record.offset, 0),
    }
}
