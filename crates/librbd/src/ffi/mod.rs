//! The border to C: types, errors, panics, and the caller's memory.
//!
//! Owns: how a value of C becomes one of Rust and back, and what a caller is told of an error, as a number and on
//! stderr. Does not own: what a handle stands for (layer `handles`), or what a function does (layer `api`).
pub mod caller;
pub mod ctypes;
pub mod errno;
pub mod log;
pub mod panic;
pub mod progress;
