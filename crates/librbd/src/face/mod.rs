//! The functions of `librbd.h` as clients find them, and which library answers.
//!
//! A function of an image goes by what its handle is. A function of a pool goes to the library that has what it names, or asks
//! both, by the rules of ADR 0015; whatever is made gets a name that neither library has.
//!
//! Owns: every exported symbol, and these rules. Does not own: what an lsd image does (layer `api`), what a stock image does
//! (layer `stock`, which asks the distribution's library).
#[macro_use]
mod macros;

mod clone;
mod copy;
mod create;
mod cross_copy;
mod data_table;
mod events;
mod formats;
mod groups;
mod image_table;
mod lists;
mod merge;
mod mirroring_table;
mod names;
mod namespaces;
mod open;
mod own_table;
mod passing;
mod pool_metadata;
mod pool_stats;
mod pool_table;
mod snapshots_table;
mod trash;
