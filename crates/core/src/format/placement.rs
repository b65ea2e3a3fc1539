//! The end of a segment's name, chosen so that an image's segments are spread evenly.
//!
//! Ceph puts an object where a hash of its name says. A gigabyte is some seventy segments, and what chance makes of so few is
//! uneven: random reads wait for whoever got the most (docs/PERFORMANCE.md). So the last two letters of a name are those
//! that give the hash the low bits that it is the segment's turn to have.
//!
//! Owns: the hash and the choice, both part of the format. Does not own: the rest of the name (`names.rs`).
use crate::units::SegmentNo;

/// Low bits of the hash that are chosen: that many turns a pool's placement groups get, if they are a power of two. More
/// would need more letters to choose from; of more groups, what is within a turn is left to chance.
const TURN_BITS: u32 = 5;
/// The letters, none of which is a hexadecimal digit, so that the number before them can be told apart.
const LETTERS: [u8; 20] = *b"ghijklmnopqrstuvwxyz";

/// The letters for the rest of a segment's name. Where no letters fit, one time in 300,000, the place is left to chance.
pub(super) fn letters(rest: &str, image: &str, segment: SegmentNo) -> [u8; 2] {
    let wanted = turn(image, segment);
    // Every read of a segment needs its name: what all candidates begin with is hashed once.
    let (blocks, tail) = rest.as_bytes().as_chunks();
    let begun = blocks.iter().fold(Hash::START, Hash::block);
    let mut end = [0; BLOCK_BYTES + 1];
    let end = &mut end[..tail.len() + 2];
    end[..tail.len()].copy_from_slice(tail);
    for first in LETTERS {
        for second in LETTERS {
            end[tail.len()..].copy_from_slice(&[first, second]);
            if begun.end(end, rest.len() + 2) % (1 << TURN_BITS) == wanted {
                return [first, second];
            }
        }
    }
    [LETTERS[0]; 2]
}

/// Whose turn it is. Steps of the golden section leave no part out for long, whichever segments of an image are left; each
/// image begins elsewhere. The bits are reversed, so that fewer of them, the low ones, are as evenly spread.
fn turn(image: &str, segment: SegmentNo) -> u32 {
    const GOLDEN_SECTION: u64 = 0x9e37_79b9_7f4a_7c15;
    let at = segment.0.wrapping_mul(GOLDEN_SECTION).wrapping_add(u64::from(hash(image.as_bytes())) << 32);
    ((at >> (64 - TURN_BITS)) as u32).reverse_bits() >> (32 - TURN_BITS)
}

fn hash(name: &[u8]) -> u32 {
    Hash::START.end(name, name.len())
}

/// Ceph's `rjenkins` hash of names, which all its pools have had since 2009: Robert Jenkins' hash of 1996
/// (burtleburtle.net/bob/hash/evahash.html) beginning with zero.
#[derive(Clone, Copy)]
struct Hash(u32, u32, u32);

/// Bytes that are mixed in at once.
const BLOCK_BYTES: usize = 12;

impl Hash {
    const START: Self = Self(0x9e37_79b9, 0x9e37_79b9, 0);

    fn block(self, block: &[u8; BLOCK_BYTES]) -> Self {
        let Self(a, b, c) = self;
        let word = |from: usize| little_endian(&block[from..from + 4]);
        mix(a.wrapping_add(word(0)), b.wrapping_add(word(4)), c.wrapping_add(word(8)))
    }

    /// The hash of all `len` bytes, of which `bytes` are still to come.
    fn end(self, bytes: &[u8], len: usize) -> u32 {
        let (blocks, rest) = bytes.as_chunks();
        let Self(a, b, c) = blocks.iter().fold(self, Self::block);
        let part = |from: usize, to: usize| little_endian(&rest[from.min(rest.len())..to.min(rest.len())]);
        // The lowest byte of the last word is the length's.
        let last = (len as u32).wrapping_add(part(8, 11) << 8);
        mix(a.wrapping_add(part(0, 4)), b.wrapping_add(part(4, 8)), c.wrapping_add(last)).2
    }
}

fn little_endian(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte))
}

fn mix(mut a: u32, mut b: u32, mut c: u32) -> Hash {
    for (right, left, last) in [(13, 8, 13), (12, 16, 5), (3, 10, 15)] {
        a = a.wrapping_sub(b).wrapping_sub(c) ^ (c >> right);
        b = b.wrapping_sub(c).wrapping_sub(a) ^ (a << left);
        c = c.wrapping_sub(a).wrapping_sub(b) ^ (b >> last);
    }
    Hash(a, b, c)
}

#[cfg(test)]
mod tests;
