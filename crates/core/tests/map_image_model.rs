//! The map of an image does what a plain array of locations does, while leaves come and go: loaded late, evicted,
//! stored by checkpoints that fail or overlap with writes, and read back after a crash.
mod map_model;

use std::collections::BTreeMap;

use lsd_core::map::{Extent, ExtentMap, Leaf, NotLoaded, Snapshot, Superseded};
use lsd_core::units::{LEAF_SPAN_BYTES, LeafNo, Loc, MAX_IMAGE_BYTES};
use map_model::{Model, location};
use proptest::prelude::*;

/// Where the test stores a leaf: a key of its store that is never used twice.
type Key = u32;

#[derive(Clone, Debug)]
enum Op {
    Set(usize, usize, u64),
    Clear(usize, usize),
    Move(usize, usize, u64),
    Truncate(usize),
    /// Brings what was never written from elsewhere.
    Fill(usize, usize, u64),
    Lookup(usize, usize),
    Take,
    /// The checkpoint under way is committed or fails.
    Finish(bool),
    Evict(usize),
    /// Reads of all missing leaves begin; they end later, when their leaves may be something else by then.
    BeginLoads,
    EndLoads,
    Crash,
}

fn op() -> impl Strategy<Value = Op> {
    let at = || (any::<usize>(), any::<usize>());
    prop_oneof![
        6 => (at(), any::<u64>()).prop_map(|((a, b), pick)| Op::Set(a, b, pick)),
        2 => at().prop_map(|(a, b)| Op::Clear(a, b)),
        2 => (at(), any::<u64>()).prop_map(|((a, b), pick)| Op::Move(a, b, pick)),
        1 => any::<usize>().prop_map(Op::Truncate),
        2 => (at(), any::<u64>()).prop_map(|((a, b), pick)| Op::Fill(a, b, pick)),
        2 => at().prop_map(|(a, b)| Op::Lookup(a, b)),
        2 => Just(Op::Take),
        2 => prop::bool::weighted(0.8).prop_map(Op::Finish),
        2 => (0usize..6).prop_map(Op::Evict),
        1 => Just(Op::BeginLoads),
        1 => Just(Op::EndLoads),
        1 => Just(Op::Crash),
    ]
}

type Taken = Vec<(LeafNo, Snapshot)>;

struct World {
    map: ExtentMap<Key>,
    model: Model,
    store: BTreeMap<Key, Vec<u8>>,
    next_key: Key,
    /// The last committed root and what the image was when its checkpoint was taken.
    root: Vec<(LeafNo, Key, u32)>,
    durable: Model,
    checkpoint: Option<(Taken, Vec<LeafNo>, Model)>,
    loads: Vec<(LeafNo, Key)>,
}

const UNIT: u32 = 64 << 10;
const LEAVES: u64 = 5;
const CELLS: usize = (LEAVES * LEAF_SPAN_BYTES as u64 / UNIT as u64) as usize;
/// Starts within a leaf and ends within another.
const BASE: u64 = 3 * LEAF_SPAN_BYTES as u64 + 5 * UNIT as u64;
const MAX_CELLS: usize = 200;

impl World {
    /// `keeps`: in a part of the range it is told what is zeroed.
    fn new(keeps: bool) -> World {
        let mut model = Model::new(BASE, UNIT, CELLS);
        model.zeroed_below = if keeps { model.offset(CELLS * 3 / 4) } else { 0 };
        let (durable, root, loads) = (model.clone(), Vec::new(), Vec::new());
        let (mut map, store) = (ExtentMap::new(), BTreeMap::new());
        map.keep_zeroed_below(model.zeroed_below);
        World { map, model, store, next_key: 1, root, durable, checkpoint: None, loads }
    }

    fn load(&mut self, leaf: LeafNo, key: Key) -> bool {
        let decoded = Leaf::decode(leaf, &self.store[&key]).unwrap();
        self.map.install(leaf, &key, decoded, None).unwrap()
    }

