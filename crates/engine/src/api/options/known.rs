//! The options that there are.
use crate::api::options::DEFAULT_FORMAT_OPTION;
use crate::api::settings::MOST_SEGMENT_BYTES;

pub(super) const JOURNAL: &str = "journal";
pub(super) const WRITETHROUGH: &str = "writethrough";
pub(super) const IGNORE_ERROR: &str = "ignore-error";
pub(super) const SKIP: &str = "skip";

/// What an option's text may be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Flag,
    /// Digits: the least and the most.
    Number(u64, u64),
    /// Digits, of a power of two: the least and the most.
    PowerOfTwo(u64, u64),
    /// Bytes, perhaps with a suffix: the least and the most.
    Bytes(u64, u64),
    Seconds,
    Word(&'static [&'static str]),
    /// Names of features of a new image, or their number.
    Features,
    Text,
}

/// Whose metadata may override an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Pool,
    /// An image's, and its pool's.
    Image,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// It has a meaning here. The others may be overridden all the same, as clients of librbd do, and change nothing.
    pub(super) counts: bool,
    pub(super) level: Level,
}

const fn counts(name: &'static str, kind: Kind) -> Known {
    Known { name, kind, counts: true, level: Level::Image }
}

const fn without(name: &'static str, kind: Kind) -> Known {
    Known { name, kind, counts: false, level: Level::Image }
}

/// Of a pool only: what is made in it goes by those named `rbd_default_*`.
const fn of_pool(name: &'static str, kind: Kind) -> Known {
    Known { name, kind, counts: false, level: Level::Pool }
}

const NUMBER: Kind = Kind::Number(0, u64::MAX);
const ONE_OR_MORE: Kind = Kind::Number(1, u64::MAX);
const BYTES: Kind = Kind::Bytes(0, u64::MAX);
const PERCENT: Kind = Kind::Number(1, 100_000);

