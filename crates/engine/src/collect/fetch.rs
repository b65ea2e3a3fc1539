//! Reading what lives in a segment, checked as every read is, and cutting it into copies: damaged data never gets a new
//! checksum.
use super::Copies;
use super::survey::{LiveExtent, Survey};
use crate::Result;
use crate::api::error::corrupt;
use crate::api::limits::COPY_READ_GAP_BYTES;
use crate::api::write_data::WriteData;
use crate::objects::Objects;
use crate::objects::checksums::ChecksumCache;
use crate::objects::parallel;
use crate::read::fetch::{Fetched, fetch as fetch_blocks};
use bytes::Bytes;
use futures::FutureExt;
use lsd_core::format::record::MAX_RECORD_BYTES;
use lsd_core::units::Loc;
use lsd_state::state::Relocation;

/// `Corrupt` when live data does not verify.
pub(super) async fn fetch(objects: &Objects, sums: &ChecksumCache, survey: Survey) -> Result<Copies> {
    let Survey { segment, home, mut extents } = survey;
    let name = objects.segment_at(home, segment);
    extents.sort_by_key(|extent| extent.from);
    let read = |(at, len)| async move { fetch_blocks(objects, sums, home, at, len).await?.check() }.boxed();
    let pieces = parallel::try_all(ranges(&extents).into_iter().map(read).collect()).await?;
    extents.sort_by_key(|extent| extent.offset);
    let mut copies = Copies::default();
    for extent in joined(&extents) {
        let Some(data) = slice(&pieces, extent.from, extent.len) else {
            return Err(corrupt(&name, format!("nothing was read at {}", extent.from.offset())));
        };
        let made = WriteData::from(data).into_chunks().into_iter().scan(0u32, |done, chunk| {
            let at = *done;
            *done += chunk.piece.data.len() as u32;
            Some(Relocation { offset: extent.offset + u64::from(at), from: extent.from.advance(at), chunk })
        });
        if extent.is_copy { copies.settled.extend(made) } else { copies.moved.extend(made) }
    }
    Ok(copies)
}

/// What to read: the extents, with gaps that cost less than another read.
fn ranges(extents: &[LiveExtent]) -> Vec<(Loc, u32)> {
    let mut ranges: Vec<(Loc, u32)> = Vec::new();
    for extent in extents {
        let end = extent.from.0 + u64::from(extent.len);
        match ranges.last_mut() {
            Some((at, len)) if extent.from.0 <= at.0 + u64::from(*len) + COPY_READ_GAP_BYTES => {
                *len = (*len).max((end - at.0) as u32);
            }
            _ => ranges.push((extent.from, extent.len)),
        }
    }
    ranges
}

fn slice(pieces: &[Fetched], at: Loc, len: u32) -> Option<Bytes> {
    let index = pieces.partition_point(|piece| piece.loc <= at).checked_sub(1)?;
    let start = (at.0 - pieces[index].loc.0) as usize;
    let end = start + len as usize;
    (end <= pieces[index].bytes.len()).then(|| pieces[index].bytes.slice(start..end))
}

/// Extents that continue each other both in the image and in the segment become one.
fn joined(extents: &[LiveExtent]) -> Vec<LiveExtent> {
    let mut joined: Vec<LiveExtent> = Vec::with_capacity(extents.len());
    for extent in extents {
        match joined.last_mut() {
            Some(last)
                if last.offset + u64::from(last.len) == extent.offset
                    && last.from.0 + u64::from(last.len) == extent.from.0
                    && last.is_copy == extent.is_copy
                    && last.len + extent.len <= MAX_RECORD_BYTES =>
            {
                last.len += extent.len;
            }
            _ => joined.push(*extent),
        }
    }
    joined
}
