//! Sparsifying: who does it.
//!
//! Owns: that the owner does, and nothing is asked for that cannot be. Does not own: doing it (`write/sparsify.rs`).
use crate::api::error::invalid;
use crate::session::Session;
use crate::{ErrorKind, Progress, Result};
use lsd_core::format::notice::Operation;
use std::sync::Arc;

/// Bytes: what is smaller the log does not tell apart.
const LEAST_BLOCK: u64 = 4096;

impl Session {
    pub(crate) async fn sparsify(self: &Arc<Self>, block: u64, progress: Progress<'_>) -> Result<()> {
        self.look_at_header().await?;
        if !block.is_power_of_two() || block < LEAST_BLOCK || block > 1 << self.image.order {
            return Err(invalid(format!("{block} is no power of two from {LEAST_BLOCK} to the size of an object")));
        }
        let is_owner = {
            let mut role = self.maintenance.lock().await;
            self.own_if_free(&mut role).await? && role.checkpointer().is_some()
        };
        if is_owner {
            match self.sparsify_owned(block, progress).await {
                // Whoever has the image by now goes on with it.
                Err(error) if error.kind == ErrorKind::Fenced && !self.owns() => {}
                ended => return ended,
            }
        }
        self.maintain(Operation::Sparsify { block }, progress).await
    }
}
