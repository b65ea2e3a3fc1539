//! What an open image goes by: plain data, made of the options of ceph.conf (read by whoever opens the image), of its pool and
//! of the image itself. The one place that says what an option means.
//!
//! Does not own: the options' names and what their text may be (`options.rs`).
use crate::api::io_limits::IoLimits;
use crate::{Options, Quiesce, Result};
use lsd_core::gc::Thresholds;
use lsd_core::units::MAX_SEGMENT_BYTES;
use lsd_state::limits::LARGE_RECORDS_FACTOR;
use std::time::Duration;

/// When a write is acknowledged (option `lsd_ack`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckMode {
    /// In memory; durable on flush. Until the first flush it behaves as `Journal` (librbd's writethrough until flush).
    Writeback,
    /// When the log batch is durable in the store.
    Journal,
}

#[derive(Clone, Debug)]
pub struct Settings {
    pub ack: AckMode,
    /// `rbd_cache_writethrough_until_flush`.
    pub writethrough_until_flush: bool,
    /// Bytes of clean data kept for reading (`rbd_cache_size`; 0 where `rbd_cache` is false).
    pub cache_bytes: u64,
    /// Bytes of data accepted but not durable; writers wait beyond it (`rbd_cache_max_dirty`).
    pub max_dirty_bytes: u64,
    /// A write is durable after at most this long, even without a flush (`lsd_max_age_ms`, or `rbd_cache_max_dirty_age` where
    /// that is shorter than a second).
    pub max_age: Duration,
    /// Discards of less than a granule are dropped (`rbd_skip_partial_discard`).
    pub skip_partial_discard: bool,
    /// Bytes of a granule, at most a client-visible object (`rbd_discard_granularity_bytes`).
    pub discard_granularity_bytes: u64,
    /// Bytes of map leaves kept in memory; clean ones beyond it are dropped (`lsd_map_cache_bytes`).
    pub map_cache_bytes: u64,
    /// How long a dead lock owner's watch counts as alive (`lsd_watch_timeout_ms`).
    pub watch_timeout: Duration,
    /// The largest segment of small writes, bytes (`lsd_segment_bytes`, 1 to 8 MiB). Where the writes are large a segment, an
    /// object of the store, may have twice as much.
    pub segment_bytes: u32,
    /// Log bytes since the last checkpoint before the next is considered (`lsd_checkpoint_log_bytes`). More: fewer
    /// checkpoints and a longer replay after a crash.
    pub checkpoint_log_bytes: u64,
    /// Garbage is collected in the background (`lsd_gc`).
    pub gc: bool,
    /// How much garbage there may be (`lsd_gc_start_percent`, `lsd_gc_stop_percent`, `lsd_gc_limit_percent` of the live
    /// bytes, `lsd_gc_least_live_bytes`).
    pub gc_thresholds: Thresholds,
    /// Of a snapshot of whose caller nobody knows better (`rbd_default_snapshot_quiesce_mode`).
    pub quiesce: Quiesce,
    /// For how many times five seconds a snapshot waits for those who want to be quiet before it
    /// (`rbd_quiesce_notification_attempts`).
    pub quiesce_attempts: u64,
    /// How much may be read and written in a time (`rbd_qos_*`).
    pub limits: IoLimits,
    /// What was said by name, for a higher level that says something else. What is set beside it holds as long as none does.
    pub given: Options,
}

/// Data is made durable no more often than this without being asked.
const LEAST_AGE: Duration = Duration::from_millis(1);

/// The largest setting: a segment of large writes then has no more than fits the format.
pub(crate) const MOST_SEGMENT_BYTES: u32 = 8 << 20;
const _: () = assert!(MOST_SEGMENT_BYTES * LARGE_RECORDS_FACTOR <= MAX_SEGMENT_BYTES);

/// The bound on space is 1.5 times the live bytes: the limit, what is being written, and map pages.
const THRESHOLDS: Thresholds =
    Thresholds { start_percent: 47, stop_percent: 46, limit_percent: 49, least_live: 1 << 30 };

