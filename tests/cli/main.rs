//! The `lsd` command, on a cluster and in a directory, and who may use it. Each module says in its head what it shows.
//!
//! `ls -l` opens every image of the pool `rbd`, and fails where one is damaged: tests that damage images are in
//! `tests/failures`, which does not run beside this.
#[macro_use]
#[path = "../common/mod.rs"]
mod common;

mod bench_rows;
mod cephx;
mod cli_against_rbd;
mod cli_clones;
mod cli_config;
mod cli_diffs;
mod cli_dir;
mod cli_directory;
mod cli_directory_clones;
mod cli_directory_diffs;
mod cli_directory_migration;
mod cli_directory_snapshots;
mod cli_directory_trash;
mod cli_from_rbd;
mod cli_groups;
mod cli_log;
mod cli_migration;
mod cli_over_stock;
mod cli_qcow2;
mod cli_rbd;
mod cli_snapshots;
mod cli_trash;
mod guides;
mod packaging;
mod proxmox;
mod rbd_on_library;
