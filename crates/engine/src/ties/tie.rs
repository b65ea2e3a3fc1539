//! The tie between a clone and the snapshot that it is a clone of, in the header of the snapshot's image.
//!
//! Owns: that a child's entry and the snapshot's count of children change in one update, whoever owns the parent's image meanwhile.
//! Does not own: when (`lifecycle/`, `session/flatten.rs`), ties that a crash has left (`stale.rs`).
use crate::api::error::corrupt;
use crate::api::limits::{HEADER_TRIES, RETRY_FIRST, TIE_TRIES};
use crate::objects::header::{Header, requires};
use crate::objects::pools::open_place;
use crate::ownership::watch;
use crate::{Error, ErrorKind, Result, SnapRef};
use lsd_core::format::header::{
    Ancestor, AncestryRecord, ChildRecord, ImagePlace, REQUIRES_CLONES, REQUIRES_SNAPSHOTS, SnapNamespace, SnapRecord,
    encode_requires, key,
};
use lsd_core::format::names;
use lsd_core::format::notice::Notice;
use lsd_core::units::{CheckpointId, SegmentNo, SnapId};
use lsd_store::{KvMap, KvPresence, KvUpdate, ObjectName, ObjectStore, StoreErrorKind};
use std::sync::Arc;

/// The header of an image that others are tied to.
#[derive(Clone, Debug)]
pub(crate) struct ParentHeader {
    store: Arc<dyn ObjectStore>,
    object: ObjectName,
}

/// One look at it.
#[derive(Debug)]
struct Seen {
    values: KvMap,
    header: Header,
}

impl ParentHeader {
    pub(crate) fn new(store: Arc<dyn ObjectStore>, id: &str) -> Self {
        Self { object: names::header(id).into(), store }
    }

    /// `store`: any of the cluster. `NotFound`: its pool is gone.
    pub(crate) async fn at(store: &Arc<dyn ObjectStore>, place: &ImagePlace) -> Result<Self> {
        Ok(Self::new(open_place(store, place.pool, &place.namespace).await?, &place.id))
    }

    pub(crate) fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    async fn look(&self) -> Result<Seen> {
        let values = self.store.kv_get(&self.object, "").await?;
        let header = Header::decode(&self.object, &values)?;
        Ok(Seen { values, header })
    }

    /// As it is, also while the image is being removed. `NotFound`.
    pub(crate) async fn read(&self) -> Result<Header> {
        Ok(self.look().await?.header)
    }

