//! An open image in memory: its map, its buffers, its end of the log, and what events do to them.
//!
//! Owns: the decisions that are made under the image's one lock. An event goes in (a write, a discard, a batch that is durable,
//! somebody who waits), and what has to be appended to the log comes out as jobs. The rules that protect data are in
//! [`protocol`], what must not be deleted in [`pins`], the bounds in [`limits`].
//! Does not own: I/O, threads, waiting, the clock. Time is an event like any other ([`state::State::tell_time`]).
pub mod buffers;
pub mod fault;
pub mod limits;
pub mod lineage;
pub mod log;
pub mod pins;
mod places;
pub mod protocol;
pub mod range_locks;
pub mod segments;
pub mod state;
pub mod throttle;
pub mod view;

pub use fault::{Fault, Result};
