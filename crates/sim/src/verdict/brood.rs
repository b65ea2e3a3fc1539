//! The clones that clients of a run made: what each must hold, and whether it may be there.
//!
//! Owns: what was asked for and told of each, judging contents. Does not own: what was in the snapshot (`album.rs`). One client at a time
//! works with clones, so nothing changes while somebody looks.
use crate::verdict::album::{Fate, one_of};
use crate::verdict::owners::Found;
use crate::world::disk::Stamp;
use lsd_engine::ImageId;
use rand::rngs::StdRng;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The place of a clone in the brood.
pub type Key = usize;

#[derive(Clone, Debug)]
struct Clone {
    id: ImageId,
    /// What each granule may hold: what was there, and what writes left there of which nobody knows the outcome.
    content: Vec<Vec<Stamp>>,
    size: u64,
    fate: Fate,
    /// Whoever made it was told that it is made.
    is_named: bool,
    /// The clone that it is a clone of; `None`: the image.
    parent: Option<Key>,
}

/// A clone to do something with.
#[derive(Clone, Debug)]
pub struct Picked {
    pub key: Key,
    pub id: ImageId,
    /// It is certain that it is there.
    pub certain: bool,
    /// It is certain that it has its name.
    pub is_named: bool,
    pub has_children: bool,
}

#[derive(Default)]
pub struct Brood(Mutex<Vec<Clone>>);

impl Brood {
    fn lock(&self) -> MutexGuard<'_, Vec<Clone>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many may be there.
    pub fn count(&self) -> usize {
        self.lock().iter().filter(|clone| clone.fate != Fate::Gone).count()
    }

    pub fn begin_clone(&self, id: ImageId, found: &Found, parent: Option<Key>) -> Key {
        let mut all = self.lock();
        let content = found.stamps.iter().map(|stamp| vec![*stamp]).collect();
        all.push(Clone { id, content, size: found.size, fate: Fate::Wanted, is_named: false, parent });
        all.len() - 1
    }

    /// Its maker was told so.
    pub fn is_made(&self, key: Key) {
        self.is_there(key);
        self.lock()[key].is_named = true;
    }

    /// It is there.
    pub fn is_there(&self, key: Key) {
        let fate = &mut self.lock()[key].fate;
        if *fate == Fate::Wanted {
            *fate = Fate::There;
        }
    }

    /// It is not there, and will not be.
    pub fn is_gone(&self, key: Key) {
        self.lock()[key].fate = Fate::Gone;
    }

    pub fn begin_remove(&self, key: Key) {
        self.lock()[key].fate = Fate::Unwanted;
    }

    /// A write of these granules that may or may not take effect.
    pub fn begin_write(&self, key: Key, first: usize, count: usize, stamp: Stamp) {
        let clone = &mut self.lock()[key];
        clone.content[first..first + count].iter_mut().for_each(|may| may.push(stamp));
    }

    /// The write took effect.
    pub fn written(&self, key: Key, first: usize, count: usize, stamp: Stamp) {
        let clone = &mut self.lock()[key];
        clone.content[first..first + count].iter_mut().for_each(|may| *may = vec![stamp]);
    }

    /// Judges what an owner found.
    pub fn check(&self, key: Key, found: &Found) -> Result<(), String> {
        let clone = &mut self.lock()[key];
        if clone.size != found.size {
            return Err(format!("its size is {}, and should be {}", found.size, clone.size));
        }
        for (at, (may, is)) in clone.content.iter_mut().zip(&found.stamps).enumerate() {
            if !may.contains(is) {
                return Err(format!("granule {at} has {is}, and should have one of {may:?}"));
            }
            *may = vec![*is];
        }
        Ok(())
    }

    /// One that is there, or may be.
    pub fn pick(&self, random: &mut StdRng) -> Option<Picked> {
        one_of(random, self.all())
    }

    /// All that are there, or may be.
    pub fn all(&self) -> Vec<Picked> {
        let all = self.lock();
        let has_children = |key: Key| all.iter().any(|clone| clone.parent == Some(key) && clone.fate != Fate::Gone);
        let there = all.iter().enumerate().filter(|(_, clone)| clone.fate != Fate::Gone);
        there
            .map(|(key, clone)| Picked {
                key,
                id: clone.id.clone(),
                certain: clone.fate == Fate::There,
                is_named: clone.is_named,
                has_children: has_children(key),
            })
            .collect()
    }
}
