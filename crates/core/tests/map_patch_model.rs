//! Leaves that are stored as a base and a patch are what a plain array of locations says, through checkpoints that fail, leaves
//! that change while they are stored, memory that is given up, and crashes.
mod map_model;

use std::collections::BTreeMap;

use lsd_core::format::checkpoint::{LeafPlace, LeafPointer, PatchPointer};
use lsd_core::map::{BlockSet, Extent, ExtentMap, Leaf, Patch, Snapshot};
use lsd_core::units::{BLOCK_BYTES, CheckpointId, LEAF_SPAN_BYTES, LeafNo, Loc, SegmentNo};
use map_model::{Model, location};
use proptest::prelude::*;

/// Half a block, so that some changes are not of whole blocks.
const UNIT: u32 = BLOCK_BYTES / 2;
const CELLS: usize = 2 * (LEAF_SPAN_BYTES / UNIT) as usize;
const BASE: u64 = 6 * LEAF_SPAN_BYTES as u64;

#[derive(Clone, Debug)]
enum Op {
    /// So many single blocks anywhere in one leaf.
    Scatter {
        leaf: usize,
        blocks: usize,
        seed: u64,
    },
    Set(usize, usize, u64),
    Clear(usize, usize),
    /// A relocation of blocks, some of which have changed since it read them.
    Move(usize, usize, u64),
    Take,
    Finish(Finish),
    Evict,
    Crash,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Finish {
    Fails,
    /// Patches where they are worth it.
    Commits,
    /// Patches wherever there can be one.
    Patches,
}

fn op() -> impl Strategy<Value = Op> {
    let at = || (any::<usize>(), any::<usize>());
    let scatter =
        |most| (0usize..2, 1..most, any::<u64>()).prop_map(|(leaf, blocks, seed)| Op::Scatter { leaf, blocks, seed });
    prop_oneof![
        1 => scatter(3000usize),
        4 => scatter(60),
        3 => (at(), any::<u64>()).prop_map(|((a, b), pick)| Op::Set(a, b, pick)),
        2 => at().prop_map(|(a, b)| Op::Clear(a, b)),
        2 => (at(), any::<u64>()).prop_map(|((a, b), pick)| Op::Move(a, b, pick)),
        4 => Just(Op::Take),
        4 => prop_oneof![Just(Finish::Fails), Just(Finish::Commits), Just(Finish::Commits), Just(Finish::Patches)]
            .prop_map(Op::Finish),
        2 => Just(Op::Evict),
        1 => Just(Op::Crash),
    ]
}

#[derive(Default)]
struct Seen {
    patches: usize,
    bases: usize,
}

/// A checkpoint that is being written: the leaves that it stores and those that are empty, and what it covers.
type Underway = (Vec<(LeafNo, Snapshot)>, Vec<LeafNo>, Model);

struct World {
    map: ExtentMap<LeafPlace>,
    model: Model,
    /// What is stored, by the number of its page.
    store: BTreeMap<u32, Vec<u8>>,
    next_page: u32,
    root: Vec<(LeafNo, LeafPlace, u32)>,
    durable: Model,
    checkpoint: Option<Underway>,
    seen: Seen,
}

fn decode(store: &BTreeMap<u32, Vec<u8>>, no: LeafNo, place: &LeafPlace) -> (Leaf, Option<BlockSet>) {
    let mut leaf = Leaf::decode(no, &store[&place.base.page]).unwrap();
    let patch = place.patch.map(|patch| Patch::decode(no, &place.base, &store[&patch.at.page]).unwrap());
    patch.iter().for_each(|patch| patch.apply(&mut leaf));
    (leaf, patch.map(|patch| patch.changed()))
}

impl World {
    /// `keeps`: in a part of the range it is told what is zeroed.
    fn new(keeps: bool) -> World {
        let mut model = Model::new(BASE, UNIT, CELLS);
        model.zeroed_below = if keeps { model.offset(CELLS * 3 / 4) } else { 0 };
        let (durable, root, seen) = (model.clone(), Vec::new(), Seen::default());
        let (mut map, store) = (ExtentMap::new(), BTreeMap::new());
        map.keep_zeroed_below(model.zeroed_below);
        World { map, model, store, next_page: 1, root, durable, checkpoint: None, seen }
    }

    fn load(&mut self, offset: u64, len: u64) {
        for (no, place) in self.map.missing(offset, len) {
            let (leaf, patched) = decode(&self.store, no, &place);
            assert_eq!(self.map.install(no, &place, leaf, patched), Ok(true));
        }
    }

    fn set(&mut self, cell: usize, count: usize, loc: Loc) {
        let (offset, len) = (self.model.offset(cell), count as u64 * u64::from(UNIT));
        self.load(offset, len);
        self.map.set(offset, len as u32, loc, &mut Vec::new()).unwrap();
        self.model.replace(cell, count, Some(loc));
    }

