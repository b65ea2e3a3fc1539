//! Bringing into an image's own log what its base has, as a flatten does.
//!
//! Owns: which bytes those are, and bringing them window by window. Does not own: reading the base (`objects/base.rs`), that a guest's
//! write wins (rule 45, `state/relocation.rs`), what follows from it (`session/flatten.rs`).
use super::{Collector, batches};
use crate::api::limits::{BRING_BYTES, BRING_WINDOW};
use crate::api::write_data::WriteData;
use crate::checkpoint::Checkpointer;
use crate::objects::base::parts;
use crate::{Progress, Result};
use bytes::Bytes;
use lsd_core::units::{BLOCK_BYTES, Loc, Seq};
use lsd_state::log::Stream;
use lsd_state::state::Relocation;
use std::ops::Range;

impl Collector {
    /// Afterwards the committed map needs nothing of the base. Progress is in bytes of the image.
    pub(crate) async fn bring(&self, checkpointer: &Checkpointer, progress: Progress<'_>) -> Result<()> {
        let (mut at, mut entered) = (0, Seq(0));
        let total = loop {
            // It may become smaller meanwhile.
            let end = self.shared.lock().view.map.zeroed_below();
            if at >= end {
                break end;
            }
            progress(at, end)?;
            let window = at..end.min(at + BRING_WINDOW);
            at = window.end;
            for group in groups(self.wanted_of_base(window).await?) {
                let copies = self.read_for(&group).await?;
                // Those of before have landed while these were read: no more than both are in memory.
                self.shared.wait_durable(entered).await?;
                for batch in batches(&copies) {
                    entered = self.enter(Stream::Moved, batch, false).await?;
                }
            }
            self.shared.trim_leaves(self.map_cache_bytes);
        };
        self.shared.wait_durable(entered).await?;
        self.end_and_checkpoint(checkpointer).await?;
        progress(total, total)
    }

    /// What of a range was never written, where the base may have more than zeroes.
    async fn wanted_of_base(&self, window: Range<u64>) -> Result<Vec<Range<u64>>> {
        let (offset, len) = (window.start, window.end - window.start);
        let unwritten = loop {
            let mut found = Vec::new();
            let missing = {
                let state = self.shared.lock();
                match state.view.map.unwritten(offset, len, &mut found) {
                    Ok(()) => break found,
                    Err(_) => state.view.map.missing(offset, len),
                }
            };
            self.shared.load_leaves_again(&self.objects, missing).await?;
        };
        let mut wanted = Vec::new();
        for (offset, len) in unwritten {
            wanted.extend(self.objects.base_data(offset, len).await?);
        }
        Ok(wanted)
    }

    async fn read_for(&self, ranges: &[Range<u64>]) -> Result<Vec<Relocation>> {
        let read = self.objects.read_base_ranges(ranges).await?;
        let mut copies = Vec::new();
        for (range, bytes) in ranges.iter().zip(read) {
            for (offset, data) in filled(range.start, &bytes) {
                let mut at = offset;
                for chunk in WriteData::from(data).into_chunks() {
                    let len = chunk.bytes();
                    copies.push(Relocation { offset: at, from: Loc::NOWHERE, chunk });
                    at += len;
                }
            }
        }
        Ok(copies)
    }
}

/// The same ranges in parts of one read each, as many together as may be in memory.
fn groups(ranges: Vec<Range<u64>>) -> Vec<Vec<Range<u64>>> {
    let mut groups: Vec<Vec<Range<u64>>> = Vec::new();
    let mut room = 0;
    for part in ranges.into_iter().flat_map(parts) {
        let len = part.end - part.start;
        match groups.last_mut() {
            Some(group) if len <= room => group.push(part),
            _ => {
                groups.push(vec![part]);
                room = BRING_BYTES;
            }
        }
        room = room.saturating_sub(len);
    }
    groups
}

/// What of some bytes at this address is not all zeroes, by blocks of the image: the rest reads as zeroes without being there.
fn filled(offset: u64, bytes: &Bytes) -> Vec<(u64, Bytes)> {
    let block = u64::from(BLOCK_BYTES);
    let mut runs: Vec<Range<usize>> = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let to_border = block - (offset + at as u64) % block;
        let end = bytes.len().min(at + to_border as usize);
        if bytes[at..end].iter().any(|byte| *byte != 0) {
            match runs.last_mut() {
                Some(last) if last.end == at => last.end = end,
                _ => runs.push(at..end),
            }
        }
        at = end;
    }
    runs.into_iter().map(|run| (offset + run.start as u64, bytes.slice(run))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_zeroes_are_left_out() {
        let mut bytes = vec![0; 5 * 4096];
        (bytes[10], bytes[4096 + 1000], bytes[4 * 4096]) = (1, 2, 3);
        let bytes = Bytes::from(bytes);
        let found: Vec<(u64, usize)> = filled(8192, &bytes).iter().map(|(at, data)| (*at, data.len())).collect();
        assert_eq!(found, [(8192, 8192), (8192 + 4 * 4096, 4096)]);
        // The blocks are the image's, wherever the bytes begin.
        let found: Vec<(u64, usize)> = filled(1000, &bytes).iter().map(|(at, data)| (*at, data.len())).collect();
        assert_eq!(found, [(1000, 2 * 4096 - 1000), (4 * 4096, 4096)]);
        assert_eq!(filled(0, &Bytes::from(vec![0; 9000])), []);
    }

    #[test]
    fn reads_are_grouped_by_what_memory_holds() {
        let mib = 1 << 20;
        let grouped = groups(vec![0..10, 100..100 + 9 * mib / 2]);
        let bytes = |group: &Vec<Range<u64>>| group.iter().map(|part| part.end - part.start).sum::<u64>();
        assert!(grouped.iter().all(|group| bytes(group) <= BRING_BYTES));
        assert_eq!(grouped.iter().map(bytes).sum::<u64>(), 10 + 9 * mib / 2);
        assert!(grouped.len() == 2);
    }
}
