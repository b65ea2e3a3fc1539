//! The snapshots of an open image, as its owner changes them.
//!
//! Owns: what each change requires, the order of its steps, letting go of what a removed snapshot needed. Does not own: who carries a
//! change out (`requests.rs`), the checkpoint that goes with it (`checkpoint/purpose.rs`), what is needed (`lsd_state::pins`).
mod ask;

use crate::api::error::invalid;
use crate::api::limits::{HEADER_TRIES, PINNED_SURVEY_FRACTION, RETRY_MOST};
use crate::checkpoint::Checkpointer;
use crate::checkpoint::purpose::{NewSnapshot, Purpose, Target};
use crate::compiled_here;
use crate::objects::header::{Header, Snapshots};
use crate::ownership::watch::HeaderEvents;
use crate::recovery::snapshot;
use crate::session::Session;
use crate::ties::stale;
use crate::ties::tie::ParentHeader;
use crate::{Error, ErrorKind, Result, SnapRef};
use lsd_core::format::header::{AncestryRecord, SnapCounters, SnapNamespace, SnapRecord, StateRecord, key};
use lsd_core::units::SnapId;
use lsd_store::KvUpdate;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

impl Session {
    /// A usable snapshot by its id; `NotFound`.
    pub(crate) fn snapshot(&self, id: SnapId) -> Result<SnapRecord> {
        self.described().snapshots.find(&SnapRef::Id(id.0))
    }

    /// With the maintenance lock held, by the owner, as all that follow. `Exists`; `Io` with `EDQUOT`: there may not be more.
    pub(crate) async fn create_snapshot_owned(
        &self,
        checkpointer: &Checkpointer,
        name: &str,
        namespace: SnapNamespace,
        flags: u64,
    ) -> Result<()> {
        let described = self.described().clone();
        check_new(&described.snapshots, name, &namespace)?;
        if described.base.is_some() {
            let reason =
                format!("{}: the image has a base, so it has no snapshots yet: flatten it first", described.name);
            return Err(Error::new(ErrorKind::Unsupported, reason));
        }
        let id = described.snapshots.counters.last.next();
        let new = NewSnapshot {
            id,
            namespace,
            name: name.to_owned(),
            features: described.state.features,
            flags,
            time_ns: self.clock.now_ns(),
            overlap: described.ancestry.as_ref().and_then(|ancestry| ancestry.overlap),
            counters: SnapCounters { last: id, ..described.snapshots.counters },
        };
        self.with_checkpoint(checkpointer, Purpose::Snapshot(Box::new(new))).await
    }

    /// A user's snapshot with the id, the name and the time (nanoseconds) of another image's. `Invalid`: that id may have been given out.
    pub(crate) async fn create_snapshot_like(
        self: &Arc<Self>,
        (id, name): (SnapId, &str),
        flags: u64,
        time_ns: u64,
    ) -> Result<()> {
        let since = self.refusals.count();
        let mut role = self.maintenance.lock().await;
        let checkpointer = self.own(&mut role, since).await?;
        self.settle().await?;
        let described = self.described().clone();
        check_new(&described.snapshots, name, &SnapNamespace::User)?;
        let counters = described.snapshots.counters;
        if id <= counters.last {
            return Err(invalid(format!("the snapshot id {} may have been given out", id.0)));
        }
        let new = NewSnapshot {
            id,
            namespace: SnapNamespace::User,
            name: name.to_owned(),
            features: described.state.features,
            flags,
            time_ns,
            overlap: described.ancestry.as_ref().and_then(|ancestry| ancestry.overlap),
            counters: SnapCounters { last: id, ..counters },
        };
        self.with_checkpoint(&checkpointer, Purpose::Snapshot(Box::new(new))).await
    }

    /// Writes a checkpoint that changes the header's snapshots or its state, and takes up what it says then.
    async fn with_checkpoint(&self, checkpointer: &Checkpointer, purpose: Purpose) -> Result<()> {
        // Whatever becomes of it: until the header was read again nobody knows what is in it.
        self.in_doubt.store(true, Ordering::Release);
        let written = checkpointer.write(&self.objects, &self.shared, purpose).await;
        written.and(self.settle_behind().await)
    }

    /// It is gone for everybody at once; its space comes back in the background. With clones it goes out of sight, and is removed with the
    /// last of them. `Busy`: it is protected, or was removed already and has clones.
    pub(crate) async fn remove_snapshot_owned(&self, id: SnapId) -> Result<()> {
        let change = |record: &SnapRecord| {
            let busy = |why: &str| Err(Error::new(ErrorKind::Busy, format!("snapshot {:?} {why}", record.name)));
            match &record.namespace {
                _ if record.is_protected => busy("is protected from removal"),
                _ if record.children == 0 => Ok(SnapRecord { is_removing: true, ..record.clone() }),
                SnapNamespace::Trash { .. } => busy("was removed, and has clones"),
                _ => {
                    let namespace = SnapNamespace::Trash { name: record.name.clone() };
                    Ok(SnapRecord { namespace, name: format!("removed.{:x}", record.id.0), ..record.clone() })
                }
            }
        };
        self.forget_lost_children(id).await?;
        self.change_snapshot(id, change).await?;
        self.events.release_due.notify_one();
        Ok(())
    }

