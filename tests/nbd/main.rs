//! `lsd-nbd` under other people's clients and under a kernel. Each module says in its head what it shows.
#[macro_use]
#[path = "../common/mod.rs"]
mod common;

mod lsdmap;
mod nbd_commands;
mod nbd_kernel;
mod nbd_tools;
