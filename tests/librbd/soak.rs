//! A client that lives for long does not grow: mixed asynchronous operations, open and close, connect and shut down, with
//! memory, threads and descriptors watched. Bounds and sampling: `tests/programs/soak.c`.
//!
//! `LSD_TEST_SOAK_OPERATIONS` (60,000) and `LSD_TEST_SOAK_CYCLES` (60) make it longer; the figures are printed.
use crate::common::{compiled_program, tests_own_library};
use std::time::Duration;

/// For the default sizes; a longer run gets more in proportion.
const SECONDS: u64 = 120;
const OPERATIONS: u64 = 60_000;
const CYCLES: u64 = 60;

fn number_from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map(|text| text.parse().expect(name)).unwrap_or(default)
}

#[test]
fn memory_threads_and_descriptors_stay_flat() {
    // Garbage is collected nearly all the time, so that images are closed in the middle of it.
    // What others do to the cluster would be seen as memory of requests that wait.
    let ceph = requires_ceph!(alone).with_client_conf(&[
        "lsd_gc_least_live_bytes = 1048576",
        "lsd_gc_start_percent = 2",
        "lsd_gc_stop_percent = 1",
    ]);
    if !tests_own_library() {
        return;
    }
    let operations = number_from_environment("LSD_TEST_SOAK_OPERATIONS", OPERATIONS);
    let cycles = number_from_environment("LSD_TEST_SOAK_CYCLES", CYCLES);
    let times = (operations / OPERATIONS).max(cycles / CYCLES).max(1);
    let image = ceph.image("soak");
    let done = ceph
        .client(compiled_program("soak"))
        .args(["rbd", &image.name])
        .args([operations, cycles].map(|count| count.to_string()))
        .timeout(Duration::from_secs(SECONDS * times))
        .ok();
    print!("{}", done.text());
}
