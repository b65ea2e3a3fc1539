//! The snapshots that clients of a run took: what each may be called, what it must hold, and whether it may be there.
//!
//! Owns: what was asked for and told of each, and judging lists and contents. Does not own: which content is a point of a history
//! (`check.rs`), which histories there were (`owners.rs`).
//!
//! One change of a snapshot is under way at a time. Once nobody knows what became of one, both outcomes stay possible, and the
//! snapshot is only looked at until the run ends.
use crate::verdict::history::lock;
use crate::verdict::owners::{Found, Owners};
use crate::verdict::ticks::Tick;
use crate::world::disk::Disk;
use lsd_engine::{SnapInfo, SnapNamespace};
use rand::Rng;
use rand::rngs::StdRng;
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The place of a snapshot in the album.
pub type Key = usize;

/// Whether something that clients make and remove may be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was asked for; nobody was told that it is there.
    Wanted,
    There,
    /// Its removal was asked for.
    Unwanted,
    Gone,
}

/// Something that is one way, and maybe another by now.
#[derive(Clone, Debug)]
struct Either<T> {
    now: T,
    maybe: Option<T>,
}

impl<T: PartialEq + Clone> Either<T> {
    fn sure(now: T) -> Self {
        Self { now, maybe: None }
    }

    fn allows(&self, seen: &T) -> bool {
        self.now == *seen || self.maybe.as_ref() == Some(seen)
    }

    /// What was asked for happened, or it did not.
    fn settle(&mut self, happened: bool) {
        let maybe = self.maybe.take();
        if let Some(new) = maybe.filter(|_| happened) {
            self.now = new;
        }
    }
}

/// How a change ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    Done,
    /// It did not happen, and will not.
    Refused,
    Unknown,
}

#[derive(Clone, Debug)]
struct Snap {
    name: Either<String>,
    protected: Either<bool>,
    fate: Fate,
    /// It was called for then, and somebody knew that it is there.
    called: Tick,
    until: Option<Tick>,
    /// Whoever asked for it was told that it is there: no request for it is under way any more.
    is_told: bool,
    /// Somebody is about to change it.
    busy: bool,
    /// When the last change ended.
    changed: Tick,
    id: Option<u64>,
    found: Option<Found>,
}

/// A snapshot to do something with.
#[derive(Clone, Debug)]
pub struct Picked {
    pub key: Key,
    pub name: String,
    pub id: Option<u64>,
    pub protected: bool,
    /// Its content, once somebody has seen it.
    pub found: Option<Found>,
}

#[derive(Default)]
pub struct Album(Mutex<Vec<Snap>>);

impl Album {
    fn lock(&self) -> MutexGuard<'_, Vec<Snap>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many may be there.
    pub fn count(&self) -> usize {
        self.lock().iter().filter(|snap| snap.fate != Fate::Gone).count()
    }

    /// `name`: of no other one, now or ever.
    pub fn begin_create(&self, name: &str, called: Tick) -> Key {
        let mut all = self.lock();
        all.push(Snap {
            name: Either::sure(name.to_owned()),
            protected: Either::sure(false),
            fate: Fate::Wanted,
            called,
            until: None,
            is_told: false,
            busy: true,
            changed: called,
            id: None,
            found: None,
        });
        all.len() - 1
    }

    pub fn begin_remove(&self, key: Key) {
        self.lock()[key].fate = Fate::Unwanted;
    }

    pub fn begin_rename(&self, key: Key, to: &str) {
        self.lock()[key].name.maybe = Some(to.to_owned());
    }

    pub fn begin_protect(&self, key: Key, protect: bool) {
        self.lock()[key].protected.maybe = Some(protect);
    }

    /// The change that was begun has ended.
    pub fn end(&self, key: Key, told: Told, now: Tick) {
        let snap = &mut self.lock()[key];
        (snap.busy, snap.changed) = (false, now);
        if told == Told::Unknown {
            return;
        }
        let done = told == Told::Done;
        snap.name.settle(done);
        snap.protected.settle(done);
        match snap.fate {
            Fate::Wanted if done => {
                (snap.fate, snap.is_told) = (Fate::There, true);
                snap.until.get_or_insert(now);
            }
            Fate::There if !snap.is_told && done => snap.is_told = true,
            Fate::Wanted => snap.fate = Fate::Gone,
            Fate::Unwanted => snap.fate = if done { Fate::Gone } else { Fate::There },
            Fate::There | Fate::Gone => {}
        }
    }

    /// One that nobody changes and of which everything is known; it is busy from now on.
    pub fn pick(&self, random: &mut StdRng, fits: &dyn Fn(&Picked) -> bool) -> Option<Picked> {
        let mut all = self.lock();
        let known = |snap: &Snap| snap.name.maybe.is_none() && snap.protected.maybe.is_none() && !snap.busy;
        let picked: Vec<Picked> = all
            .iter()
            .enumerate()
            .filter(|(_, snap)| snap.fate == Fate::There && snap.is_told && known(snap))
            .map(|(key, snap)| snap.picked(key))
            .filter(fits)
            .collect();
        let picked = one_of(random, picked)?;
        all[picked.key].busy = true;
        Some(picked)
    }

    /// One that may be there, whatever others do with it.
    pub fn glance(&self, random: &mut StdRng) -> Option<Picked> {
        one_of(random, self.all())
    }

    /// All that may be there.
    pub fn all(&self) -> Vec<Picked> {
        let all = self.lock();
        let there = all.iter().enumerate().filter(|(_, snap)| matches!(snap.fate, Fate::There | Fate::Unwanted));
        there.map(|(key, snap)| snap.picked(key)).collect()
    }

    pub fn free(&self, key: Key) {
        self.lock()[key].busy = false;
    }

