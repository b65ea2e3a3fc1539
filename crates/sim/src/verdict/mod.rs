//! Which content of the disk is right.
pub mod check;
pub mod history;
