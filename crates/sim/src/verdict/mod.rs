//! Which content of the disk is right.
pub mod history;
