//! The only clock of the engine.
use std::time::{SystemTime, UNIX_EPOCH};

/// Wall-clock time, for timestamps. Nothing that keeps data depends on it; how long an image stays in the trash does.
pub trait Clock: Send + Sync + std::fmt::Debug + 'static {
    /// Nanoseconds since 1970.
    fn now_ns(&self) -> u64;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ns(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
    }
}
