//! A leaf does what a plain array of locations does, byte by byte, in both of its forms.
mod map_model;

use lsd_core::map::{Extent, Leaf, Piece};
use lsd_core::units::{BLOCK_BYTES, LEAF_SPAN_BYTES, LeafNo, Loc};
use map_model::{Model, location};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Op {
    Set {
        at: usize,
        cells: usize,
        pick: u64,
    },
    /// Continues what is mapped before it, as sequential writes do.
    Append {
        at: usize,
        cells: usize,
    },
    /// Writes what is there again, as replay does.
    Again {
        at: usize,
        cells: usize,
    },
    Clear {
        at: usize,
        cells: usize,
    },
    Zero {
        at: usize,
        cells: usize,
    },
    /// Relocates, from where the range mostly points.
    Move {
        at: usize,
        cells: usize,
        pick: u64,
    },
    /// Aligned blocks everywhere, enough of them to make the leaf dense.
    Scatter {
        seed: u64,
        blocks: u16,
    },
    Encode,
}

fn op() -> impl Strategy<Value = Op> {
    let at = || (any::<usize>(), any::<usize>());
    prop_oneof![
        6 => (at(), any::<u64>()).prop_map(|((at, cells), pick)| Op::Set { at, cells, pick }),
        2 => at().prop_map(|(at, cells)| Op::Append { at, cells }),
        1 => at().prop_map(|(at, cells)| Op::Again { at, cells }),
        2 => at().prop_map(|(at, cells)| Op::Clear { at, cells }),
        2 => at().prop_map(|(at, cells)| Op::Zero { at, cells }),
        2 => (at(), any::<u64>()).prop_map(|((at, cells), pick)| Op::Move { at, cells, pick }),
        1 => (any::<u64>(), 1u16..6000).prop_map(|(seed, blocks)| Op::Scatter { seed, blocks }),
        1 => Just(Op::Encode),
    ]
}

struct Pair {
    leaf: Leaf,
    model: Model,
    max_cells: usize,
}

impl Pair {
    fn set(&mut self, cell: usize, count: usize, loc: Option<Loc>) -> Result<(), TestCaseError> {
        let (start, len) = (self.model.offset(cell) as u32, count as u32 * self.model.unit);
        let mut superseded = Vec::new();
        match loc {
            Some(Loc::ZEROED) => self.leaf.zero(start, len, &mut superseded),
            Some(loc) => self.leaf.set(start, len, loc, &mut superseded),
            None => self.leaf.clear(start, len, &mut superseded),
        }
        let before = self.model.replace(cell, count, loc);
        prop_assert_eq!(self.model.units(&superseded), before);
        Ok(())
    }

    fn apply(&mut self, op: &Op) -> Result<(), TestCaseError> {
        let unit = self.model.unit;
        let len = |count: usize| count as u32 * unit;
        let range = |at, cells| self.model.range(at, cells, self.max_cells);
        match *op {
            Op::Set { at, cells, pick } => {
                let (cell, count) = range(at, cells);
                self.set(cell, count, Some(location(pick, unit, len(count))))?;
            }
            Op::Append { at, cells } => {
                let (cell, count) = range(at, cells);
                let before = Loc(if cell > 0 { self.model.cells[cell - 1] } else { 0 });
                let loc = Loc(before.0 + u64::from(unit));
                if before.is_data() && u64::from(before.offset()) + u64::from(unit + len(count)) <= 1 << 24 {
                    self.set(cell, count, Some(loc))?;
                }
            }
            Op::Again { at, cells } => {
                let (cell, _) = range(at, cells);
                let is_run =
                    |i: &usize| self.model.cells[cell + i] == self.model.cells[cell] + (i * unit as usize) as u64;
                let room = self.model.cells.len() - cell;
                let count = (0..room.min(self.max_cells)).take_while(is_run).count();
                let loc = Loc(self.model.cells[cell]);
                if loc.is_data() && u64::from(loc.offset()) + u64::from(len(count)) <= 1 << 24 {
                    self.set(cell, count, Some(loc))?;
                }
            }
            Op::Clear { at, cells } => {
                let (cell, count) = range(at, cells);
                self.set(cell, count, None)?;
            }
            Op::Zero { at, cells } => {
                let (cell, count) = range(at, cells);
                self.set(cell, count, Some(Loc::ZEROED))?;
            }
            Op::Move { at, cells, pick } => self.relocate(at, cells, pick)?,
            Op::Scatter { seed, blocks } => self.scatter(seed, blocks)?,
            Op::Encode => {
                let mut bytes = vec![7];
                self.leaf.encode(LeafNo(9), &mut bytes);
                let decoded = Leaf::decode(LeafNo(9), &bytes[1..]).unwrap();
                prop_assert!(decoded.entries().eq(self.leaf.entries()));
                prop_assert!(decoded.runs().eq(self.leaf.runs()));
                self.leaf = decoded;
            }
        }
        Ok(())
    }

