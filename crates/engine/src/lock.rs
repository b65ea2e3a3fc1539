//! The advisory exclusive lock on the header: keeps polite clients apart. Safety does not rest on it (`takeover.rs`).
use crate::limits::{BLOCKLIST_FOR, LOCK_POLL};
use crate::objects::Objects;
use crate::{Error, ErrorKind, Result};
use lsd_store::{LockMode, LockRequest, Locker, StoreErrorKind, WatchId};
use std::time::Duration;

/// The lock's name, as librbd's, so that tools which list lockers find it.
pub(crate) const LOCK_NAME: &str = "rbd_lock";

/// librbd's cookie of a managed lock: `auto <watch>`.
pub(crate) fn cookie(watch: WatchId) -> String {
    format!("auto {}", watch.0)
}

/// Takes the lock; a holder who no longer watches the header is dead: it is blocklisted and its lock broken.
/// `Busy` when the holder is alive after `patience`.
pub(crate) async fn acquire(objects: &Objects, watch: WatchId, patience: Duration) -> Result<()> {
    let header = objects.header();
    let request = LockRequest {
        name: LOCK_NAME.to_owned(),
        cookie: cookie(watch),
        mode: LockMode::Exclusive,
        tag: "internal".to_owned(),
    };
    let deadline = tokio::time::Instant::now() + patience;
    loop {
        match objects.meta.lock(&header, request.clone()).await {
            Ok(()) => return Ok(()),
            Err(error) if error.kind == StoreErrorKind::Exists => return Ok(()),
            Err(error) if error.kind != StoreErrorKind::Busy => return Err(error.into()),
            Err(_) => {}
        }
        let state = objects.meta.lock_state(&header, LOCK_NAME).await?;
        let Some(holder) = state.lockers.first() else { continue };
        if !is_alive(objects, holder).await? {
            evict(objects, holder).await?;
            continue;
        }
        if tokio::time::Instant::now() >= deadline {
            let (client, addr) = (&holder.client, &holder.addr);
            return Err(Error::new(ErrorKind::Busy, format!("{header}: locked by {client} at {addr}")));
        }
        tokio::time::sleep(LOCK_POLL).await;
    }
}

async fn is_alive(objects: &Objects, holder: &Locker) -> Result<bool> {
    let watchers = objects.meta.watchers(&objects.header()).await?;
    Ok(watchers.iter().any(|watcher| format!("client.{}", watcher.client) == holder.client))
}

async fn evict(objects: &Objects, holder: &Locker) -> Result<()> {
    match objects.meta.blocklist(&holder.addr, BLOCKLIST_FOR).await {
        Ok(()) => {}
        // The epoch fences it all the same.
        Err(error) if matches!(error.kind, StoreErrorKind::Unsupported | StoreErrorKind::Permission) => {}
        Err(error) => return Err(error.into()),
    }
    match objects.meta.break_lock(&objects.header(), LOCK_NAME, holder).await {
        Ok(()) => Ok(()),
        Err(error) if error.kind == StoreErrorKind::NotFound => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Gives the lock back; one that was taken away meanwhile is no error.
pub(crate) async fn release(objects: &Objects, watch: WatchId) -> Result<()> {
    match objects.meta.unlock(&objects.header(), LOCK_NAME, &cookie(watch)).await {
        Ok(()) => Ok(()),
        Err(error) if error.kind == StoreErrorKind::NotFound => Ok(()),
        Err(error) => Err(error.into()),
    }
}
