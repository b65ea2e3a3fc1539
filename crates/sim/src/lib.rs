//! Deterministic simulation of the whole engine.
//!
//! Owns: a store that loses, delays, reorders and fails operations and lets those of dead clients arrive late; clients that
//! crash at any step; the oracle that says which content is right. Does not own: anything that a user runs.
//!
//! A run is a function of its seed: virtual time, one thread, no other randomness. `cargo run -p lsd-sim -- --seed N
//! --trace` shows one.
mod options;
mod record;
mod run;
mod verdict;
mod world;

pub use record::report::{Coverage, Failure};
pub use run::{Outcome, run};

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Runs seeds from `first` on, until `enough` says so of what was covered, on `threads` threads; after the first failure no further seed
/// begins. Returns what was covered and every failure.
pub fn run_many(first: u64, threads: u64, enough: &(dyn Fn(&Coverage) -> bool + Sync)) -> (Coverage, Vec<Failure>) {
    let total = Mutex::new((Coverage::default(), Vec::new()));
    let next = AtomicU64::new(first);
    let lock = || total.lock().unwrap_or_else(PoisonError::into_inner);
    let done = || {
        let total = lock();
        !total.1.is_empty() || enough(&total.0)
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !done() {
                    let outcome = run(next.fetch_add(1, Ordering::Relaxed), false);
                    let mut total = lock();
                    total.0 += &outcome.coverage;
                    total.1.extend(outcome.failure);
                }
            });
        }
    });
    total.into_inner().unwrap_or_else(PoisonError::into_inner)
}