    /// Runs an operation on a range as the engine does: load what is missing, try again. It must fail exactly when
    /// something is missing, and change nothing then.
    fn with_loads<R: std::fmt::Debug>(
        &mut self,
        (offset, len): (u64, u64),
        mut op: impl FnMut(&mut ExtentMap<Key>, &mut Superseded) -> Result<R, NotLoaded>,
    ) -> Result<(R, Superseded), TestCaseError> {
        let missing = self.map.missing(offset, len);
        let mut superseded = Vec::new();
        if !missing.is_empty() {
            let before = (self.map.mapped_bytes(), self.map.dirty_leaves(), self.map.loaded_bytes());
            let error = op(&mut self.map, &mut superseded).unwrap_err();
            prop_assert!(missing.iter().any(|(leaf, _)| *leaf == error.0));
            let after = (self.map.mapped_bytes(), self.map.dirty_leaves(), self.map.loaded_bytes());
            prop_assert_eq!(before, after);
            prop_assert!(superseded.is_empty());
        }
        for (leaf, key) in missing {
            prop_assert!(self.load(leaf, key));
        }
        prop_assert!(self.map.missing(offset, len).is_empty());
        let result = op(&mut self.map, &mut superseded).unwrap();
        Ok((result, superseded))
    }

    fn apply(&mut self, op: &Op) -> Result<(), TestCaseError> {
        match *op {
            Op::Set(a, b, pick) => {
                let (cell, count, offset, len) = self.range(a, b);
                let loc = location(pick, UNIT, len as u32);
                let ((), superseded) =
                    self.with_loads((offset, len), |map, out| map.set(offset, len as u32, loc, out))?;
                prop_assert_eq!(self.model.units(&superseded), self.model.clone().replace(cell, count, Some(loc)));
                self.model.replace(cell, count, Some(loc));
            }
            Op::Clear(a, b) => {
                let (cell, count) = self.model.range(a, b, CELLS);
                let (offset, len) = (self.model.offset(cell), count as u64 * u64::from(UNIT));
                let ((), superseded) = self.with_loads((offset, len), |map, out| map.clear(offset, len, out))?;
                let before = self.model.replace(cell, count, None);
                prop_assert_eq!(self.model.units(&superseded), before);
            }
            Op::Truncate(a) => {
                let (cell, _) = self.model.range(a, 0, 1);
                let size = self.model.offset(cell);
                let ((), superseded) =
                    self.with_loads((size, MAX_IMAGE_BYTES - size), |map, out| map.truncate(size, out))?;
                let before = self.model.replace(cell, CELLS - cell, None);
                prop_assert_eq!(self.model.units(&superseded), before);
            }
            Op::Fill(a, b, pick) => {
                let (cell, count, offset, len) = self.range(a, b);
                // Beyond where it is told nothing is looked at.
                let told = len.min(self.model.zeroed_below.saturating_sub(offset));
                let to = location(pick, UNIT, len as u32);
                let (filled, _) = self.with_loads((offset, told), |map, _| map.fill((offset, len as u32), to))?;
                prop_assert_eq!(u64::from(filled), self.model.fill(cell, count, to) * u64::from(UNIT));
            }
            Op::Move(a, b, pick) => self.relocate(a, b, pick)?,
            Op::Lookup(a, b) => {
                let (cell, count) = self.model.range(a, b, CELLS);
                self.lookup(cell, count)?;
            }
            Op::Take => self.take()?,
            Op::Finish(commits) => self.finish(commits)?,
            Op::Evict(leaves) => self.evict(leaves)?,
            Op::BeginLoads => self.loads = self.map.missing(0, MAX_IMAGE_BYTES),
            Op::EndLoads => {
                for (leaf, key) in std::mem::take(&mut self.loads) {
                    self.load(leaf, key);
                }
            }
            Op::Crash => self.crash(),
        }
        prop_assert_eq!(self.map.mapped_bytes(), self.model.mapped_bytes());
        Ok(())
    }

    fn range(&self, a: usize, b: usize) -> (usize, usize, u64, u64) {
        let (cell, count) = self.model.range(a, b, MAX_CELLS);
        (cell, count, self.model.offset(cell), count as u64 * u64::from(UNIT))
    }

