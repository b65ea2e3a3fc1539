//! What the room of a store that knows how much it has (a directory) allows: sizes of segments, copies of the collector.
//!
//! Owns: those rules. Does not own: refusing writes (`write/room.rs`).
use crate::api::limits::{COPIES_IN_RESERVE, LEAST_SEGMENT_BYTES, SCARCE_ROOM_BYTES, SEGMENTS_IN_RESERVE};
use lsd_store::ObjectStore;

/// Bytes of a segment, at most `most`. Collection copies what lives in a segment before that goes, so a few of them must fit
/// into what a store keeps for it.
pub(crate) fn segment_bytes(store: &dyn ObjectStore, most: u32) -> u32 {
    let fits = store.room().map_or(u64::MAX, |room| room.reserve / SEGMENTS_IN_RESERVE);
    u32::try_from(fits).unwrap_or(u32::MAX).clamp(LEAST_SEGMENT_BYTES.min(most), most)
}

/// Whether copies of so many bytes find room, with enough left for what follows them, before they give any back.
pub(crate) fn takes_copies(store: &dyn ObjectStore, bytes: u64) -> bool {
    store.room().is_none_or(|room| bytes <= room.urgent / COPIES_IN_RESERVE)
}

/// Whether what is dead should go at once, because room is getting scarce.
pub(crate) fn is_scarce(store: &dyn ObjectStore) -> bool {
    store.room().is_some_and(|room| room.ordinary < SCARCE_ROOM_BYTES)
}
