//! Every bound of the engine: what it is, and what happens beyond it.
use std::time::Duration;

/// A checkpoint is written when the log since the last one is this many times what it will cost, so checkpoints add
/// at most 1/8 to the bytes written.
pub(crate) const CHECKPOINT_COST_MULTIPLE: u64 = 8;
/// Live bytes of the segments that one decision of garbage collection picks; it decides anew after them.
pub(crate) const VICTIMS_LIVE_BYTES: u64 = 64 << 20;
/// Bytes of the segments, and of what lives in them, that a round of collection holds in memory.
pub(crate) const COPY_ROUND_BYTES: u64 = 32 << 20;
pub(crate) const COPY_ROUND_LIVE_BYTES: u64 = 8 << 20;
/// A round copies at most this part of the live bytes, but may always copy this much.
pub(crate) const COPY_ROUND_FRACTION: u64 = 256;
pub(crate) const COPY_ROUND_LEAST_BYTES: u64 = 1 << 20;
/// Collection that gives back less than this part of what it copies, beyond that, rests until there is more garbage: what lies around
/// short records cannot be collected.
pub(crate) const LEAST_GAIN_FRACTION: u64 = 16;
/// A segment that snapshots need is emptied if so much of it, in hundredths, is needed by nobody.
pub(crate) const PINNED_GARBAGE_PERCENT: u64 = 20;
/// Of the segments that are emptied in one step, whole and what is needed of them: with it the copies in memory, and for how long
/// nobody takes or removes a snapshot.
pub(crate) const PINNED_ROUND_BYTES: u64 = 256 << 20;
pub(crate) const PINNED_ROUND_NEEDED_BYTES: u64 = 32 << 20;
/// To find that out, the roots of all snapshots are read: after the removal of so large a part of them.
pub(crate) const PINNED_SURVEY_FRACTION: usize = 16;
/// Bytes of the image in which is looked at once for what its base has and the image has not.
pub(crate) const BRING_WINDOW: u64 = 64 << 20;
/// Bytes of a base that are brought into the log together; beside them those before may be on their way.
pub(crate) const BRING_BYTES: u64 = 4 << 20;
/// Bytes of the image over whose base extents are listed at once: a sparse file may have an extent for each block of them.
pub(crate) const BASE_EXTENTS_BYTES: u64 = 1 << 30;
/// Leaves (16 MiB of the image each) whose data snapshots of a clone take over in one step.
pub(crate) const ADOPT_ROUND_LEAVES: usize = 16;
/// In the background that is done where what snapshots need takes more than this, in hundredths of what is needed, and at least so much
/// could be given back.
pub(crate) const PINNED_STORED_PERCENT: u64 = 140;
pub(crate) const PINNED_LEAST_BYTES: u64 = 16 << 20;
/// Most data and records that are entered into the log in one critical section: about a millisecond of it.
pub(crate) const COPY_BATCH_BYTES: usize = 4 << 20;
pub(crate) const COPY_BATCH_RECORDS: usize = 1024;
/// Leaves (16 MiB of the image each) that are sorted together and held in memory meanwhile.
pub(crate) const SORT_LEAVES: usize = 2;
/// Data that lies in pieces of this many bytes is read fast enough in any order: it is not sorted.
pub(crate) const SORT_EXTENT_BYTES: u64 = 64 << 10;
/// A gap between two live records that is read rather than made another read.
pub(crate) const COPY_READ_GAP_BYTES: u64 = 32 << 10;
/// Pages, segments or leaves fetched or written side by side by recovery and checkpoints.
pub(crate) const PARALLEL_OPS: usize = 16;
/// After so many failed tries of an append (about a minute), and after each further one, those who wait for it get its error; it is tried
/// again all the same. A full pool and the store's own time-out are told sooner. A header that may have changed is read this often
/// before its change fails.
pub(crate) const APPEND_TRIES: u32 = 12;
/// How often a change of a header that others change, too, is tried; then `Busy`.
pub(crate) const HEADER_TRIES: u32 = 40;
/// The same of a snapshot's clones, each of which was faster once: as many as are made or removed at once; then `Busy`.
pub(crate) const TIE_TRIES: u32 = 2000;
/// A batch that ages looks so often whether it may still grow as old as it might.
pub(crate) const AGE_LOOK: Duration = Duration::from_secs(1);
pub(crate) const RETRY_FIRST: Duration = Duration::from_millis(50);
pub(crate) const RETRY_MOST: Duration = Duration::from_secs(8);
/// Longest pause between tries that end in the store's time-out.
pub(crate) const RETRY_TIMED_OUT: Duration = Duration::from_secs(1);
/// After an append timed out, the store is asked what landed; where it takes longer than this to say so, those who wait for the append
/// get its time-out.
pub(crate) const LOOK_PATIENCE: Duration = Duration::from_secs(1);
/// How often an append to a full pool is tried again.
pub(crate) const FULL_RETRY: Duration = Duration::from_millis(500);
/// What a store that knows its room must have beside the data that it is to keep: this part of it, and so many bytes. It is for
/// the pages and summaries that come with the data. A write is refused with less.
pub(crate) const ROOM_SPARE_FRACTION: u64 = 8;
pub(crate) const ROOM_SPARE_BYTES: u64 = 1 << 20;
/// In a store that keeps a reserve so many segments fit into it; smaller ones are not made smaller than `LEAST_SEGMENT_BYTES`.
pub(crate) const SEGMENTS_IN_RESERVE: u64 = 8;
pub(crate) const LEAST_SEGMENT_BYTES: u32 = 1 << 20;
/// A round of collection copies at most this part of the room that there is for it; if it would be more, nothing is collected.
pub(crate) const COPIES_IN_RESERVE: u64 = 4;
/// With less room than this for ordinary writes every round of collection ends with a checkpoint, and nothing is sorted.
pub(crate) const SCARCE_ROOM_BYTES: u64 = 128 << 20;
/// A write that finds no room waits for garbage to be given back this often, then it fails.
pub(crate) const ROOM_TRIES: u32 = 8;
/// A read whose segment vanished under it looks again this often, then fails. Each time the owner must have written
/// another checkpoint.
pub(crate) const READ_TRIES: u32 = 16;
/// Memory for the block checksums of sealed segments: 4 bytes for 4 KiB of data. Beyond it the tables that were not used
/// for longest are dropped, and read again when needed.
pub(crate) const SUM_TABLES_BYTES: usize = 32 << 20;
/// How long an owner keeps the image at least, so that two writers who take it from each other both get work done.
pub(crate) const HOLD_LEAST: Duration = Duration::from_millis(100);
/// How long one who gave the image away waits for the other to take it before it takes it back.
pub(crate) const YIELD_GRACE: Duration = Duration::from_secs(1);
/// How often an owner that said it will release is asked again.
pub(crate) const ASK_AGAIN: Duration = Duration::from_secs(5);
/// A live owner that does not answer is waited for this much longer than a watch lasts; then `Busy` (a write) or
/// `TimedOut` (a request).
pub(crate) const OWNER_PATIENCE: Duration = Duration::from_secs(5);
/// A watcher of an image that is to be removed may be silent for this long, five seconds longer than a cluster keeps a dead client's watch;
/// then `Busy`.
pub(crate) const WATCHER_PATIENCE: Duration = Duration::from_secs(35);
/// What a handle that does not own the image shows was durable at most this long ago; what is older is brought up to date before a read.
pub(crate) const VIEW_AGE: Duration = Duration::from_secs(1);
/// How often a requester asks what became of its request; a lost notice costs no more than this.
pub(crate) const REQUEST_POLL: Duration = Duration::from_secs(1);
/// Results that an owner keeps for requesters who ask again. Beyond it the oldest goes: a requester asks once a second,
/// so it could only miss its result behind this many other requests.
pub(crate) const REQUESTS_KEPT: usize = 1024;
/// A writer waits for garbage collection this long at most, then it goes on: the bound on space is kept by pacing, and a
/// collection that makes no progress must not stop the disk.
pub(crate) const SPACE_PATIENCE: Duration = Duration::from_secs(1);
/// How often a taker looks whether the lock's owner is gone.
pub(crate) const LOCK_POLL: Duration = Duration::from_millis(250);
/// How often giving the lock back is tried at once, within a second where the store answers. Beyond it the lock stays until somebody
/// asks for it, or until its holder owns the image again.
pub(crate) const RELEASE_TRIES: u32 = 5;
/// How long a fenced client stays on the cluster's blocklist; it is a second fence behind the epoch.
pub(crate) const BLOCKLIST_FOR: Duration = Duration::from_secs(3600);
/// What librbd calls an attempt to make clients quiet before a snapshot: after `rbd_quiesce_notification_attempts` of them the snapshot
/// fails with `TimedOut`.
pub(crate) const QUIESCE_ATTEMPT: Duration = Duration::from_secs(5);
/// How often who takes a snapshot says to those who are quiet for it that it still lives.
pub(crate) const QUIESCE_AGAIN: Duration = Duration::from_millis(2500);
/// A client that has heard nothing for so long of the snapshot that it is quiet for goes on, as librbd's do.
pub(crate) const QUIESCE_SILENCE: Duration = Duration::from_secs(10);
/// So many snapshots that were given up in this way are remembered, the last ones; of an earlier one it is not told that it is not what
/// it was to be.
pub(crate) const QUIESCE_LAPSED_KEPT: usize = 64;
/// How long a header change waits for the other openers to notice it.
pub(crate) const NOTIFY_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest name of an image, bytes: `NameTooLong` beyond it. It is librbd's, whose object `rbd_id.NAME` has a name of 2,048 bytes at
/// most. Longer names that were given before stay in use.
pub(crate) const MAX_NAME_BYTES: usize = 2041;
/// Longest metadata key or value, bytes: `Invalid` beyond it.
pub(crate) const MAX_METADATA_BYTES: usize = 1 << 20;
/// Leaves of the map (16 MiB of the image each) that are loaded ahead of operations in order.
pub(crate) const LEAVES_AHEAD: u32 = 4;
/// Leaves that are read together where one of them is needed (those of half a GiB of the image), and their bytes. Beyond it a leaf is
/// read when it is needed itself.
pub(crate) const LEAVES_TOGETHER: u32 = 32;
pub(crate) const LEAVES_TOGETHER_BYTES: u32 = 32 << 10;
/// Bytes that operations in order have touched before a leaf is loaded ahead of them.
pub(crate) const IN_ORDER_LEAST_BYTES: u64 = 4 << 20;
/// Leaves with content that one step of a walk through an image looks at; they are loaded side by side, 32 KiB each at most.
pub(crate) const WALK_LEAVES: usize = 256;
/// Bytes that sparsifying looks at in one go, and holds at most while it empties them; a larger block is looked at as a whole.
pub(crate) const SPARSIFY_WINDOW: u64 = 4 << 20;
/// Bytes of an image that are compared with what it was before a deep copy copies any of them: what differs there is in memory.
pub(crate) const DEEP_COPY_WINDOW: u64 = 4 << 30;
/// Bytes that a deep copy reads at a time.
pub(crate) const DEEP_COPY_CHUNK: u64 = 4 << 20;
/// How often an executed migration writes down how far it is.
pub(crate) const MIGRATION_TOLD_EVERY: Duration = Duration::from_secs(1);
/// Chunks in flight: with [`DEEP_COPY_CHUNK`] it bounds the memory of a deep copy.
pub(crate) const DEEP_COPY_IN_FLIGHT: usize = 8;
/// Records that replay applies together, once their leaves are loaded.
pub(crate) const REPLAY_RECORDS: usize = 256;
/// Memory for leaves that no checkpoint has as they are, as a part of `lsd_map_cache_bytes`, which bounds all others: beyond 1/`DUE` of it
/// a checkpoint is due, whatever it costs; beyond all of it what makes leaves dirty waits for that checkpoint. A smaller cache
/// counts as `LEAST`.
pub(crate) const UNSTORED_LEAVES_DUE: u64 = 2;
pub(crate) const UNSTORED_LEAVES_LEAST_BYTES: u64 = 1 << 20;
/// A checkpoint that failed this often in a row (about a minute) fails the writes that wait for it.
pub(crate) const CHECKPOINT_TRIES: u32 = 8;
/// Leaves that a checkpoint takes, looks at or books in one critical section: less than a millisecond.
pub(crate) const CHECKPOINT_STEP_LEAVES: usize = 512;
/// Pages of a checkpoint (4 MiB) that are written side by side; no more are in memory, besides three that are filled.
pub(crate) const CHECKPOINT_PAGES: usize = 4;
/// So many page numbers in a row without an object are behind the last page of a checkpoint that was not committed: more than are
/// in flight or being filled.
pub(crate) const PAGES_LEFT_WINDOW: u32 = 8;
/// So many numbers of checkpoints in a row without a page are behind the last one that an owner began.
pub(crate) const CHECKPOINTS_LEFT: u32 = 4;
/// Owners in a row that died before their first checkpoint, whose pages are looked for; what earlier ones left a repair finds.
pub(crate) const OWNERS_LEFT: usize = 64;
/// Leaves that are looked at for eviction in one critical section.
pub(crate) const EVICT_STEP_LEAVES: usize = 1024;
/// Such steps in a row; what is left goes after the next operation that loads leaves.
pub(crate) const EVICT_STEPS: usize = 4096;
/// With less memory for the map nothing is loaded ahead: it would push out what is in use.
pub(crate) const LEAVES_AHEAD_LEAST_MAP_BYTES: u64 = 1 << 20;
/// Largest read fetched ahead of a sequential reader (librbd's `rbd_readahead_max_bytes`).
pub(crate) const READAHEAD_MAX_BYTES: u64 = 512 << 10;
/// Reads in sequence before reading ahead starts.
pub(crate) const READAHEAD_TRIGGER: u32 = 4;
/// Objects of an image of which it is told that they are damaged, each once; of further ones nothing is told until the image is opened
/// again. Their readers get errors all the same.
pub(crate) const DAMAGED_TOLD: usize = 64;
/// A kind of line that comes again and again is told once, and then once in this time with a count.
pub(crate) const TOLD_AGAIN: Duration = Duration::from_secs(60);
/// How often the entry of an image in a group, or in its header, is tried again that others change at the same time.
pub(crate) const GROUP_TRIES: u32 = 8;
/// How long taking all images of a group may take; the snapshot or rollback fails then, and nothing has changed. An owner that died is
/// waited for (half a minute), and owners that hand over one after the other make everything durable first.
pub(crate) const GROUP_HOLD_PATIENCE: Duration = Duration::from_secs(300);
