//! Emptying blocks that are all zeroes.
//!
//! Owns: finding them, and that what is emptied is zeroes at that moment: a range is held while it is looked at for the last time, as
//! in a compare-and-write. Does not own: who does it (`session/sparsify.rs`).
use crate::api::limits::{SPARSIFY_WINDOW, WALK_LEAVES};
use crate::read;
use crate::session::Session;
use crate::{Error, ErrorKind, Progress, ReadData, ReadPiece, Result};
use lsd_core::units::Seq;
use lsd_state::buffers::Keep;
use std::ops::Range;
use std::sync::Arc;

impl Session {
    /// By the owner. `Fenced`: it is the owner no more, and another one can do all of it anew.
    pub(crate) async fn sparsify_owned(self: &Arc<Self>, block: u64, progress: Progress<'_>) -> Result<()> {
        let window = SPARSIFY_WINDOW.max(block);
        let object = 1_u64 << self.image.order;
        let mut at = 0;
        let mut last = Seq(0);
        loop {
            // It may be resized meanwhile.
            let size = self.shared.lock().view.size;
            let objects = |bytes: u64| bytes.min(size).div_ceil(object);
            if at >= size {
                progress(objects(size), objects(size))?;
                break;
            }
            let find = || read::first_extents(&self.objects, &self.shared, (at, size - at), WALK_LEAVES);
            let extents = match self.retry_if_moved(find).await {
                Err(error) if self.was_shrunk(&error, size) => continue,
                found => found?,
            };
            let end = extents.last().map_or(size, |extent| extent.offset + extent.len);
            for extent in extents.iter().filter(|extent| extent.data) {
                let stop = (extent.offset + extent.len).next_multiple_of(block).min(size);
                // Where the one before has been in this block or window, it goes on.
                let mut from = at.max(extent.offset / block * block);
                while from < stop {
                    let to = (from / window + 1).saturating_mul(window).min(stop);
                    match self.sparsify_range(from..to, block).await {
                        // Beyond its new end there is nothing to empty.
                        Err(error) if self.was_shrunk(&error, to) => {}
                        emptied => last = last.max(emptied?),
                    }
                    from = to;
                    progress(to / object, objects(size))?;
                }
                at = stop;
            }
            at = at.max(end);
            self.shared.trim_leaves(self.settings().map_cache_bytes);
        }
        self.shared.wait_durable(last).await
    }

    /// Whether something was refused because the image ends before `end` by now.
    fn was_shrunk(&self, error: &Error, end: u64) -> bool {
        error.kind == ErrorKind::Invalid && self.shared.lock().view.size < end
    }

    /// What starts and ends with a block, or at the end of the image.
    async fn sparsify_range(self: &Arc<Self>, range: Range<u64>, block: u64) -> Result<Seq> {
        let mut last = Seq(0);
        for run in self.zero_runs(&range, block).await? {
            let held = self.hold(run.clone(), self.refusals.count()).await?;
            // Somebody may have written there since.
            for run in self.zero_runs(&run, block).await? {
                last = last.max(self.clear_in_steps((run.start, run.end - run.start), false).await?);
            }
            drop(held);
        }
        Ok(last)
    }

    async fn zero_runs(&self, range: &Range<u64>, block: u64) -> Result<Vec<Range<u64>>> {
        let size = self.shared.lock().view.size;
        let range = range.start..range.end.min(size);
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let read = || read::read(&self.objects, &self.shared, range.start, range.end - range.start);
        let data = self.retry_if_moved(read).await?.into_data(&self.shared, Keep::IfUsedAgain)?;
        Ok(zero_runs(&data, range.start, block))
    }
}

/// Runs of whole blocks that are all zeroes, some of which are stored. `start`: where the data begins, a block's start.
fn zero_runs(data: &ReadData, start: u64, block: u64) -> Vec<Range<u64>> {
    let mut runs: Vec<Range<u64>> = Vec::new();
    let mut add = |from: u64, to: u64, (is_zero, is_stored): (bool, bool)| match runs.last_mut() {
        _ if !is_zero || !is_stored => {}
        Some(last) if last.end == from => last.end = to,
        _ => runs.push(from..to),
    };
    // Of the block that is looked at: its start, how far it was looked at, and what was found.
    let (mut from, mut at, mut found) = (start, start, (true, false));
    for piece in &data.pieces {
        let mut done = 0;
        while done < piece.len() {
            let len = (piece.len() - done).min(from + block - at);
            if let ReadPiece::Data(bytes) = piece {
                let part = &bytes[done as usize..(done + len) as usize];
                found = (found.0 && part.iter().all(|byte| *byte == 0), true);
            }
            (done, at) = (done + len, at + len);
            if at == from + block {
                add(from, at, found);
                (from, found) = (at, (true, false));
            }
        }
    }
    if at > from {
        add(from, at, found);
    }
    runs
}

#[cfg(test)]
mod tests;
