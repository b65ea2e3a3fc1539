//! Being quiet while snapshots are taken of an open image: a part of its public face.
//!
//! Owns: the words of the calls. Does not own: what they do (`session/quiesce/`, `ownership/quiet.rs`).
use super::Image;
use crate::{QuiesceEvent, Result};
use std::sync::Arc;

impl Image {
    /// From its return on `listener` is called before each snapshot of this image, whoever takes it, which waits until
    /// [`Image::quiesce_complete`] is called, and again when it was taken or has failed; a snapshot may follow the last one without a
    /// call. Gives the number of the watch. The listener may not block, and may call `quiesce_complete`. On a read-only handle it
    /// is never called.
    pub async fn quiesce_watch(&self, listener: Arc<dyn Fn(QuiesceEvent) + Send + Sync>) -> Result<u64> {
        self.session.quiesce_watch(listener).await
    }

    /// 0: quiet; a positive errno: not, so the snapshot fails. The listener is told to go on in either case. Nothing happens where it was
    /// not asked.
    pub fn quiesce_complete(&self, watch: u64, errno: u32) {
        self.session.events.quiet.complete(watch, errno);
    }

    /// The listener is not called any more, but may be running; a snapshot waits for it no longer. `NotFound`.
    pub async fn quiesce_unwatch(&self, watch: u64) -> Result<()> {
        self.session.quiesce_unwatch(watch).await
    }
}
