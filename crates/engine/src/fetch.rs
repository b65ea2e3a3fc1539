//! Reading data of segments from the store, checked.
//!
//! Owns: that no byte of a segment reaches anybody before its block's checksum was found right. Does not own: what to
//! read (`reader.rs`), the checksums (`sums.rs`).
use crate::error::corrupt;
use crate::objects::Objects;
use crate::sums::Sums;
use crate::{ErrorKind, Result};
use bytes::Bytes;
use lsd_core::format::block_sums::check_blocks;
use lsd_core::units::{BLOCK_BYTES, Epoch, Loc, SegmentNo};
use lsd_store::ObjectName;

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
#[derive(Clone, Copy)]
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

    fn check(self, name: &ObjectName, segment: SegmentNo, table: &[u32], bytes: Bytes) -> Result<Fetched> {
        let (at, wanted) = self.range();
        if bytes.len() as u64 != wanted {
            return Err(corrupt(name, format!("{} bytes at {at} where the map says {wanted}", bytes.len())));
        }
        check_blocks(table, self.first as usize, &bytes).map_err(|error| {
            let range = format!("{error} in the {wanted} bytes at {at}");
            crate::Error::new(ErrorKind::Corrupt, format!("{name}: {range}"))
        })?;
        Ok(Fetched { loc: Loc::new(segment, self.first * BLOCK_BYTES), bytes })
    }
}

/// Reads whole blocks around `len` bytes at `loc`. `Corrupt` when they are not what was written there; `NotFound` when the
/// segment is gone.
pub(crate) async fn fetch(objects: &Objects, sums: &Sums, epoch: Epoch, loc: Loc, len: u32) -> Result<Fetched> {
    let name = objects.segment(epoch, loc.segment());
    let blocks = Blocks::around(loc, len);
    let (at, wanted) = blocks.range();
    let reading = async { Ok::<_, crate::Error>(objects.data.read(&name, at, wanted).await?) };
    let (bytes, table) = futures::try_join!(reading, sums.of(objects, epoch, loc.segment(), blocks.end as usize))?;
    blocks.check(&name, loc.segment(), &table, bytes)
}

/// The same for several parts of one segment, (start, len) each, in one operation; results in the order of the parts.
pub(crate) async fn fetch_many(
    objects: &Objects,
    sums: &Sums,
    epoch: Epoch,
    segment: SegmentNo,
    parts: &[(Loc, u32)],
) -> Result<Vec<Fetched>> {
    let name = objects.segment(epoch, segment);
    let blocks: Vec<Blocks> = parts.iter().map(|(loc, len)| Blocks::around(*loc, *len)).collect();
    let ranges: Vec<(u64, u64)> = blocks.iter().map(|blocks| blocks.range()).collect();
    let end = blocks.iter().map(|blocks| blocks.end).max().unwrap_or(0);
    let reading = async { Ok::<_, crate::Error>(objects.data.read_many(&name, &ranges).await?) };
    let (all, table) = futures::try_join!(reading, sums.of(objects, epoch, segment, end as usize))?;
    blocks.into_iter().zip(all).map(|(blocks, bytes)| blocks.check(&name, segment, &table, bytes)).collect()
}
