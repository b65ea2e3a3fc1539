//! Counters of an image handle, from its open on.
//!
//! Owns: which there are, their names and what they count. Does not own: when they are counted; each is, where it happens.
//! A new counter is a line of the table below.
use lsd_store::Watcher;
use std::sync::atomic::{AtomicU64, Ordering};

/// One counter as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// `io`, `log`, `checkpoint`, `collection`, `cache` or `retry`.
    pub group: &'static str,
    pub name: &'static str,
    pub value: u64,
}

/// What the handle behind a watch has counted since it was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientStats {
    pub watcher: Watcher,
    /// Each with its name, `group.name`, in the order of that client's version. `None`: it is silent, or a version or a program
    /// that does not tell.
    pub counters: Option<Vec<(String, u64)>>,
}

macro_rules! counters {
    ($($(#[$about:meta])* $counter:ident = $group:literal $name:literal,)*) => {
        /// What is counted. Bytes where the name says so, else events.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Counter {
            $($(#[$about])* $counter,)*
        }

        /// Group and name of each, in order.
        const NAMES: &[(&str, &str)] = &[$(($group, $name),)*];
    };
}

counters! {
    /// Reads of clients.
    Reads = "io" "reads",
    ReadBytes = "io" "read_bytes",
    /// Writes of clients, also as compare-and-write.
    Writes = "io" "writes",
    WrittenBytes = "io" "written_bytes",
    /// Discards and write-zeroes.
    Discards = "io" "discards",
    DiscardedBytes = "io" "discarded_bytes",
    Flushes = "io" "flushes",
    /// Batches that are durable, and what they take in the store.
    Batches = "log" "batches",
    BatchBytes = "log" "batch_bytes",
    /// Records in them: of the guest and of the collector.
    Records = "log" "records",
    Checkpoints = "checkpoint" "written",
    /// Attempts that failed; the next one tries again.
    CheckpointsFailed = "checkpoint" "failed",
    /// Pages that they wrote, of leaves and roots.
    CheckpointPages = "checkpoint" "pages",
    CollectionRounds = "collection" "rounds",
    /// Of the segments that nothing needs any more by its rounds; what is sorted first, when somebody asks for it, is not counted.
    CollectedBytes = "collection" "freed_bytes",
    CopiedBytes = "collection" "copied_bytes",
    /// Attempts that failed: it rests until there is more garbage.
    CollectionsFailed = "collection" "failed",
    /// Parts of reads that were in memory.
    CacheHitBytes = "cache" "hit_bytes",
    CacheMissBytes = "cache" "miss_bytes",
    /// Leaves of the map that were read.
    LeavesLoaded = "cache" "leaves_loaded",
    /// Appends that the store refused or did not answer.
    AppendRetries = "retry" "appends",
    /// Times that the pool was full.
    PoolFull = "retry" "pool_full",
    /// Reads that looked again because their data had been moved.
    ReadsMoved = "retry" "reads_moved",
    Takeovers = "retry" "takeovers",
    HandOvers = "retry" "hand_overs",
}

/// All counters of one handle.
#[derive(Debug)]
pub(crate) struct Counters([AtomicU64; NAMES.len()]);

impl Default for Counters {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl Counters {
    pub(crate) fn count(&self, counter: Counter) {
        self.add(counter, 1);
    }

    pub(crate) fn add(&self, counter: Counter, value: u64) {
        // Each stands for itself: nobody concludes anything from two of them at one moment.
        self.0[counter as usize].fetch_add(value, Ordering::Relaxed);
    }

    pub(crate) fn all(&self) -> Vec<Stat> {
        let one = |((group, name), value): (&(&'static str, &'static str), &AtomicU64)| Stat {
            group,
            name,
            value: value.load(Ordering::Relaxed),
        };
        NAMES.iter().zip(&self.0).map(one).collect()
    }
}
