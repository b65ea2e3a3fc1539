//! The functions of `librbd.h`, a file for each section.
//!
//! Owns: their prototypes, their arguments, and librbd's rules about them. Does not own: handles (layer `handles`), or
//! anything that is decided about an image (crate `lsd-engine`).
mod children;
mod clone;
mod completion;
mod config;
mod copy;
mod create;
mod data;
mod deep_copy;
mod diff;
mod features;
mod group_snap_info;
mod group_snapshots;
mod groups;
mod info;
mod list;
mod locks;
mod metadata;
mod namespace;
mod notify;
pub mod open;
mod options;
mod parent;
mod pool;
mod snap_trash;
mod snapshots;
mod trash;
mod unsupported;
mod upkeep;
mod version;
mod watch;
