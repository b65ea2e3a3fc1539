//! The functions of `librbd.h`, a file for each section.
//!
//! Owns: their prototypes, their arguments, and librbd's rules about them. Does not own: handles (room `handles`), or
//! anything that is decided about an image (crate `lsd-engine`).
mod copy;
mod create;
pub mod data;
mod diff;
mod features;
mod info;
mod list;
mod locks;
mod metadata;
mod namespace;
pub mod open;
pub mod options;
mod plain;
pub mod unsupported;
mod version;
pub mod watch;
