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
use lsd_core::units::{BLOCK_BYTES, Epoch, Loc};

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

/// Reads whole blocks around `len` bytes at `loc`. `Corrupt` when they are not what was written there; `NotFound` when the
/// segment is gone.
pub(crate) async fn fetch(objects: &Objects, sums: &Sums, epoch: Epoch, loc: Loc, len: u32) -> Result<Fetched> {
    let name = objects.segment(epoch, loc.segment());
    let first = loc.offset() / BLOCK_BYTES;
    let end = (loc.offset() + len).div_ceil(BLOCK_BYTES);
    let (at, bytes_wanted) =
        (u64::from(first) * u64::from(BLOCK_BYTES), u64::from(end - first) * u64::from(BLOCK_BYTES));
    let reading = async { Ok::<_, crate::Error>(objects.data.read(&name, at, bytes_wanted).await?) };
    let (bytes, table) = futures::try_join!(reading, sums.of(objects, epoch, loc.segment(), end as usize))?;
    if bytes.len() as u64 != bytes_wanted {
        return Err(corrupt(&name, format!("{} bytes at {at} where the map says {bytes_wanted}", bytes.len())));
    }
    check_blocks(&table, first as usize, &bytes).map_err(|error| {
        let range = format!("{error} in the {bytes_wanted} bytes at {at}");
        crate::Error::new(ErrorKind::Corrupt, format!("{name}: {range}"))
    })?;
    Ok(Fetched { loc: Loc::new(loc.segment(), first * BLOCK_BYTES), bytes })
}
