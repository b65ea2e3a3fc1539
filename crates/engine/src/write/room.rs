//! Room in a store that knows how much it has (a directory): what it could not keep is refused before it is accepted, as a local
//! disk does it.
//!
//! Owns: that refusal, and asking for garbage to be given back before it. Does not own: stores that only say so when they are
//! written to (`append/`), collection (`collect/`).
use crate::api::limits::{ROOM_SPARE_BYTES, ROOM_SPARE_FRACTION, ROOM_TRIES, SPACE_PATIENCE};
use crate::session::Session;
use crate::{Error, ErrorKind, Result};
use std::sync::Arc;

impl Session {
    /// Waits until there is room for `len` bytes more than what is accepted already, as long as garbage is given back.
    /// `NoSpace`.
    /// `held`: the caller holds a range, for which whoever hands the image over waits.
    pub(crate) async fn wait_for_room(self: &Arc<Self>, len: u64, held: bool) -> Result<()> {
        if self.has_room(len) { Ok(()) } else { Box::pin(self.make_room(len, held)).await }
    }

    fn has_room(&self, len: u64) -> bool {
        let Some(room) = self.objects.data.room() else { return true };
        let data = self.shared.dirty_bytes() + len;
        let has_room = room.ordinary >= data + data / ROOM_SPARE_FRACTION + ROOM_SPARE_BYTES;
        if has_room {
            self.shared.relieve();
        }
        has_room
    }

    async fn make_room(self: &Arc<Self>, len: u64, held: bool) -> Result<()> {
        // Only an owner collects, and who has just opened the image is none yet.
        if !held {
            self.ensure_owner().await?;
        }
        for _ in 0..ROOM_TRIES {
            let freed = self.shared.space_freed.notified();
            if !self.owns() || !self.shared.press_for_room() {
                break;
            }
            // Who was not told of anything looks all the same.
            let _ = tokio::time::timeout(SPACE_PATIENCE, freed).await;
            if self.has_room(len) {
                return Ok(());
            }
        }
        let store = self.objects.data.pool_name();
        Err(Error::new(ErrorKind::NoSpace, format!("{store} has no room for {len} bytes more")))
    }
}
