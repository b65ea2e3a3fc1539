//! Reading data of segments from the store, checked.
//!
//! Owns: that no byte of a segment reaches anybody before its block's checksum was found right. Does not own: what to
//! read (`read/`), the checksums (`checksums.rs`).
use crate::api::error::corrupt;
use crate::objects::Objects;
use crate::objects::checksums::{ChecksumCache, Table};
use crate::{ReadTarget, Result};
use bytes::Bytes;
use lsd_core::format::block_sums::check_blocks;
use lsd_core::units::{BLOCK_BYTES, Loc, SegmentNo};
use lsd_state::lineage::Home;
use lsd_store::ObjectName;
use std::ops::Range;

/// Bytes that are checked before they are copied; a whole number of blocks.
const CHECK_STEP: usize = 4 * BLOCK_BYTES as usize;

/// Blocks of a segment, checked: `bytes` starts at `loc`, which is the start of a block.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) loc: Loc,
    pub(crate) bytes: Bytes,
}

impl Fetched {
    /// `len` bytes at `loc`, which lie inside.
    pub(crate) fn part(&self, loc: Loc, len: u32) -> Bytes {
        let from = (loc.0 - self.loc.0) as usize;
        self.bytes.slice(from..from + len as usize)
    }
}

/// The whole blocks around some bytes of a segment.
#[derive(Clone, Copy, Debug)]
struct Blocks {
    first: u32,
    end: u32,
}

impl Blocks {
    fn around(loc: Loc, len: u32) -> Self {
        Self { first: loc.offset() / BLOCK_BYTES, end: (loc.offset() + len).div_ceil(BLOCK_BYTES) }
    }

    /// (offset, len) in bytes.
    fn range(self) -> (u64, u64) {
        let block = u64::from(BLOCK_BYTES);
        (u64::from(self.first) * block, u64::from(self.end - self.first) * block)
    }
}

/// Blocks of a segment as they came from the store.
#[derive(Debug)]
pub(crate) struct Unchecked {
    name: ObjectName,
    segment: SegmentNo,
    blocks: Blocks,
    table: Table,
    bytes: Bytes,
}

impl Unchecked {
    /// `Corrupt`: not what was written there.
    pub(crate) fn check(self) -> Result<Fetched> {
        self.check_len()?;
        self.check_part(0..self.bytes.len())?;
        Ok(self.into_checked())
    }

    /// Gives `len` bytes at `loc`, around which it was fetched, to `target`, each block as soon as it is checked: then it is in the
    /// processor's nearest cache. `Corrupt` with nothing given from the damaged block on.
    pub(crate) fn check_into(self, loc: Loc, len: u32, target: &mut dyn ReadTarget) -> Result<Fetched> {
        self.check_len()?;
        let from = (loc.offset() - self.blocks.first * BLOCK_BYTES) as usize;
        let wanted = from..from + len as usize;
        for start in (0..self.bytes.len()).step_by(CHECK_STEP) {
            let step = start..(start + CHECK_STEP).min(self.bytes.len());
            self.check_part(step.clone())?;
            target.data(&self.bytes[step.start.max(wanted.start)..step.end.min(wanted.end)]);
        }
        Ok(self.into_checked())
    }

    fn check_len(&self) -> Result<()> {
        let (at, wanted) = self.blocks.range();
        if self.bytes.len() as u64 == wanted {
            return Ok(());
        }
        Err(corrupt(&self.name, format!("{} bytes at {at} where the map says {wanted}", self.bytes.len())))
    }

    /// `part`: whole blocks.
    fn check_part(&self, part: Range<usize>) -> Result<()> {
        let first = self.blocks.first as usize + part.start / BLOCK_BYTES as usize;
        check_blocks(&self.table, first, &self.bytes[part]).map_err(|error| {
            let (at, wanted) = self.blocks.range();
            corrupt(&self.name, format!("{error} in the {wanted} bytes at {at}"))
        })
    }

    fn into_checked(self) -> Fetched {
        Fetched { loc: Loc::new(self.segment, self.blocks.first * BLOCK_BYTES), bytes: self.bytes }
    }
}

/// Reads whole blocks around `len` bytes at `loc`. `NotFound` when the segment is gone.
pub(crate) async fn fetch(
    objects: &Objects,
    sums: &ChecksumCache,
    home: Home,
    loc: Loc,
    len: u32,
) -> Result<Unchecked> {
    let name = objects.segment_at(home, loc.segment());
    let blocks = Blocks::around(loc, len);
    let (at, wanted) = blocks.range();
    let reading = async { Ok::<_, crate::Error>(objects.at(home.whose).data.read(&name, at, wanted).await?) };
    let (bytes, table) = futures::try_join!(reading, sums.of(objects, home, loc.segment(), blocks.end as usize))?;
    Ok(Unchecked { name, segment: loc.segment(), blocks, table, bytes })
}

/// The same for several parts of one segment, (start, len) each, in one operation; results in the order of the parts.
pub(crate) async fn fetch_many(
    objects: &Objects,
    sums: &ChecksumCache,
    home: Home,
    segment: SegmentNo,
    parts: &[(Loc, u32)],
) -> Result<Vec<Unchecked>> {
    let name = objects.segment_at(home, segment);
    let blocks: Vec<Blocks> = parts.iter().map(|(loc, len)| Blocks::around(*loc, *len)).collect();
    let ranges: Vec<(u64, u64)> = blocks.iter().map(|blocks| blocks.range()).collect();
    let end = blocks.iter().map(|blocks| blocks.end).max().unwrap_or(0);
    let reading = async { Ok::<_, crate::Error>(objects.at(home.whose).data.read_many(&name, &ranges).await?) };
    let (all, table) = futures::try_join!(reading, sums.of(objects, home, segment, end as usize))?;
    let unchecked = |(blocks, bytes)| Unchecked { name: name.clone(), segment, blocks, table: table.clone(), bytes };
    Ok(blocks.into_iter().zip(all).map(unchecked).collect())
}

#[cfg(test)]
mod tests;