    /// Clones that a crash has left nothing of count no more.
    async fn forget_lost_children(&self, id: SnapId) -> Result<()> {
        // One that came meanwhile is no lost one.
        if self.snapshot(id)?.children == 0 {
            return Ok(());
        }
        let store = &self.objects.meta;
        let parent = ParentHeader::new(store.clone(), &self.objects.id.0);
        let header = parent.read().await?;
        if header.children.iter().all(|child| child.snapshot != id) {
            return Ok(());
        }
        if stale::forget(&parent, &self.objects.place(), &header, id).await? {
            self.describe_anew().await?;
        }
        Ok(())
    }

    /// `Exists`.
    pub(crate) async fn rename_snapshot_owned(&self, id: SnapId, name: &str) -> Result<()> {
        let record = self.snapshot(id)?;
        check_name(name)?;
        if self.described().snapshots.named(name).is_some() {
            return Err(exists(name));
        }
        debug_assert_eq!(record.id, id);
        self.change_snapshot(id, |record| Ok(SnapRecord { name: name.to_owned(), ..record.clone() })).await
    }

    /// `Busy`: it is protected already, or has clones that demand it; `Invalid`: it is not.
    pub(crate) async fn protect_snapshot_owned(&self, id: SnapId, protect: bool) -> Result<()> {
        if !protect {
            self.forget_lost_children(id).await?;
        }
        let change = |record: &SnapRecord| {
            let busy = |why: &str| Err(Error::new(ErrorKind::Busy, format!("snapshot {:?} {why}", record.name)));
            match (record.is_protected, protect) {
                (true, true) => busy("is protected already"),
                (false, false) => Err(invalid(format!("snapshot {:?} is not protected", record.name))),
                (true, false) if record.strict_children > 0 => busy("has clones"),
                _ => Ok(SnapRecord { is_protected: protect, ..record.clone() }),
            }
        };
        self.change_snapshot(id, change).await
    }

    /// `None`: as many as the user likes. `Io` with `ERANGE`: there are more already.
    pub(crate) async fn limit_snapshots_owned(&self, limit: Option<u64>) -> Result<()> {
        let snapshots = self.described().snapshots.clone();
        let count = users(&snapshots);
        if limit.is_some_and(|limit| limit < count) {
            let reason = format!("there are {count} snapshots already");
            return Err(Error::new(ErrorKind::Io { errno: nix::libc::ERANGE }, reason));
        }
        let counters = SnapCounters { limit, ..snapshots.counters };
        self.update_header(|update| update.set(key::SNAP_COUNTERS, counters.encode())).await?;
        self.described().snapshots.counters = counters;
        Ok(())
    }

    /// Changes a snapshot by what it is: clones come and go without the owner (rule 35).
    pub(super) async fn change_snapshot(
        &self,
        id: SnapId,
        change: impl Fn(&SnapRecord) -> Result<SnapRecord>,
    ) -> Result<()> {
        let mut tries = 0;
        loop {
            let before = self.snapshot(id)?;
            let after = change(&before)?;
            let key = key::snap(id);
            let replace = |update: KvUpdate| update.expect(key.as_str(), before.encode()).set(key, after.encode());
            match self.update_header(replace).await {
                Ok(()) => {
                    self.described().snapshots.all.insert(id, after);
                    return Ok(());
                }
                // Another owner, or another count of clones: what the header says by then tells which.
                Err(error) if error.kind == ErrorKind::Fenced && tries < HEADER_TRIES => {
                    let header = Header::read(&self.objects).await?;
                    if header.epoch != self.epoch()? {
                        return Err(error);
                    }
                    self.describe(&header);
                }
                Err(error) => return Err(error),
            }
            tries += 1;
        }
    }

