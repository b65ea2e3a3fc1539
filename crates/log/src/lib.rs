//! Where lsd's events go: lines on standard error or in a file, if somebody asks for them.
//!
//! Owns: the one subscriber of the process, how a line looks, how many there may be. Does not own: what is told (every crate emits
//! `tracing` events of its own), nor who asks (`librbd`: options of ceph.conf; `cli`: options of the command line, `RUST_LOG`).
//!
//! **Invariants.**
//! - Nothing is installed until a level is named. Until then an event costs one load of an atomic.
//! - What goes wrong here is told on standard error at most. It fails no image and no command.
//! - No lock is held anywhere, so a child forked while another thread was writing a line writes its own. It shares the file with
//!   its parent: each line is one write to the end of the file.
mod filter;
mod limit;
mod line;
mod sink;

pub use filter::WrongLevel;

use limit::{Admission, Limit, WINDOW_SECONDS};
use sink::Sink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// The option that names the level.
pub const LEVEL_OPTION: &str = "lsd_log_level";
/// The option that names the file; empty: standard error.
pub const FILE_OPTION: &str = "lsd_log_file";

static ON: AtomicBool = AtomicBool::new(false);

/// True once a level was named.
pub fn is_on() -> bool {
    ON.load(Ordering::Acquire)
}

/// True for the options of this crate. They are of the process, so no image and no pool may override them.
pub fn is_option(name: &str) -> bool {
    [LEVEL_OPTION, FILE_OPTION].contains(&name)
}

/// Begins to write lines, if `level` asks for any. Who comes first decides for the process: later calls change nothing, and so does
/// any call where the program has a subscriber of its own. A file that cannot be opened is told on standard error, and the lines
/// go there.
pub fn start(level: &str, file: Option<&Path>) -> Result<(), WrongLevel> {
    let Some(targets) = filter::parse(level)? else { return Ok(()) };
    if ON.swap(true, Ordering::AcqRel) {
        return Ok(());
    }
    let lines = Lines::new(Sink::open(file));
    // Fails only where the program has a subscriber: then the events go there.
    let _ = tracing_subscriber::registry().with(targets).with(lines).try_init();
    Ok(())
}

/// Makes each event a line.
struct Lines {
    sink: Sink,
    limit: Limit,
    since: Instant,
}

impl Lines {
    fn new(sink: Sink) -> Self {
        Self { sink, limit: Limit::default(), since: Instant::now() }
    }

    /// `now`: seconds since the start.
    fn write(&self, event: &Event<'_>, now: u32) {
        for (place, left_out) in self.limit.ended(now) {
            let what = format!("{left_out} more lines of this kind were left out in {WINDOW_SECONDS} s");
            self.sink.write(&line::about(place, &what));
        }
        let place = event.metadata();
        match self.limit.admit(place, now) {
            Admission::Pass => self.sink.write(&line::of(event)),
            Admission::First => {
                let what = format!("more lines of this kind are left out for up to {WINDOW_SECONDS} s");
                self.sink.write(&line::about(place, &what));
            }
            Admission::LeftOut => {}
        }
    }
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        self.write(event, u32::try_from(self.since.elapsed().as_secs()).unwrap_or(u32::MAX));
    }
}

#[cfg(test)]
mod tests;
