//! The engine's tests but for those of its ordering rules (`tests/ordering/`) and of processes that are killed (`kill_rounds.rs`):
//! one program, since linking it takes longer than running it.
mod bases;
mod bases_kept;
mod check;
mod clones;
mod coalesce;
#[path = "../common/mod.rs"]
mod common;
mod damage;
mod deep_copy;
mod endurance;
mod gc;
mod groups;
mod handover;
mod io_limits;
mod large_writes;
mod migration;
mod model;
mod patches;
mod pinned;
mod quiesce;
mod recovery_bound;
mod removal;
mod requests;
mod review;
mod review_clones;
mod review_migration;
mod review_moved;
mod review_snapshots;
mod snapshots;
mod takeover;
mod told;
mod trash;
mod upkeep;
