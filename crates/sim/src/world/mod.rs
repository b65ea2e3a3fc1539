//! The world that clients live in: a disk to write, a network with faults, a store behind it.
pub mod disk;
pub mod faults;
pub mod net;
pub mod store;
