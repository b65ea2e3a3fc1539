//! The order of what clients issue and are told, over all histories of a run.
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A moment: every issue and every return has its own.
pub type Tick = u64;

/// Counts the moments; clones count together.
#[derive(Clone, Debug)]
pub struct Ticks(Arc<AtomicU64>);

impl Ticks {
    pub fn new() -> Self {
        Self(Arc::new(AtomicU64::new(1)))
    }

    /// The last moment.
    pub fn now(&self) -> Tick {
        self.0.load(Ordering::Relaxed)
    }

    pub fn next(&self) -> Tick {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }
}
