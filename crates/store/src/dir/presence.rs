//! What a client's presence file says: which process it is, and when it last showed that it runs.
//!
//! Owns: that line of text, and when a client counts as silent. Does not own: the file and its lock (`clients`).
//!
//! A process that is stopped keeps its locks on files, so a lock alone does not show that its holder can answer.
use super::fault::Outcome;
use super::format::crc32c;
use nix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// How long a client may be silent that watches nothing.
pub(super) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// One line. It has the same length however large its numbers are, so it is written over the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Presence {
    pub pid: i32,
    /// Time of the last sign of life, on the clock of [`now`]; milliseconds count.
    pub beat: Duration,
    /// It counts as silent when it has shown nothing for longer than this.
    pub timeout: Duration,
}

impl Presence {
    pub fn encode(&self) -> String {
        let (beat, timeout) = (self.beat.as_millis(), self.timeout.as_millis());
        let said = format!("pid {:010} beat {beat:015} timeout {timeout:010}", self.pid);
        format!("{said} crc {:08x}\n", crc32c(said.as_bytes()))
    }

    /// `None` for anything else: a line caught while it was written, or one of a version that shows no signs of life.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (said, crc) = std::str::from_utf8(bytes).ok()?.trim_end().rsplit_once(" crc ")?;
        if u32::from_str_radix(crc, 16).ok()? != crc32c(said.as_bytes()) {
            return None;
        }
        let mut words = said.split(' ');
        let mut field = |name| (words.next()? == name).then(|| words.next()?.parse::<u64>().ok()).flatten();
        let (pid, beat, timeout) = (field("pid")?, field("beat")?, field("timeout")?);
        let (beat, timeout) = (Duration::from_millis(beat), Duration::from_millis(timeout));
        Some(Self { pid: i32::try_from(pid).ok()?, beat, timeout })
    }

    pub fn is_silent(&self, now: Duration) -> bool {
        now.saturating_sub(self.beat) > self.timeout
    }
}

/// Time since the host was started, which all its processes share. It stands still while the host sleeps.
pub(super) fn now() -> Outcome<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_MONOTONIC)?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_comes_back_and_another_is_none() {
        let presence =
            Presence { pid: 4321, beat: Duration::from_millis(98_765), timeout: Duration::from_millis(1500) };
        let line = presence.encode();
        assert_eq!(Presence::decode(line.as_bytes()), Some(presence));
        let later = Presence { beat: Duration::from_secs(86_400 * 365), pid: i32::MAX, ..presence };
        assert_eq!(later.encode().len(), line.len());
        for cut in 0..line.len() - 1 {
            assert_eq!(Presence::decode(&line.as_bytes()[..cut]), None, "{cut} bytes");
        }
        let mixed = later.encode()[..20].to_owned() + &line[20..];
        assert_eq!(Presence::decode(mixed.as_bytes()), None);
        assert_eq!(Presence::decode(b"pid 12\n"), None);
    }

    #[test]
    fn silence_begins_after_the_timeout() {
        let at = |ms| Duration::from_millis(ms);
        let presence = Presence { pid: 1, beat: at(10_000), timeout: at(500) };
        assert!(!presence.is_silent(at(10_500)) && presence.is_silent(at(10_501)));
        assert!(!presence.is_silent(at(9000)), "written after the clock was read");
    }
}