    fn relocate(&mut self, a: usize, b: usize, pick: u64) -> Result<(), TestCaseError> {
        let (cell, count, offset, len) = self.range(a, b);
        let mapped = (0..count).find(|i| self.model.cells[cell + i] > 1);
        let from = mapped.map(|i| Loc(self.model.cells[cell + i].wrapping_sub(i as u64 * u64::from(UNIT))));
        let Some(from) = from.filter(|from| from.segment().0 > 0 && from.offset() + len as u32 <= 1 << 24) else {
            return Ok(());
        };
        let to = location(pick, UNIT, len as u32);
        let (points, _) = self.with_loads((offset, len), |map, _| map.points_at((offset, len as u32), from))?;
        let (moved, superseded) =
            self.with_loads((offset, len), |map, out| map.replace_if((offset, len as u32), from, to, out))?;
        let expected = self.model.replace_if(cell, count, from, to);
        prop_assert_eq!(points, moved > 0);
        prop_assert_eq!(u64::from(moved), expected.len() as u64 * u64::from(UNIT));
        prop_assert_eq!(self.model.units(&superseded), expected);
        Ok(())
    }

    fn lookup(&mut self, cell: usize, count: usize) -> Result<(), TestCaseError> {
        let (offset, len) = (self.model.offset(cell), count as u64 * u64::from(UNIT));
        let mut extents = vec![Extent { offset: 0, len: offset, loc: None }];
        self.with_loads((offset, len), |map, _| {
            let result = map.lookup(offset, len, &mut extents);
            assert!(result.is_ok() || extents.len() == 1, "a failed lookup left something behind");
            result
        })?;
        let mut unwritten = vec![(1, 1)];
        self.map.unwritten(offset, len, &mut unwritten).unwrap();
        let merged = unwritten[1..].array_windows().all(|[one, next]| one.0 + one.1 < next.0);
        prop_assert!(merged && unwritten[0] == (1, 1));
        let cells = unwritten[1..].iter().flat_map(|&(start, len)| {
            let first = ((start - BASE) / u64::from(UNIT)) as usize;
            first..first + (len / u64::from(UNIT)) as usize
        });
        prop_assert!(cells.eq(self.model.unwritten(cell, count)));
        self.model.check(cell, count, &extents[1..])
    }

    fn take(&mut self) -> Result<(), TestCaseError> {
        if self.checkpoint.is_none() {
            let dirty = self.map.dirty_leaves();
            // Some are handed out at once, and some after whatever changes until the checkpoint ends.
            let mut leaves = self.map.begin_take();
            prop_assert_eq!(leaves.len(), dirty);
            leaves.sort_unstable();
            let late = leaves.split_off(leaves.len() / 2);
            let taken = self.map.take_some(&leaves);
            prop_assert_eq!(taken.len(), leaves.len());
            prop_assert_eq!(self.map.dirty_leaves(), 0);
            self.checkpoint = Some((taken, late, self.model.clone()));
        }
        Ok(())
    }

    fn finish(&mut self, commits: bool) -> Result<(), TestCaseError> {
        let Some((mut taken, late, model)) = self.checkpoint.take() else { return Ok(()) };
        if !commits {
            self.map.fail_dirty(taken.into_iter().map(|(leaf, _)| leaf).chain(late));
            return Ok(());
        }
        taken.extend(self.map.take_some(&late));
        prop_assert!(late.iter().all(|leaf| taken.iter().any(|(taken, _)| taken == leaf)));
        for (leaf, snapshot) in &taken {
            let stored = (!snapshot.content.is_empty()).then(|| {
                let mut bytes = Vec::new();
                snapshot.content.encode(*leaf, &mut bytes);
                self.store.insert(self.next_key, bytes);
                self.next_key += 1;
                self.next_key - 1
            });
            self.map.commit_stored(*leaf, stored, snapshot.id());
        }
        self.root = self.map.stored_leaves().map(|(leaf, &key, mapped)| (leaf, key, mapped)).collect();
        self.durable = model;
        let mapped: u64 = self.root.iter().map(|root| u64::from(root.2)).sum();
        prop_assert_eq!(mapped, self.durable.mapped_bytes());
        Ok(())
    }

