//! What a read or a listing of extents needs of the image's base.
//!
//! Owns: which parts of a hole are the base's. Does not own: reading it (`objects/base.rs`), what was never written
//! (`lsd_core::map`).
use super::join;
use crate::objects::Objects;
use crate::{Extent, Result};
use std::ops::Range;

/// The range in parts, in order: those in `inside`, which is in order, and those that are not.
pub(super) fn split(range: Range<u64>, inside: &[Range<u64>]) -> Vec<(Range<u64>, bool)> {
    let mut found = Vec::new();
    let mut at = range.start;
    let first = inside.partition_point(|part| part.end <= range.start);
    for part in inside[first..].iter().take_while(|part| part.start < range.end) {
        let (start, end) = (part.start.max(range.start), part.end.min(range.end));
        if at < start {
            found.push((at..start, false));
        }
        found.push((start..end, true));
        at = end;
    }
    if at < range.end {
        found.push((at..range.end, false));
    }
    found
}

/// Extents in which what lies in `unwritten` has content where the base may have.
pub(super) async fn with_base(objects: &Objects, found: Vec<Extent>, unwritten: &[Range<u64>]) -> Result<Vec<Extent>> {
    let mut data = Vec::new();
    for Range { start, end } in unwritten {
        data.extend(objects.base_data(*start, end - start).await?);
    }
    let parts = found.into_iter().flat_map(|extent| {
        let range = extent.offset..extent.offset + extent.len;
        if extent.data { vec![(range, true)] } else { split(range, &data) }
    });
    let told = |(part, data): (Range<u64>, bool)| Extent { offset: part.start, len: part.end - part.start, data };
    Ok(join(parts.map(told)))
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn a_range_is_cut_where_the_base_begins_and_ends() {
        let cut = |range, inside: &[_]| split(range, inside);
        assert_eq!(cut(5..9, &[]), [(5..9, false)]);
        assert_eq!(cut(5..9, &[0..5, 9..20]), [(5..9, false)]);
        assert_eq!(cut(5..9, std::slice::from_ref(&(0..20))), [(5..9, true)]);
        assert_eq!(cut(0..10, &[2..3, 5..10]), [(0..2, false), (2..3, true), (3..5, false), (5..10, true)]);
        assert_eq!(cut(2..6, &[0..3, 5..10]), [(2..3, true), (3..5, false), (5..6, true)]);
    }
}
