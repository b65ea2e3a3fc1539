//! Progress of long operations on standard error, in rbd's words.
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// One operation's progress line: `Importing image: 34% complete...`. A line is written whenever the percentage
/// rises, over the one before.
#[derive(Debug)]
pub struct ProgressLine {
    operation: &'static str,
    shown: bool,
    /// rbd's copies print 100 % both when the last byte is there and when everything is done.
    repeats_end: bool,
    begun: AtomicBool,
    percent: AtomicU64,
}

impl ProgressLine {
    /// `shown` is false with `--no-progress`.
    pub fn new(operation: &'static str, shown: bool) -> Self {
        Self { operation, shown, repeats_end: false, begun: AtomicBool::new(false), percent: AtomicU64::new(0) }
    }

    #[must_use]
    pub fn repeating_end(mut self) -> Self {
        self.repeats_end = true;
        self
    }

    /// `done` of `total`, in any unit.
    pub fn update(&self, done: u64, total: u64) {
        self.begun.store(true, Ordering::Relaxed);
        let percent = if total == 0 { 0 } else { (u128::from(done) * 100 / u128::from(total)) as u64 };
        let risen = percent > self.percent.fetch_max(percent, Ordering::Relaxed);
        if risen && (percent < 100 || self.repeats_end) {
            self.write(&format!("\r{}: {percent}% complete...", self.operation));
        }
    }

    /// The operation has said how far it is.
    pub fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    pub fn finish(&self) {
        self.write(&format!("\r{}: 100% complete...done.\n", self.operation));
    }

    pub fn fail(&self) {
        let percent = self.percent.load(Ordering::Relaxed);
        self.write(&format!("\r{}: {percent}% complete...failed.\n", self.operation));
    }

    /// Ends the line according to how the operation went.
    pub fn end<T, E>(&self, result: Result<T, E>) -> Result<T, E> {
        if result.is_ok() {
            self.finish()
        } else {
            self.fail()
        }
        result
    }

    fn write(&self, text: &str) {
        if self.shown {
            // Nobody may be reading standard error any more; the operation goes on.
            let _ = std::io::stderr().write_all(text.as_bytes());
        }
    }
}
