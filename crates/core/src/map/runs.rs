//! A leaf as sorted byte-exact runs.
//!
//! Owns: the runs of one leaf and their edits. Does not own: when a leaf should be dense instead.
//! Random 4 KiB writes cost 12 bytes each: lengths are stored only once some run is not exactly one block.
use super::{Run, Superseded, is_block_aligned, supersede};
use crate::units::{BLOCK_BYTES, LEAF_SPAN_BYTES, Loc};

/// Start and location of a run, 12 bytes: what a lookup needs lies in one cache line, mostly.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    start: u32,
    loc_low: u32,
    loc_high: u32,
}

impl Entry {
    fn of(run: &Run) -> Entry {
        Entry { start: run.start, loc_low: run.loc.0 as u32, loc_high: (run.loc.0 >> 32) as u32 }
    }

    fn loc(self) -> Loc {
        Loc(u64::from(self.loc_high) << 32 | u64::from(self.loc_low))
    }
}

/// Sorted runs that do not overlap and of which none continues into its neighbour.
///
/// An insertion moves the runs behind it, so its cost is linear in the runs of a leaf: with 512-byte sectors these are
/// at most 32 Ki, of which it moves 200 KiB on average.
#[derive(Clone, Debug, Default)]
pub(super) struct Runs {
    entries: Vec<Entry>,
    /// Empty while every run is exactly one block long (`odd == 0`), else parallel to `entries`.
    lens: Vec<u32>,
    /// Runs whose length is not one block.
    odd: u32,
    /// Runs that do not begin and end on block boundaries.
    unaligned: u32,
}

impl Runs {
    pub(super) fn with_capacity(runs: usize) -> Runs {
        Runs { entries: Vec::with_capacity(runs), ..Runs::default() }
    }