/// librbd's, those that it lets a pool or an image override, and lsd's own.
pub(super) const KNOWN: &[Known] = &[
    counts("rbd_cache", Kind::Flag),
    counts("rbd_cache_policy", Kind::Word(&[WRITETHROUGH, "writeback", "writearound"])),
    counts("rbd_cache_size", BYTES),
    counts("rbd_cache_max_dirty", BYTES),
    counts("rbd_cache_max_dirty_age", Kind::Seconds),
    counts("rbd_cache_writethrough_until_flush", Kind::Flag),
    counts("rbd_skip_partial_discard", Kind::Flag),
    counts("rbd_discard_granularity_bytes", Kind::PowerOfTwo(4096, 32 << 20)),
    counts("lsd_ack", Kind::Word(&["writeback", JOURNAL])),
    counts("lsd_max_age_ms", ONE_OR_MORE),
    counts("lsd_map_cache_bytes", BYTES),
    counts("lsd_watch_timeout_ms", Kind::Number(1000, 3_600_000)),
    counts("lsd_segment_bytes", Kind::Bytes(1 << 20, MOST_SEGMENT_BYTES as u64)),
    counts("lsd_checkpoint_log_bytes", Kind::Bytes(1 << 20, 1 << 40)),
    counts("lsd_gc", Kind::Flag),
    counts("lsd_gc_start_percent", PERCENT),
    counts("lsd_gc_stop_percent", PERCENT),
    counts("lsd_gc_limit_percent", PERCENT),
    counts("lsd_gc_least_live_bytes", BYTES),
    without("rbd_disable_zero_copy_writes", Kind::Flag),
    without("rbd_non_blocking_aio", Kind::Flag),
    without("rbd_cache_target_dirty", BYTES),
    without("rbd_cache_max_dirty_object", NUMBER),
    without("rbd_cache_block_writes_upfront", Kind::Flag),
    without("rbd_parent_cache_enabled", Kind::Flag),
    without("rbd_concurrent_management_ops", ONE_OR_MORE),
    without("rbd_balance_snap_reads", Kind::Flag),
    without("rbd_localize_snap_reads", Kind::Flag),
    without("rbd_balance_parent_reads", Kind::Flag),
    without("rbd_localize_parent_reads", Kind::Flag),
    without("rbd_sparse_read_threshold_bytes", BYTES),
    without("rbd_readahead_trigger_requests", NUMBER),
    without("rbd_readahead_max_bytes", BYTES),
    without("rbd_readahead_disable_after_bytes", BYTES),
    without("rbd_clone_copy_on_read", Kind::Flag),
    without("rbd_blocklist_on_break_lock", Kind::Flag),
    without("rbd_blocklist_expire_seconds", NUMBER),
    without("rbd_request_timed_out_seconds", NUMBER),
    without("rbd_enable_alloc_hint", Kind::Flag),
    without("rbd_compression_hint", Kind::Word(&["none", "compressible", "incompressible"])),
    without("rbd_read_from_replica_policy", Kind::Word(&["default", "balance", "localize"])),
    without("rbd_blkin_trace_all", Kind::Flag),
    without("rbd_invalidate_object_map_on_timeout", Kind::Flag),
    without("rbd_move_to_trash_on_remove", Kind::Flag),
    without("rbd_move_to_trash_on_remove_expire_seconds", NUMBER),
    without("rbd_move_parent_to_trash_on_remove", Kind::Flag),
    without("rbd_mirroring_resync_after_disconnect", Kind::Flag),
    without("rbd_mirroring_delete_delay", NUMBER),
    without("rbd_mirroring_replay_delay", NUMBER),
    without("rbd_mirroring_max_mirroring_snapshots", Kind::Number(3, u64::MAX)),
    without("rbd_default_map_options", Kind::Text),
    counts("rbd_default_snapshot_quiesce_mode", Kind::Word(&["required", IGNORE_ERROR, SKIP])),
    counts("rbd_quiesce_notification_attempts", ONE_OR_MORE),
    without("rbd_journal_commit_age", Kind::Seconds),
    without("rbd_journal_object_writethrough_until_flush", Kind::Flag),
    without("rbd_journal_object_flush_interval", NUMBER),
    without("rbd_journal_object_flush_bytes", BYTES),
    without("rbd_journal_object_flush_age", Kind::Seconds),
    without("rbd_journal_object_max_in_flight_appends", NUMBER),
    without("rbd_journal_max_payload_bytes", BYTES),
    without("rbd_journal_max_concurrent_object_sets", NUMBER),
    counts("rbd_qos_iops_limit", NUMBER),
    counts("rbd_qos_bps_limit", NUMBER),
    counts("rbd_qos_read_iops_limit", NUMBER),
    counts("rbd_qos_write_iops_limit", NUMBER),
    counts("rbd_qos_read_bps_limit", NUMBER),
    counts("rbd_qos_write_bps_limit", NUMBER),
    counts("rbd_qos_iops_burst", NUMBER),
    counts("rbd_qos_bps_burst", NUMBER),
    counts("rbd_qos_read_iops_burst", NUMBER),
    counts("rbd_qos_write_iops_burst", NUMBER),
    counts("rbd_qos_read_bps_burst", NUMBER),
    counts("rbd_qos_write_bps_burst", NUMBER),
    counts("rbd_qos_iops_burst_seconds", ONE_OR_MORE),
    counts("rbd_qos_bps_burst_seconds", ONE_OR_MORE),
    counts("rbd_qos_read_iops_burst_seconds", ONE_OR_MORE),
    counts("rbd_qos_write_iops_burst_seconds", ONE_OR_MORE),
    counts("rbd_qos_read_bps_burst_seconds", ONE_OR_MORE),
    counts("rbd_qos_write_bps_burst_seconds", ONE_OR_MORE),
    counts("rbd_qos_schedule_tick_min", ONE_OR_MORE),
    without("rbd_qos_exclude_ops", Kind::Text),
    without("rbd_mtime_update_interval", NUMBER),
    without("rbd_atime_update_interval", NUMBER),
    without("rbd_io_scheduler", Kind::Word(&["none", "simple"])),
    without("rbd_io_scheduler_simple_max_delay", NUMBER),
    without("rbd_persistent_cache_mode", Kind::Word(&["disabled", "rwl", "ssd"])),
    without("rbd_persistent_cache_size", Kind::Bytes(1 << 30, u64::MAX)),
    without("rbd_persistent_cache_path", Kind::Text),
    without("rbd_plugins", Kind::Text),
    of_pool(DEFAULT_FORMAT_OPTION, Kind::Word(&["lsd", "rbd"])),
    of_pool("rbd_default_clone_format", Kind::Word(&["1", "2", "auto"])),
    of_pool("rbd_default_data_pool", Kind::Text),
    of_pool("rbd_default_features", Kind::Features),
    of_pool("rbd_default_order", NUMBER),
    of_pool("rbd_default_stripe_count", NUMBER),
    of_pool("rbd_default_stripe_unit", BYTES),
    of_pool("rbd_journal_order", Kind::Number(12, 26)),
    of_pool("rbd_journal_pool", Kind::Text),
    of_pool("rbd_journal_splay_width", NUMBER),
    of_pool("rbd_mirror_concurrent_image_deletions", ONE_OR_MORE),
    of_pool("rbd_mirror_concurrent_image_syncs", NUMBER),
    of_pool("rbd_mirror_delete_retry_interval", Kind::Seconds),
    of_pool("rbd_mirror_image_perf_stats_prio", NUMBER),
    of_pool("rbd_mirror_image_policy_migration_throttle", NUMBER),
    of_pool("rbd_mirror_image_policy_rebalance_timeout", Kind::Seconds),
    of_pool("rbd_mirror_image_policy_type", Kind::Word(&["none", "simple"])),
    of_pool("rbd_mirror_image_policy_update_throttle_interval", Kind::Seconds),
    of_pool("rbd_mirror_image_state_check_interval", ONE_OR_MORE),
    of_pool("rbd_mirror_journal_commit_age", Kind::Seconds),
    of_pool("rbd_mirror_journal_poll_age", Kind::Seconds),
    of_pool("rbd_mirror_leader_heartbeat_interval", ONE_OR_MORE),
    of_pool("rbd_mirror_leader_max_acquire_attempts_before_break", NUMBER),
    of_pool("rbd_mirror_leader_max_missed_heartbeats", NUMBER),
    of_pool("rbd_mirror_memory_autotune", Kind::Flag),
    of_pool("rbd_mirror_memory_base", BYTES),
    of_pool("rbd_mirror_memory_cache_autotune_interval", Kind::Seconds),
    of_pool("rbd_mirror_memory_cache_min", BYTES),
    of_pool("rbd_mirror_memory_cache_resize_interval", Kind::Seconds),
    of_pool("rbd_mirror_memory_expected_fragmentation", Kind::Seconds),
    of_pool("rbd_mirror_memory_target", BYTES),
    of_pool("rbd_mirror_perf_stats_prio", NUMBER),
    of_pool("rbd_mirror_sync_point_update_age", Kind::Seconds),
];
