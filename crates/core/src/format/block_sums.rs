//! Checksums of a segment by blocks of 4 KiB: what a reader checks a part of a record with, whose own checksum is for
//! the whole.
//!
//! Owns: computing them while data passes by, and the table that a sealed segment carries. Does not own: who keeps
//! tables in memory.
use super::codec::{Put, Take, crc32c};
use super::segment::{HEADER_BYTES, SegmentIdentity, begin_part, close_part, open_part};
use super::{FormatError, FormatResult, Refusal};
use crate::units::{BLOCK_BYTES, MAX_READ_SEGMENT_BYTES};

const WHAT: &str = "block checksums";
/// "LSDK"
pub const BLOCK_TABLE_MAGIC: u32 = u32::from_le_bytes(*b"LSDK");
pub const BLOCK_TABLE_VERSION: u16 = 1;
const BLOCK: usize = BLOCK_BYTES as usize;

/// Checksums of the whole blocks at the start of some data; none for data shorter than a block.
#[derive(Clone, Debug)]
pub struct BlockSums(Inner);

#[derive(Clone, Debug)]
enum Inner {
    /// Most writes are one block: no memory of their own.
    One(u32),
    Many(std::sync::Arc<[u32]>),
}

impl BlockSums {
    /// The sums of every whole block of `data`, and the checksum of all of it, from one pass where it is whole blocks.
    pub fn of(data: &[u8]) -> (BlockSums, u32) {
        if data.len() == BLOCK {
            let sum = crc32c(data);
            return (BlockSums(Inner::One(sum)), sum);
        }
        Self::with_whole(data.chunks_exact(BLOCK).map(crc32c).collect(), data)
    }

    /// The sums of every whole block of `data`, and the checksum of all of it.
    fn with_whole(sums: std::sync::Arc<[u32]>, data: &[u8]) -> (BlockSums, u32) {
        let whole = !data.is_empty() && data.len().is_multiple_of(BLOCK);
        let all = if whole { sums.iter().fold(0, |crc, sum| after_block(crc) ^ sum) } else { crc32c(data) };
        (BlockSums(Inner::Many(sums)), all)
    }

    pub fn as_slice(&self) -> &[u32] {
        match &self.0 {
            Inner::One(sum) => std::slice::from_ref(sum),
            Inner::Many(sums) => sums,
        }
    }
}

/// Bytes that [`SummedCopy`] copies before it computes their sums: they are in the processor's nearest cache then.
const COPY_STEP: usize = 16 << 10;

/// Copies data from pieces and computes its sums on the way.
#[derive(Debug)]
pub struct SummedCopy {
    data: Vec<u8>,
    sums: Vec<u32>,
}

impl SummedCopy {
    /// `len`: bytes that will come.
    pub fn new(len: usize) -> Self {
        Self { data: Vec::with_capacity(len), sums: Vec::with_capacity(len / BLOCK) }
    }

    pub fn push(&mut self, piece: &[u8]) {
        for step in piece.chunks(COPY_STEP) {
            self.data.extend_from_slice(step);
            self.sums.extend(self.data[self.sums.len() * BLOCK..].chunks_exact(BLOCK).map(crc32c));
        }
    }

    /// The data, its sums and the checksum of all of it, as [`BlockSums::of`] has them.
    pub fn finish(self) -> (Vec<u8>, BlockSums, u32) {
        if let ([sum], BLOCK) = (&self.sums[..], self.data.len()) {
            let sum = *sum;
            return (self.data, BlockSums(Inner::One(sum)), sum);
        }
        let (sums, all) = BlockSums::with_whole(self.sums.into(), &self.data);
        (self.data, sums, all)
    }
}

/// What a checksum contributes to that of the same data followed by one block of anything: a CRC is linear, so
/// crc(a + b) = after_block(crc(a)) ^ crc(b) for a block b.
fn after_block(crc: u32) -> u32 {
    let bytes = crc.to_le_bytes();
    (0..4).fold(0, |sum, index| sum ^ AFTER_BLOCK[index][bytes[index] as usize])
}

/// [`after_block`] of every value of each of the four bytes.
static AFTER_BLOCK: [[u32; 256]; 4] = after_block_table();

