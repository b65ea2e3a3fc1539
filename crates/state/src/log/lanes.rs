//! The segments that are being filled, side by side: each stream of writes has lanes of its own.
//!
//! Owns: segment numbers, how full a segment is, when it ends. Does not own: batches that are being filled, sequence numbers.
use super::budget::Budget;
use crate::limits::{COPY_LANES, LANES, LARGE_RECORD_BYTES, LARGE_RECORDS_FACTOR};
use lsd_core::format::batch::{Batch, MAX_BATCH_RECORDS};
use lsd_core::format::segment::{MAX_SEGMENT_RECORDS, sealed_len};
use lsd_core::units::SegmentNo;
use std::ops::Range;
use std::sync::Arc;

/// What is written together: data that will be superseded at about the same time should share segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// What the guest writes.
    Fresh,
    /// What it writes where little is overwritten.
    FreshCold,
    /// What garbage collection moves where much is overwritten.
    MovedHot,
    /// What it moves for the first time.
    Moved,
    /// What it moved before: nobody has overwritten it for long.
    Settled,
}

impl Stream {
    /// The guest's, not a copy.
    pub(super) fn is_fresh(self) -> bool {
        matches!(self, Stream::Fresh | Stream::FreshCold)
    }

    fn lanes(self) -> Range<usize> {
        let side = |index: usize| LANES + index * COPY_LANES..LANES + (index + 1) * COPY_LANES;
        match self {
            Stream::Fresh => 0..LANES,
            Stream::FreshCold => side(0),
            Stream::MovedHot => side(1),
            Stream::Moved => side(2),
            Stream::Settled => side(3),
        }
    }
}

const ALL_LANES: usize = LANES + 4 * COPY_LANES;

#[derive(Debug, Default)]
struct Lane {
    segment: Option<OpenSegment>,
    in_flight: usize,
}

#[derive(Debug)]
pub struct OpenSegment {
    pub number: SegmentNo,
    /// Bytes planned so far.
    pub len: u32,
    records: usize,
    pub batches: Vec<Arc<Batch>>,
}

/// A segment that gets no more batches, with the length of what seals it.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) segment: OpenSegment,
    pub(super) seal_len: u32,
}

#[derive(Debug)]
pub(super) struct Lanes {
    lanes: [Lane; ALL_LANES],
    next_lane: usize,
    next_segment: SegmentNo,
    segment_bytes: u32,
    alignment: u32,
}

impl Lanes {
    pub(super) fn new(next_segment: SegmentNo, segment_bytes: u32, alignment: u32) -> Self {
        Self { lanes: Default::default(), next_lane: 0, next_segment, segment_bytes, alignment }
    }

    /// The lowest segment that is being filled, or the next.
    pub(super) fn oldest_open_segment(&self) -> SegmentNo {
        let open = self.lanes.iter().filter_map(|lane| lane.segment.as_ref());
        open.fold(self.next_segment, |oldest, segment| oldest.min(segment.number))
    }

    /// The first number that was not given out.
    pub(super) fn next_segment(&self) -> SegmentNo {
        self.next_segment
    }

    /// The lane for the stream's next batch.
    pub(super) fn pick(&mut self, stream: Stream) -> usize {
        if stream != Stream::Fresh {
            // In a fixed order, so that one segment is filled before the next is begun.
            return stream.lanes().min_by_key(|lane| self.lanes[*lane].in_flight).unwrap_or(LANES);
        }
        let order = (0..LANES).map(|step| (self.next_lane + step) % LANES);
        let lane = order.min_by_key(|lane| self.lanes[*lane].in_flight).unwrap_or(0);
        self.next_lane = (lane + 1) % LANES;
        lane
    }

    /// The lane's segment, begun if there is none: its number, and what the next batch may have, which goes to its end.
    pub(super) fn place(&mut self, lane: usize) -> (SegmentNo, Budget) {
        let next = &mut self.next_segment;
        let segment = self.lanes[lane].segment.get_or_insert_with(|| {
            let number = *next;
            *next = number.next();
            OpenSegment { number, len: 0, records: 0, batches: Vec::new() }
        });
        (segment.number, budget(segment, self.segment_bytes, self.alignment))
    }

    /// A batch goes to the end of the lane's segment. Returns the segment's length with it.
    pub(super) fn add(&mut self, lane: usize, batch: &Arc<Batch>) -> u32 {
        let lane = &mut self.lanes[lane];
        lane.in_flight += 1;
        let Some(segment) = &mut lane.segment else { return batch.place.offset + batch.total_len };
        segment.len += batch.total_len;
        segment.records += batch.records.len();
        segment.batches.push(batch.clone());
        segment.len
    }

    pub(super) fn complete(&mut self, segment: SegmentNo) {
        for lane in &mut self.lanes {
            if lane.segment.as_ref().is_some_and(|open| open.number == segment) {
                lane.in_flight = lane.in_flight.saturating_sub(1);
            }
        }
    }

    /// Takes a lane's segment out if it has no room for `needed` bytes of data more: it will be sealed.
    pub(super) fn end_if_full(&mut self, lane: usize, needed: u32) -> Option<Ended> {
        let segment = self.lanes[lane].segment.as_ref()?;
        // Room for a full batch, so that how many records it gets does not matter.
        let counts = segment.records + MAX_BATCH_RECORDS <= MAX_SEGMENT_RECORDS;
        let has_room = counts && budget(segment, self.segment_bytes, self.alignment).admits(needed, 1);
        if has_room { None } else { self.end(lane) }
    }

    /// Takes a lane's segment out; the caller sends what seals it.
    fn end(&mut self, lane: usize) -> Option<Ended> {
        // What is still in flight there does not slow down the segment that comes next.
        let segment = std::mem::take(&mut self.lanes[lane]).segment.filter(|segment| segment.len > 0)?;
        let sealed = sealed_len(segment.len.into(), segment.batches.len(), segment.records, self.alignment);
        Some(Ended { seal_len: (sealed - u64::from(segment.len)) as u32, segment })
    }

    /// Takes out every segment before `end`.
    pub(super) fn end_before(&mut self, end: SegmentNo) -> Vec<Ended> {
        let is_meant =
            |lanes: &Self, lane: usize| lanes.lanes[lane].segment.as_ref().is_some_and(|open| open.number < end);
        (0..ALL_LANES).filter_map(|lane| if is_meant(self, lane) { self.end(lane) } else { None }).collect()
    }
}

fn budget(segment: &OpenSegment, segment_bytes: u32, alignment: u32) -> Budget {
    let OpenSegment { len, records, ref batches, .. } = *segment;
    // Large writes are overwritten together, so collection does not need them in small parts.
    let large = records > 0 && len / LARGE_RECORD_BYTES >= records as u32;
    let most = if large { segment_bytes * LARGE_RECORDS_FACTOR } else { segment_bytes };
    Budget { len, batches: batches.len(), records, most, alignment }
}

#[cfg(test)]
mod tests;
