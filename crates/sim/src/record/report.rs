//! What a run covered, and how it failed.
use crate::options::shares;
use std::fmt;
use std::ops::AddAssign;

const LED_BACK: &str = "led back from an abort";
const RESTORED: &str = "left in the trash";

/// How often a run met what it is made for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Seeds.
    pub runs: u64,
    /// Clients that died or were cut off at a step of theirs.
    pub crash_points: u64,
    pub takeovers: u64,
    /// Changes by a client that was cut off which reached the store after somebody else had taken over.
    pub zombie_landings: u64,
    /// Operations that failed on their way.
    pub failed_operations: u64,
    /// Changes that took effect while the client was told otherwise.
    pub lost_answers: u64,
    pub torn_appends: u64,
    pub full_pools: u64,
    /// Operations that clients issued: writes, discards and so on.
    pub operations: u64,
    pub reads: u64,
    /// Contents that were compared with what the history allows.
    pub checks: u64,
    pub clean_closes: u64,
    pub checkpoints: u64,
    /// Pages of patches of leaves that a checkpoint wrote.
    pub patch_pages: u64,
    /// Times that a client wrote which had given the image to another living one.
    pub hand_overs: u64,
    /// Calls of `Image::collect` that succeeded on an image with data.
    pub collections: u64,
    /// Runs of large writes and then small ones, at the default size of segments.
    pub bulks: u64,
    /// Batches that were one of several of a group.
    pub shares: u64,
    /// Snapshots whose creation was acknowledged.
    pub snapshots: u64,
    pub snapshots_removed: u64,
    /// Names and protections of snapshots that were changed.
    pub snapshots_changed: u64,
    /// Lists of snapshots that were compared with what may be there.
    pub snapshot_lists: u64,
    /// Contents of snapshots that were read and compared.
    pub snapshots_read: u64,
    /// What clients did with snapshots that did not own the image.
    pub asked: u64,
    pub rollbacks: u64,
    pub rollbacks_by_others: u64,
    /// Rollbacks that were not acknowledged to a living client.
    pub rollbacks_in_doubt: u64,
    /// Crash points in runs that take snapshots.
    pub snapshot_crash_points: u64,
    /// Pages that nobody needs, at the end.
    pub leaks: u64,
    pub clones: u64,
    /// Contents of clones that were read and compared.
    pub clones_read: u64,
    pub clones_removed: u64,
    pub flattened: u64,
    /// Migrations that were prepared, executed and so on, as whoever did it was told.
    pub prepared: u64,
    pub executed: u64,
    pub committed: u64,
    pub aborted: u64,
    /// Executions that led out of an abort that was broken off.
    pub led_back: u64,
    /// Sources that a preparation which was too slow has left in the trash, and that came back.
    pub restored: u64,
    /// Crash points in runs of migrations.
    pub migration_crash_points: u64,
    /// Everything that happened.
    pub events: u64,
}

impl Coverage {
    fn counters(&self) -> [(&'static str, u64); 41] {
        [
            ("runs", self.runs),
            ("crash points", self.crash_points),
            ("takeovers", self.takeovers),
            ("zombie landings", self.zombie_landings),
            ("failed operations", self.failed_operations),
            ("lost answers", self.lost_answers),
            ("torn appends", self.torn_appends),
            ("full-pool episodes", self.full_pools),
            ("operations", self.operations),
            ("reads", self.reads),
            ("contents checked", self.checks),
            ("clean closes", self.clean_closes),
            ("checkpoint commits", self.checkpoints),
            ("pages of patches", self.patch_pages),
            ("hand-overs back", self.hand_overs),
            ("collections", self.collections),
            ("bulks", self.bulks),
            ("shares of groups", self.shares),
            ("snapshots", self.snapshots),
            ("snapshots removed", self.snapshots_removed),
            ("snapshots changed", self.snapshots_changed),
            ("lists of snapshots", self.snapshot_lists),
            ("snapshots compared", self.snapshots_read),
            ("deeds of askers", self.asked),
            ("rollbacks", self.rollbacks),
            ("rollbacks by others", self.rollbacks_by_others),
            ("rollbacks in doubt", self.rollbacks_in_doubt),
            ("crash points with snapshots", self.snapshot_crash_points),
            ("clones", self.clones),
            ("clones compared", self.clones_read),
            ("clones removed", self.clones_removed),
            ("clones flattened", self.flattened),
            ("migrations prepared", self.prepared),
            ("executed", self.executed),
            ("committed", self.committed),
            ("aborted", self.aborted),
            (LED_BACK, self.led_back),
            (RESTORED, self.restored),
            ("crash points with migrations", self.migration_crash_points),
            ("leaks", self.leaks),
            ("events", self.events),
        ]
    }

    /// What the runs never met.
    pub fn missing(&self) -> Vec<&'static str> {
        let never = self.counters().into_iter().filter(|(_, count)| *count == 0).map(|(name, _)| name);
        // Only thousands of runs meet these.
        let never = never.filter(|name| ![LED_BACK, RESTORED].contains(name));
        never.filter(|name| shares() || *name != "hand-overs back").collect()
    }
}

impl AddAssign<&Coverage> for Coverage {
    fn add_assign(&mut self, other: &Coverage) {
        self.runs += other.runs;
        self.crash_points += other.crash_points;
        self.takeovers += other.takeovers;
        self.zombie_landings += other.zombie_landings;
        self.failed_operations += other.failed_operations;
        self.lost_answers += other.lost_answers;
        self.torn_appends += other.torn_appends;
        self.full_pools += other.full_pools;
        self.operations += other.operations;
        self.reads += other.reads;
        self.checks += other.checks;
        self.clean_closes += other.clean_closes;
        self.checkpoints += other.checkpoints;
        self.patch_pages += other.patch_pages;
        self.hand_overs += other.hand_overs;
        self.collections += other.collections;
        self.bulks += other.bulks;
        self.shares += other.shares;
        self.snapshots += other.snapshots;
        self.snapshots_removed += other.snapshots_removed;
        self.snapshots_changed += other.snapshots_changed;
        self.snapshot_lists += other.snapshot_lists;
        self.snapshots_read += other.snapshots_read;
        self.asked += other.asked;
        self.rollbacks += other.rollbacks;
        self.rollbacks_by_others += other.rollbacks_by_others;
        self.rollbacks_in_doubt += other.rollbacks_in_doubt;
        self.snapshot_crash_points += other.snapshot_crash_points;
        self.leaks += other.leaks;
        self.clones += other.clones;
        self.clones_read += other.clones_read;
        self.clones_removed += other.clones_removed;
        self.flattened += other.flattened;
        self.prepared += other.prepared;
        self.executed += other.executed;
        self.committed += other.committed;
        self.aborted += other.aborted;
        self.led_back += other.led_back;
        self.restored += other.restored;
        self.migration_crash_points += other.migration_crash_points;
        self.events += other.events;
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counters = self.counters().map(|(name, count)| format!("{count} {name}"));
        f.write_str(&counters.join(", "))
    }
}

/// A run that broke a promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub seed: u64,
    pub why: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}: {}\n  replay: cargo run -p lsd-sim -- --seed {} --trace", self.seed, self.why, self.seed)
    }
}
