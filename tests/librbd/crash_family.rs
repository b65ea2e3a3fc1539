//! `kill -9` of a writer and of the command beside it that takes, removes and rolls back snapshots, makes, flattens and removes clones:
//! every snapshot is a prefix of the order in which the writer wrote and stays what it was, and so does every clone; in the end nothing
//! of them is left.
//!
//! `LSD_TEST_KILL_ROUNDS` sets the number of kills (4), `LSD_TEST_SEED` the first seed; each round goes on with what the round before
//! left.
use super::crash_prefix::{BUSY_BEHIND, DEPTH, ENDLESS, FLUSH_EVERY, last_number, number_from_environment};
use crate::common::{Ceph, Finished, Image, built, compiled_program, scratch_dir};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// So many of each at most: more are only slower.
const SNAPSHOTS: usize = 8;
const CLONES: usize = 5;
const PATIENCE: Duration = Duration::from_secs(120);

/// A random number of a seed's, each from the one before.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (self.0 >> 33) % end
    }

    fn one_of<'a>(&mut self, names: &'a BTreeMap<String, PathBuf>) -> Option<&'a String> {
        let index = self.below(names.len().max(1) as u64);
        names.keys().nth(index as usize)
    }
}

/// What a command was to do.
#[derive(Clone, Debug)]
enum Deed {
    Take(String),
    Remove(String),
    Clone { snapshot: String, clone: String },
    Flatten(String),
    RemoveClone(String),
}

struct Family {
    ceph: Ceph,
    disk: Image,
    dir: tempfile::TempDir,
    dice: Dice,
    count: u64,
    /// What is in each, as files of states. Of a new snapshot that is known only when it was looked at.
    snapshots: BTreeMap<String, PathBuf>,
    clones: BTreeMap<String, PathBuf>,
}

/// What one round did to the family: what is certain by now, and what a command may have done that was killed, or was told that the image is busy.
#[derive(Default)]
struct Round {
    taken: BTreeSet<String>,
    cloned: BTreeMap<String, String>,
    unsure: Vec<Deed>,
}

impl Family {
    fn lsd(&self, words: &[&str]) -> crate::common::Cmd {
        self.ceph.client(built("lsd")).args(words).timeout(PATIENCE)
    }

    fn at(&self, snapshot: &str) -> String {
        format!("{}@{snapshot}", self.disk.spec())
    }

    fn named(&self, clone: &str) -> String {
        format!("{}/{clone}", self.disk.pool)
    }

    fn prefix(&self, word: &str, image: &str, more: &[&str]) -> Finished {
        let words = [word, self.disk.pool.as_str(), image];
        self.ceph.client(compiled_program("prefix")).args(words).args(more).timeout(PATIENCE).run()
    }

    fn same(&self, image: &str, state: &Path, snapshot: &str) -> Finished {
        self.prefix("same", image, &[state.to_str().unwrap(), snapshot])
    }

    fn expect_same(&self, image: &str, state: &Path, snapshot: &str, when: &str) {
        let same = self.same(image, state, snapshot);
        assert_eq!(same.code, Some(0), "{image}@{snapshot} is not what it was, {when}: {same}");
    }

    fn deed(&mut self, round: &Round) -> Deed {
        self.count += 1;
        let count = self.count;
        let snapshot = self.dice.one_of(&self.snapshots).cloned();
        let clone = self.dice.one_of(&self.clones).cloned();
        let may_take = self.snapshots.len() + round.taken.len() < SNAPSHOTS;
        match (self.dice.below(100), snapshot, clone) {
            (0..40, _, _) if may_take => Deed::Take(format!("s{count}")),
            (0..55, Some(snapshot), _) => Deed::Remove(snapshot),
            (0..80, Some(snapshot), _) if self.clones.len() + round.cloned.len() < CLONES => {
                Deed::Clone { snapshot, clone: format!("{}-c{count}", self.disk.name) }
            }
            (0..90, _, Some(clone)) => Deed::Flatten(clone),
            (_, _, Some(clone)) => Deed::RemoveClone(clone),
            (_, Some(snapshot), _) if !may_take => Deed::Remove(snapshot),
            _ => Deed::Take(format!("s{count}")),
        }
    }