    fn apply(&mut self, op: &Op) -> Result<(), TestCaseError> {
        match *op {
            Op::Scatter { leaf, blocks, seed } => {
                let mut random = seed;
                for _ in 0..blocks {
                    random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                    let block = (random >> 33) as usize % 4096;
                    let loc = Loc::new(SegmentNo(1 + (random >> 50)), (random >> 20) as u32 % 4096 * BLOCK_BYTES);
                    self.set(leaf * CELLS / 2 + block * 2, 2, loc);
                }
            }
            Op::Set(a, b, pick) => {
                let (cell, count) = self.model.range(a, b % 64, 64);
                self.set(cell, count, location(pick, UNIT, count as u32 * UNIT));
            }
            Op::Clear(a, b) => {
                let (cell, count) = self.model.range(a, if b % 8 == 0 { b } else { b % 50 }, CELLS);
                let (offset, len) = (self.model.offset(cell), count as u64 * u64::from(UNIT));
                self.load(offset, len);
                self.map.clear(offset, len, &mut Vec::new()).unwrap();
                self.model.replace(cell, count, None);
            }
            Op::Move(a, b, pick) => {
                let (cell, count) = self.model.range(a, b % 64, 64);
                let (offset, len) = (self.model.offset(cell), count as u32 * UNIT);
                let from = Loc(self.model.cells[cell]);
                if from.segment().0 > 0 && from.offset() + len <= 1 << 24 {
                    self.load(offset, u64::from(len));
                    let to = location(pick, UNIT, len);
                    self.map.replace_if((offset, len), from, to, &mut Vec::new()).unwrap();
                    self.model.replace_if(cell, count, from, to);
                }
            }
            Op::Take => {
                if self.checkpoint.is_none() {
                    // Some are handed out at once, and some after whatever changes until the checkpoint ends.
                    let mut late = self.map.begin_take();
                    late.sort_unstable();
                    let taken = self.map.take_some(&late.split_off(late.len() / 2));
                    self.checkpoint = Some((taken, late, self.model.clone()));
                }
            }
            Op::Finish(how) => self.finish(how)?,
            Op::Evict => self.map.evict(0),
            Op::Crash => {
                self.map = ExtentMap::new();
                self.map.keep_zeroed_below(self.model.zeroed_below);
                self.map.load_root(self.root.iter().copied());
                (self.model, self.checkpoint) = (self.durable.clone(), None);
            }
        }
        prop_assert_eq!(self.map.mapped_bytes(), self.model.mapped_bytes());
        Ok(())
    }

    fn finish(&mut self, how: Finish) -> Result<(), TestCaseError> {
        let Some((mut taken, late, model)) = self.checkpoint.take() else { return Ok(()) };
        if how == Finish::Fails {
            // Whatever it wrote, nothing names it.
            self.map.fail_dirty(taken.into_iter().map(|(leaf, _)| leaf).chain(late));
            return Ok(());
        }
        taken.extend(self.map.take_some(&late));
        let stored: BTreeMap<LeafNo, LeafPlace> = self.map.stored_leaves().map(|(no, at, _)| (no, *at)).collect();
        for (no, snapshot) in &taken {
            if snapshot.content.is_empty() {
                self.map.commit_stored(*no, None, snapshot.id());
                continue;
            }
            let before = stored.get(no).zip(snapshot.changed());
            let patch = before.and_then(|(place, changed)| match how {
                Finish::Patches => Patch::of(&snapshot.content, changed),
                _ => Patch::worth_writing(&snapshot.content, changed, place),
            });
            let mut bytes = Vec::new();
            match (&patch, before) {
                (Some(patch), Some((place, _))) => patch.encode(*no, &place.base, &mut bytes),
                _ => snapshot.content.encode(*no, &mut bytes),
            }
            let checkpoint = CheckpointId { epoch: 1, number: self.next_page };
            let at = LeafPointer { checkpoint, page: self.next_page, offset: 0, len: bytes.len() as u32 };
            let place = match (&patch, before) {
                (Some(patch), Some((place, _))) => {
                    prop_assert_eq!(patch.encoded_bytes(), bytes.len());
                    prop_assert_eq!(&Patch::decode(*no, &place.base, &bytes).unwrap(), patch);
                    let spent = place.patch.map_or(0, |patch| patch.spent) + at.len;
                    LeafPlace { base: place.base, patch: Some(PatchPointer { at, spent }) }
                }
                _ => LeafPlace { base: at, patch: None },
            };
            self.store.insert(self.next_page, bytes);
            self.next_page += 1;
            self.commit(*no, place, patch.is_some(), snapshot)?;
        }
        self.root = self.map.stored_leaves().map(|(no, at, mapped)| (no, *at, mapped)).collect();
        self.durable = model;
        Ok(())
    }