    fn relocate(&mut self, at: usize, cells: usize, pick: u64) -> Result<(), TestCaseError> {
        let unit = self.model.unit;
        let (cell, count) = self.model.range(at, cells, self.max_cells);
        // From where the first mapped cell of the range points, taken back to the start of the range.
        let mapped = (0..count).find(|i| self.model.cells[cell + i] > 1);
        let Some(from) = mapped.map(|i| self.model.cells[cell + i].wrapping_sub((i * unit as usize) as u64)) else {
            return Ok(());
        };
        let (from, len) = (Loc(from), count as u32 * unit);
        if from.segment().0 == 0 || from.offset() + len > 1 << 24 {
            return Ok(());
        }
        let to = location(pick, unit, len);
        let mut superseded = Vec::new();
        let start = self.model.offset(cell) as u32;
        let moved = self.leaf.replace_if(start, len, from, to, &mut superseded);
        let expected = self.model.replace_if(cell, count, from, to);
        prop_assert_eq!(u64::from(moved), expected.len() as u64 * u64::from(unit));
        prop_assert_eq!(self.model.units(&superseded), expected);
        Ok(())
    }

    fn scatter(&mut self, seed: u64, blocks: u16) -> Result<(), TestCaseError> {
        if BLOCK_BYTES < self.model.unit || self.model.bytes() < u64::from(LEAF_SPAN_BYTES) {
            return Ok(());
        }
        let cells = (BLOCK_BYTES / self.model.unit) as usize;
        let mut state = seed | 1;
        for _ in 0..blocks {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let block = (state >> 33) as usize % (self.model.cells.len() / cells);
            self.set(block * cells, cells, Some(location(state >> 20, BLOCK_BYTES, BLOCK_BYTES)))?;
        }
        Ok(())
    }

    fn check(&self, cell: usize, count: usize) -> Result<(), TestCaseError> {
        let mut pieces = vec![Piece { start: 1, len: 1, loc: None }];
        self.leaf.lookup(self.model.offset(cell) as u32, count as u32 * self.model.unit, &mut pieces);
        let extent = |p: &Piece| Extent { offset: u64::from(p.start), len: u64::from(p.len), loc: p.loc };
        let extents: Vec<Extent> = pieces[1..].iter().map(extent).collect();
        self.model.check(cell, count, &extents)?;
        if count == self.model.cells.len() {
            prop_assert_eq!(u64::from(self.leaf.mapped_bytes()), self.model.mapped_bytes());
            prop_assert_eq!(self.leaf.is_empty(), self.model.cells.iter().all(|cell| *cell == 0));
            let mapped = pieces[1..].iter().filter_map(|p| p.loc.map(|loc| (p.start, p.len, loc)));
            prop_assert!(self.leaf.runs().map(|run| (run.start, run.len, run.loc)).eq(mapped));
            prop_assert_eq!(self.leaf.entries().count(), self.leaf.run_count());
            let mut zeroed = vec![false; self.model.cells.len()];
            for run in self.leaf.entries().filter(|run| run.loc == Loc::ZEROED) {
                let at = ((u64::from(run.start) - self.model.base) / u64::from(self.model.unit)) as usize;
                zeroed[at..at + (run.len / self.model.unit) as usize].fill(true);
            }
            prop_assert!(self.model.cells.iter().map(|cell| *cell == Loc::ZEROED.0).eq(zeroed));
        }
        Ok(())
    }
}

fn run(model: Model, max_cells: usize, ops: &[Op]) -> Result<(), TestCaseError> {
    let mut pair = Pair { leaf: Leaf::default(), model, max_cells };
    for (index, op) in ops.iter().enumerate() {
        pair.apply(op)?;
        pair.check(0, pair.model.cells.len())?;
        let (cell, count) = pair.model.range(index * 7919, index * 104_729, 64);
        pair.check(cell, count)?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Byte-exact, at the end of the leaf.
    #[test]
    fn bytes(ops in prop::collection::vec(op(), 1..80)) {
        run(Model::new(u64::from(LEAF_SPAN_BYTES) - 9000, 1, 9000), 600, &ops)?;
    }

    /// Few positions, so that edits meet edges of what is there.
    #[test]
    fn few_bytes(ops in prop::collection::vec(op(), 1..80)) {
        run(Model::new(0, 1, 24), 24, &ops)?;
    }

    /// Blocks and pieces of blocks.
    #[test]
    fn parts_of_blocks(ops in prop::collection::vec(op(), 1..80)) {
        run(Model::new(4096 * 5, 1024, 512), 24, &ops)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// The whole leaf in blocks, in and out of the dense form.
    #[test]
    fn whole_leaf_in_blocks(ops in prop::collection::vec(op(), 1..40)) {
        run(Model::new(0, BLOCK_BYTES, (LEAF_SPAN_BYTES / BLOCK_BYTES) as usize), 64, &ops)?;
    }

    /// The same with sectors, which drive it out of the dense form.
    #[test]
    fn whole_leaf_in_sectors(ops in prop::collection::vec(op(), 1..40)) {
        run(Model::new(0, 512, (LEAF_SPAN_BYTES / 512) as usize), 128, &ops)?;
    }

    /// Long ranges, up to the whole leaf.
    #[test]
    fn long_ranges(ops in prop::collection::vec(op(), 1..40)) {
        run(Model::new(0, BLOCK_BYTES, (LEAF_SPAN_BYTES / BLOCK_BYTES) as usize), 4096, &ops)?;
    }
}