    /// True if one that was not found, by a call at `called`, may have been gone or called otherwise by then.
    pub fn may_be_missing(&self, key: Key, by_name: Option<&str>, called: Tick) -> bool {
        let snap = &self.lock()[key];
        let there = snap.fate == Fate::There && snap.until.is_some_and(|until| until < called);
        let name = &snap.name;
        let renamed = |by: &str| name.now != by || name.maybe.is_some() || snap.changed >= called;
        !there || by_name.is_some_and(renamed)
    }

    /// True if its removal was acknowledged before.
    pub fn is_gone(&self, key: Key, before: Tick) -> bool {
        let snap = &self.lock()[key];
        snap.fate == Fate::Gone && snap.changed < before
    }

    /// Judges what a list says that was called for at `called`.
    pub fn check_list(&self, list: &[SnapInfo], called: Tick, now: Tick) -> Result<(), String> {
        let mut all = self.lock();
        let mut seen = BTreeSet::new();
        for info in list {
            if matches!(info.namespace, SnapNamespace::Trash { .. }) {
                // Its removal was called for, and it has clones.
                let is_removed = |snap: &Snap| matches!(snap.fate, Fate::Gone | Fate::Unwanted);
                match all.iter().any(|snap| snap.id.is_none_or(|id| id == info.id) && is_removed(snap)) {
                    true => continue,
                    false => return Err(format!("nobody removed this snapshot: {info:?}")),
                }
            }
            let is_it = |snap: &Snap| match snap.id {
                Some(id) => id == info.id,
                None => snap.fate != Fate::Gone && snap.name.allows(&info.name),
            };
            let key = all.iter().position(is_it).ok_or_else(|| format!("nobody asked for this snapshot: {info:?}"))?;
            if !seen.insert(key) {
                return Err(format!("the same snapshot twice: {list:?}"));
            }
            all[key].check_info(info, called, now)?;
        }
        for (key, snap) in all.iter().enumerate().filter(|(key, _)| !seen.contains(key)) {
            let certain = snap.fate == Fate::There && !snap.busy && snap.changed < called;
            if certain && snap.until.is_some_and(|until| until < called) {
                return Err(format!("snapshot {key} is missing in {list:?}: {snap:?}", snap = snap.brief()));
            }
        }
        if list.windows(2).any(|pair| pair[0].id >= pair[1].id) {
            return Err(format!("the order of creation is lost: {list:?}"));
        }
        Ok(())
    }

    /// Judges the content of a snapshot: it is a point of the order of writes, and always the same.
    pub fn check_content(&self, key: Key, found: &Found, owners: &Owners, disk: &Disk) -> Result<(), String> {
        let snap = self.lock()[key].clone();
        if let Some(before) = &snap.found {
            return same(before, found).map_err(|why| format!("snapshot {key} has changed: {why}"));
        }
        let until = snap.until.unwrap_or_else(|| owners.tick());
        let end = disk.first_beyond(found.size);
        let mut reasons = Vec::new();
        for era in owners.eras(snap.called, until) {
            let strict = era.is_whole_until(until);
            let mut history = lock(&era.history);
            let sizes = history.sizes_between(snap.called, until);
            let checked = match sizes.contains(&found.size) {
                true => history.check_snapshot(&found.stamps, (snap.called, until), strict, end),
                false => Err(format!("its size is {}, and should be one of {sizes:?}", found.size)),
            };
            match checked {
                Ok(()) => {
                    history.is_kept(&found.stamps[..end].iter().copied().collect());
                    self.lock()[key].found = Some(found.clone());
                    return Ok(());
                }
                Err(why) => reasons.push(why),
            }
        }
        Err(format!(
            "snapshot {key} ({}) is no point of the order of writes: {}",
            snap.brief(),
            reasons.join("; or else: ")
        ))
    }
}

impl Snap {
    fn picked(&self, key: Key) -> Picked {
        let (name, found) = (self.name.now.clone(), self.found.clone());
        Picked { key, name, id: self.id, protected: self.protected.now, found }
    }

    fn check_info(&mut self, info: &SnapInfo, called: Tick, now: Tick) -> Result<(), String> {
        let settled = self.changed < called;
        if settled && self.fate == Fate::Gone {
            return Err(format!("its removal was acknowledged: {info:?}"));
        }
        if settled && !self.name.allows(&info.name) {
            return Err(format!("its name should be {:?}: {info:?}", self.name));
        }
        if settled && !self.protected.allows(&info.is_protected) {
            return Err(format!("it should be protected {:?}: {info:?}", self.protected));
        }
        if let Some(found) = self.found.as_ref().filter(|found| found.size != info.size) {
            return Err(format!("its size was {}: {info:?}", found.size));
        }
        self.id = Some(info.id);
        self.until.get_or_insert(now);
        if self.fate == Fate::Wanted {
            self.fate = Fate::There;
        }
        Ok(())
    }

    fn brief(&self) -> String {
        let Self { name, fate, called, until, busy, changed, .. } = self;
        format!("{name:?} {fate:?} called {called} until {until:?} busy {busy} changed {changed}")
    }
}

fn same(before: &Found, found: &Found) -> Result<(), String> {
    if before.size != found.size {
        return Err(format!("its size was {} and is {}", before.size, found.size));
    }
    match before.stamps.iter().zip(&found.stamps).position(|(before, found)| before != found) {
        Some(at) => Err(format!("granule {at} had {} and has {}", before.stamps[at], found.stamps[at])),
        None => Ok(()),
    }
}

pub(super) fn one_of<T>(random: &mut StdRng, mut from: Vec<T>) -> Option<T> {
    if from.is_empty() {
        return None;
    }
    let index = random.random_range(0..from.len());
    Some(from.swap_remove(index))
}
