//! Garbage collection that somebody asked for.
use super::Session;
use crate::{Error, ErrorKind, Progress, Result};
use std::sync::Arc;

impl Session {
    /// See [`crate::Image::collect`].
    pub(crate) async fn collect(self: &Arc<Self>, progress: Progress<'_>) -> Result<()> {
        self.check_open()?;
        if self.read_only {
            return Err(Error::new(ErrorKind::ReadOnly, "the image is open read-only"));
        }
        let checkpointer = {
            let since = self.refusals.count();
            let mut role = self.maintenance.lock().await;
            self.own(&mut role, since).await?
        };
        self.collector.collect_all(&checkpointer, progress).await
    }
}
