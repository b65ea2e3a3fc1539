//! The advisory exclusive lock on the header: keeps polite clients apart. Safety does not rest on it (`takeover.rs`).
use crate::api::limits::{BLOCKLIST_FOR, RELEASE_TRIES, RETRY_FIRST};
use crate::objects::Objects;
use crate::{Error, ErrorKind, Result};
use lsd_store::{LockMode, LockRequest, Locker, StoreErrorKind, WatchId, Watcher};

/// The lock's name, as librbd's, so that tools which list lockers find it.
pub(crate) const LOCK_NAME: &str = "rbd_lock";

/// librbd's cookie of a managed lock: `auto <watch>`.
pub(crate) fn cookie(watch: WatchId) -> String {
    format!("auto {}", watch.0)
}

/// librbd's tag of a managed lock; whoever holds the lock under another took it by hand, for reasons of their own.
const LOCK_TAG: &str = "internal";

/// What became of an attempt to take the lock.
#[derive(Debug)]
pub(crate) enum Attempted {
    Taken,
    /// By this one, who is alive and can be asked.
    Held(Locker),
}

/// Takes the lock; a holder who no longer watches the header is dead: it is blocklisted and its lock broken.
/// `Busy`: somebody holds it as an advisory lock. `image`: its name, for those who read what is told.
pub(crate) async fn try_acquire(objects: &Objects, image: &str, watch: WatchId) -> Result<Attempted> {
    let header = objects.header();
    let request = LockRequest {
        name: LOCK_NAME.to_owned(),
        cookie: cookie(watch),
        mode: LockMode::Exclusive,
        tag: LOCK_TAG.to_owned(),
    };
    loop {
        match objects.meta.lock(&header, request.clone()).await {
            Ok(()) => return Ok(Attempted::Taken),
            Err(error) if error.kind == StoreErrorKind::Exists => return Ok(Attempted::Taken),
            Err(error) if error.kind != StoreErrorKind::Busy => return Err(error.into()),
            Err(_) => {}
        }
        let Some(holder) = managed_holder(objects).await? else { continue };
        if is_alive(objects, &holder).await? {
            return Ok(Attempted::Held(holder));
        }
        evict_dead_holder(objects, image, &holder).await?;
    }
}

/// Who owns the image, if anybody does. `Busy`: somebody holds the lock as an advisory lock.
pub(crate) async fn managed_holder(objects: &Objects) -> Result<Option<Locker>> {
    let state = objects.meta.lock_state(&objects.header(), LOCK_NAME).await?;
    let Some(holder) = state.lockers.into_iter().next() else { return Ok(None) };
    if state.tag != LOCK_TAG || !holder.cookie.starts_with("auto ") {
        let (client, addr) = (&holder.client, &holder.addr);
        let reason = format!("{}: locked by hand by {client} at {addr}", objects.header());
        return Err(Error::new(ErrorKind::Busy, reason));
    }
    Ok(Some(holder))
}

async fn is_alive(objects: &Objects, holder: &Locker) -> Result<bool> {
    let watchers = objects.meta.watchers(&objects.header()).await?;
    Ok(watchers.iter().any(|watcher| is_of(watcher, holder)))
}

/// True if they are one client.
pub(crate) fn is_of(watcher: &Watcher, holder: &Locker) -> bool {
    format!("client.{}", watcher.client) == holder.client
}

async fn evict_dead_holder(objects: &Objects, image: &str, holder: &Locker) -> Result<()> {
    // Who closed the image between the two looks gave the lock back before its watch, and lives.
    if managed_holder(objects).await?.as_ref() != Some(holder) {
        return Ok(());
    }
    evict(objects, holder).await?;
    tracing::warn!(target: "lsd::ownership", image, op = "evict", object = %objects.header(), holder = %holder.client,
        addr = %holder.addr, "the owner did not watch the image any more: it was fenced off");
    Ok(())
}

pub(crate) async fn evict(objects: &Objects, holder: &Locker) -> Result<()> {
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

/// Cuts an owner off whose watch has run out. `Busy`: it lives, or the lock was taken by hand.
pub(crate) async fn evict_dead(objects: &Objects, image: &str) -> Result<()> {
    let Some(holder) = managed_holder(objects).await? else { return Ok(()) };
    if is_alive(objects, &holder).await? {
        let reason = format!("{}: owned by {} at {}", objects.header(), holder.client, holder.addr);
        return Err(Error::new(ErrorKind::Busy, reason));
    }
    evict_dead_holder(objects, image, &holder).await
}

/// Gives the lock back; one that was taken away meanwhile is no error.
pub(crate) async fn release(objects: &Objects, watch: WatchId) -> Result<()> {
    match objects.meta.unlock(&objects.header(), LOCK_NAME, &cookie(watch)).await {
        Ok(()) => Ok(()),
        Err(error) if error.kind == StoreErrorKind::NotFound => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The same, tried again where the store fails: a lock that stays keeps everybody out for as long as this client lives.
pub(crate) async fn give_back(objects: &Objects, watch: WatchId) -> Result<()> {
    let mut pause = RETRY_FIRST;
    for _ in 1..RELEASE_TRIES {
        match release(objects, watch).await {
            Err(error) if matches!(error.kind, ErrorKind::TimedOut | ErrorKind::Io { .. }) => {}
            released => return released,
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
    release(objects, watch).await
}
