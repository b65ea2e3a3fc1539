//! The pure part of lsd: formats, extent map, frontier and replay.
//!
//! Owns: what bytes mean and what state follows from them. Does not own: I/O, async, time, randomness, threads;
//! those are the engine's, and nothing here names them.
pub mod format;
pub mod frontier;
pub mod gc;
pub mod heat;
pub mod map;
pub mod rate;
pub mod replay;
pub mod units;
