//! One leaf of the map: the extents of [`LEAF_SPAN_BYTES`] of the image.
//!
//! Owns: the choice between runs and the dense array, and the operations on a byte range of a leaf. Does not own:
//! the leaf's number, where it is stored, whether it is dirty.
use super::dense::{BLOCKS, Dense};
use super::runs::Runs;
use super::{Piece, Run, Superseded, continues, fits_segment, is_block_aligned};
use crate::units::{BLOCK_BYTES, LEAF_SPAN_BYTES, Loc};

/// Runs beyond which an aligned leaf becomes dense: here 12-byte runs with their slack cost about what the array does.
const DENSE_ABOVE_RUNS: usize = 2304;
/// A dense leaf becomes runs again when they are no more than this; far enough below that no pattern flips a leaf
/// back and forth at every change.
const RUNS_UP_TO: u32 = 1024;
/// Changes that a leaf stays in runs after an unaligned write drove it out of the dense form, so that alternating
/// aligned and unaligned writes do not convert it each time.
const STAY_IN_RUNS_CHANGES: u32 = 256;

#[derive(Clone, Debug)]
pub(super) enum Form {
    Runs(Runs),
    Dense(Dense),
}

/// The extents of one leaf, byte-exact. Starts and lengths are bytes within the leaf.
///
/// # Panics
/// The operations panic on a range beyond the leaf, and on a location that no segment has: such a map would serve
/// wrong data. Callers check what comes from outside ([`fits_segment`]).
#[derive(Clone, Debug)]
pub struct Leaf {
    pub(super) form: Form,
    mapped_bytes: u32,
    stay_in_runs: u32,
}

impl Default for Leaf {
    fn default() -> Leaf {
        Leaf { form: Form::Runs(Runs::default()), mapped_bytes: 0, stay_in_runs: 0 }
    }
}

impl Leaf {
    /// Maps `start..start + len` to `loc` on; what was mapped there before is appended to `superseded`.
    pub fn set(&mut self, start: u32, len: u32, loc: Loc, superseded: &mut Superseded) {
        assert!(fits_segment(loc, len), "{len} bytes at {loc} are in no segment");
        self.replace(start, len, Some(loc), superseded);
    }

    /// Unmaps `start..start + len`, as if it had never been written; what was mapped there is appended to `superseded`.
    pub fn clear(&mut self, start: u32, len: u32, superseded: &mut Superseded) {
        self.replace(start, len, None, superseded);
    }

    /// The same, and it stays known that the range is zeroed.
    pub fn zero(&mut self, start: u32, len: u32, superseded: &mut Superseded) {
        self.replace(start, len, Some(Loc::ZEROED), superseded);
    }

    /// True when all of the range is zeroed.
    pub(super) fn is_zeroed(&self, start: u32, len: u32) -> bool {
        let mut zeroed = 0;
        self.visit(start, len, &mut |run: Run| zeroed += if run.loc == Loc::ZEROED { run.len } else { 0 });
        zeroed == len
    }

    /// Maps what was never written of the range to `loc` on, each byte as far behind it as behind `start`. Returns the bytes mapped.
    pub(super) fn fill(&mut self, start: u32, len: u32, loc: Loc) -> u32 {
        let holes = self.unwritten(start, len);
        for &(hole, len) in &holes {
            self.replace(hole, len, Some(loc.advance(hole - start)), &mut Vec::new());
        }
        holes.iter().map(|(_, len)| len).sum()
    }

    /// The parts of the range that were never written, in order: start and length.
    pub(super) fn unwritten(&self, start: u32, len: u32) -> Vec<(u32, u32)> {
        let (mut position, mut holes) = (start, Vec::new());
        let mut until = |next: u32, end: u32| {
            if next > position {
                holes.push((position, next - position));
            }
            position = end;
        };
        self.visit(start, len, &mut |run: Run| until(run.start, run.end()));
        until(start + len, start + len);
        holes
    }

    /// Relocation: the bytes of the range that still live at `from` on (the first byte at `from`, the second at the
    /// next, and so on) now live at `to` on. What moved is appended to `superseded`, an entry per range moved: bytes
    /// `start + (entry - from)` on. Returns the bytes moved.
    pub fn replace_if(&mut self, start: u32, len: u32, from: Loc, to: Loc, superseded: &mut Superseded) -> u32 {
        assert!(fits_segment(from, len) && fits_segment(to, len), "{len} bytes at {from}, {to} are in no segment");
        let mut moved = Vec::new();
        self.visit(start, len, &mut |run: Run| {
            if run.loc == from.advance(run.start - start) {
                moved.push(run);
            }
        });
        for run in &moved {
            self.replace(run.start, run.len, Some(to.advance(run.start - start)), superseded);
        }
        moved.iter().map(|run| run.len).sum()
    }

    /// True when [`Leaf::replace_if`] would move something.
    pub(super) fn points_at(&self, start: u32, len: u32, from: Loc) -> bool {
        let mut points = false;
        self.visit(start, len, &mut |run: Run| points |= run.loc == from.advance(run.start - start));
        points
    }

