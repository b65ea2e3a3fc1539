//! How much may pass in a time: a bucket of tokens with a burst, by librbd's rules.
//!
//! Owns: how many tokens there are at a time, and when there will be more. Does not own: the clock, who waits, what a token is.
use core::time::Duration;

const NS_PER_SECOND: u128 = 1_000_000_000;

/// A rate. While it was not used, more may pass for a while: the burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Tokens in a second on the average; 0: no limit.
    pub rate: u64,
    /// Tokens in a second for as long as there are any that were not used; 0: no more than the rate.
    pub burst: u64,
    /// For so long as the burst may last, as much is kept that was not used. 0 counts as 1.
    pub burst_seconds: u64,
}

impl Limit {
    pub const NONE: Self = Self { rate: 0, burst: 0, burst_seconds: 1 };

    /// A burst below the rate is none, as librbd has it: the rate holds.
    pub fn is_burst_ignored(&self) -> bool {
        self.burst > 0 && self.burst < self.rate
    }

    /// Most tokens in a second.
    fn peak(&self) -> u64 {
        self.rate.max(self.burst)
    }

    /// Most tokens that are kept.
    fn capacity(&self) -> u128 {
        let seconds = if self.is_burst_ignored() { 1 } else { self.burst_seconds.max(1) };
        (u128::from(self.peak()) * u128::from(seconds)).saturating_mul(NS_PER_SECOND)
    }
}

/// Tokens of one limit. Its numbers are in billionths of a token, so that nothing is lost by rounding.
#[derive(Clone, Debug)]
pub struct Bucket {
    limit: Limit,
    /// What came in at the average rate and was not taken.
    kept: u128,
    /// What of it may go now: it comes in at the peak rate, and is a second's worth of that at most.
    ready: u128,
    /// When that was so.
    at: Duration,
}

impl Bucket {
    /// Full, but nothing is ready yet. `now`: the time since some moment, the same for every call.
    pub fn new(limit: Limit, now: Duration) -> Self {
        Self { limit, kept: limit.capacity(), ready: 0, at: now }
    }

    pub fn limit(&self) -> Limit {
        self.limit
    }

    /// Another limit from now on.
    pub fn set(&mut self, limit: Limit, now: Duration) {
        self.refill(now);
        if limit.capacity() != self.limit.capacity() {
            self.kept = limit.capacity();
        }
        self.ready = self.ready.min(u128::from(limit.peak()) * NS_PER_SECOND).min(self.kept);
        self.limit = limit;
    }

    fn refill(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.at).as_nanos();
        self.at = self.at.max(now);
        let (rate, peak) = (u128::from(self.limit.rate), u128::from(self.limit.peak()));
        self.kept = self.kept.saturating_add(rate.saturating_mul(passed)).min(self.limit.capacity());
        let most = self.kept.min(peak * NS_PER_SECOND);
        // Beyond a second there is nothing to count, whatever has passed.
        self.ready = (self.ready + peak * passed.min(NS_PER_SECOND)).min(most);
    }

    /// Takes what of `wanted` is ready, and lowers `wanted` by it. `None`: that was all; else how long it takes until as much of
    /// the rest is ready as may ever be at once. So what wants more than a second's worth takes it in parts.
    pub fn take(&mut self, wanted: &mut u64, now: Duration) -> Option<Duration> {
        if self.limit.rate == 0 {
            *wanted = 0;
        }
        self.refill(now);
        let taken = u128::from(*wanted).min(self.ready / NS_PER_SECOND);
        self.kept -= taken * NS_PER_SECOND;
        self.ready -= taken * NS_PER_SECOND;
        *wanted -= taken as u64;
        if *wanted == 0 {
            return None;
        }
        let next = u128::from((*wanted).min(self.limit.peak())) * NS_PER_SECOND;
        let until = |have: u128, rate: u64| next.saturating_sub(have).div_ceil(u128::from(rate));
        let wait = until(self.ready, self.limit.peak()).max(until(self.kept, self.limit.rate));
        Some(Duration::from_nanos(u64::try_from(wait).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests;