const fn after_block_table() -> [[u32; 256]; 4] {
    // A linear map is the values of the 32 single bits. One zero bit: shift out, and the polynomial for a one.
    let mut map = [0u32; 32];
    map[0] = 0x82f6_3b78;
    let mut bit = 1;
    while bit < 32 {
        map[bit] = 1 << (bit - 1);
        bit += 1;
    }
    // Applied to itself it is for twice as many bits; a block has 2^15.
    let mut doublings = 0;
    while doublings < (BLOCK * 8).ilog2() {
        let mut twice = [0u32; 32];
        let mut bit = 0;
        while bit < 32 {
            twice[bit] = apply(&map, map[bit]);
            bit += 1;
        }
        map = twice;
        doublings += 1;
    }
    let mut table = [[0u32; 256]; 4];
    let mut index = 0;
    while index < 4 * 256 {
        let (byte, value) = (index / 256, index % 256);
        table[byte][value] = apply(&map, (value as u32) << (8 * byte));
        index += 1;
    }
    table
}

const fn apply(map: &[u32; 32], value: u32) -> u32 {
    let mut sum = 0;
    let mut bit = 0;
    while bit < 32 {
        if value >> bit & 1 == 1 {
            sum ^= map[bit];
        }
        bit += 1;
    }
    sum
}

/// Builds the sums of consecutive blocks from pieces of any length.
#[derive(Debug, Default)]
pub struct SumBuilder {
    sums: Vec<u32>,
    /// The bytes of a block that is not whole yet.
    partial: Vec<u8>,
}

impl SumBuilder {
    /// `known`: the sums of the piece's whole blocks, if somebody has them already; they are used where the piece
    /// starts at the start of a block.
    pub fn push(&mut self, piece: &[u8], known: &[u32]) {
        let mut rest = piece;
        if !self.partial.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(BLOCK - self.partial.len()));
            self.partial.extend_from_slice(now);
            rest = later;
            if self.partial.len() == BLOCK {
                self.sums.push(crc32c(&self.partial));
                self.partial.clear();
            }
        }
        let starts_a_block = rest.len() == piece.len();
        let whole = rest.chunks_exact(BLOCK);
        self.partial.extend_from_slice(whole.remainder());
        if starts_a_block && known.len() == whole.len() {
            self.sums.extend_from_slice(known);
        } else {
            self.sums.extend(whole.map(crc32c));
        }
    }

    /// The sums; what does not fill a block has none.
    pub fn finish(self) -> Vec<u32> {
        self.sums
    }
}

/// Checks data that starts at block `first` of a segment and is whole blocks. `Checksum`; `Truncated` when the sums end
/// before the data.
pub fn check_blocks(sums: &[u32], first: usize, data: &[u8]) -> FormatResult<()> {
    let count = data.len().div_ceil(BLOCK);
    let expected = first.checked_add(count).and_then(|end| sums.get(first..end));
    let expected = expected.ok_or(FormatError::new("segment data", Refusal::Truncated))?;
    for (block, sum) in data.chunks(BLOCK).zip(expected) {
        if crc32c(block) != *sum {
            return Err(FormatError::new("segment data", Refusal::Checksum));
        }
    }
    Ok(())
}

/// Bytes of the table of so many blocks.
pub fn block_table_len(blocks: usize) -> usize {
    HEADER_BYTES + 4 * blocks
}

/// The table of a segment whose data, before its sealing part, has these sums.
pub(super) fn encode_block_table(identity: &SegmentIdentity, sums: &[u32]) -> Vec<u8> {
    let mut out = Vec::with_capacity(block_table_len(sums.len()));
    let len = block_table_len(sums.len());
    begin_part(&mut out, BLOCK_TABLE_MAGIC, BLOCK_TABLE_VERSION, len, identity);
    out.put_u32(sums.len() as u32);
    out.resize(HEADER_BYTES, 0);
    sums.iter().for_each(|sum| out.put_u32(*sum));
    close_part(&mut out);
    out
}

/// Decodes the table at the start of `bytes` (which may go on) and checks that it is this segment's. Gives the sums and the
/// table's length in bytes.
pub fn decode_block_table(identity: &SegmentIdentity, bytes: &[u8]) -> FormatResult<(Vec<u32>, usize)> {
    let versions = BLOCK_TABLE_VERSION..=BLOCK_TABLE_VERSION;
    let (mut take, _, len) = open_part(WHAT, BLOCK_TABLE_MAGIC, versions, identity, bytes)?;
    let blocks = take.u32()? as usize;
    if blocks > (MAX_READ_SEGMENT_BYTES / BLOCK_BYTES) as usize || len != block_table_len(blocks) {
        return Err(FormatError::new(WHAT, Refusal::Value("block count")));
    }
    let mut take = Take::new(WHAT, &bytes[HEADER_BYTES..len]);
    let mut sums = Vec::with_capacity(blocks);
    for _ in 0..blocks {
        sums.push(take.u32()?);
    }
    Ok((sums, len))
}

#[cfg(test)]
mod tests;
