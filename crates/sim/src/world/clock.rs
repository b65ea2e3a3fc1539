//! The clock of a run.
use lsd_engine::Clock;

/// Virtual time since an arbitrary moment.
#[derive(Debug)]
pub struct VirtualClock(pub tokio::time::Instant);

impl Clock for VirtualClock {
    fn now_ns(&self) -> u64 {
        1_700_000_000_000_000_000 + self.0.elapsed().as_nanos() as u64
    }
}
