//! The packed form of an encoded leaf: three bytes for each block, for leaves whose blocks lie anywhere.
//!
//! Owns: which leaves have it, its bytes. Does not own: the header and the choice between the forms (`codec.rs`). All
//! integers are little-endian.
//!
//! ```text
//! offset  size  field
//!      0     8  lowest   the lowest segment that an entry names
//!      8     4  count    segments that follow, 1 to 4095
//!     12     4  segment  segment - lowest, for each; they ascend from 0
//!      -     3  entry    4096 of them: (index of the segment + 1) << 12 | offset in the segment / 4096; 0 for a hole,
//!                     in a leaf of version 2 1 for zeroed
//! ```
use super::codec::{u32_at, u64_at};
use super::dense::BLOCKS;
use super::{Leaf, Run};
use crate::units::{BLOCK_BYTES, Loc, MAX_SEGMENT_NO, SegmentNo};

const ENTRY_BYTES: usize = 3;
const ENTRIES_BYTES: usize = BLOCKS * ENTRY_BYTES;
const FIXED_BYTES: usize = 12;
/// The entry of a block that is zeroed.
const ZEROED: u32 = 1;
/// No packed leaf is smaller.
pub(super) const LEAST_BYTES: usize = FIXED_BYTES + 4 + ENTRIES_BYTES;
/// An entry has 12 bits for its segment.
const MAX_SEGMENTS: usize = (1 << 12) - 1;

/// The segments of a leaf that can be packed.
pub(super) struct Packing {
    lowest: u64,
    /// Above the lowest, ascending from 0.
    segments: Vec<u32>,
}

impl Packing {
    /// `None` unless runs and what they point at are whole blocks, in segments whose numbers are not too far apart.
    pub(super) fn of(leaf: &Leaf) -> Option<Packing> {
        let mut numbers = Vec::with_capacity(leaf.run_count());
        for Run { start, len, loc } in leaf.entries() {
            let offset = if loc == Loc::ZEROED { 0 } else { loc.offset() };
            if !(start | len | offset).is_multiple_of(BLOCK_BYTES) {
                return None;
            }
            numbers.extend(loc.is_data().then_some(loc.segment().0));
        }
        numbers.sort_unstable();
        numbers.dedup();
        let lowest = *numbers.first().filter(|_| numbers.len() <= MAX_SEGMENTS)?;
        let segments = numbers.iter().map(|number| u32::try_from(number - lowest).ok()).collect::<Option<_>>()?;
        Some(Packing { lowest, segments })
    }

    pub(super) fn encoded_bytes(&self) -> usize {
        FIXED_BYTES + 4 * self.segments.len() + ENTRIES_BYTES
    }

    /// Appends the leaf that the packing was made of.
    pub(super) fn encode(&self, leaf: &Leaf, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.lowest.to_le_bytes());
        out.extend_from_slice(&(self.segments.len() as u32).to_le_bytes());
        self.segments.iter().for_each(|segment| out.extend_from_slice(&segment.to_le_bytes()));
        let first = out.len();
        out.resize(first + ENTRIES_BYTES, 0);
        let entries = &mut out[first..];
        for run in leaf.entries() {
            let place = run.loc.is_data().then(|| {
                let above = (run.loc.segment().0 - self.lowest) as u32;
                let index = self.segments.partition_point(|segment| *segment < above) as u32;
                (index + 1) << 12 | (run.loc.offset() / BLOCK_BYTES)
            });
            let block = run.start / BLOCK_BYTES;
            for step in 0..run.len / BLOCK_BYTES {
                let entry = place.map_or(ZEROED, |first| first + step);
                let at = (block + step) as usize * ENTRY_BYTES;
                entries[at..at + ENTRY_BYTES].copy_from_slice(&entry.to_le_bytes()[..ENTRY_BYTES]);
            }
        }
    }
}

/// Why bytes are no packed leaf.
pub(super) enum Unpackable {
    /// How long it would have to be.
    Length(u64),
    /// The first entry that is wrong; of the segments when there are no entries yet.
    Entry(u32),
}

/// The locations of all blocks, 0 for a hole. `zeroed`: entries may say that.
pub(super) fn decode(bytes: &[u8], zeroed: bool) -> Result<Vec<u64>, Unpackable> {
    let (fixed, rest) = bytes.split_first_chunk::<FIXED_BYTES>().ok_or(Unpackable::Length(FIXED_BYTES as u64))?;
    let (lowest, count) = (u64_at(fixed, 0), u32_at(fixed, 8) as usize);
    let expected = FIXED_BYTES as u64 + 4 * count as u64 + ENTRIES_BYTES as u64;
    if bytes.len() as u64 != expected || count > MAX_SEGMENTS {
        return Err(Unpackable::Length(expected));
    }
    let (segments, entries) = rest.split_at(4 * count);
    let above: Vec<u32> = segments.as_chunks::<4>().0.iter().map(|above| u32::from_le_bytes(*above)).collect();
    if above.first() != Some(&0) || !above.is_sorted_by(|one, next| one < next) {
        return Err(Unpackable::Entry(0));
    }
    let mut blocks = Vec::with_capacity(BLOCKS);
    for (index, entry) in entries.as_chunks::<ENTRY_BYTES>().0.iter().enumerate() {
        let entry = u32::from_le_bytes([entry[0], entry[1], entry[2], 0]);
        let is_zeroed = zeroed && entry == ZEROED;
        let block = if is_zeroed { Some(Loc::ZEROED.0) } else { unpacked(entry, lowest, &above) };
        blocks.push(block.ok_or(Unpackable::Entry(index as u32))?);
    }
    Ok(blocks)
}

fn unpacked(entry: u32, lowest: u64, above: &[u32]) -> Option<u64> {
    if entry == 0 {
        return Some(Loc::NOWHERE.0);
    }
    let segment = above.get((entry >> 12).checked_sub(1)? as usize)?;
    let segment = lowest.checked_add(u64::from(*segment)).filter(|segment| (1..=MAX_SEGMENT_NO).contains(segment))?;
    Some(Loc::new(SegmentNo(segment), (entry & 0xfff) * BLOCK_BYTES).0)
}
