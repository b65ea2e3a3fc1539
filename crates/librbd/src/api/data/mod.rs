//! The data calls.
//!
//! Owns: their two forms, synchronous (`io`) and asynchronous (`aio`), and what both take and do (`arguments`,
//! `operation`, `discard`). Does not own: who polls an operation (module `task`).
mod aio;
mod arguments;
mod discard;
mod io;
pub mod operation;
