//! The data calls.
//!
//! Owns: their two forms, synchronous (`io`) and asynchronous (`aio`), and what both do (`operation`, `discard`). Does
//! not own: who polls an operation (module `task`).
mod aio;
mod discard;
mod io;
pub mod operation;
