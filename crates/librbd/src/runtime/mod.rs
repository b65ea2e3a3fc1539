//! The threads of this library, and what runs on them.
//!
//! Owns: starting threads, polling futures without waking more threads than needed, and the one thread on which
//! callbacks run. Does not own: what a callback or a task is about. It knows no handle and nothing of C.
pub mod deliver;
pub mod process;
pub mod signals;
pub mod task;
