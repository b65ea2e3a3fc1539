//! Which part of a discard is carried out, after librbd's `rbd_skip_partial_discard`.
//!
//! librbd gives back space in granules of `rbd_discard_granularity_bytes` (at most an object) of the *objects*, and
//! drops what is smaller; `rbd_skip_partial_discard = false` switches that off. lsd could give back every byte, but
//! callers rely on the rule: what a dropped discard covers keeps its old data. Does not own: the discard itself
//! (engine).
use crate::handles::layout::Layout;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiscardRule {
    /// Bytes; 0: every byte is discarded.
    granularity: u64,
    layout: Layout,
}

impl DiscardRule {
    /// `granularity` in bytes; `skip_partial` false: no rule.
    pub fn new(skip_partial: bool, granularity: u64, layout: Layout) -> Self {
        Self { granularity: if skip_partial { granularity.min(layout.object_size) } else { 0 }, layout }
    }

    /// The ranges (offset, length) of the image to discard for a request.
    pub fn ranges(&self, offset: u64, len: u64) -> Vec<(u64, u64)> {
        if self.granularity <= 1 {
            return if len == 0 { Vec::new() } else { vec![(offset, len)] };
        }
        if self.layout.plain() && self.layout.object_size.is_multiple_of(self.granularity) {
            // Object boundaries are multiples of the granularity, so rounding the whole range is the same.
            let start = offset.next_multiple_of(self.granularity);
            let end = (offset + len) / self.granularity * self.granularity;
            return if start < end { vec![(start, end - start)] } else { Vec::new() };
        }
        self.per_object(offset, len)
    }

    /// The general case: rounds inwards in each object, one set of striped objects at a time.
    fn per_object(&self, offset: u64, len: u64) -> Vec<(u64, u64)> {
        let mut ranges = Vec::new();
        let period = self.layout.period();
        let end = offset + len;
        let mut at = offset;
        while at < end {
            let set_end = ((at / period + 1) * period).min(end);
            for (object, start, bytes) in self.object_extents(at, set_end) {
                let first = start.next_multiple_of(self.granularity);
                let last = match start + bytes {
                    whole if whole == self.layout.object_size => whole,
                    partial => partial / self.granularity * self.granularity,
                };
                self.image_ranges(object, first, last, &mut ranges);
            }
            at = set_end;
        }
        ranges.sort_unstable();
        merged(ranges)
    }

    /// Consecutive extents (object, offset, length) of the objects of one set. Within a set an object's part of a
    /// consecutive image range is consecutive.
    fn object_extents(&self, mut at: u64, end: u64) -> Vec<(u64, u64, u64)> {
        let mut extents: Vec<(u64, u64, u64)> = Vec::new();
        while at < end {
            let (object, start, left) = self.layout.locate(at);
            let bytes = left.min(end - at);
            match extents.iter_mut().find(|extent| extent.0 == object) {
                Some(extent) => extent.2 += bytes,
                None => extents.push((object, start, bytes)),
            }
            at += bytes;
        }
        extents
    }

    fn image_ranges(&self, object: u64, mut from: u64, to: u64, ranges: &mut Vec<(u64, u64)>) {
        while from < to {
            let bytes = (self.layout.stripe_unit - from % self.layout.stripe_unit).min(to - from);
            ranges.push((self.layout.address(object, from), bytes));
            from += bytes;
        }
    }
}

/// Joins neighbours of a sorted list.
fn merged(ranges: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    let mut joined: Vec<(u64, u64)> = Vec::with_capacity(ranges.len());
    for (offset, len) in ranges {
        match joined.last_mut() {
            Some((start, bytes)) if *start + *bytes == offset => *bytes += len,
            _ => joined.push((offset, len)),
        }
    }
    joined
}

#[cfg(test)]
mod tests;
