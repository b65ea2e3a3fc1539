//! Failures of devices, told on standard error.
//!
//! Owns: the words, and that a device that fails a thousand times a second does not fill the disk with them. Does not own: the reply
//! to the client, which gets every failure, nor the log, where every line goes as well if there is one.
use crate::device::DeviceError;
use crate::proto::Command;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Lines in one [`WINDOW`]; what fails beyond it is counted.
pub(super) const LINES: u32 = 20;
pub(super) const WINDOW: Duration = Duration::from_secs(10);

/// A line for a person, and for the log if there is one.
pub(super) fn tell_line(line: &str) {
    tracing::error!(target: "lsd::api", "{line}");
    // Not `eprintln!`: it panics where nobody reads.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// One for all connections of a server.
pub(super) struct FailureLog {
    state: Mutex<State>,
    print: Box<dyn Fn(&str) + Send + Sync>,
}

struct State {
    since: Instant,
    lines: u32,
    left_out: u64,
}

impl Default for FailureLog {
    fn default() -> Self {
        Self::new(tell_line)
    }
}

impl FailureLog {
    pub fn new(print: impl Fn(&str) + Send + Sync + 'static) -> Self {
        let state = State { since: Instant::now(), lines: 0, left_out: 0 };
        Self { state: Mutex::new(state), print: Box::new(print) }
    }

    /// A request that `peer` made of `export` and the device could not carry out.
    pub fn tell(self: &Arc<Self>, export: &str, peer: &str, command: &Command, error: &DeviceError) {
        let errno = error.errno;
        let line = format!("nbd: {export:?}: {} for {peer} failed: {} (errno {errno})", words(command), error.message);
        let (shown, first_left_out) = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.since.elapsed() >= WINDOW && state.left_out == 0 {
                *state = State { since: Instant::now(), lines: 0, left_out: 0 };
            }
            let shown = state.lines < LINES;
            if shown {
                state.lines += 1
            } else {
                state.left_out += 1
            }
            (shown, state.left_out == 1)
        };
        if shown {
            (self.print)(&line);
        } else if first_left_out {
            let log = self.clone();
            tokio::spawn(async move {
                tokio::time::sleep(WINDOW).await;
                log.tell_left_out();
            });
        }
    }

    fn tell_left_out(&self) {
        let left_out = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let left_out = state.left_out;
            *state = State { since: Instant::now(), lines: 0, left_out: 0 };
            left_out
        };
        (self.print)(&format!("nbd: {left_out} more requests failed in the last {} s", WINDOW.as_secs()));
    }
}

fn words(command: &Command) -> String {
    match *command {
        Command::Read { offset, len, .. } => format!("read of {len} bytes at {offset}"),
        Command::Write { offset, len, .. } => format!("write of {len} bytes at {offset}"),
        Command::Flush => "flush".to_owned(),
        Command::Trim { offset, len, .. } => format!("trim of {len} bytes at {offset}"),
        Command::WriteZeroes { offset, len, .. } => format!("write of {len} zeroes at {offset}"),
        Command::Cache { offset, len } => format!("caching of {len} bytes at {offset}"),
        Command::BlockStatus { offset, len, .. } => format!("block status of {len} bytes at {offset}"),
        Command::Disconnect => "disconnect".to_owned(),
    }
}
