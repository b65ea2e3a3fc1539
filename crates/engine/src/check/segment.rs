//! The bytes of one segment against everything that is known about them.
//!
//! Owns: batches one after another, finding the next one behind damage, summary against batches, data against the checksums of
//! records and of blocks.
//! Does not own: fetching bytes, whether a batch counts.
use super::finding::Fault;
use lsd_core::format::batch::{self, BATCH_HEADER_BYTES, Batch};
use lsd_core::format::codec::crc32c;
use lsd_core::format::segment::{Seal, SegmentIdentity};
use lsd_core::replay::TailRule;
use lsd_core::units::BLOCK_BYTES;
use std::collections::BTreeMap;
use std::ops::Range;

/// What a segment holds, and what of it is damaged.
#[derive(Debug, Default)]
pub(super) struct Content {
    /// Batches whose records are known, in order.
    pub(super) batches: Vec<Batch>,
    /// Where records brought data, or where damage hides whether they did; ascending, not overlapping.
    pub(super) data: Vec<Range<u32>>,
    /// Faults with the bytes that must not be believed.
    pub(super) damage: Vec<(Range<u32>, Fault)>,
    /// Faults that leave every byte readable.
    pub(super) other: Vec<Fault>,
    /// Bytes at its end do not decode, as a torn append would leave them.
    pub(super) is_torn: bool,
    /// A batch whose records are not known lies among the batches, or behind them.
    pub(super) has_unknown: bool,
}

impl Content {
    /// True if the bytes `at` are data of records, or hidden by damage.
    pub(super) fn covers(&self, at: Range<u32>) -> bool {
        let next = self.data.partition_point(|range| range.start <= at.start);
        next > 0 && self.data[next - 1].end >= at.end
    }

    fn add_data(&mut self, range: Range<u32>) {
        match self.data.last_mut() {
            Some(last) if last.end >= range.start => last.end = last.end.max(range.end),
            _ => self.data.push(range),
        }
    }

    /// A batch whose records are known: its data.
    fn add(&mut self, batch: Batch, bytes: &[u8], bad_blocks: &[u32]) {
        let mut places: Vec<(Range<u32>, u32)> = batch
            .records
            .iter()
            .filter_map(|record| {
                let data = record.data()?;
                let start = batch.place.offset + data.offset;
                Some((start..start + data.len, data.crc))
            })
            .collect();
        places.sort_by_key(|(at, _)| at.start);
        for (at, crc) in places {
            let good = bytes.get(at.start as usize..at.end as usize).is_some_and(|data| crc32c(data) == crc);
            if !good {
                let parts = damaged_parts(&at, bad_blocks);
                self.damage.extend(parts.into_iter().map(|part| (part.clone(), Fault::Data { at: part })));
            }
            self.add_data(at);
        }
        self.batches.push(batch);
    }
}

/// What of a record's data is damaged: its blocks that do not match, or all of it where no block tells.
fn damaged_parts(at: &Range<u32>, bad_blocks: &[u32]) -> Vec<Range<u32>> {
    let mut parts: Vec<Range<u32>> = Vec::new();
    for block in bad_blocks {
        let (from, to) = ((block * BLOCK_BYTES).max(at.start), ((block + 1) * BLOCK_BYTES).min(at.end));
        match parts.last_mut() {
            _ if from >= to => {}
            Some(last) if last.end == from => last.end = to,
            _ => parts.push(from..to),
        }
    }
    if parts.is_empty() { vec![at.clone()] } else { parts }
}

/// Blocks that do not match the segment's table.
fn bad_blocks(bytes: &[u8], sums: &[u32]) -> Vec<u32> {
    let blocks = bytes.chunks_exact(BLOCK_BYTES as usize).zip(sums).zip(0..);
    blocks.filter(|((block, sum), _)| crc32c(block) != **sum).map(|(_, index)| index).collect()
}

/// Verifies the batches in `bytes`, the segment without what seals it. `seal`: that, if the segment is sealed. `rule`: what may
/// follow the last batch of an open segment.
pub(super) fn verify(identity: &SegmentIdentity, bytes: &[u8], seal: Option<&Seal>, rule: TailRule) -> Content {
    let bad = bad_blocks(bytes, seal.map_or(&[][..], |seal| &seal.sums));
    let mut content = verify_batches(identity, bytes, seal.map(|seal| &seal.summary.batches[..]), &bad, rule);
    for block in bad {
        let at = block * BLOCK_BYTES..(block + 1) * BLOCK_BYTES;
        let meets = |range: &Range<u32>| range.start < at.end && at.start < range.end;
        let is_known = content.damage.iter().any(|(range, _)| meets(range))
            || content.other.iter().any(|fault| matches!(fault, Fault::Batch { at, .. } if meets(at)));
        if !is_known {
            content.damage.push((at.clone(), Fault::Block { at }));
        }
    }
    content
}

fn verify_batches(
    identity: &SegmentIdentity,
    bytes: &[u8],
    summary: Option<&[Batch]>,
    bad_blocks: &[u32],
    rule: TailRule,
) -> Content {
    let mut content = Content::default();
    let mut named: BTreeMap<u32, &Batch> = summary.unwrap_or_default().iter().map(|b| (b.place.offset, b)).collect();
    let may_be_torn = summary.is_none() && rule == TailRule::MayBeTorn;
    let mut offset = 0usize;
    while offset < bytes.len() {
        let at = offset as u32;
        let entry = named.remove(&at);
        // A torn append may have its header and not its data.
        let error = match batch::decode(&identity.place(at), &bytes[offset..], may_be_torn) {
            Ok(found) => {
                if summary.is_some() && !entry.is_some_and(|entry| found.matches_entry(entry)) {
                    content.other.push(Fault::SummaryDiffers { offset: at });
                }
                offset += found.total_len as usize;
                content.add(found, bytes, bad_blocks);
                continue;
            }
            Err(error) => error.to_string(),
        };
        // The summary knows the records too, so only the header page is lost, which no reader needs.
        if let Some(entry) = entry.filter(|entry| entry.total_len as usize >= BATCH_HEADER_BYTES) {
            let header = at..at + BATCH_HEADER_BYTES as u32;
            content.other.push(Fault::Batch { at: header, why: error });
            offset += entry.total_len as usize;
            content.add(entry.clone(), bytes, bad_blocks);
            continue;
        }
        let next = next_batch(identity, bytes, offset);
        if next.is_none() && may_be_torn {
            content.is_torn = true;
            content.other.push(Fault::TornTail { at: at..bytes.len() as u32 });
            return content;
        }
        if may_be_torn && let Ok(found) = batch::decode(&identity.place(at), &bytes[offset..], false) {
            offset += found.total_len as usize;
            content.add(found, bytes, bad_blocks);
            continue;
        }
        offset = next.unwrap_or(bytes.len());
        let lost = at..offset as u32;
        content.has_unknown = true;
        content.add_data(lost.clone());
        content.damage.push((lost.clone(), Fault::Batch { at: lost, why: error }));
    }
    content.other.extend(named.into_keys().map(|offset| Fault::SummaryDiffers { offset }));
    content
}

/// Where the next batch behind damage starts.
fn next_batch(identity: &SegmentIdentity, bytes: &[u8], damaged: usize) -> Option<usize> {
    let step = BLOCK_BYTES as usize;
    let starts = (damaged / step * step + step..bytes.len()).step_by(step);
    starts.into_iter().find(|at| batch::decode(&identity.place(*at as u32), &bytes[*at..], false).is_ok())
}
