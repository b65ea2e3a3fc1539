//! Reads of an image whose owner moves data on and deletes where it was.
//!
//! Owns: trying again, and what has to be looked at again first. Does not own: reading (`read/`), loading (`recovery/open.rs`).
use crate::api::limits::READ_TRIES;
use crate::api::stats::Counter;
use crate::session::{Role, Session};
use crate::{ErrorKind, Result};
use lsd_core::format::header::CheckpointPointer;

impl Session {
    /// Runs `attempt` until it finds every object that the map names. The owner's own map follows what it moves, so it looks up
    /// again; any other handle first takes up the newest durable state, unless somebody did since the attempt began.
    ///
    /// `Corrupt` when objects are missing that the newest state names.
    pub(crate) async fn retry_if_moved<T, F: Future<Output = Result<T>>>(&self, attempt: impl Fn() -> F) -> Result<T> {
        let mut tries = 0;
        loop {
            let before = self.shared.lock().log().checkpoint;
            match attempt().await {
                Err(error) if error.kind == ErrorKind::NotFound && tries < READ_TRIES => {
                    self.shared.counters.count(Counter::ReadsMoved);
                    tries += 1;
                }
                Err(error) if error.kind == ErrorKind::NotFound => {
                    return Err(error.with_kind(ErrorKind::Corrupt));
                }
                other => return other,
            }
            // The owner's map is the truth. Waiting for its maintenance would be in vain, too: a hand-over waits for those who
            // read to compare.
            if self.shared.lock().writer.is_none() {
                if self.hold_moment {
                    return Err(self.moment_is_over());
                }
                Box::pin(self.take_up_newer(before)).await?;
            }
        }
    }

    /// Takes up the newest durable state, unless this handle owns the image by now or has another state than `before`.
    async fn take_up_newer(&self, before: Option<CheckpointPointer>) -> Result<()> {
        let mut role = self.maintenance.lock().await;
        let is_same = self.shared.lock().log().checkpoint == before;
        if is_same && matches!(*role, Role::Reader(_)) {
            self.reload(&mut role).await?;
        }
        Ok(())
    }
}
