//! A leaf as an array with one location per 4 KiB block.
//!
//! Owns: the array, and counts that say when it stops being worth its memory. Does not own: unaligned ranges, which
//! [`super::Leaf`] turns into runs before they get here.
use super::{Run, Superseded, continues, supersede};
use crate::units::{BLOCK_BYTES, LEAF_SPAN_BYTES, Loc};

/// Blocks in a leaf.
pub(super) const BLOCKS: usize = (LEAF_SPAN_BYTES / BLOCK_BYTES) as usize;

#[derive(Clone, Debug)]
pub(super) struct Dense {
    /// [`BLOCKS`] packed locations; 0 is a hole, 1 zeroed.
    blocks: Box<[u64]>,
    /// Runs that the blocks form: mapped blocks that do not continue the one before.
    run_count: u32,
}

impl Dense {
    pub(super) fn empty() -> Dense {
        Dense { blocks: vec![0; BLOCKS].into_boxed_slice(), run_count: 0 }
    }

    /// Takes [`BLOCKS`] packed locations that segments have, or that are holes or zeroed.
    pub(super) fn from_blocks(blocks: Vec<u64>) -> Dense {
        debug_assert_eq!(blocks.len(), BLOCKS);
        let mut dense = Dense { blocks: blocks.into_boxed_slice(), run_count: 0 };
        dense.run_count = dense.runs_beginning(0, BLOCKS);
        dense
    }

    pub(super) fn run_count(&self) -> u32 {
        self.run_count
    }

    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.blocks)
    }

    /// Maps the block-aligned `start..end` to `loc` on, or to nothing. Returns how many bytes were data before.
    pub(super) fn replace(&mut self, start: u32, end: u32, loc: Option<Loc>, superseded: &mut Superseded) -> u32 {
        let (first, past) = ((start / BLOCK_BYTES) as usize, (end / BLOCK_BYTES) as usize);
        let mut before_bytes = 0;
        let runs_before = self.runs_beginning(first, past);
        let mut next = loc;
        for block in &mut self.blocks[first..past] {
            if *block != 0 {
                before_bytes += supersede(superseded, Loc(*block), BLOCK_BYTES);
            }
            *block = next.map_or(0, |loc| loc.0);
            next = next.map(|loc| loc.advance(BLOCK_BYTES));
        }
        self.run_count = self.run_count - runs_before + self.runs_beginning(first, past);
        before_bytes
    }

    /// Runs that begin in `first..=past`: what a change of `first..past` can change.
    fn runs_beginning(&self, first: usize, past: usize) -> u32 {
        let begins = |index: usize| {
            let block = self.blocks[index];
            let before = if index == 0 { 0 } else { self.blocks[index - 1] };
            block != 0 && (before == 0 || !continues(Loc(before), u64::from(BLOCK_BYTES), Loc(block)))
        };
        (first..(past + 1).min(BLOCKS)).filter(|&index| begins(index)).count() as u32
    }

    /// The first run at or after block `index`, cut at block `past`.
    fn run_from(&self, index: usize, past: usize) -> Option<Run> {
        let first = index + self.blocks[index..past].iter().position(|&block| block != 0)?;
        let loc = Loc(self.blocks[first]);
        let mut len = BLOCK_BYTES;
        for &block in &self.blocks[first + 1..past] {
            if !continues(loc, u64::from(len), Loc(block)) {
                break;
            }
            len += BLOCK_BYTES;
        }
        Some(Run { start: first as u32 * BLOCK_BYTES, len, loc })
    }

    /// The first run that begins at or after `position`, which is a block boundary.
    pub(super) fn run_at(&self, position: u32) -> Option<Run> {
        self.run_from((position / BLOCK_BYTES) as usize, BLOCKS)
    }

    /// Calls `f` with the mapped parts of `start..end` (any bytes) in order.
    #[inline]
    pub(super) fn visit(&self, start: u32, end: u32, f: &mut impl FnMut(Run)) {
        let past = end.div_ceil(BLOCK_BYTES) as usize;
        let mut index = (start / BLOCK_BYTES) as usize;
        while let Some(run) = self.run_from(index, past) {
            f(run.clip(start, end));
            index = (run.end() / BLOCK_BYTES) as usize;
        }
    }
}
