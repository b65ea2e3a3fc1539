//! What goes wrong below or before lsd: wrong input, damaged objects, full pools, daemons that fail. Each module says in its
//! head what it shows.
//!
//! Images in the pool `rbd` are damaged here, so nothing may look at all images of the pool. `faults` has the machine for itself.
#[macro_use]
#[path = "../common/mod.rs"]
mod common;

mod bad_input;
mod check;
mod failure_log;
mod faults;
mod full_pool;