    /// The image becomes what it was. Rule 33: nobody writes meanwhile, and everything accepted is durable before.
    #[compiled_here]
    pub(crate) async fn roll_back_owned(&self, checkpointer: &Checkpointer, id: SnapId) -> Result<()> {
        let record = self.snapshot(id)?;
        let map = snapshot::map(&self.objects, &record).await?;
        // Who writes from here on waits for the maintenance lock.
        self.owned.store(false, Ordering::Release);
        let rolled_back = match self.come_to_rest(false).await {
            Ok(()) => {
                let described = self.described().clone();
                let state = StateRecord { size: record.size, modify_ns: self.clock.now_ns(), ..described.state };
                let counters = described.snapshots.counters;
                let counters = SnapCounters { rolled_back: counters.last, ..counters };
                let ancestry =
                    described.ancestry.map(|ancestry| AncestryRecord { overlap: record.overlap, ..ancestry });
                let target = Target { snapshot: record, map, state, counters, ancestry };
                self.with_checkpoint(checkpointer, Purpose::Rollback(Box::new(target))).await
            }
            Err(error) => Err(error),
        };
        self.shared.lock().yielding = false;
        self.owned.store(true, Ordering::Release);
        self.shared.unlocked.notify_waiters();
        rolled_back
    }

    /// Lets go of what removed snapshots needed, one after the other. Returns how many they were. An error: some are left.
    pub(crate) async fn release_snapshots(&self, checkpointer: &Checkpointer) -> Result<usize> {
        let mut released = 0;
        // One that cannot be read holds up no other; a repair finds it.
        let mut damaged: BTreeMap<SnapId, Error> = BTreeMap::new();
        loop {
            let is_next = |record: &&SnapRecord| record.is_removing && !damaged.contains_key(&record.id);
            let next = self.described().snapshots.all.values().find(is_next).cloned();
            let Some(record) = next else { return damaged.into_values().next().map_or(Ok(released), Err) };
            match self.release_one(checkpointer, &record).await {
                Err(error) if matches!(error.kind, ErrorKind::Corrupt | ErrorKind::NotFound) => {
                    damaged.insert(record.id, error);
                }
                done => {
                    done?;
                    released += 1;
                }
            }
        }
    }

    async fn release_one(&self, checkpointer: &Checkpointer, record: &SnapRecord) -> Result<()> {
        let needs = snapshot::needs(&self.objects, record).await?;
        // It frees space: it passes in a full pool.
        self.shared.lock().force_when_full();
        checkpointer.write(&self.objects, &self.shared, Purpose::Release(Box::new(needs))).await?;
        self.described().snapshots.all.remove(&record.id);
        Ok(())
    }
}

/// `Invalid`; librbd's rules of names are those of its callers: no `@` and no `/`.
fn check_name(name: &str) -> Result<()> {
    if name.is_empty() || name.contains(['@', '/']) {
        return Err(invalid(format!("{name:?} is no name for a snapshot")));
    }
    Ok(())
}

fn check_new(snapshots: &Snapshots, name: &str, namespace: &SnapNamespace) -> Result<()> {
    check_name(name)?;
    if snapshots.usable().any(|record| record.namespace == *namespace && record.name == name) {
        return Err(exists(name));
    }
    if let Some(limit) = snapshots.counters.limit
        && users(snapshots) >= limit
    {
        let reason = format!("the image may have {limit} snapshots");
        return Err(Error::new(ErrorKind::Io { errno: nix::libc::EDQUOT }, reason));
    }
    Ok(())
}

fn exists(name: &str) -> Error {
    Error::new(ErrorKind::Exists, format!("there is a snapshot {name:?}"))
}

/// Those that count for the limit.
fn users(snapshots: &Snapshots) -> u64 {
    snapshots.usable().count() as u64
}

/// Gives back in the background what removed snapshots needed, as long as this handle owns the image.
pub(crate) async fn release(session: Weak<Session>, events: Arc<HeaderEvents>, checkpointer: Arc<Checkpointer>) {
    let mut released = 0;
    loop {
        let Some(session) = session.upgrade() else { return };
        match session.release_snapshots(&checkpointer).await {
            Ok(count) => released += count,
            Err(error) => {
                let object = error.object();
                tracing::debug!(target: "lsd::reclaim", image = session.shared.image, op = "snap-remove", object, %error,
                    "what a removed snapshot needed is not given back yet");
                drop(session);
                tokio::time::sleep(RETRY_MOST).await;
                continue;
            }
        }
        // The last one that needed the parent may have gone, or a base not be let go of yet. Where this fails the next owner does it.
        if let Err(error) = session.loose_if_left().await {
            let object = error.object();
            tracing::debug!(target: "lsd::reclaim", image = session.shared.image, op = "flatten", object, %error,
                "the parent is not let go of yet");
        }
        // What the others need may be a small part by now of where it lies. Where this fails the next removal tries again.
        if released > 0 && released * PINNED_SURVEY_FRACTION >= session.described().snapshots.all.len() {
            released = 0;
            if let Err(error) = session.empty_pinned_if_worth_it().await {
                let object = error.object();
                tracing::debug!(target: "lsd::reclaim", image = session.shared.image, op = "collect", object, %error,
                    "segments that snapshots need are not emptied yet");
            }
        }
        drop(session);
        events.release_due.notified().await;
    }
}