impl Default for Settings {
    fn default() -> Self {
        Self {
            ack: AckMode::Writeback,
            writethrough_until_flush: true,
            cache_bytes: 32 << 20,
            max_dirty_bytes: 24 << 20,
            max_age: Duration::from_millis(1000),
            skip_partial_discard: true,
            discard_granularity_bytes: 64 << 10,
            map_cache_bytes: 256 << 20,
            watch_timeout: Duration::from_secs(30),
            segment_bytes: MOST_SEGMENT_BYTES,
            checkpoint_log_bytes: 64 << 20,
            gc: true,
            gc_thresholds: THRESHOLDS,
            quiesce: Quiesce::Required,
            quiesce_attempts: 10,
            limits: IoLimits::default(),
            given: Options::default(),
        }
    }
}

impl Settings {
    /// Reads every option through `get`, which gives an option's text or `None` where it is unknown or unset. `Invalid`,
    /// with the option's name: its text is not understood.
    pub fn from_options(get: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        Ok(Self::default().with(&[&Options::read(get)?]))
    }

    /// The same where higher levels say something else, the highest last.
    pub(crate) fn with(&self, levels: &[&Options]) -> Self {
        let mut settings = self.clone();
        levels.iter().for_each(|level| settings.given.raise(level));
        if levels.iter().any(|level| !level.is_empty()) {
            settings.apply_given();
        }
        settings
    }

    fn apply_given(&mut self) {
        let (given, defaults) = (std::mem::take(&mut self.given), Self::default());
        let set = |place: &mut u64, name: &str| *place = given.number(name).unwrap_or(*place);
        set(&mut self.cache_bytes, "rbd_cache_size");
        set(&mut self.max_dirty_bytes, "rbd_cache_max_dirty");
        set(&mut self.discard_granularity_bytes, "rbd_discard_granularity_bytes");
        set(&mut self.map_cache_bytes, "lsd_map_cache_bytes");
        set(&mut self.checkpoint_log_bytes, "lsd_checkpoint_log_bytes");
        set(&mut self.gc_thresholds.least_live, "lsd_gc_least_live_bytes");
        set(&mut self.quiesce_attempts, "rbd_quiesce_notification_attempts");
        self.quiesce = given.quiesce().unwrap_or(self.quiesce);
        let flag = |place: &mut bool, name: &str| *place = given.flag(name).unwrap_or(*place);
        flag(&mut self.writethrough_until_flush, "rbd_cache_writethrough_until_flush");
        flag(&mut self.skip_partial_discard, "rbd_skip_partial_discard");
        flag(&mut self.gc, "lsd_gc");
        // Every number that is kept in 32 bits has a bound far below that.
        let small = |place: &mut u32, name: &str| *place = given.number(name).map_or(*place, |number| number as u32);
        small(&mut self.segment_bytes, "lsd_segment_bytes");
        small(&mut self.gc_thresholds.start_percent, "lsd_gc_start_percent");
        small(&mut self.gc_thresholds.stop_percent, "lsd_gc_stop_percent");
        small(&mut self.gc_thresholds.limit_percent, "lsd_gc_limit_percent");
        let millis =
            |place: &mut Duration, name: &str| *place = given.number(name).map_or(*place, Duration::from_millis);
        millis(&mut self.max_age, "lsd_max_age_ms");
        millis(&mut self.watch_timeout, "lsd_watch_timeout_ms");
        self.limits.apply(&given);
        // librados always has a value for it, so only one that asks for more than the default says something.
        if let Some(age) = given.seconds("rbd_cache_max_dirty_age") {
            let own = given.number("lsd_max_age_ms").map_or(defaults.max_age, Duration::from_millis);
            self.max_age = if age < defaults.max_age { own.min(age.max(LEAST_AGE)) } else { own };
        }
        if given.says_how_to_acknowledge() {
            let by_cache = if given.is_write_through() { AckMode::Journal } else { AckMode::Writeback };
            self.ack = given.ack().unwrap_or(by_cache);
        }
        if given.flag("rbd_cache") == Some(false) {
            self.cache_bytes = 0;
        } else if given.flag("rbd_cache") == Some(true) && given.number("rbd_cache_size").is_none() {
            self.cache_bytes = self.cache_bytes.max(defaults.cache_bytes);
        }
        if given.is_write_through() {
            // What waits for the log is not bounded by how much may be dirty.
            self.max_dirty_bytes = defaults.max_dirty_bytes;
        }
        self.given = given;
    }
}

#[cfg(test)]
mod tests;
