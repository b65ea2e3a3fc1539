//! What is right: the content of the disk, and what clients are told.
//!
//! It looks at the world; it does not know who does what in a run.
pub mod album;
pub mod brood;
pub mod check;
pub mod eras;
pub mod history;
pub mod judge;
pub mod moved;
pub mod owners;
pub mod ticks;