    fn words(&self, deed: &Deed) -> Vec<String> {
        let words: [&str; 3] = match deed {
            Deed::Take(_) => ["snap", "create", "--no-progress"],
            Deed::Remove(_) => ["snap", "rm", "--no-progress"],
            Deed::Clone { .. } => ["clone", "", ""],
            Deed::Flatten(_) => ["flatten", "--no-progress", ""],
            Deed::RemoveClone(_) => ["rm", "--no-progress", ""],
        };
        let named: Vec<String> = match deed {
            Deed::Take(name) | Deed::Remove(name) => vec![self.at(name)],
            Deed::Clone { snapshot, clone } => vec![self.at(snapshot), self.named(clone)],
            Deed::Flatten(clone) | Deed::RemoveClone(clone) => vec![self.named(clone)],
        };
        words.iter().filter(|word| !word.is_empty()).map(ToString::to_string).chain(named).collect()
    }

    /// The command came to its end.
    fn done(&mut self, deed: Deed, ended: &Finished, round: &mut Round) {
        let refused = |codes: &[i32]| codes.iter().any(|code| ended.code == Some(*code));
        match deed {
            // A clone of it is being made or removed, or is flat already.
            Deed::Flatten(_) if refused(&[0, 22]) => {}
            // The writer was faster: a user would try again.
            _ if refused(&[16]) => round.unsure.push(deed),
            _ if ended.code != Some(0) => panic!("{deed:?}: {ended}"),
            Deed::Take(name) => drop(round.taken.insert(name)),
            Deed::Remove(name) => drop(self.snapshots.remove(&name)),
            Deed::Clone { snapshot, clone } => drop(round.cloned.insert(clone, snapshot)),
            Deed::RemoveClone(clone) => drop(self.clones.remove(&clone)),
            Deed::Flatten(_) => {}
        }
    }

