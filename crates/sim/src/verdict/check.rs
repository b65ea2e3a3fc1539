//! The oracle: which content may follow from a history.
//!
//! Owns: the one definition of a correct disk. Does not own: how content is read, what a history records (`history.rs`).
//!
//! After a crash the content must be that of a prefix of the order of writes which contains everything that was made durable. The
//! order itself is not known where operations overlap in time, so [`History::check`] looks for any order that explains
//! the content: an operation that returned before another was issued comes first, and whoever is seen in a place comes
//! after everybody else of the prefix who wrote there. The smallest prefix is enough: a larger one only adds conditions.
use crate::verdict::history::{History, Kind, Op, Outcome};
use crate::verdict::ticks::Tick;
use crate::world::disk::{GARBAGE, Stamp, ZERO};
use std::collections::BTreeSet;

/// Consecutive granules with the same writers and the same content.
struct Cell {
    at: usize,
    cover: Vec<usize>,
    found: Stamp,
    base: Stamp,
}

impl History {
    /// Checks what a read of `lo..` saw that was issued at `since`: each place shows an operation that had been issued and that nobody had
    /// certainly replaced before the read.
    pub fn check_read(&self, lo: usize, seen: &[Stamp], since: Tick) -> Result<(), String> {
        for cell in self.cells(lo, seen, lo + seen.len()) {
            let replaced = |op: Option<&Op>| {
                cell.cover.iter().map(|other| &self.ops[*other]).find(|other| {
                    other.outcome == Outcome::Done && other.returned < since && op.is_none_or(|op| op.before(other))
                })
            };
            let mut explained = cell.found == cell.base && replaced(None).is_none();
            for op in cell.cover.iter().map(|op| &self.ops[*op]) {
                let shows = if op.kind == Kind::Clear { cell.found == ZERO } else { cell.found == op.stamp };
                explained |= shows && op.outcome != Outcome::Refused && replaced(Some(op)).is_none();
            }
            if !explained {
                return Err(format!("a read of granule {} saw {}: {}", cell.at, cell.found, self.tell(&cell)));
            }
        }
        Ok(())
    }

    /// Checks the content that somebody found later. Everything that was durable at `durable` must be in it; what lies at
    /// `end` and beyond is not looked at.
    pub fn check(&self, found: &[Stamp], durable: Tick, end: usize) -> Result<(), String> {
        let cut = |op: &&Op| op.durable.is_some_and(|at| at <= durable) && op.issued > self.resized && op.hi > end;
        if let Some(op) = self.ops.iter().find(cut) {
            return Err(format!("the image ends at granule {end}, before {} that is durable", op.stamp));
        }
        self.explain(found, end, &|op| op.durable.is_some_and(|at| at <= durable))
    }

    /// Checks the content of a snapshot of this history, which was called for at `called` and was there at `until`: everything that
    /// was durable by then is in it, with `strict` also everything that had returned, and nothing that was issued later.
    pub fn check_snapshot(
        &self,
        found: &[Stamp],
        (called, until): (Tick, Tick),
        strict: bool,
        end: usize,
    ) -> Result<(), String> {
        let mut then = self.clone();
        let later = then.ops.iter().position(|op| op.issued > until).unwrap_or(then.ops.len());
        then.ops.truncate(later);
        then.by_stamp.retain(|_, op| *op < later);
        let returned = |op: &Op| strict && op.outcome == Outcome::Done && op.returned < called;
        then.explain(found, end, &|op| op.durable.is_some_and(|at| at <= called) || returned(op))
    }

    /// Whether the content is that of a prefix with all that is `required`.
    fn explain(&self, found: &[Stamp], end: usize, required: &dyn Fn(&Op) -> bool) -> Result<(), String> {
        let cells = self.cells(0, found, end);
        let mut chosen = vec![false; self.ops.len()];
        for (chosen, op) in chosen.iter_mut().zip(&self.ops) {
            *chosen = required(op) && op.lo < end;
        }
        let mut seen: Vec<Option<usize>> = Vec::with_capacity(cells.len());
        for cell in &cells {
            let by = self.by_stamp.get(&cell.found).copied().filter(|op| cell.cover.contains(op));
            // It was in the snapshot that a rollback brought back, and did not happen twice.
            let by = by.filter(|op| !self.ops[*op].perhaps || cell.found != cell.base);
            if cell.found == GARBAGE || (by.is_none() && cell.found != ZERO && cell.found != cell.base) {
                return Err(format!("granule {} holds {}: {}", cell.at, cell.found, self.tell(cell)));
            }
            if let Some(op) = by {
                chosen[op] = true;
            }
            seen.push(by);
        }
        let possible = self.possible_clearings(&cells, &seen);
        while self.close(&mut chosen) || self.choose_clearings(&cells, &possible, &mut chosen)? {}
        self.order(&cells, &seen, &chosen)
    }

