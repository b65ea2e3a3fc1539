//! Entering copies of live data into the log: rule 1 for garbage collection, rule 9 of `protocol.rs`.
use super::{Chunk, State};
use crate::log::Stream;
use crate::segments::Newest;
use crate::{Fault, Result, protocol};
use lsd_core::format::checkpoint::LeafPlace;
use lsd_core::units::{LeafNo, Loc, Seq};

/// Data that was read from `from` and lived there when it was read; from [`Loc::NOWHERE`]: from the image's base.
#[derive(Clone, Debug)]
pub struct Relocation {
    /// Byte address in the image.
    pub offset: u64,
    pub from: Loc,
    pub chunk: Chunk,
}

impl Relocation {
    fn range(&self) -> (u64, u32) {
        (self.offset, self.chunk.piece.data.len() as u32)
    }
}

/// What became of an attempt to enter copies.
#[derive(Debug)]
pub enum Copied {
    /// Entered up to this sequence; copies that nobody needs any more were left out.
    Done(Seq),
    /// These leaves have to be loaded first; nothing was entered.
    NeedLeaves(Vec<(LeafNo, LeafPlace)>),
}

impl State {
    /// Enters copies in batches of their own: what the guest wrote before and after them lies in other batches.
    /// [`Fault::Closing`] when this writer is about to end. `frees`: they pass in a full pool, and all that was accepted before them.
    pub fn try_relocate(&mut self, stream: Stream, copies: &[Relocation], frees: bool) -> Result<Copied> {
        self.enter_copies(stream, copies, frees, None)
    }

    /// The same, and also of what only snapshots point at, whose maps then have to follow (rule 37). `places`: where the copies are, in
    /// their order.
    pub fn try_copy(
        &mut self,
        stream: Stream,
        copies: &[Relocation],
        frees: bool,
        places: &mut Vec<Loc>,
    ) -> Result<Copied> {
        self.enter_copies(stream, copies, frees, Some(places))
    }

    fn enter_copies(
        &mut self,
        stream: Stream,
        copies: &[Relocation],
        frees: bool,
        mut places: Option<&mut Vec<Loc>>,
    ) -> Result<Copied> {
        self.check_alive()?;
        if !protocol::may_copy(self.writer()?.is_closing || self.is_replaced) {
            return Err(Fault::Closing);
        }
        let ranges = copies.iter().map(Relocation::range);
        let mut missing: Vec<_> =
            ranges.flat_map(|(offset, len)| self.view.map.missing(offset, u64::from(len))).collect();
        if !missing.is_empty() {
            missing.sort_by_key(|(leaf, _)| *leaf);
            missing.dedup_by_key(|(leaf, _)| *leaf);
            return Ok(Copied::NeedLeaves(missing));
        }
        for copy in copies {
            if places.is_none() && !self.is_needed(copy)? {
                continue;
            }
            let Chunk { piece, crc } = &copy.chunk;
            let (seq, loc) = self.writer()?.push_copy(stream, copy.offset, copy.from, piece.clone(), *crc)?;
            self.buffers.insert_dirty(loc, piece.data.clone());
            self.move_to(copy.range(), copy.from, loc)?;
            self.view.end = seq;
            if let Some(places) = &mut places {
                // Whoever writes a checkpoint meanwhile does not take it for dead.
                self.snapshots.begin_moving([loc.segment()]);
                places.push(loc);
            }
        }
        if frees {
            self.force_when_full();
        }
        self.seal();
        Ok(Copied::Done(self.view.end))
    }

    /// Rules 9 and 45: something of it still lives where it was read, or nothing has been written yet where the base was read.
    fn is_needed(&self, copy: &Relocation) -> Result<bool> {
        if copy.from != Loc::NOWHERE {
            return Ok(self.view.map.points_at(copy.range(), copy.from)?);
        }
        let ((offset, len), mut unwritten) = (copy.range(), Vec::new());
        self.view.map.unwritten(offset, u64::from(len), &mut unwritten)?;
        Ok(!unwritten.is_empty())
    }

    /// The bytes of the range that live at `from` on live at `to` on.
    pub(super) fn move_to(&mut self, range: (u64, u32), from: Loc, to: Loc) -> Result<()> {
        if from == Loc::NOWHERE {
            let filled = self.view.map.fill(range, to)?;
            // It was there before anything was written.
            self.segments.add_live(to, filled, Seq(0).into());
            return Ok(());
        }
        self.superseded.clear();
        let moved = self.view.map.replace_if(range, from, to, &mut self.superseded)?;
        self.segments.supersede(&self.superseded);
        // A copy is as old as what it is a copy of; what an ancestor wrote is older than anything that the image itself has. Of the
        // source of a migration nothing is known: it may have been written behind any of the snapshots.
        let lineage = &self.view.lineage;
        let newest = match lineage.is_own(from.segment()) || lineage.is_sources(from.segment()) {
            true => self.segments.newest(from.segment()),
            false => Newest::from(Seq(0)),
        };
        self.segments.add_live(to, moved, newest);
        Ok(())
    }
}
