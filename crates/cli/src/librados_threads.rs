//! Waiting for librados to end before the process does.
//!
//! The last user of a connection may be librados' own thread that finishes the last operation; the connection is then
//! shut down on a thread of its own, which must not still run when `exit` destroys librados' static objects: the process
//! would crash after its work was done. Nothing but the threads' names tells from outside whether it still runs.
use std::time::{Duration, Instant};

/// Threads that are there as long as a connection is.
const NAMES: [&str; 3] = ["ms_dispatch", "safe_timer", "rados-shutdown"];
/// A connection that is not gone by then was leaked or hangs; the process ends all the same.
const PATIENCE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(1);

/// Returns when no connection of this process is left.
pub fn wait_for_end() {
    let until = Instant::now() + PATIENCE;
    while any_left() && Instant::now() < until {
        std::thread::sleep(POLL);
    }
}

fn any_left() -> bool {
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else { return false };
    threads.flatten().any(|thread| {
        let name = std::fs::read_to_string(thread.path().join("comm")).unwrap_or_default();
        NAMES.contains(&name.trim_end())
    })
}