    /// Everything that comes before a chosen operation in every order is chosen. True if something was added.
    fn close(&self, chosen: &mut [bool]) -> bool {
        let last = self.ops.iter().zip(chosen.iter()).filter(|(_, chosen)| **chosen).map(|(op, _)| op.issued).max();
        let Some(last) = last else { return false };
        let mut added = false;
        for index in (0..self.ops.len()).rev() {
            let op = &self.ops[index];
            if !chosen[index] && op.outcome == Outcome::Done && op.returned < last {
                chosen[index] = true;
                added = true;
            }
            if let Some(before) = op.after.filter(|before| chosen[index] && !chosen[*before]) {
                chosen[before] = true;
                added = true;
            }
        }
        added
    }

    /// Which operations that empty a range may have happened, by what is seen in all of that range.
    fn possible_clearings(&self, cells: &[Cell], seen: &[Option<usize>]) -> Vec<bool> {
        let mut possible: Vec<bool> =
            self.ops.iter().map(|op| op.kind == Kind::Clear && op.outcome != Outcome::Refused).collect();
        for (cell, by) in cells.iter().zip(seen) {
            for op in &cell.cover {
                possible[*op] &= match by {
                    Some(by) => !self.ops[*by].before(&self.ops[*op]),
                    None => cell.found == ZERO,
                };
            }
        }
        possible
    }

    /// Chooses the first clearing that explains each empty place where a chosen write was. True if one was added.
    fn choose_clearings(&self, cells: &[Cell], possible: &[bool], chosen: &mut [bool]) -> Result<bool, String> {
        for cell in cells.iter().filter(|cell| cell.found == ZERO) {
            let mut writes =
                cell.cover.iter().filter(|op| chosen[**op] && self.ops[**op].kind != Kind::Clear).peekable();
            if writes.peek().is_none() && cell.base == ZERO {
                continue;
            }
            let writes: Vec<usize> = writes.copied().collect();
            let follows =
                |op: &usize| possible[*op] && writes.iter().all(|write| !self.ops[*op].before(&self.ops[*write]));
            let candidates: Vec<usize> = cell.cover.iter().copied().filter(follows).collect();
            if candidates.iter().any(|op| chosen[*op]) {
                continue;
            }
            match candidates.into_iter().min_by_key(|op| self.ops[*op].issued) {
                Some(op) => chosen[op] = true,
                None => return Err(format!("granule {} is empty: {}", cell.at, self.tell(cell))),
            }
            return Ok(true);
        }
        Ok(false)
    }

    /// Whether the chosen operations have an order in which everybody who is seen comes last where he is seen.
    fn order(&self, cells: &[Cell], seen: &[Option<usize>], chosen: &[bool]) -> Result<(), String> {
        let mut edges = BTreeSet::new();
        for (cell, by) in cells.iter().zip(seen) {
            for op in cell.cover.iter().copied().filter(|op| chosen[*op] && Some(*op) != *by) {
                match by {
                    None if cell.found == ZERO => {}
                    Some(by) if !self.ops[*by].before(&self.ops[op]) => {
                        if !self.ops[op].before(&self.ops[*by]) {
                            edges.insert((op, *by));
                        }
                    }
                    _ => {
                        let stamp = self.ops[op].stamp;
                        return Err(format!("{stamp} is missing in granule {}: {}", cell.at, self.tell(cell)));
                    }
                }
            }
        }
        if edges.is_empty() {
            return Ok(());
        }
        let mut rest: Vec<usize> = (0..self.ops.len()).filter(|op| chosen[*op]).collect();
        while !rest.is_empty() {
            let first = rest.iter().position(|op| {
                rest.iter().all(|other| !self.ops[*other].before(&self.ops[*op]) && !edges.contains(&(*other, *op)))
            });
            match first {
                Some(index) => drop(rest.swap_remove(index)),
                None => return Err(format!("no order of writes explains the content: {edges:?}")),
            }
        }
        Ok(())
    }

    /// `found` holds the granules from `first` on; those from `end` on are left out.
    fn cells(&self, first: usize, found: &[Stamp], end: usize) -> Vec<Cell> {
        let end = end.min(first + found.len());
        let mut borders: BTreeSet<usize> = self.ops.iter().flat_map(|op| [op.lo, op.hi]).collect();
        borders.insert(first);
        let mut cells: Vec<Cell> = Vec::new();
        for at in first..end {
            let (found, base) = (found[at - first], self.base[at]);
            let same = cells.last().is_some_and(|cell| cell.found == found && cell.base == base);
            if same && !borders.contains(&at) {
                continue;
            }
            let covers = |(_, op): &(usize, &Op)| op.lo <= at && at < op.hi && op.outcome != Outcome::Refused;
            let cover = self.ops.iter().enumerate().filter(covers).map(|(index, _)| index).collect();
            cells.push(Cell { at, cover, found, base });
        }
        cells
    }

    fn tell(&self, cell: &Cell) -> String {
        let one = |op: &usize| {
            let Op { stamp, kind, issued, returned, outcome, durable, .. } = &self.ops[*op];
            let returned = if *returned == Tick::MAX { "-".to_owned() } else { returned.to_string() };
            format!("{kind:?} {stamp} {issued}..{returned} {outcome:?} durable {durable:?}")
        };
        let ops: Vec<String> = cell.cover.iter().map(one).collect();
        format!("before it {}, then {}", cell.base, ops.join("; "))
    }
}
