//! The figures of a benchmark, in rbd's layout.
use super::IoType;
use crate::error::Result;
use crate::output::{print, size};
use std::time::{Duration, Instant};

const LINE_EVERY: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, Default)]
struct Counter {
    operations: u64,
    bytes: u64,
}

/// Counts requests and prints a line about every second.
#[derive(Debug)]
pub struct Report {
    started: Instant,
    next_line: Duration,
    io_type: IoType,
    reads: Counter,
    writes: Counter,
}

impl Report {
    pub fn start(io_type: IoType) -> Self {
        let _ = print("  SEC       OPS   OPS/SEC   BYTES/SEC\n");
        let (reads, writes) = (Counter::default(), Counter::default());
        Self { started: Instant::now(), next_line: LINE_EVERY, io_type, reads, writes }
    }

    pub fn count(&mut self, is_read: bool, bytes: u64) -> Result<()> {
        let counter = if is_read { &mut self.reads } else { &mut self.writes };
        counter.operations += 1;
        counter.bytes += bytes;
        let elapsed = self.started.elapsed();
        if elapsed < self.next_line {
            return Ok(());
        }
        self.next_line = Duration::from_secs(elapsed.as_secs() + 1);
        let all = self.all();
        let (operations, rates) = (all.operations, Rates::of(all, elapsed));
        let line = format!("{:5}{operations:10}{:>10}{:>10}/s\n", elapsed.as_secs(), rates.operations, rates.bytes);
        print(&line)
    }

    fn all(&self) -> Counter {
        Counter {
            operations: self.reads.operations + self.writes.operations,
            bytes: self.reads.bytes + self.writes.bytes,
        }
    }

    /// The last lines: everything, and for a mixed workload reads and writes of it.
    pub fn finish(self) -> Result<()> {
        let elapsed = self.started.elapsed();
        let line = |lead: &str, prefix: &str, counter: Counter| {
            let Rates { operations, bytes } = Rates::of(counter, elapsed);
            let count = counter.operations;
            format!("{lead}{prefix}ops: {count}   {prefix}ops/sec: {operations}   {prefix}bytes/sec: {bytes}/s\n")
        };
        let mut text = line(&format!("elapsed: {}   ", elapsed.as_secs()), "", self.all());
        if self.io_type == IoType::Mixed {
            text += &line("", "read_", self.reads);
            text += &line("", "write_", self.writes);
        }
        print(&text)
    }
}

/// A counter by time, as text.
struct Rates {
    operations: String,
    bytes: String,
}

impl Rates {
    fn of(counter: Counter, elapsed: Duration) -> Self {
        let seconds = elapsed.as_secs_f64();
        let rate = |count: u64| if count == 0 { 0.0 } else { count as f64 / seconds };
        Self { operations: six_digits(rate(counter.operations)), bytes: size::format(rate(counter.bytes) as u64) }
    }
}

/// A number with six significant digits and no trailing zeroes, as C++ streams print it.
fn six_digits(value: f64) -> String {
    if value >= 1e6 {
        return format!("{value:.0}");
    }
    let whole_digits = if value < 1.0 { 1 } else { value.log10().floor() as usize + 1 };
    let text = format!("{value:.*}", 6usize.saturating_sub(whole_digits));
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_six_digits() {
        let numbers = [(0.0, "0"), (7529.4117, "7529.41"), (10240.0, "10240"), (747.1746, "747.175"), (5000.0, "5000")];
        for (value, text) in numbers {
            assert_eq!(six_digits(value), text);
        }
        assert_eq!(six_digits(123_456.7), "123457");
        assert_eq!(six_digits(2_500_000.4), "2500000");
    }
}
