//! The options of one open image: plain data, read from ceph.conf by whoever opens it.
use crate::limits::LARGE_RECORDS_FACTOR;
use lsd_core::gc::Thresholds;
use lsd_core::units::MAX_SEGMENT_BYTES;
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
    /// A write is durable after at most this long, even without a flush (`lsd_max_age_ms`).
    pub max_age: Duration,
    /// Discards smaller than the client-visible object are dropped (`rbd_skip_partial_discard`).
    pub skip_partial_discard: bool,
    /// Bytes of map leaves kept in memory; clean ones beyond it are dropped (`lsd_map_cache_bytes`).
    pub map_cache_bytes: u64,
    /// How long a dead lock owner's watch counts as alive (`lsd_watch_timeout_ms`).
    pub watch_timeout: Duration,
    /// The largest segment, bytes (`lsd_segment_bytes`, 1..=8 MiB); of large writes twice as much.
    pub segment_bytes: u32,
    /// Log bytes since the last checkpoint before the next is considered (`lsd_checkpoint_log_bytes`). More: fewer
    /// checkpoints and a longer replay after a crash.
    pub checkpoint_log_bytes: u64,
    /// Garbage is collected in the background (`lsd_gc`).
    pub gc: bool,
    /// How much garbage there may be (`lsd_gc_start_percent`, `lsd_gc_stop_percent`, `lsd_gc_limit_percent` of the live
    /// bytes, `lsd_gc_least_live_bytes`).
    pub gc_thresholds: Thresholds,
}

/// A larger setting counts as this: a segment of large writes has no more than fits the format.
const MOST_SEGMENT_BYTES: u32 = 8 << 20;
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
            map_cache_bytes: 256 << 20,
            watch_timeout: Duration::from_secs(30),
            segment_bytes: MOST_SEGMENT_BYTES,
            checkpoint_log_bytes: 64 << 20,
            gc: true,
            gc_thresholds: THRESHOLDS,
        }
    }
}

impl Settings {
    /// Reads every option through `get`, which gives an option's text or `None` where it is unknown or unset.
    /// Text that does not parse leaves the default.
    pub fn from_options(get: &dyn Fn(&str) -> Option<String>) -> Self {
        let mut settings = Self::default();
        let flag = |key: &str| get(key).and_then(|text| parse_bool(&text));
        let number = |key: &str| get(key).and_then(|text| text.trim().parse::<u64>().ok());
        if let Some(size) = number("rbd_cache_size") {
            settings.cache_bytes = size;
        }
        if let Some(dirty) = number("rbd_cache_max_dirty") {
            settings.max_dirty_bytes = dirty;
        }
        if flag("rbd_cache") == Some(false) || settings.max_dirty_bytes == 0 {
            // librbd: no cache means write-through, and max_dirty 0 means the same with a cache for reads.
            settings.ack = AckMode::Journal;
            settings.max_dirty_bytes = Self::default().max_dirty_bytes;
            if flag("rbd_cache") == Some(false) {
                settings.cache_bytes = 0;
            }
        }
        match get("lsd_ack").as_deref() {
            Some("writeback") => settings.ack = AckMode::Writeback,
            Some("journal") => settings.ack = AckMode::Journal,
            _ => {}
        }
        if let Some(until) = flag("rbd_cache_writethrough_until_flush") {
            settings.writethrough_until_flush = until;
        }
        if let Some(skip) = flag("rbd_skip_partial_discard") {
            settings.skip_partial_discard = skip;
        }
        if let Some(ms) = number("lsd_max_age_ms") {
            settings.max_age = Duration::from_millis(ms.max(1));
        }
        if let Some(bytes) = number("lsd_map_cache_bytes") {
            settings.map_cache_bytes = bytes;
        }
        if let Some(ms) = number("lsd_watch_timeout_ms") {
            settings.watch_timeout = Duration::from_millis(ms.clamp(1000, 3_600_000));
        }
        if let Some(bytes) = number("lsd_segment_bytes") {
            settings.segment_bytes = bytes.clamp(1 << 20, MOST_SEGMENT_BYTES.into()) as u32;
        }
        if let Some(bytes) = number("lsd_checkpoint_log_bytes") {
            settings.checkpoint_log_bytes = bytes.clamp(1 << 20, 1 << 40);
        }
        if let Some(gc) = flag("lsd_gc") {
            settings.gc = gc;
        }
        let percent = |key: &str| number(key).map(|percent| percent.clamp(1, 100_000) as u32);
        let thresholds = &mut settings.gc_thresholds;
        thresholds.start_percent = percent("lsd_gc_start_percent").unwrap_or(thresholds.start_percent);
        thresholds.stop_percent = percent("lsd_gc_stop_percent").unwrap_or(thresholds.stop_percent);
        thresholds.limit_percent = percent("lsd_gc_limit_percent").unwrap_or(thresholds.limit_percent);
        thresholds.least_live = number("lsd_gc_least_live_bytes").unwrap_or(thresholds.least_live);
        settings
    }
}

fn parse_bool(text: &str) -> Option<bool> {
    match text.trim() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}
