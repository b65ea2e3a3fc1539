//! The header's list of names that takeovers have taken away from earlier owners.
use super::{EpochStart, LogRecord, kind, open, seal};
use crate::format::codec::{Put, Take};
use crate::format::{FormatError, FormatResult, Refusal};
use crate::units::{Epoch, SegmentNo};

/// Takeovers that are listed one by one. Of more only the latest are: removing the image then walks its pool for the names of the
/// others.
pub const MAX_TOMBS: usize = 1024;

/// An epoch that was ended by a takeover: where its tombstones are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tomb {
    pub epoch: Epoch,
    /// The epoch's first segment: no name below it is taken.
    pub first: SegmentNo,
    /// The first segment of the owner that took over: around it lie the names that were taken.
    pub next: SegmentNo,
}

/// Where tombstones are, also those of epochs that the log record does not list any more. An image whose owners all gave it back has
/// none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tombs {
    /// The takeovers up to the one that began this epoch are in here.
    pub known: Epoch,
    /// There are others that are not listed.
    pub more: bool,
    /// By epoch, ascending.
    pub list: Vec<Tomb>,
}

impl Tombs {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_u64(self.known.0);
        out.put_u8(u8::from(self.more));
        out.put_u32(self.list.len() as u32);
        for tomb in &self.list {
            out.put_u64(tomb.epoch.0);
            out.put_u64(tomb.first.0);
            out.put_u64(tomb.next.0);
        }
        seal(kind::TOMBS, &out)
    }

    pub fn decode(bytes: &[u8]) -> FormatResult<Self> {
        const WHAT: &str = "header list of tombstones";
        let mut take = Take::new(WHAT, open(WHAT, kind::TOMBS, bytes)?);
        let known = Epoch(take.u64()?);
        let more = take.u8()? != 0;
        let count = take.u32()? as usize;
        let mut list: Vec<Tomb> = Vec::with_capacity(count.min(take.remaining() / 24));
        for _ in 0..count {
            let tomb = Tomb { epoch: Epoch(take.u64()?), first: SegmentNo(take.u64()?), next: SegmentNo(take.u64()?) };
            if list.last().is_some_and(|last| last.epoch >= tomb.epoch) || tomb.first > tomb.next {
                return Err(FormatError::new(WHAT, Refusal::Value("tombstones")));
            }
            list.push(tomb);
        }
        take.end()?;
        Ok(Self { known, more, list })
    }

    /// With the takeovers that `log` tells of and that are not in here yet, because an earlier version of this program made them: it
    /// did not say whether the old owner had left tombstones.
    #[must_use]
    pub fn with(mut self, log: &LogRecord) -> Self {
        for [old, next] in log.epochs.array_windows() {
            if next.epoch > self.known {
                self.add(old, next.first_segment);
            }
        }
        self.known = self.known.max(log.epochs.last().map(|last| last.epoch).unwrap_or_default());
        self
    }

    /// With the takeover that begins `epoch` behind `log`, as it was before. Who gave the image back left nothing that could be taken
    /// away.
    #[must_use]
    pub fn with_takeover(self, log: &LogRecord, epoch: Epoch, first_segment: SegmentNo) -> Self {
        let mut tombs = self.with(log);
        if let (false, Some(old)) = (log.clean, log.epochs.last()) {
            tombs.add(old, first_segment);
        }
        tombs.known = epoch;
        tombs
    }

    fn add(&mut self, old: &EpochStart, next: SegmentNo) {
        // Only a header that contradicts itself has a later one.
        if self.list.last().is_some_and(|last| last.epoch >= old.epoch) {
            self.more = true;
            return;
        }
        self.list.push(Tomb { epoch: old.epoch, first: old.first_segment.min(next), next });
        if self.list.len() > MAX_TOMBS {
            self.list.remove(0);
            self.more = true;
        }
    }
}

impl LogRecord {
    /// The epochs of which something is left: those that made one of `segments`, and those whose numbers reach to `replay_from`
    /// and beyond. No batch of any other is read again: it lies in none of these segments.
    pub fn epochs_needed(&self, replay_from: SegmentNo, segments: impl Iterator<Item = SegmentNo>) -> Vec<EpochStart> {
        let index_of =
            |segment: SegmentNo| self.epochs.partition_point(|start| start.first_segment <= segment).checked_sub(1);
        let replayed = index_of(replay_from).unwrap_or_default();
        let mut needed = vec![false; self.epochs.len()];
        needed.iter_mut().skip(replayed).for_each(|needed| *needed = true);
        for index in segments.filter_map(index_of) {
            needed[index] = true;
        }
        self.epochs.iter().zip(needed).filter_map(|(start, needed)| needed.then_some(*start)).collect()
    }
}