    /// Commands, one after the other, until the writer and the last of them are killed.
    fn disturb(&mut self, until: Instant) -> Round {
        let mut round = Round::default();
        loop {
            let deed = self.deed(&round);
            let words = self.words(&deed);
            let mut running = self.lsd(&words.iter().map(String::as_str).collect::<Vec<_>>()).start();
            while running.is_alive() && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(5));
            }
            if running.is_alive() {
                let killed = running.kill();
                // It may have come to its end in between.
                match killed.code {
                    Some(_) => self.done(deed, &killed, &mut round),
                    None => round.unsure.push(deed),
                }
                return round;
            }
            let ended = running.wait(PATIENCE);
            self.done(deed, &ended, &mut round);
            if Instant::now() >= until {
                return round;
            }
        }
    }

    fn listed(&self) -> (BTreeSet<String>, BTreeSet<String>) {
        let names = |value: &serde_json::Value| -> BTreeSet<String> {
            let name = |one: &serde_json::Value| one["name"].as_str().or(one.as_str()).unwrap().to_owned();
            value.as_array().unwrap().iter().map(name).collect()
        };
        let snapshots = self.lsd(&["snap", "ls", "--format", "json", &self.disk.spec()]).ok().json();
        let images = self.lsd(&["ls", "--format", "json", &self.disk.pool]).ok().json();
        let is_clone = |name: &String| name.starts_with(&format!("{}-c", self.disk.name));
        (names(&snapshots), names(&images).into_iter().filter(is_clone).collect())
    }

    /// Everything is what it should be, and is known from here on. `base`: the state in which the round of this seed began.
    fn look(&mut self, seed: u64, base: &Path, round: Round) {
        let when = format!("seed {seed}, {:?} was killed", round.unsure);
        let (snapshots, clones) = self.listed();
        let Round { taken, mut cloned, unsure } = round;
        let mut may_be = BTreeSet::new();
        for deed in unsure {
            match deed {
                Deed::Take(name) => drop(may_be.insert(name)),
                Deed::Remove(name) if !snapshots.contains(&name) => drop(self.snapshots.remove(&name)),
                Deed::Clone { snapshot, clone } if clones.contains(&clone) => drop(cloned.insert(clone, snapshot)),
                Deed::RemoveClone(clone) => {
                    // What has begun is ended.
                    let again = self.lsd(&["rm", "--no-progress", &self.named(&clone)]).run();
                    assert!(matches!(again.code, Some(0 | 2)), "{when}: {again}");
                    self.clones.remove(&clone);
                }
                _ => {}
            }
        }
        for name in taken.iter().chain(may_be.intersection(&snapshots)) {
            let saved = self.dir.path().join(name);
            let words = [base.to_str().unwrap(), &seed.to_string(), name, saved.to_str().unwrap()];
            let found = self.prefix("look", &self.disk.name, &words);
            assert_eq!(found.code, Some(0), "snapshot {name} is no prefix, {when}: {found}");
            self.snapshots.insert(name.clone(), saved);
        }
        for (clone, snapshot) in cloned {
            // Its snapshot may be gone by now.
            let state = self.dir.path().join(&snapshot);
            self.clones.insert(clone, state);
        }
        let known: BTreeSet<String> = self.snapshots.keys().cloned().collect();
        assert_eq!(snapshots, known, "{when}");
        for (name, state) in &self.snapshots {
            self.expect_same(&self.disk.name, state, name, &when);
        }
        for (clone, state) in &self.clones {
            self.expect_same(clone, state, "-", &when);
        }
    }

    /// Half of them are killed on the way: then it happened as a whole, or not at all.
    fn roll_back(&mut self, seed: u64, state: &Path) {
        let Some(name) = self.dice.one_of(&self.snapshots).cloned() else { return };
        let running = self.lsd(&["snap", "rollback", "--no-progress", &self.at(&name)]).start();
        let ended = if self.dice.below(2) == 0 {
            std::thread::sleep(Duration::from_millis(self.dice.below(400)));
            running.kill()
        } else {
            running.wait(PATIENCE)
        };
        assert!(matches!(ended.code, Some(0) | None), "seed {seed}: rollback to {name}: {ended}");
        let target = self.snapshots[&name].clone();
        if ended.code.is_none() && self.same(&self.disk.name, state, "-").code == Some(0) {
            return;
        }
        self.expect_same(&self.disk.name, &target, "-", &format!("seed {seed}: rolled back to {name}"));
        std::fs::copy(&target, state).unwrap();
    }

    fn round(&mut self, seed: u64, state: &Path) {
        let base = self.dir.path().join("base");
        if state.exists() {
            std::fs::copy(state, &base).unwrap();
        }
        let (pool, name, number) = (self.disk.pool.clone(), self.disk.name.clone(), seed.to_string());
        let words = ["write", &pool, &name, state.to_str().unwrap(), &number, ENDLESS, DEPTH, FLUSH_EVERY];
        let mut writer = self.ceph.client(compiled_program("prefix")).args(words).start();
        writer.wait_for_text("flushed", PATIENCE);
        let until = Instant::now() + Duration::from_millis(self.dice.below(4000));
        let round = self.disturb(until);
        let killed = writer.kill();
        assert_eq!(killed.signal, Some(9), "seed {seed}: the writer ended by itself: {killed}");
        let flushed = last_number(&killed, "flushed").unwrap();
        let checked = self.prefix("check", &name, &[state.to_str().unwrap(), &number, &flushed.to_string()]);
        assert_eq!(checked.code, Some(0), "seed {seed}, {flushed} flushed: {checked}");
        self.look(seed, &base, round);
        if self.dice.below(4) == 0 {
            self.roll_back(seed, state);
        }
    }

    /// All of it goes, and leaves nothing.
    fn end(&mut self) {
        for clone in self.clones.keys() {
            self.lsd(&["rm", "--no-progress", &self.named(clone)]).ok();
        }
        self.lsd(&["snap", "purge", "--no-progress", &self.disk.spec()]).ok();
        // What was killed half-way may have left a clone that has no name.
        let checked = self.lsd(&["check", "--repair", &self.disk.spec()]).run();
        assert_eq!(checked.code, Some(0), "{checked}");
        self.lsd(&["rm", "--no-progress", &self.disk.spec()]).ok();
        let of_images =
            |name: &String| ["lsd_data.", "lsd_map.", "lsd_header."].iter().any(|kind| name.starts_with(kind));
        let left: Vec<String> = self.ceph.objects(&self.disk.pool).into_iter().filter(of_images).collect();
        assert_eq!(left, Vec::<String>::new());
    }
}

#[test]
fn snapshots_and_clones_stay_what_they_were_whatever_is_killed() {
    let ceph = requires_ceph!().with_short_watches().with_client_conf(&BUSY_BEHIND);
    let pool = format!("family{}", std::process::id());
    ceph.make_pool(&pool);
    let disk = ceph.image_in(&pool, "family").create("16M");
    let dir = scratch_dir();
    let state = dir.path().join("state");
    let first = number_from_environment("LSD_TEST_SEED", 5000);
    let (snapshots, clones) = (BTreeMap::new(), BTreeMap::new());
    let mut family = Family { ceph, disk, dir, dice: Dice(first), count: 0, snapshots, clones };
    for seed in first..first + number_from_environment("LSD_TEST_KILL_ROUNDS", 4) {
        family.round(seed, &state);
        println!("seed {seed}: {} snapshots and {} clones", family.snapshots.len(), family.clones.len());
    }
    family.end();
    let Family { ceph, disk, .. } = family;
    // Before its pool.
    drop(disk);
    ceph.remove_pool(&pool);
}
