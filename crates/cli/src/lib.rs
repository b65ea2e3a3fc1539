//! The `lsd` and `lsd-nbd` commands: rbd's words over the lsd engine.
//!
//! Owns: command lines, specifications, opening what they name, and what is printed. Does not own: what an image is
//! (crate `lsd-engine`), the stores (crates `lsd-store`, `lsd-rados`), the NBD protocol (crate `lsd-nbd`).
pub mod error;
pub mod globals;
pub mod session;
pub mod spec;