    fn replace(&mut self, start: u32, len: u32, loc: Option<Loc>, superseded: &mut Superseded) {
        let end = range_end(start, len);
        if len == 0 {
            return;
        }
        if matches!(self.form, Form::Dense(_)) && !is_block_aligned(&Run { start, len, loc: Loc::NOWHERE }) {
            self.make_runs();
            self.stay_in_runs = STAY_IN_RUNS_CHANGES;
        }
        let before_bytes = match &mut self.form {
            Form::Runs(runs) => runs.replace(start, end, loc, superseded),
            Form::Dense(dense) => dense.replace(start, end, loc, superseded),
        };
        self.mapped_bytes = self.mapped_bytes - before_bytes + if loc.is_some_and(Loc::is_data) { len } else { 0 };
        self.choose_form();
    }

    /// Changes the form where the other one is clearly smaller.
    #[inline]
    fn choose_form(&mut self) {
        match &self.form {
            Form::Runs(runs) if runs.count() > DENSE_ABOVE_RUNS && !runs.has_unaligned() => {
                if self.stay_in_runs == 0 {
                    self.make_dense();
                } else {
                    self.stay_in_runs -= 1;
                }
            }
            Form::Dense(dense) if dense.run_count() <= RUNS_UP_TO => self.make_runs(),
            _ => {}
        }
    }

    fn make_dense(&mut self) {
        let mut dense = Dense::empty();
        let mut nothing = Vec::new();
        for run in self.entries() {
            dense.replace(run.start, run.end(), Some(run.loc), &mut nothing);
        }
        self.form = Form::Dense(dense);
    }

    fn make_runs(&mut self) {
        let mut runs = Runs::default();
        self.entries().for_each(|run| runs.push(run));
        self.form = Form::Runs(runs);
    }

    /// Builds a leaf of a decoded form.
    pub(super) fn from_form(form: Form) -> Leaf {
        let mut leaf = Leaf { form, mapped_bytes: 0, stay_in_runs: 0 };
        leaf.mapped_bytes = leaf.runs().map(|run| run.len).sum();
        leaf.choose_form();
        leaf
    }

    /// Calls `f` with the mapped and the zeroed parts of the range in order, cut at its ends.
    #[inline]
    pub(super) fn visit(&self, start: u32, len: u32, f: &mut impl FnMut(Run)) {
        let end = range_end(start, len);
        match &self.form {
            _ if len == 0 => {}
            Form::Runs(runs) => runs.visit(start, end, f),
            Form::Dense(dense) => dense.visit(start, end, f),
        }
    }

    /// Appends what the range maps to: pieces that cover it exactly and in order, merged where locations continue.
    pub fn lookup(&self, start: u32, len: u32, out: &mut Vec<Piece>) {
        let mut position = start;
        let first = out.len();
        self.visit(start, len, &mut |run: Run| {
            if !run.loc.is_data() {
                return;
            }
            if run.start > position {
                out.push(Piece { start: position, len: run.start - position, loc: None });
            }
            position = run.end();
            match out[first..].last_mut() {
                Some(Piece { len, loc: Some(loc), .. }) if continues(*loc, u64::from(*len), run.loc) => *len += run.len,
                _ => out.push(Piece { start: run.start, len: run.len, loc: Some(run.loc) }),
            }
        });
        if position < start + len {
            out.push(Piece { start: position, len: start + len - position, loc: None });
        }
    }

    /// All runs of data in order; none continues into the next.
    pub fn runs(&self) -> impl Iterator<Item = Run> + '_ {
        self.entries().filter(|run| run.loc.is_data())
    }

    /// The same with what is zeroed.
    pub fn entries(&self) -> impl Iterator<Item = Run> + '_ {
        let mut next = 0;
        std::iter::from_fn(move || {
            let run = match &self.form {
                Form::Runs(runs) => (next < runs.count()).then(|| runs.get(next))?,
                Form::Dense(dense) => (next < BLOCKS).then(|| dense.run_at(next as u32 * BLOCK_BYTES))??,
            };
            next = match &self.form {
                Form::Runs(_) => next + 1,
                Form::Dense(_) => (run.end() / BLOCK_BYTES) as usize,
            };
            Some(run)
        })
    }

    /// How many runs [`Leaf::entries`] yields.
    #[must_use]
    pub fn run_count(&self) -> usize {
        match &self.form {
            Form::Runs(runs) => runs.count(),
            Form::Dense(dense) => dense.run_count() as usize,
        }
    }

    /// Bytes of data.
    #[must_use]
    pub fn mapped_bytes(&self) -> u32 {
        self.mapped_bytes
    }

    /// Nothing of it was ever written, as far as it says.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.run_count() == 0
    }

    /// True when something of it is zeroed.
    pub(super) fn has_zeroed(&self) -> bool {
        self.entries().any(|run| run.loc == Loc::ZEROED)
    }

    /// True when every run begins and ends on block boundaries.
    pub(super) fn is_block_aligned(&self) -> bool {
        match &self.form {
            Form::Runs(runs) => !runs.has_unaligned(),
            Form::Dense(_) => true,
        }
    }

    /// Memory that the leaf holds besides its own struct.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        match &self.form {
            Form::Runs(runs) => runs.heap_bytes(),
            Form::Dense(dense) => dense.heap_bytes(),
        }
    }
}

fn range_end(start: u32, len: u32) -> u32 {
    let end = u64::from(start) + u64::from(len);
    assert!(end <= u64::from(LEAF_SPAN_BYTES), "{start}+{len} is beyond the leaf");
    end as u32
}
