//! The functions of `librbd.h`, a file for each section.
//!
//! Owns: their prototypes, their arguments, and librbd's rules about them. Does not own: handles (layer `handles`), or
//! anything that is decided about an image (crate `lsd-engine`).
pub mod children;
pub mod clone;
pub mod completion;
pub mod config;
pub mod copy;
pub mod create;
pub mod data;
pub mod deep_copy;
pub mod diff;
pub mod features;
pub mod group_snap_info;
pub mod group_snapshots;
pub mod groups;
pub mod info;
pub mod list;
pub mod locks;
pub mod metadata;
pub mod migration;
pub mod mirror;
pub mod namespace;
pub mod notify;
pub mod only_cxx;
pub mod open;
pub mod options;
pub mod parent;
pub mod pool;
pub mod quiesce;
pub mod snap_trash;
pub mod snapshots;
pub mod trash;
pub mod unsupported;
pub mod upkeep;
pub mod version;
pub mod watch;
