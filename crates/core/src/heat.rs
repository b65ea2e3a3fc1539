//! How much is overwritten where: pure policy.
//!
//! Owns: recent writes by leaf of the image, and what they say about a place. Does not own: what is done with it (which segments a
//! write goes to, where a copy goes).
//!
//! Images have hot regions: tables, journals, swap. Where little is overwritten a write lives long, and among short-lived ones it
//! would have to be copied out when their segment is collected (docs/adr/0007).
use crate::units::LeafNo;
use std::collections::BTreeMap;

/// Writes of this part of the live bytes are remembered in full, older ones count half as much, and so on.
const WINDOW_FRACTION: u64 = 8;
/// A place with so many times less, or more, than the average is cold, or hot. Where nothing stands out nothing is divided.
const CONTRAST: u64 = 2;

/// What is known about a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Temperature {
    Cold,
    /// Nothing stands out, or too little was seen.
    Even,
    Hot,
}

/// Recent writes, bytes by leaf.
#[derive(Clone, Debug, Default)]
pub struct Heat {
    by_leaf: BTreeMap<LeafNo, u64>,
    total: u64,
    window: u64,
}

impl Heat {
    /// `bytes` were written into a leaf of an image with `live` bytes of content (a small one: what it counts as having).
    pub fn note(&mut self, leaf: LeafNo, bytes: u64, live: u64) {
        *self.by_leaf.entry(leaf).or_default() += bytes;
        self.total += bytes;
        self.window = live / WINDOW_FRACTION;
        if self.total >= self.window {
            self.by_leaf.retain(|_, bytes| {
                *bytes /= 2;
                *bytes > 0
            });
            self.total = self.by_leaf.values().sum();
        }
    }

    /// A leaf of an image that has content in `leaves` of them.
    #[must_use]
    pub fn temperature(&self, leaf: LeafNo, leaves: usize) -> Temperature {
        if self.total < self.window / 4 || self.total == 0 {
            return Temperature::Even;
        }
        // In comparison with the average, total / leaves.
        let own = u128::from(self.by_leaf.get(&leaf).copied().unwrap_or(0)) * leaves as u128;
        let total = u128::from(self.total);
        match () {
            () if own * u128::from(CONTRAST) < total => Temperature::Cold,
            () if own > total * u128::from(CONTRAST) => Temperature::Hot,
            () => Temperature::Even,
        }
    }
}

#[cfg(test)]
mod tests;
