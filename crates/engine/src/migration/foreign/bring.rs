//! What was done to the destination since the migration was prepared, done to its source.
//!
//! Owns: what that is. Does not own: that nobody writes to either meanwhile (`abort.rs`).
//!
//! What was never written is in the source as it was. Everything else is compared, so this may be broken off anywhere and done again.
use crate::Progress;
use crate::Result;
use crate::api::limits::{DEEP_COPY_CHUNK, WALK_LEAVES};
use crate::image::Image;
use crate::session::Session;
use lsd_core::map::Extent;
use lsd_core::units::{LEAF_SPAN_BYTES, LeafNo};
use lsd_store::ForeignDisk;
use std::ops::Range;
use std::sync::Arc;

/// Ranges that are zeroes are looked at in one piece up to this.
const ZEROES_BYTES: u64 = 1 << 30;

/// Progress is in bytes of the image.
pub(super) async fn bring(from: &Image, to: &Arc<dyn ForeignDisk>, progress: Progress<'_>) -> Result<()> {
    // Limits on I/O are for guests.
    from.lift_limits();
    let size = from.size();
    if to.size().await? != size {
        to.resize(size).await?;
    }
    let mut zeroes = 0..0;
    for leaf in 0..size.div_ceil(u64::from(LEAF_SPAN_BYTES)) {
        let leaf = LeafNo(leaf as u32);
        if leaf.0.is_multiple_of(WALK_LEAVES as u32) {
            progress(leaf.start(), size)?;
            from.session.shared.trim_leaves(from.session.settings().map_cache_bytes);
        }
        for (range, is_data) in looked_up(&from.session, leaf).await? {
            if is_data {
                write(from, to, range).await?;
            } else if range.start == zeroes.end && range.end - zeroes.start <= ZEROES_BYTES {
                zeroes.end = range.end;
            } else {
                zero(to, std::mem::replace(&mut zeroes, range)).await?;
            }
        }
    }
    zero(to, zeroes).await?;
    progress(size, size)
}

/// What in a leaf is not the source's: ranges, and whether there is data, or only zeroes.
async fn looked_up(session: &Session, leaf: LeafNo) -> Result<Vec<(Range<u64>, bool)>> {
    let ours = session.retry_if_moved(async || {
        loop {
            let missing = {
                let state = session.shared.lock();
                let (mut extents, mut unwritten) = (Vec::new(), Vec::new());
                let (offset, map) = (leaf.start(), &state.view.map);
                let len = state.view.size.saturating_sub(offset).min(u64::from(LEAF_SPAN_BYTES));
                let found = map.lookup(offset, len, &mut extents);
                if found.and_then(|()| map.unwritten(offset, len, &mut unwritten)).is_ok() {
                    return Ok(without(&extents, &unwritten));
                }
                map.missing(offset, len)
            };
            session.shared.load_leaves(&session.objects, missing).await?;
        }
    });
    ours.await
}

/// Extents, but for what was never written, which is in none that has data.
fn without(extents: &[Extent], unwritten: &[(u64, u64)]) -> Vec<(Range<u64>, bool)> {
    let mut found = Vec::new();
    for extent in extents {
        let end = extent.offset + extent.len;
        let mut at = extent.offset;
        if extent.loc.is_none() {
            for (start, len) in unwritten.iter().filter(|(start, len)| start + len > extent.offset && *start < end) {
                if *start > at {
                    found.push((at..*start, false));
                }
                at = at.max(start + len);
            }
        }
        if at < end {
            found.push((at..end, extent.loc.is_some()));
        }
    }
    found
}

async fn write(from: &Image, to: &Arc<dyn ForeignDisk>, range: Range<u64>) -> Result<()> {
    let mut at = range.start;
    while at < range.end {
        let len = (range.end - at).min(DEEP_COPY_CHUNK);
        let data = from.read(at, len).await?.to_bytes();
        // What was only copied by the migration is there already.
        if to.read(at, len).await? != data {
            to.write(at, data).await?;
        }
        at += len;
    }
    Ok(())
}

async fn zero(to: &Arc<dyn ForeignDisk>, range: Range<u64>) -> Result<()> {
    if range.is_empty() {
        return Ok(());
    }
    for there in to.data(range.start, range.end - range.start).await? {
        to.zero(there.start, there.end - there.start).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::without;
    use lsd_core::map::Extent;
    use lsd_core::units::Loc;

    #[test]
    fn what_was_never_written_is_left_out() {
        let extent = |offset, len, loc: Option<u64>| Extent { offset, len, loc: loc.map(Loc) };
        let extents = [extent(0, 10, Some(5)), extent(10, 30, None), extent(40, 10, Some(90))];
        assert_eq!(without(&extents, &[]), [(0..10, true), (10..40, false), (40..50, true)]);
        assert_eq!(without(&extents, &[(10, 30)]), [(0..10, true), (40..50, true)]);
        let some = [(12, 3), (20, 5), (35, 5)];
        let wanted = [(0..10, true), (10..12, false), (15..20, false), (25..35, false), (40..50, true)];
        assert_eq!(without(&extents, &some), wanted);
    }
}
