//! The naive model that the map is checked against: an array with the location of every unit of a range.
#![allow(dead_code, reason = "each test binary uses a part of it")]
use lsd_core::map::{Extent, Superseded};
use lsd_core::units::{Loc, MAX_SEGMENT_BYTES, SegmentNo};
use proptest::prelude::*;

/// Cell `i` stands for bytes `base + i * unit` on and holds where they live, 0 for nowhere, 1 for zeroed. All operations are on
/// whole units.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    pub base: u64,
    pub unit: u32,
    pub cells: Vec<u64>,
    /// What is unmapped below this address is zeroed.
    pub zeroed_below: u64,
}

impl Model {
    pub fn new(base: u64, unit: u32, cells: usize) -> Model {
        Model { base, unit, cells: vec![0; cells], zeroed_below: 0 }
    }

    pub fn bytes(&self) -> u64 {
        self.cells.len() as u64 * u64::from(self.unit)
    }

    pub fn offset(&self, cell: usize) -> u64 {
        self.base + cell as u64 * u64::from(self.unit)
    }

    /// Maps `count` cells from `cell` on, or unmaps them; returns what they were, as sorted unit locations.
    pub fn replace(&mut self, cell: usize, count: usize, loc: Option<Loc>) -> Vec<u64> {
        let mut before = Vec::new();
        let unmapped = |index: usize| u64::from(self.offset(cell + index) < self.zeroed_below);
        let unmapped: Vec<u64> = (0..count).map(unmapped).collect();
        for (index, value) in self.cells[cell..cell + count].iter_mut().enumerate() {
            before.extend((*value > 1).then_some(*value));
            let step = index as u64 * u64::from(self.unit);
            *value = loc.map_or(unmapped[index], |loc| if loc == Loc::ZEROED { 1 } else { loc.0 + step });
        }
        before.sort_unstable();
        before
    }

    /// As the map's operation of this name; returns the cells moved as sorted unit locations.
    pub fn replace_if(&mut self, cell: usize, count: usize, from: Loc, to: Loc) -> Vec<u64> {
        let mut moved = Vec::new();
        for (index, value) in self.cells[cell..cell + count].iter_mut().enumerate() {
            let advance = index as u64 * u64::from(self.unit);
            if *value == from.0 + advance {
                moved.push(*value);
                *value = to.0 + advance;
            }
        }
        moved.sort_unstable();
        moved
    }

    pub fn mapped_bytes(&self) -> u64 {
        self.cells.iter().filter(|&&cell| cell > 1).count() as u64 * u64::from(self.unit)
    }

    /// Checks a looked-up range: it is covered exactly and in order, merged, and every unit is where the model says.
    pub fn check(&self, cell: usize, count: usize, extents: &[Extent]) -> Result<(), TestCaseError> {
        let mut position = self.offset(cell);
        let mut at = cell;
        let mut previous: Option<Extent> = None;
        for extent in extents {
            prop_assert_eq!(extent.offset, position);
            prop_assert!(extent.len > 0 && extent.len.is_multiple_of(u64::from(self.unit)));
            if let Some(previous) = previous {
                let continues = match (previous.loc, extent.loc) {
                    (None, None) => true,
                    (Some(a), Some(b)) => a.0 + previous.len == b.0 && a.segment() == b.segment(),
                    _ => false,
                };
                prop_assert!(!continues, "{:?} and {:?} are not merged", previous, extent);
            }
            for unit in 0..extent.len / u64::from(self.unit) {
                let found = if self.cells[at] > 1 { self.cells[at] } else { 0 };
                let expected = extent.loc.map_or(0, |loc| loc.0 + unit * u64::from(self.unit));
                prop_assert_eq!(found, expected, "cell {}", at);
                at += 1;
            }
            position += extent.len;
            previous = Some(*extent);
        }
        prop_assert_eq!(position, self.offset(cell + count));
        Ok(())
    }

    /// Maps what was never written of the cells and lies below where that is told; returns how many cells.
    pub fn fill(&mut self, cell: usize, count: usize, to: Loc) -> u64 {
        let holes: Vec<usize> = self.unwritten(cell, count);
        for &hole in &holes {
            self.cells[hole] = to.0 + (hole - cell) as u64 * u64::from(self.unit);
        }
        holes.len() as u64
    }

    /// The cells that were never written, below where that is told.
    pub fn unwritten(&self, cell: usize, count: usize) -> Vec<usize> {
        let is_unwritten = |&at: &usize| self.cells[at] == 0 && self.offset(at) < self.zeroed_below;
        (cell..cell + count).filter(is_unwritten).collect()
    }

    /// What a change superseded, as sorted unit locations.
    pub fn units(&self, superseded: &Superseded) -> Vec<u64> {
        let unit = u64::from(self.unit);
        let mut units: Vec<u64> = superseded
            .iter()
            .flat_map(|&(loc, len)| (0..u64::from(len) / unit).map(move |i| loc.0 + i * unit))
            .collect();
        units.sort_unstable();
        units
    }

    /// A range of at least one cell, from two numbers of any size.
    pub fn range(&self, a: usize, b: usize, max_cells: usize) -> (usize, usize) {
        let cell = a % self.cells.len();
        (cell, 1 + b % max_cells.min(self.cells.len() - cell))
    }
}

/// A location with `len` bytes behind it, out of few segments, so that accidental neighbours happen; often one that
/// ends exactly with the segment, whose packed end equals the start of the next.
pub fn location(pick: u64, unit: u32, len: u32) -> Loc {
    let segment = SegmentNo(1 + pick % 3);
    let last = (MAX_SEGMENT_BYTES - len) / unit;
    let offset = match pick / 3 % 4 {
        0 => last,
        1 => 0,
        _ => (pick / 12 % (u64::from(last) + 1)) as u32,
    };
    Loc::new(segment, offset * unit)
}
