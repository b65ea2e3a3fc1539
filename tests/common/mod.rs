//! What the programs of black-box tests share: where the built artefacts are, the test cluster, images that clean up after themselves,
//! and programs that run with a time limit.
//!
//! The environment says what is tested:
//! - `LSD_TEST_CEPH_CONF`: the ceph.conf of a running cluster (`./test` starts one); tests that need Ceph are skipped
//!   without it, and recorded in the file `LSD_TEST_SKIPPED` so that a run can fail for it.
//! - `LSD_TEST_LIBDIR`: the folder whose `librbd.so.1` the clients load. Unset: the library of this build. Empty: the
//!   system's, to see whether a failure is the test's.
#![allow(dead_code, unused_imports, reason = "every program uses a part of it")]

mod artefacts;
mod command;
mod guest;
mod image;
mod own_cluster;
mod turn;

pub use artefacts::{built, client_library_dir, compiled_program, scratch_dir, tests_own_library};
pub use command::{Cmd, Finished, Running, wait_until};
pub use guest::{debian_kernel, system_disk};
pub use image::{Ceph, Image};
pub use own_cluster::OwnCluster;
pub use turn::Turn;

/// The cluster of the run, or a return from the test after the skip was recorded. Other tests use the cluster meanwhile, but for
/// `requires_ceph!(alone)`. A test calls it once: see `turn.rs`.
macro_rules! requires_ceph {
    () => {
        requires_ceph!(shared)
    };
    ($turn:ident) => {
        match $crate::common::Ceph::of_this_run(concat!(file!(), ":", line!()), $crate::common::Turn::$turn) {
            Some(ceph) => ceph,
            None => return,
        }
    };
}

/// Bytes that differ from block to block and from seed to seed, so that a misplaced block is seen.
pub fn pattern(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
