//! Garbage collection against the writers: when it runs, and when they wait for it.
//!
//! Owns: the state between the thresholds (running, resting) of one owner. Does not own: the thresholds and the choice of
//! victims (`lsd_core::gc`), the work (`collect/`), waiting (`shared/`).
use lsd_core::gc::{Space, Thresholds};

/// While collection has nothing to gain it rests until garbage has grown by this part of the live bytes.
const REST_FRACTION: u64 = 32;

/// For a store without room garbage is worth collecting from this part of the live bytes on, and from so many bytes on.
const PRESSED_FRACTION: u64 = 16;
const PRESSED_LEAST_BYTES: u64 = 1 << 20;

#[derive(Clone, Copy, Debug, Default)]
pub struct GcThrottle {
    /// `None`: this handle does not collect.
    thresholds: Option<Thresholds>,
    /// Collection began and has not reached the lower threshold.
    is_running: bool,
    /// Collection rests until there is more garbage than this, bytes.
    resting_until: Option<u64>,
    /// Dead bytes that the last checkpoint had to leave.
    dead_left: u64,
    /// The pool is full: every dead segment is worth a checkpoint.
    is_full: bool,
    /// The store has no room for a write: whatever garbage there is is worth collecting.
    is_pressed: bool,
}

impl GcThrottle {
    pub fn start(&mut self, thresholds: Option<Thresholds>) {
        *self = Self { thresholds, ..Self::default() };
    }

    /// Whether collection should copy something now.
    pub fn is_due(&mut self, space: &Space) -> bool {
        let Some(thresholds) = self.thresholds else { return false };
        if self.is_resting(space) {
            return false;
        }
        self.resting_until = None;
        if self.is_pressed {
            let scattered = space.active().saturating_sub(space.live);
            self.is_running = scattered > (space.live / PRESSED_FRACTION).max(PRESSED_LEAST_BYTES);
            return self.is_running;
        }
        self.is_running = if self.is_running { !thresholds.is_done(space) } else { thresholds.is_due(space) };
        self.is_running
    }

    /// What is written now will probably be collected: the live bytes by which to judge where much is written.
    pub fn heat_scale(&self, space: &Space) -> Option<u64> {
        let thresholds = self.thresholds.filter(|thresholds| thresholds.is_near(space))?;
        Some(thresholds.scale(space))
    }

    /// Whether dead segments are worth a checkpoint of their own.
    pub fn wants_checkpoint(&self, space: &Space) -> bool {
        let since = Space { dead: space.dead.saturating_sub(self.dead_left), ..*space };
        self.thresholds.is_some_and(|thresholds| {
            ((self.is_full || self.is_pressed) && since.dead > 0) || thresholds.wants_checkpoint(&since)
        })
    }

    /// Whether writers wait. They never wait for a collection that rests: it would not help them.
    pub fn holds_writers(&self, space: &Space) -> bool {
        !self.is_resting(space) && self.thresholds.is_some_and(|thresholds| thresholds.is_exceeded(space))
    }

    pub fn set_full(&mut self, is_full: bool) {
        self.is_full = is_full;
    }

    /// The store has no room for a write, or has it again.
    pub fn press(&mut self, is_pressed: bool) {
        self.is_pressed = is_pressed;
    }

    /// Nothing can be gained at present.
    pub fn rest(&mut self, space: &Space) {
        let scale = match self.thresholds {
            Some(thresholds) if !self.is_pressed => thresholds.scale(space),
            _ => space.live,
        };
        self.is_running = false;
        self.resting_until = Some(garbage(space) + scale / REST_FRACTION);
    }

    /// A checkpoint deleted what it could.
    pub fn swept(&mut self, space: &Space) {
        self.dead_left = space.dead;
    }

    fn is_resting(&self, space: &Space) -> bool {
        self.resting_until.is_some_and(|until| garbage(space) <= until)
    }
}

fn garbage(space: &Space) -> u64 {
    space.stored - space.live.min(space.stored)
}

#[cfg(test)]
mod tests;