    fn evict(&mut self, leaves: usize) -> Result<(), TestCaseError> {
        let target = leaves * 4000;
        let before = self.map.missing(0, MAX_IMAGE_BYTES).len();
        let was_loaded = self.map.loaded_bytes();
        self.map.evict(target);
        let after = self.map.missing(0, MAX_IMAGE_BYTES).len();
        prop_assert!(was_loaded > target || before == after, "evicted below the target");
        let is_clean = self.map.dirty_leaves() == 0 && self.checkpoint.is_none();
        prop_assert!(!is_clean || self.map.loaded_bytes() <= target, "clean leaves kept above the target");
        Ok(())
    }

    fn crash(&mut self) {
        self.map = ExtentMap::new();
        self.map.keep_zeroed_below(self.model.zeroed_below);
        self.map.load_root(self.root.iter().copied());
        self.model = self.durable.clone();
        self.checkpoint = None;
        self.loads.clear();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn image(ops in prop::collection::vec(op(), 1..120), keeps in any::<bool>()) {
        let mut world = World::new(keeps);
        for op in &ops {
            world.apply(op)?;
        }
        world.lookup(0, CELLS)?;
        // Everything settles: after a checkpoint nothing is dirty, and memory can go to zero and come back.
        world.finish(true)?;
        world.take()?;
        world.finish(true)?;
        prop_assert_eq!(world.map.dirty_leaves(), 0);
        prop_assert_eq!(world.map.leaf_count(), world.root.len());
        world.map.evict(0);
        prop_assert_eq!(world.map.loaded_bytes(), 0);
        world.lookup(0, CELLS)?;
        world.crash();
        world.lookup(0, CELLS)?;
    }
}

fn leaf_of(offset: u64, loc: Loc) -> Leaf {
    let mut leaf = Leaf::default();
    leaf.set((offset % u64::from(LEAF_SPAN_BYTES)) as u32, 4096, loc, &mut Vec::new());
    leaf
}

#[test]
fn a_read_that_was_overtaken_is_not_installed() {
    let span = u64::from(LEAF_SPAN_BYTES);
    let (old, new) = (Loc(1 << 24), Loc(2 << 24));
    let mut map = ExtentMap::new();
    map.load_root([(LeafNo(1), "old", 4096)]);
    // Loaded, overwritten, stored and evicted by others while a read of the old copy is under way.
    assert_eq!(map.install(LeafNo(1), &"old", leaf_of(span, old), None), Ok(true));
    map.set(span, 4096, new, &mut Vec::new()).unwrap();
    for (leaf, snapshot) in map.take_dirty() {
        map.commit_stored(leaf, Some("new"), snapshot.id());
    }
    map.evict(0);
    assert_eq!(map.install(LeafNo(1), &"old", leaf_of(span, old), None), Ok(false));
    assert_eq!(map.missing(0, 2 * span), [(LeafNo(1), "new")]);
    assert_eq!(map.install(LeafNo(1), &"new", leaf_of(span, new), None), Ok(true));
    assert_eq!(map.install(LeafNo(1), &"new", leaf_of(span, new), None), Ok(false), "loaded already");
}

#[test]
fn a_leaf_that_disagrees_with_the_root_is_refused() {
    let mut map = ExtentMap::new();
    map.load_root([(LeafNo(0), (), 8192)]);
    assert!(map.install(LeafNo(0), &(), leaf_of(0, Loc(1 << 24)), None).is_err());
    assert_eq!(map.missing(0, 1).len(), 1);
}

#[test]
fn the_least_recently_used_leaves_go_first() {
    let span = u64::from(LEAF_SPAN_BYTES);
    let mut map = ExtentMap::new();
    map.load_root((0..4).map(|no| (LeafNo(no), no, 4096)));
    for no in 0..4 {
        let offset = u64::from(no) * span;
        assert_eq!(map.install(LeafNo(no), &no, leaf_of(offset, Loc(1 << 24)), None), Ok(true));
    }
    map.lookup(0, 1, &mut Vec::new()).unwrap();
    map.lookup(2 * span, 1, &mut Vec::new()).unwrap();
    map.evict(map.loaded_bytes() / 2);
    assert_eq!(map.missing(0, 4 * span), [(LeafNo(1), 1), (LeafNo(3), 3)]);
}

#[test]
fn the_largest_image_and_nothing_beyond_it() {
    let mut map: ExtentMap<()> = ExtentMap::new();
    let mut superseded = Vec::new();
    map.set(MAX_IMAGE_BYTES - 1, 1, Loc(1 << 24), &mut superseded).unwrap();
    let mut extents = Vec::new();
    map.lookup(0, MAX_IMAGE_BYTES, &mut extents).unwrap();
    assert_eq!(extents[0], Extent { offset: 0, len: MAX_IMAGE_BYTES - 1, loc: None });
    assert_eq!(extents[1], Extent { offset: MAX_IMAGE_BYTES - 1, len: 1, loc: Some(Loc(1 << 24)) });
    map.truncate(MAX_IMAGE_BYTES, &mut superseded).unwrap();
    assert_eq!(map.mapped_bytes(), 1);
    map.truncate(0, &mut superseded).unwrap();
    assert_eq!((map.mapped_bytes(), superseded), (0, vec![(Loc(1 << 24), 1)]));
    let beyond = std::panic::catch_unwind(move || map.set(MAX_IMAGE_BYTES, 1, Loc(1 << 24), &mut Vec::new()));
    assert!(beyond.is_err());
}

#[test]
fn a_snapshot_overtaken_by_the_next_leaves_its_leaf_in_memory() {
    let mut map = ExtentMap::new();
    let mut superseded = Vec::new();
    map.set(0, 4096, Loc(1 << 24), &mut superseded).unwrap();
    let first = map.take_dirty();
    map.set(0, 4096, Loc(2 << 24), &mut superseded).unwrap();
    let second = map.take_dirty();
    map.commit_stored(LeafNo(0), Some("first"), first[0].1.id());
    map.evict(0);
    assert!(map.missing(0, 1).is_empty(), "evicted what only the second snapshot has");
    map.commit_stored(LeafNo(0), Some("second"), second[0].1.id());
    // Late or twice: changes nothing.
    map.commit_stored(LeafNo(0), Some("first"), first[0].1.id());
    map.fail_dirty([LeafNo(0)]);
    map.evict(0);
    assert_eq!(map.missing(0, 1), [(LeafNo(0), "second")]);
}

#[test]
fn what_changes_nothing_makes_no_leaf_dirty() {
    let mut map = ExtentMap::new();
    let mut superseded = Vec::new();
    map.set(4096, 4096, Loc(1 << 24), &mut superseded).unwrap();
    for (leaf, snapshot) in map.take_dirty() {
        map.commit_stored(leaf, Some(()), snapshot.id());
    }
    map.clear(0, 4096, &mut superseded).unwrap();
    map.clear(8192, MAX_IMAGE_BYTES - 8192, &mut superseded).unwrap();
    assert_eq!(map.replace_if((0, 16384), Loc(1 << 24), Loc(2 << 24), &mut superseded), Ok(0));
    map.set(0, 0, Loc(2 << 24), &mut superseded).unwrap();
    assert_eq!((map.dirty_leaves(), map.leaf_count(), superseded.len()), (0, 1, 0));
    assert_eq!(map.replace_if((4096, 16384), Loc(1 << 24), Loc(2 << 24), &mut superseded), Ok(4096));
    assert_eq!((map.dirty_leaves(), superseded), (1, vec![(Loc(1 << 24), 4096)]));
}

#[test]
fn a_step_through_an_image_has_so_many_leaves() {
    let mut map: ExtentMap<()> = ExtentMap::new();
    let mut superseded = Vec::new();
    let span = u64::from(LEAF_SPAN_BYTES);
    for leaf in [0, 1, 7, 1_000_000] {
        map.set(leaf * span + 4096, 4096, Loc(1 << 24), &mut superseded).unwrap();
    }
    let len = |offset, most| map.len_with_leaves(offset, MAX_IMAGE_BYTES - offset, most);
    assert_eq!([0, 1, 2, 3].map(|most| len(0, most) / span), [1, 1, 7, 1_000_000]);
    assert_eq!((len(0, 4), len(span, 3)), (MAX_IMAGE_BYTES, MAX_IMAGE_BYTES - span));
    assert_eq!(len(span + 8192, 1), 6 * span - 8192, "from the middle of a leaf");
    assert_eq!(map.len_with_leaves(0, 8192, 1), 8192);
}
