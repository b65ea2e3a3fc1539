//! What may be told again and again, such as each hand-over between two writers who take an image from each other.
//!
//! Owns: that the first is told, and then one a minute, with how many were not. Does not own: the words (`tell.rs`); states that
//! begin and end, which are told at both.
use crate::api::limits::TOLD_AGAIN;
use std::sync::{Mutex, PoisonError};
use tokio::time::Instant;

/// One kind of line.
#[derive(Debug, Default)]
pub struct Seldom(Mutex<Option<Last>>);

/// The last one that was told.
#[derive(Debug)]
struct Last {
    at: Instant,
    /// So many came since.
    left_out: u64,
}

impl Seldom {
    /// Calls `tell` if it is time for a line, with how many were left out before it.
    pub fn tell(&self, tell: impl FnOnce(Option<u64>)) {
        if let Some(left_out) = self.admit() {
            tell((left_out > 0).then_some(left_out));
        }
    }

    fn admit(&self) -> Option<u64> {
        let now = Instant::now();
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *last {
            Some(last) if now < last.at + TOLD_AGAIN => {
                last.left_out += 1;
                None
            }
            last => last.replace(Last { at: now, left_out: 0 }).map_or(Some(0), |before| Some(before.left_out)),
        }
    }
}

#[cfg(test)]
mod tests;
