//! The world that clients live in: a disk to write, a network with faults, a store behind it, a clock.
//!
//! It tells the record what happens in it, and knows nothing of what is right or of who does what.
pub mod clock;
pub mod disk;
pub mod faults;
pub mod net;
pub mod store;