    pub(super) fn count(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn has_unaligned(&self) -> bool {
        self.unaligned > 0
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>() + self.lens.capacity() * size_of::<u32>()
    }

    /// The run at `index`, which is below [`Runs::count`].
    #[inline]
    pub(super) fn get(&self, index: usize) -> Run {
        let len = if self.lens.is_empty() { BLOCK_BYTES } else { self.lens[index] };
        let entry = self.entries[index];
        Run { start: entry.start, len, loc: entry.loc() }
    }

    /// Index of the first run that ends after `position`.
    #[inline]
    fn first_after(&self, position: u32) -> usize {
        let next = self.first_starting_after(position);
        if next > 0 && self.get(next - 1).end() > position { next - 1 } else { next }
    }

    /// Index of the first run that starts after `position`. Looks first where it would be if runs were spread evenly,
    /// as random writes spread them, and widens from there: most of a cold leaf is not touched.
    #[inline]
    fn first_starting_after(&self, position: u32) -> usize {
        let count = self.count() as u64;
        let guess = (u64::from(position) * count / u64::from(LEAF_SPAN_BYTES)) as usize;
        let is_before = |index: usize| self.entries[index].start <= position;
        let (mut low, mut high, mut step) = (guess, guess, 4);
        if low < self.count() && is_before(low) {
            while high < self.count() && is_before(high) {
                low = high + 1;
                high += step;
                step *= 2;
            }
            high = high.min(self.count());
        } else {
            while low > 0 && !is_before(low - 1) {
                high = low - 1;
                low = low.saturating_sub(step);
                step *= 2;
            }
        }
        low + self.entries[low..high].partition_point(|entry| entry.start <= position)
    }

    /// Calls `f` with the mapped parts of `start..end` in order.
    #[inline]
    pub(super) fn visit(&self, start: u32, end: u32, f: &mut impl FnMut(Run)) {
        for index in self.first_after(start)..self.count() {
            let run = self.get(index);
            if run.start >= end {
                break;
            }
            f(run.clip(start, end));
        }
    }

    /// Adds a run behind all others; it is merged into the last one where it continues it.
    pub(super) fn push(&mut self, run: Run) {
        let end = self.count();
        match end.checked_sub(1).map(|last| (last, self.get(last))) {
            Some((index, last)) if last.continues_into(&run) => {
                self.splice(index, end, &[Run { len: last.len + run.len, ..last }]);
            }
            _ => self.splice(end, end, &[run]),
        }
    }

    /// Maps `start..end` to `loc` on, or to nothing. Returns how many bytes of it were data before.
    pub(super) fn replace(&mut self, start: u32, end: u32, loc: Option<Loc>, superseded: &mut Superseded) -> u32 {
        let mut first = self.first_after(start);
        let mut past = first;
        let mut before_bytes = 0;
        let mut put = Merging::default();
        let mut rest = None;
        while past < self.count() && self.entries[past].start < end {
            let run = self.get(past);
            let inside = run.clip(start, end);
            before_bytes += supersede(superseded, inside.loc, inside.len);
            if run.start < start {
                put.push(run.clip(run.start, start));
            }
            if run.end() > end {
                rest = Some(run.clip(end, run.end()));
            }
            past += 1;
        }
        if let Some(loc) = loc {
            let new = Run { start, len: end - start, loc };
            if put.count == 0 && first > 0 && self.get(first - 1).continues_into(&new) {
                first -= 1;
                put.push(self.get(first));
            }
            put.push(new);
            if rest.is_none() && past < self.count() && new.continues_into(&self.get(past)) {
                rest = Some(self.get(past));
                past += 1;
            }
        }
        if let Some(rest) = rest {
            put.push(rest);
        }
        self.splice(first, past, &put.runs[..put.count]);
        before_bytes
    }

    /// Replaces the runs `first..past` by `new`.
    fn splice(&mut self, first: usize, past: usize, new: &[Run]) {
        for index in first..past {
            let run = self.get(index);
            self.odd -= u32::from(run.len != BLOCK_BYTES);
            self.unaligned -= u32::from(!is_block_aligned(&run));
        }
        for run in new {
            self.odd += u32::from(run.len != BLOCK_BYTES);
            self.unaligned += u32::from(!is_block_aligned(run));
        }
        if self.odd == 0 {
            self.lens = Vec::new();
        } else {
            if self.lens.is_empty() {
                self.lens.reserve_exact(with_slack(self.entries.len()));
                self.lens.resize(self.entries.len(), BLOCK_BYTES);
            }
            splice(&mut self.lens, first, past, new, |run| run.len);
        }
        splice(&mut self.entries, first, past, new, Entry::of);
    }
}

/// Up to three runs in order: what is left before an edit, the edit, what is left behind it.
#[derive(Default)]
struct Merging {
    runs: [Run; 3],
    count: usize,
}

impl Merging {
    fn push(&mut self, run: Run) {
        match self.runs[..self.count].last_mut() {
            Some(last) if last.continues_into(&run) => last.len += run.len,
            _ => {
                self.runs[self.count] = run;
                self.count += 1;
            }
        }
    }
}

/// Capacity to have for `len` entries: a map of many small leaves must not carry the doubling of `Vec`.
fn with_slack(len: usize) -> usize {
    len + len / 8 + 4
}

/// Replaces `first..past` of `values` by a value of each of `new`.
fn splice<T: Copy + Default>(values: &mut Vec<T>, first: usize, past: usize, new: &[Run], value: impl Fn(&Run) -> T) {
    let before = values.len();
    let after = before - (past - first) + new.len();
    if after > before {
        if after > values.capacity() {
            values.reserve_exact(with_slack(after) - before);
        }
        values.resize(after, T::default());
    }
    values.copy_within(past..before, first + new.len());
    values.truncate(after);
    for (slot, run) in values[first..].iter_mut().zip(new) {
        *slot = value(run);
    }
    if after < before && values.capacity() > 2 * with_slack(after) {
        values.shrink_to(with_slack(after));
    }
}