    pub(crate) async fn has(&self, child: &ChildRecord) -> Result<bool> {
        let key = key::child(child);
        match self.store.kv_get(&self.object, &key).await {
            Ok(values) => Ok(values.contains_key(&key)),
            Err(error) if error.kind == StoreErrorKind::NotFound => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes the snapshot stay for the child. `NotFound`: it is not there any more; `Invalid`: it is not protected, and the child
    /// demands that; `Outdated`: its map is not the one that the child takes, whose checkpoint is `map`; `Busy`. `last_segment`: the last one
    /// that the snapshot's map points into.
    pub(crate) async fn tie(&self, child: &ChildRecord, map: CheckpointId, last_segment: SegmentNo) -> Result<()> {
        let check = |before: &SnapRecord| {
            check_parent(before, child.is_strict)?;
            // Rule 37.
            if before.root.id != map {
                let reason = format!("snapshot {:?}: its map was moved meanwhile", before.name);
                return Err(Error::new(ErrorKind::Outdated, reason));
            }
            Ok(())
        };
        self.tie_if(child, last_segment, check).await
    }

    /// Makes the snapshot stay for one more child, which is the destination of the migration of another one: that keeps the snapshot as
    /// it is, also where it was removed. `NotFound`, `Invalid`, `Busy`.
    pub(crate) async fn tie_beside(&self, child: &ChildRecord, last_segment: SegmentNo) -> Result<()> {
        let check = |before: &SnapRecord| match child.is_strict && !before.is_protected {
            true => check_parent(before, true),
            false => Ok(()),
        };
        self.tie_if(child, last_segment, check).await
    }

    async fn tie_if(
        &self,
        child: &ChildRecord,
        last_segment: SegmentNo,
        check: impl Fn(&SnapRecord) -> Result<()>,
    ) -> Result<()> {
        let change = |seen: &Seen| {
            let header = seen.header.clone().in_use()?;
            header.check_may_have_clones()?;
            let before = header.snapshots.find(&SnapRef::Id(child.snapshot.0))?;
            check(&before)?;
            let mut after = before.clone();
            after.children += 1;
            after.strict_children += u32::from(child.is_strict);
            if after.last_segment == SegmentNo(0) {
                // A record of the time before there were clones has no room for their count until it says this, too.
                after.last_segment = last_segment;
            }
            let update =
                self.expecting(seen, &before).expect(key::child(child), "").set(key::child(child), child.encode());
            // Rule 47.
            let kept = requires(&seen.values).map_err(|error| corrupt(&self.object, error))?;
            let requires = encode_requires(REQUIRES_SNAPSHOTS | REQUIRES_CLONES | kept);
            // The source of a migration gets no clones any more.
            let migration = seen.values.get(key::MIGRATION).cloned().unwrap_or_default();
            let update = update.expect(key::MIGRATION, migration);
            Ok(Some(update.set(key::snap(before.id), after.encode()).set(key::REQUIRES, requires)))
        };
        let is_there = |seen: &Seen| seen.values.contains_key(&key::child(child));
        self.change(is_there, change).await
    }

    /// The child needs the snapshot no more. True: nobody does, and it had been removed already.
    pub(crate) async fn loose(&self, child: &ChildRecord) -> Result<bool> {
        let mut is_last = false;
        let change = |seen: &Seen| {
            is_last = false;
            if !seen.values.contains_key(&key::child(child)) {
                return Ok(None);
            }
            let Some(before) = seen.header.snapshots.all.get(&child.snapshot) else {
                let update = KvUpdate::default().presence(KvPresence::MustExist);
                return Ok(Some(update.remove(key::child(child))));
            };
            let mut after = before.clone();
            after.children = before.children.saturating_sub(1);
            after.strict_children = before.strict_children.saturating_sub(u32::from(child.is_strict));
            let is_kept_for_children = matches!(before.namespace, SnapNamespace::Trash { .. });
            is_last = is_kept_for_children && after.children == 0;
            after.is_removing |= is_last;
            let update = self.expecting(seen, before).remove(key::child(child));
            Ok(Some(update.set(key::snap(before.id), after.encode())))
        };
        match self.change(|seen| !seen.values.contains_key(&key::child(child)), change).await {
            Err(error) if error.kind == ErrorKind::NotFound => Ok(false),
            loosed => loosed.map(|()| is_last),
        }
    }

    /// An update that takes effect only if the snapshot is as it was seen.
    fn expecting(&self, seen: &Seen, snapshot: &SnapRecord) -> KvUpdate {
        let key = key::snap(snapshot.id);
        let before = seen.values.get(&key).cloned().unwrap_or_default();
        KvUpdate::default().presence(KvPresence::MustExist).expect(key, before)
    }

    /// Changes the header by what it says, until that is what it still says. `is_done`: the change took effect.
    async fn change(
        &self,
        is_done: impl Fn(&Seen) -> bool,
        mut change: impl FnMut(&Seen) -> Result<Option<KvUpdate>>,
    ) -> Result<()> {
        let mut in_doubt = false;
        let (mut failed, mut overtaken) = (0, 0);
        while failed < HEADER_TRIES && overtaken < TIE_TRIES {
            let seen = self.look().await?;
            if in_doubt && is_done(&seen) {
                break;
            }
            let Some(update) = change(&seen)? else { return Ok(()) };
            match self.store.kv_update(&self.object, update).await {
                Ok(()) => {
                    self.tell().await;
                    return Ok(());
                }
                Err(error) => match error.kind {
                    // Somebody else has changed the snapshot.
                    StoreErrorKind::Stale => overtaken += 1,
                    StoreErrorKind::TimedOut | StoreErrorKind::Io => (in_doubt, failed) = (true, failed + 1),
                    _ => return Err(error.into()),
                },
            }
            tokio::time::sleep(RETRY_FIRST).await;
        }
        if in_doubt && is_done(&self.look().await?) {
            self.tell().await;
            return Ok(());
        }
        Err(Error::new(ErrorKind::Busy, format!("{} changes faster than it can be changed", self.object)))
    }

    async fn tell(&self) {
        watch::notify_of(&self.store, &self.object, &Notice::HeaderChanged).await;
    }
}

/// `Invalid`: it may not have such a child.
pub(crate) fn check_parent(snapshot: &SnapRecord, is_strict: bool) -> Result<()> {
    let refuse = |why: &str| Err(Error::new(ErrorKind::Invalid, format!("snapshot {:?}: {why}", snapshot.name)));
    match snapshot.namespace {
        SnapNamespace::User if is_strict && !snapshot.is_protected => refuse("parent snapshot must be protected"),
        SnapNamespace::Trash { .. } => refuse("it was removed, and is kept for its clones only"),
        SnapNamespace::Group { .. } => refuse("it belongs to a group"),
        SnapNamespace::User => Ok(()),
    }
}

/// The tie of a clone, as its parent has it. Whether it is strict stands there only.
pub(crate) fn child_of(parent: &Header, snapshot: SnapId, place: &ImagePlace) -> Option<ChildRecord> {
    parent.children.iter().find(|child| child.snapshot == snapshot && child.place == *place).cloned()
}

/// Looses the tie of a clone that needs its parent no more. `place`: the clone's. Returns the parent's if that has something to let go of
/// by now: the snapshot had been removed before, and this was its last clone.
pub(crate) async fn loose(
    store: &Arc<dyn ObjectStore>,
    ancestry: &AncestryRecord,
    place: &ImagePlace,
) -> Result<Option<ImagePlace>> {
    let Some(Ancestor { place: parent, .. }) = ancestry.ancestors.last() else { return Ok(None) };
    // One that does not verify finds later that it has a clone less.
    let gone = |error: &Error| matches!(error.kind, ErrorKind::NotFound | ErrorKind::Corrupt);
    let parent_header = match ParentHeader::at(store, parent).await {
        Err(error) if gone(&error) => return Ok(None),
        opened => opened?,
    };
    let header = match parent_header.read().await {
        Err(error) if gone(&error) => return Ok(None),
        read => read?,
    };
    let Some(child) = child_of(&header, ancestry.snapshot, place) else { return Ok(None) };
    Ok(parent_header.loose(&child).await?.then(|| parent.clone()))
}
