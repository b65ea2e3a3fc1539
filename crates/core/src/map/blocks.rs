//! A set of blocks of one leaf.
//!
//! Owns: the bits and how many there are. Does not own: what a block in it means (`slots.rs`: it may differ from the
//! stored base).
use std::ops::Range;

use super::dense::BLOCKS;
use crate::units::BLOCK_BYTES;

const WORD_BITS: u32 = u64::BITS;
const WORDS: usize = BLOCKS / WORD_BITS as usize;

/// Some of the 4 KiB blocks of a leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockSet(Box<Bits>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Bits {
    words: [u64; WORDS],
    count: u32,
}

impl Default for BlockSet {
    fn default() -> BlockSet {
        BlockSet(Box::new(Bits { words: [0; WORDS], count: 0 }))
    }
}

impl BlockSet {
    /// Memory that a set holds.
    pub(super) const HEAP_BYTES: usize = size_of::<Bits>();

    /// Adds every block that `len` bytes from `start` of the leaf on touch.
    pub(super) fn insert(&mut self, start: u32, len: u32) {
        let (first, past) = (start / BLOCK_BYTES, (start + len).div_ceil(BLOCK_BYTES));
        if len == 0 {
            return;
        }
        for index in first / WORD_BITS..=(past - 1) / WORD_BITS {
            let base = index * WORD_BITS;
            let (from, to) = (first.max(base) - base, past.min(base + WORD_BITS) - base);
            let word = &mut self.0.words[index as usize];
            let before = word.count_ones();
            *word |= (u64::MAX >> (WORD_BITS - (to - from))) << from;
            self.0.count += word.count_ones() - before;
        }
    }

    /// How many blocks are in the set.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.0.count
    }

    /// The blocks in ascending order, neighbours together.
    pub(super) fn ranges(&self) -> impl Iterator<Item = Range<u32>> + '_ {
        let mut next = 0;
        std::iter::from_fn(move || {
            let start = self.next_that(true, next)?;
            let end = self.next_that(false, start).unwrap_or(BLOCKS as u32);
            next = end;
            Some(start..end)
        })
    }

    /// The first block at or behind `from` that is in the set, or that is not.
    fn next_that(&self, is_in: bool, from: u32) -> Option<u32> {
        let flip = if is_in { 0 } else { u64::MAX };
        let first = from / WORD_BITS;
        for index in first..WORDS as u32 {
            let mut word = self.0.words[index as usize] ^ flip;
            if index == first {
                word &= u64::MAX << (from % WORD_BITS);
            }
            if word != 0 {
                return Some(index * WORD_BITS + word.trailing_zeros());
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
