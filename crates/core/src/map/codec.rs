//! The bytes of a leaf in a checkpoint.
//!
//! Owns: encoding and decoding. Does not own: the page that holds leaves, where pages are. All integers are
//! little-endian.
//!
//! ```text
//! offset  size  field
//!      0     4  magic    bytes "LSDL" (0x4c44534c)
//!      4     2  version  1; 2 if something is zeroed
//!      6     2  form     0 runs, 1 dense, 2 packed
//!      8     4  leaf     number of the leaf; it covers image bytes leaf * 16 MiB to (leaf + 1) * 16 MiB
//!     12     4  count    entries that follow; 4096 in the dense and the packed form
//!     16     4  crc      CRC-32C of all bytes of the leaf from magic to the last entry, this field taken as zero
//!     20     -  entries
//!
//! entry of form 0, 16 bytes:
//!      0     4  start    bytes from the start of the leaf
//!      4     4  len      bytes, at least 1; start + len is at most 16 MiB
//!      8     8  loc      segment << 24 | offset in the segment, bytes
//! Entries ascend by start and do not overlap.
//!
//! entry of form 1, 8 bytes: loc of the block of 4096 bytes at index * 4096, 0 for a hole, or in version 2 1 for zeroed.
//! form 2, the same in about 3 bytes: `packed.rs`.
//! ```
//!
//! A loc names a segment of 1 or more, and offset + len (4096 in forms 1 and 2) is at most 16 MiB; in version 2 it may also be 1:
//! the range is zeroed. Nothing follows the last
//! entry. A leaf is written in the smallest form, runs before packed before dense; a reader takes any.
use crc_fast::{CrcAlgorithm, Digest};

use super::dense::{BLOCKS, Dense};
use super::leaf::Form;
use super::packed::{self, Packing, Unpackable};
use super::runs::Runs;
use super::{Leaf, MapError, Run, is_valid};
use crate::units::{BLOCK_BYTES, LEAF_SPAN_BYTES, LeafNo, Loc};

/// "LSDL" read as a little-endian number.
pub const LEAF_MAGIC: u32 = u32::from_le_bytes(*b"LSDL");
/// The version of a leaf in which nothing is zeroed.
pub const LEAF_FORMAT_VERSION: u16 = 1;
/// The version of one that tells zeroed from never written.
pub const LEAF_ZEROED_VERSION: u16 = 2;
/// Bytes before the first entry.
pub const LEAF_HEADER_BYTES: usize = 20;

const CRC_OFFSET: usize = 16;
const FORM_RUNS: u16 = 0;
const FORM_DENSE: u16 = 1;
const FORM_PACKED: u16 = 2;
pub(super) const RUN_BYTES: usize = 16;
const DENSE_BYTES: usize = BLOCKS * 8;

/// How a leaf is written.
enum Chosen {
    Runs,
    Dense,
    Packed(Packing),
}

impl Leaf {
    /// The smallest form, and the bytes of its entries.
    fn choose(&self) -> (Chosen, usize) {
        let runs = self.run_count() * RUN_BYTES;
        if runs <= packed::LEAST_BYTES || !self.is_block_aligned() {
            return (Chosen::Runs, runs);
        }
        match Packing::of(self) {
            Some(packing) if packing.encoded_bytes() < runs.min(DENSE_BYTES + 1) => {
                let bytes = packing.encoded_bytes();
                (Chosen::Packed(packing), bytes)
            }
            _ if runs > DENSE_BYTES => (Chosen::Dense, DENSE_BYTES),
            _ => (Chosen::Runs, runs),
        }
    }

