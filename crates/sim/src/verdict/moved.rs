//! What an image that migrates must hold, whichever image that is: its content, and its snapshots by their names.
//!
//! Owns: what was asked for and told, judging lists and contents. Does not own: who works with it (`run/mover.rs`). One client at a time
//! works with the image, so nothing changes while it looks.
use crate::verdict::album::Fate;
use crate::verdict::owners::Found;
use crate::world::disk::{Stamp, ZERO};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

struct Snap {
    fate: Fate,
    content: Vec<Stamp>,
}

struct Inner {
    size: u64,
    /// What each granule may hold: what was there, and what writes left there of which nobody knows the outcome.
    content: Vec<Vec<Stamp>>,
    snaps: BTreeMap<String, Snap>,
}

pub struct Moved(Mutex<Inner>);

impl Moved {
    /// Of an image that nobody has written to.
    pub fn new(size: u64, granules: usize) -> Self {
        Self(Mutex::new(Inner { size, content: vec![vec![ZERO]; granules], snaps: BTreeMap::new() }))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A write of these granules that may or may not take effect.
    pub fn begin_write(&self, first: usize, count: usize, stamp: Stamp) {
        self.lock().content[first..first + count].iter_mut().for_each(|may| may.push(stamp));
    }

    /// The write took effect.
    pub fn written(&self, first: usize, count: usize, stamp: Stamp) {
        self.lock().content[first..first + count].iter_mut().for_each(|may| *may = vec![stamp]);
    }

    /// Of what is there now: nobody has a write under way.
    pub fn begin_snapshot(&self, name: &str) {
        let inner = &mut *self.lock();
        let content = inner.content.iter().map(|may| may[0]).collect();
        inner.snaps.insert(name.to_owned(), Snap { fate: Fate::Wanted, content });
    }

    pub fn begin_remove(&self, name: &str) {
        self.settle(name, Fate::Unwanted);
    }

    /// What was asked for of a snapshot happened.
    pub fn settle(&self, name: &str, fate: Fate) {
        if let Some(snap) = self.lock().snaps.get_mut(name) {
            snap.fate = fate;
        }
    }

    /// Judges what an owner found in the image.
    pub fn check(&self, found: &Found) -> Result<(), String> {
        let inner = &mut *self.lock();
        if inner.size != found.size {
            return Err(format!("the size is {}, and should be {}", found.size, inner.size));
        }
        for (at, (may, is)) in inner.content.iter_mut().zip(&found.stamps).enumerate() {
            if !may.contains(is) {
                return Err(format!("granule {at} has {is}, and should have one of {may:?}"));
            }
            *may = vec![*is];
        }
        Ok(())
    }

    /// Judges the names that an owner found.
    pub fn check_names(&self, names: &[String]) -> Result<(), String> {
        let inner = &mut *self.lock();
        if let Some(name) = names.iter().find(|name| !inner.snaps.contains_key(*name)) {
            return Err(format!("nobody asked for the snapshot {name:?}"));
        }
        for (name, snap) in &mut inner.snaps {
            match (snap.fate, names.contains(name)) {
                (Fate::There, false) => return Err(format!("the snapshot {name:?} is missing")),
                (Fate::Gone, true) => return Err(format!("the snapshot {name:?} was removed")),
                (_, true) => snap.fate = Fate::There,
                (_, false) => snap.fate = Fate::Gone,
            }
        }
        Ok(())
    }

    /// Judges what a snapshot shows.
    pub fn check_snapshot(&self, name: &str, found: &Found) -> Result<(), String> {
        let inner = self.lock();
        let Some(snap) = inner.snaps.get(name) else { return Ok(()) };
        match snap.content.iter().zip(&found.stamps).position(|(must, is)| must != is) {
            Some(at) => {
                let (must, is) = (snap.content[at], found.stamps[at]);
                Err(format!("granule {at} of the snapshot {name:?} has {is}, and should have {must}"))
            }
            None if found.size != inner.size => Err(format!("the snapshot {name:?} has {} bytes", found.size)),
            None => Ok(()),
        }
    }

    /// Snapshots that are there.
    pub fn names(&self) -> Vec<String> {
        let inner = self.lock();
        inner.snaps.iter().filter(|(_, snap)| snap.fate == Fate::There).map(|(name, _)| name.clone()).collect()
    }
}
