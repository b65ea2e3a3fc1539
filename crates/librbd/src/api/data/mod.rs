//! The data calls.
//!
//! Owns: their two forms, synchronous (`io`) and asynchronous (`aio`), and what both take and do (`arguments`,
//! `operation`, `discard`). Does not own: who polls an operation (module `task`).
pub mod aio;
mod arguments;
mod discard;
pub mod io;
pub mod operation;
