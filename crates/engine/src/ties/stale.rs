//! Ties of clones that are not there: what a crash left between the steps of making or removing one.
//!
//! Owns: telling them from those of clones that are being made right now. Does not own: the tie (`tie.rs`).
use super::tie::ParentHeader;
use crate::objects::header::{Header, Snapshots};
use crate::objects::pools::open_place;
use crate::{ErrorKind, Result};
use lsd_core::format::header::{AncestryRecord, ChildRecord, ImagePlace, encode_epoch, key};
use lsd_core::format::names;
use lsd_core::units::{Epoch, SnapId};
use lsd_store::{KvPresence, KvUpdate, ObjectName, ObjectStore, StoreErrorKind};
use std::sync::Arc;

/// What became of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is there, or may come back: its removal was broken off.
    Lives,
    /// There is such an image, and it is no clone of this snapshot, or needs it no more.
    Free,
    /// There is no such image, or not yet.
    Absent,
}

/// `store`: any of the cluster. `parent`: where the image with the snapshot is.
pub(crate) async fn fate(
    store: &Arc<dyn ObjectStore>,
    parent: &ImagePlace,
    child: &ChildRecord,
) -> Result<(Fate, Option<Arc<dyn ObjectStore>>)> {
    let there = match open_place(store, child.place.pool, &child.place.namespace).await {
        Ok(there) => there,
        // The pool is gone with everything in it.
        Err(error) if error.kind == ErrorKind::NotFound => return Ok((Fate::Free, None)),
        Err(error) => return Err(error),
    };
    let header: ObjectName = names::header(&child.place.id).into();
    let fate = match there.kv_get(&header, "").await {
        Err(error) if error.kind == StoreErrorKind::NotFound => Fate::Absent,
        // Who may not look cannot know that it is gone.
        Err(error) if error.kind == StoreErrorKind::Permission => Fate::Lives,
        Err(error) => return Err(error.into()),
        // What is only a mark of somebody who looked before is no image.
        Ok(values) if !values.contains_key(key::IMAGE) => Fate::Absent,
        Ok(values) => match values.get(key::ANCESTRY).map(|value| AncestryRecord::decode(value)) {
            None => Fate::Free,
            Some(Ok(ancestry)) => {
                let its_parent = ancestry.ancestors.last().map(|parent| &parent.place);
                let is_of_it = its_parent == Some(parent) && ancestry.snapshot == child.snapshot;
                // One that was flattened may not have lived to say so here.
                let needs_it = Snapshots::decode(&values).map_or(true, |snapshots| snapshots.need_parent(&ancestry));
                if is_of_it && needs_it { Fate::Lives } else { Fate::Free }
            }
            // Damage is no reason to take anything from it.
            Some(Err(_)) => Fate::Lives,
        },
    };
    Ok((fate, Some(there)))
}

/// Looses the ties of a snapshot's children that are gone. Returns whether there were any.
pub(crate) async fn forget(parent: &ParentHeader, place: &ImagePlace, header: &Header, id: SnapId) -> Result<bool> {
    let mut any = false;
    for child in header.children.iter().filter(|child| child.snapshot == id) {
        any |= forget_one(parent, place, child).await?;
    }
    Ok(any)
}

/// Rule 36. `true`: the tie is loosed.
pub(crate) async fn forget_one(parent: &ParentHeader, place: &ImagePlace, child: &ChildRecord) -> Result<bool> {
    match fate(parent.store(), place, child).await? {
        (Fate::Lives, _) => Ok(false),
        // What an image is a clone of is said when it is made, and never again; nor does it need again what it did without.
        (Fate::Free, _) => parent.loose(child).await.map(|_| true),
        (Fate::Absent, None) => Ok(false),
        (Fate::Absent, Some(there)) => {
            let header: ObjectName = names::header(&child.place.id).into();
            // From here on whoever is making the clone fails, or has made it.
            let mark =
                KvUpdate::default().presence(KvPresence::MustCreate).set(key::REMOVING, encode_epoch(Epoch::default()));
            match there.kv_update(&header, mark).await {
                Ok(()) => {}
                Err(error) if error.kind == StoreErrorKind::Exists => {
                    let values = there.kv_get(&header, "").await?;
                    // Left by somebody who died here.
                    if values.contains_key(key::IMAGE) {
                        return Ok(false);
                    }
                }
                // Who may only look leaves it to others.
                Err(error) if error.kind == StoreErrorKind::Permission => return Ok(false),
                Err(error) => return Err(error.into()),
            }
            parent.loose(child).await?;
            // Who makes the clone from here on finds that the tie is gone.
            match there.remove(&header).await {
                Err(error) if error.kind != StoreErrorKind::NotFound => Err(error.into()),
                _ => Ok(true),
            }
        }
    }
}