    /// Appends the leaf's bytes, as the format of this module says.
    pub fn encode(&self, leaf: LeafNo, out: &mut Vec<u8>) {
        let (chosen, entries_bytes) = self.choose();
        let first = out.len();
        out.reserve_exact(LEAF_HEADER_BYTES + entries_bytes);
        let (form, count) = match &chosen {
            Chosen::Runs => (FORM_RUNS, self.run_count()),
            Chosen::Dense => (FORM_DENSE, BLOCKS),
            Chosen::Packed(_) => (FORM_PACKED, BLOCKS),
        };
        out.extend_from_slice(&LEAF_MAGIC.to_le_bytes());
        let version = if self.has_zeroed() { LEAF_ZEROED_VERSION } else { LEAF_FORMAT_VERSION };
        out.extend_from_slice(&version.to_le_bytes());
        out.extend_from_slice(&form.to_le_bytes());
        out.extend_from_slice(&leaf.0.to_le_bytes());
        out.extend_from_slice(&(count as u32).to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        match chosen {
            Chosen::Runs => self.encode_runs(out),
            Chosen::Dense => self.encode_dense(out),
            Chosen::Packed(packing) => packing.encode(self, out),
        }
        let crc = checksum(&out[first..]);
        out[first + CRC_OFFSET..first + LEAF_HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
    }

    fn encode_runs(&self, out: &mut Vec<u8>) {
        for run in self.entries() {
            out.extend_from_slice(&run.start.to_le_bytes());
            out.extend_from_slice(&run.len.to_le_bytes());
            out.extend_from_slice(&run.loc.0.to_le_bytes());
        }
    }

    fn encode_dense(&self, out: &mut Vec<u8>) {
        let first = out.len();
        out.resize(first + DENSE_BYTES, 0);
        let entries = &mut out[first..];
        for run in self.entries() {
            let index = (run.start / BLOCK_BYTES) as usize;
            for block in 0..run.len / BLOCK_BYTES {
                let at = (index + block as usize) * 8;
                entries[at..at + 8].copy_from_slice(&run.loc.advance(block * BLOCK_BYTES).0.to_le_bytes());
            }
        }
    }

    /// Reads what [`Leaf::encode`] wrote for `leaf`. `bytes` are the leaf and nothing else.
    ///
    /// # Errors
    /// [`MapError`] when the bytes are damaged, of another leaf, or of a version this code does not know.
    pub fn decode(leaf: LeafNo, bytes: &[u8]) -> Result<Leaf, MapError> {
        let length = |expected| MapError::Length { leaf, found: bytes.len(), expected };
        let Some((header, entries)) = bytes.split_first_chunk::<LEAF_HEADER_BYTES>() else {
            return Err(length(LEAF_HEADER_BYTES as u64));
        };
        let magic = u32_at(header, 0);
        if magic != LEAF_MAGIC {
            return Err(MapError::Magic { leaf, found: magic });
        }
        let (version, form) = (u16_at(header, 4), u16_at(header, 6));
        if version != LEAF_FORMAT_VERSION && version != LEAF_ZEROED_VERSION {
            return Err(MapError::Version { leaf, found: version });
        }
        let count = u32_at(header, 12);
        let entries_bytes = match form {
            FORM_RUNS => u64::from(count) * RUN_BYTES as u64,
            FORM_DENSE => DENSE_BYTES as u64,
            // Its own length tells.
            FORM_PACKED => entries.len() as u64,
            found => return Err(MapError::Form { leaf, found }),
        };
        if entries.len() as u64 != entries_bytes || (form != FORM_RUNS && count as usize != BLOCKS) {
            return Err(length(LEAF_HEADER_BYTES as u64 + entries_bytes));
        }
        let (found, computed) = (u32_at(header, CRC_OFFSET), checksum(bytes));
        if found != computed {
            return Err(MapError::Checksum { leaf, found, computed });
        }
        let found = LeafNo(u32_at(header, 8));
        if found != leaf {
            return Err(MapError::OtherLeaf { leaf, found });
        }
        let zeroed = version == LEAF_ZEROED_VERSION;
        let form = match form {
            FORM_RUNS => decode_runs(leaf, entries, zeroed)?,
            FORM_DENSE => decode_dense(leaf, entries, zeroed)?,
            _ => Form::Dense(Dense::from_blocks(packed::decode(entries, zeroed).map_err(|error| match error {
                Unpackable::Length(expected) => length(LEAF_HEADER_BYTES as u64 + expected),
                Unpackable::Entry(index) => MapError::Entry { leaf, index },
            })?)),
        };
        let decoded = Leaf::from_form(form);
        match decoded.has_zeroed() == zeroed {
            true => Ok(decoded),
            false => Err(MapError::Version { leaf, found: version }),
        }
    }
}

fn decode_runs(leaf: LeafNo, entries: &[u8], zeroed: bool) -> Result<Form, MapError> {
    let mut runs = Runs::with_capacity(entries.len() / RUN_BYTES);
    let mut end = 0;
    for (index, entry) in entries.as_chunks::<RUN_BYTES>().0.iter().enumerate() {
        let run = Run { start: u32_at(entry, 0), len: u32_at(entry, 4), loc: Loc(u64_at(entry, 8)) };
        let run_end = u64::from(run.start) + u64::from(run.len);
        let in_leaf = run.len > 0 && run.start >= end && run_end <= u64::from(LEAF_SPAN_BYTES);
        if !in_leaf || !is_valid(run.loc, run.len, zeroed) {
            return Err(MapError::Entry { leaf, index: index as u32 });
        }
        end = run.end();
        runs.push(run);
    }
    Ok(Form::Runs(runs))
}

fn decode_dense(leaf: LeafNo, entries: &[u8], zeroed: bool) -> Result<Form, MapError> {
    let mut blocks = Vec::with_capacity(BLOCKS);
    for (index, entry) in entries.as_chunks::<8>().0.iter().enumerate() {
        let loc = Loc(u64::from_le_bytes(*entry));
        if loc != Loc::NOWHERE && !is_valid(loc, BLOCK_BYTES, zeroed) {
            return Err(MapError::Entry { leaf, index: index as u32 });
        }
        blocks.push(loc.0);
    }
    Ok(Form::Dense(Dense::from_blocks(blocks)))
}

/// CRC-32C of an encoded leaf or patch with its crc field taken as zero. `bytes` hold at least a leaf's header.
pub(super) fn checksum(bytes: &[u8]) -> u32 {
    let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
    digest.update(&bytes[..CRC_OFFSET]);
    digest.update(&[0; 4]);
    digest.update(&bytes[LEAF_HEADER_BYTES..]);
    digest.finalize() as u32
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}
