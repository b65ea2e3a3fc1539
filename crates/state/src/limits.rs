//! Every bound of the state: what it is, and what happens beyond it. Those of I/O and waiting are the engine's.
use lsd_core::format::batch::MAX_BATCH_DATA_BYTES;

/// Lanes: segments that are filled side by side (a journal's splay width). An OSD takes guarded appends to one object
/// one at a time, so this is how many are worked on at once.
pub const LANES: usize = 8;
/// Lanes of each of the other streams: cold writes, and copies (garbage collection).
pub const COPY_LANES: usize = 2;
/// An open segment this many numbers behind the newest is sealed by the next checkpoint: replay starts at the lowest open
/// one. It is more than there are lanes, so lanes that are in use are left alone.
pub const STALE_SEGMENT_NUMBERS: u64 = 32;
/// A segment is created only when all but this many numbers before it are known to exist, so recovery knows
/// that the log has ended after this many missing numbers in a row. A writer that is ahead of it waits.
pub const CREATE_WINDOW: u64 = 16;
/// While fewer than [`BUSY_IN_FLIGHT`] batches are in flight and fewer than [`BUSY_BYTES_IN_FLIGHT`] bytes, a batch with this many
/// data bytes is sealed; beyond that only a full one.
pub const BATCH_TARGET_BYTES: u32 = 1 << 20;
pub const BUSY_IN_FLIGHT: usize = 2;
/// While fewer than [`EAGER_IN_FLIGHT`] batches are in flight, a batch with this many data bytes is sealed.
pub const BATCH_EAGER_BYTES: u32 = 256 << 10;
pub const EAGER_IN_FLIGHT: usize = 1;
/// While this many batches are in flight, or [`BUSY_BYTES_IN_FLIGHT`] bytes, those who wait, for durability or for dirty memory, gather
/// in the open batch (group commit).
pub const SYNC_IN_FLIGHT: usize = 4;
/// While this many bytes are in flight, a full batch, only another full one goes: large writes then come in batches of one length,
/// and an OSD finds memory for each where the last one was, still in the processor's cache.
pub const BUSY_BYTES_IN_FLIGHT: u64 = MAX_BATCH_DATA_BYTES as u64;
/// The guest's writes are divided by how often their place is overwritten while a group of them has at least this part of a
/// segment; smaller ones would cost more operations and header pages than they save copies.
pub const DIVIDED_FRACTION: u32 = 32;
/// A segment whose records have so many bytes on average may become longer than others by this factor: fewer objects to make, seal
/// and remove. Its last batch may still be one of small writes.
pub const LARGE_RECORD_BYTES: u32 = 256 << 10;
pub const LARGE_RECORDS_FACTOR: u32 = 2;
/// A segment with less room than this is sealed instead of getting another batch.
pub const MIN_BATCH_ROOM_BYTES: u32 = 128 << 10;
/// What is emptied by one record, beyond one leaf: so many leaves with content, and bytes of them as they are stored. A discard or a
/// shrink of more becomes several records, in the order of the image, and replay goes through a record of more in such steps.
pub const CLEAR_LEAVES: usize = 256;
pub const CLEAR_BYTES: usize = 512 << 10;