    fn commit(&mut self, no: LeafNo, at: LeafPlace, patched: bool, snapshot: &Snapshot) -> Result<(), TestCaseError> {
        let (leaf, _) = decode(&self.store, no, &at);
        prop_assert!(leaf.entries().eq(snapshot.content.entries()), "leaf {} is stored as something else", no);
        prop_assert_eq!(leaf.mapped_bytes(), snapshot.content.mapped_bytes());
        if patched {
            self.seen.patches += 1;
            self.map.commit_patched(no, at, snapshot.id());
        } else {
            self.seen.bases += 1;
            self.map.commit_stored(no, Some(at), snapshot.id());
        }
        Ok(())
    }

    fn check(&mut self) -> Result<(), TestCaseError> {
        let (offset, len) = (self.model.offset(0), self.model.bytes());
        self.load(offset, len);
        let mut extents: Vec<Extent> = Vec::new();
        self.map.lookup(offset, len, &mut extents).unwrap();
        let mut unwritten = Vec::new();
        self.map.unwritten(offset, len, &mut unwritten).unwrap();
        let cells: u64 = unwritten.iter().map(|(_, len)| len / u64::from(UNIT)).sum();
        prop_assert_eq!(cells as usize, self.model.unwritten(0, CELLS).len());
        self.model.check(0, CELLS, &extents)
    }
}

fn run(ops: &[Op]) -> Result<Seen, TestCaseError> {
    run_in(World::new(false), ops)
}

fn run_in(mut world: World, ops: &[Op]) -> Result<Seen, TestCaseError> {
    for op in ops {
        world.apply(op)?;
    }
    world.check()?;
    for finish in [Finish::Commits, Finish::Commits] {
        world.finish(finish)?;
        world.apply(&Op::Take)?;
    }
    prop_assert_eq!((world.map.dirty_leaves(), world.map.dirty_bytes()), (0, 0));
    world.map.evict(0);
    prop_assert_eq!(world.map.loaded_bytes(), 0);
    world.check()?;
    world.apply(&Op::Crash)?;
    world.check()?;
    Ok(world.seen)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn patched_leaves(ops in prop::collection::vec(op(), 1..60), keeps in any::<bool>()) {
        run_in(World::new(keeps), &ops)?;
    }
}

fn scatter(blocks: usize, seed: u64) -> Op {
    Op::Scatter { leaf: 0, blocks, seed }
}

#[test]
fn random_blocks_are_stored_as_patches_until_these_cost_as_much_as_a_base() {
    let mut ops = vec![scatter(6000, 1), Op::Take, Op::Finish(Finish::Commits)];
    for round in 0..60 {
        ops.extend([scatter(50, round * 77), Op::Take, Op::Finish(Finish::Commits)]);
    }
    let seen = run(&ops).unwrap();
    assert!(seen.patches > 48 && seen.bases > 3, "{} patches, {} bases", seen.patches, seen.bases);
}

#[test]
fn what_changes_while_a_base_is_stored_is_in_its_first_patch() {
    let (take, commit) = (|| Op::Take, || Op::Finish(Finish::Commits));
    let seen = run(&[scatter(3000, 1), take(), scatter(20, 2), commit(), take(), commit(), Op::Crash]).unwrap();
    assert_eq!((seen.bases, seen.patches), (1, 1));
    // A base that fails leaves the changes since the one before it.
    let failed =
        [scatter(3000, 1), take(), commit(), scatter(900, 2), take(), scatter(20, 3), Op::Finish(Finish::Fails)];
    let seen = run(&[&failed[..], &[scatter(5, 4), take(), Op::Finish(Finish::Patches), Op::Crash]].concat()).unwrap();
    assert_eq!((seen.bases, seen.patches), (1, 1));
    // A leaf that was read back has the changes of its patch.
    let read_back = [scatter(3000, 1), take(), commit(), scatter(20, 2), take(), commit(), Op::Crash, scatter(20, 3)];
    let seen =
        run(&[&read_back[..], &[take(), commit(), Op::Evict, scatter(9, 4), take(), commit()]].concat()).unwrap();
    assert_eq!((seen.bases, seen.patches), (1, 3));
    // One without a patch has none.
    let seen = run(&[scatter(3000, 1), take(), commit(), Op::Evict, scatter(20, 2), take(), commit()]).unwrap();
    assert_eq!((seen.bases, seen.patches), (1, 1));
}

#[test]
fn what_is_no_whole_block_is_stored_whole() {
    let sector = |pick| Op::Set(3, 0, pick);
    let (take, commit) = (|| Op::Take, || Op::Finish(Finish::Patches));
    let seen = run(&[scatter(3000, 1), take(), commit(), sector(12), take(), commit(), scatter(3, 5)]).unwrap();
    // The last change is stored by the checkpoint at the end: the base with half a block takes patches of others.
    assert_eq!((seen.bases, seen.patches), (2, 1));
}
