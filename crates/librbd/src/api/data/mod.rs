//! The data calls, and what the synchronous and the asynchronous ones have in common.
mod aio;
mod discard;
mod io;
pub mod operation;
