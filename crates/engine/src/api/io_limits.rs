//! How much may be read and written in a time: librbd's settings named `rbd_qos_*`.
//!
//! Owns: which limits there are, and what of an operation each counts. Does not own: tokens (crate `lsd-core`), waiting
//! (`shared/gate.rs`).
use crate::Options;
use lsd_core::rate::Limit;
use std::time::Duration;

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limited {
    Iops,
    Bps,
    ReadIops,
    WriteIops,
    ReadBps,
    WriteBps,
}

/// An operation on the data of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Io {
    Read,
    /// All that change it: discards, too.
    Write,
}

impl Limited {
    pub(crate) const ALL: [Self; 6] =
        [Self::Iops, Self::Bps, Self::ReadIops, Self::WriteIops, Self::ReadBps, Self::WriteBps];

    /// The option without the `rbd_qos_` before it and what of the limit it sets behind it.
    fn name(self) -> &'static str {
        match self {
            Self::Iops => "iops",
            Self::Bps => "bps",
            Self::ReadIops => "read_iops",
            Self::WriteIops => "write_iops",
            Self::ReadBps => "read_bps",
            Self::WriteBps => "write_bps",
        }
    }

    /// Tokens that an operation takes.
    pub(crate) fn tokens(self, io: Io, bytes: u64) -> u64 {
        match (self, io) {
            (Self::Iops, _) | (Self::ReadIops, Io::Read) | (Self::WriteIops, Io::Write) => 1,
            (Self::Bps, _) | (Self::ReadBps, Io::Read) | (Self::WriteBps, Io::Write) => bytes,
            (Self::ReadIops | Self::ReadBps, Io::Write) | (Self::WriteIops | Self::WriteBps, Io::Read) => 0,
        }
    }
}

/// All limits of an open image; without any it is as fast as it can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoLimits {
    limits: [Limit; 6],
    /// Who waits looks again after so long at the earliest (`rbd_qos_schedule_tick_min`).
    pub least_wait: Duration,
}

impl Default for IoLimits {
    fn default() -> Self {
        Self { limits: [Limit::NONE; 6], least_wait: Duration::from_millis(50) }
    }
}

impl IoLimits {
    pub fn of(&self, what: Limited) -> Limit {
        self.limits[what as usize]
    }

    pub fn set(&mut self, what: Limited, limit: Limit) {
        self.limits[what as usize] = limit;
    }

    pub(crate) fn are_none(&self) -> bool {
        self.limits.iter().all(|limit| limit.rate == 0)
    }

    /// Takes up what is said by name.
    pub(crate) fn apply(&mut self, options: &Options) {
        for what in Limited::ALL {
            let said = |part: &str| options.number(&format!("rbd_qos_{}_{part}", what.name()));
            let limit = &mut self.limits[what as usize];
            limit.rate = said("limit").unwrap_or(limit.rate);
            limit.burst = said("burst").unwrap_or(limit.burst);
            limit.burst_seconds = said("burst_seconds").unwrap_or(limit.burst_seconds);
        }
        let tick = options.number("rbd_qos_schedule_tick_min");
        self.least_wait = tick.map_or(self.least_wait, Duration::from_millis);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_counts_what_librbds_counts() {
        let tokens = |io| Limited::ALL.map(|what| what.tokens(io, 4096));
        assert_eq!(tokens(Io::Read), [1, 4096, 1, 0, 4096, 0]);
        assert_eq!(tokens(Io::Write), [1, 4096, 0, 1, 0, 4096]);
    }

    #[test]
    fn options_say_what_the_limits_are() {
        let said = |name: &str| match name {
            "rbd_qos_write_bps_limit" => Some("1000".to_owned()),
            "rbd_qos_write_bps_burst" => Some("5000".to_owned()),
            "rbd_qos_write_bps_burst_seconds" => Some("7".to_owned()),
            "rbd_qos_schedule_tick_min" => Some("20".to_owned()),
            _ => None,
        };
        let mut limits = IoLimits::default();
        limits.apply(&Options::read(&said).unwrap());
        assert_eq!(limits.of(Limited::WriteBps), Limit { rate: 1000, burst: 5000, burst_seconds: 7 });
        assert_eq!((limits.of(Limited::Bps), limits.least_wait), (Limit::NONE, Duration::from_millis(20)));
        assert!(!limits.are_none());
    }
}
