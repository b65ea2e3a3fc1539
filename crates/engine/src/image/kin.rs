//! Who is whose parent and child, with the names that people know them by.
//!
//! Owns: looking that up. Does not own: the ties (`ties/`).
use super::SnapInfo;
use crate::objects::pools::open_place;
use crate::session::Session;
use crate::ties::stale::{Fate, fate};
use crate::ties::tie::ParentHeader;
use crate::{Catalog, Error, ErrorKind, ImageId, OpenOptions, Result, SnapRef};
use lsd_core::format::header::{Ancestor, ChildRecord, ImagePlace};
use lsd_core::units::SnapId;
use lsd_store::{ObjectStore, PoolId};
use std::collections::VecDeque;
use std::sync::Arc;

/// The snapshot that an image is a clone of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parent {
    pub pool: PoolId,
    pub namespace: String,
    pub id: ImageId,
    pub name: String,
    /// The parent is in the trash.
    pub trash: bool,
    pub snapshot: SnapInfo,
    /// Up to where the clone shows what its parent has, bytes.
    pub overlap: u64,
}

/// A clone of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    /// The snapshot's id.
    pub snapshot: u64,
    pub pool: PoolId,
    pub namespace: String,
    pub id: ImageId,
    pub name: String,
    pub trash: bool,
}

/// `NotFound`: it has none.
pub(crate) async fn parent(session: &Session) -> Result<Parent> {
    let overlap = overlap(session).await?;
    let described = session.described().clone();
    let none = || Error::new(ErrorKind::NotFound, format!("{} has no parent", described.name));
    let (overlap, ancestry) = overlap.zip(described.ancestry.as_ref()).ok_or_else(none)?;
    let Some(Ancestor { place, .. }) = ancestry.ancestors.last() else { return Err(none()) };
    let header = ParentHeader::at(&session.objects.meta, place).await?;
    let found = header.read().await?;
    let id = ImageId(place.id.clone());
    let trash = Catalog::new(header.store().clone()).trashed(&id).await.is_ok();
    let snapshot = found.snapshots.find(&SnapRef::Id(ancestry.snapshot.0))?;
    Ok(Parent {
        pool: PoolId(place.pool),
        namespace: place.namespace.clone(),
        id,
        name: found.name,
        trash,
        snapshot: SnapInfo::from(&snapshot),
        overlap,
    })
}

/// How an image of this store is opened, where another one is opened with these options.
pub(crate) async fn open_options(store: &Arc<dyn ObjectStore>, options: &OpenOptions) -> Result<OpenOptions> {
    let pool = match store.namespace().is_empty() {
        true => None,
        false => Some(open_place(store, store.pool_id().0, "").await?),
    };
    Ok(OpenOptions { pool, snapshot: None, ..options.clone() })
}

/// Of what the handle shows. `None`: it is no clone.
pub(crate) async fn overlap(session: &Session) -> Result<Option<u64>> {
    session.look_at_snapshots().await?;
    let described = session.described();
    Ok(match &session.shown {
        Some(shown) => shown.overlap,
        None => described.ancestry.as_ref().and_then(|ancestry| ancestry.overlap),
    })
}

/// In the order in which they were made. `None`: of all snapshots.
pub(crate) async fn children(session: &Session, snapshot: Option<SnapId>) -> Result<Vec<Child>> {
    session.check_open()?;
    let store = &session.objects.meta;
    let place = session.objects.place();
    children_at(store, &place, snapshot).await
}

/// The clones, their clones, and so on; those of one generation together.
pub(crate) async fn descendants(session: &Session, snapshot: Option<SnapId>) -> Result<Vec<Child>> {
    let store = &session.objects.meta;
    let mut found = children(session, snapshot).await?;
    let mut queue: VecDeque<Child> = found.iter().cloned().collect();
    while let Some(Child { pool, namespace, id, .. }) = queue.pop_front() {
        let place = ImagePlace { pool: pool.0, namespace, id: id.0 };
        let below = match children_at(store, &place, None).await {
            // It was removed meanwhile.
            Err(error) if error.kind == ErrorKind::NotFound => continue,
            below => below?,
        };
        queue.extend(below.iter().cloned());
        found.extend(below);
    }
    Ok(found)
}

async fn children_at(store: &Arc<dyn ObjectStore>, place: &ImagePlace, snapshot: Option<SnapId>) -> Result<Vec<Child>> {
    let mut records = ParentHeader::at(store, place).await?.read().await?.children;
    records.retain(|child| snapshot.is_none_or(|snapshot| child.snapshot == snapshot));
    records.sort_by(|one, other| (one.time_ns, &one.place).cmp(&(other.time_ns, &other.place)));
    let mut children = Vec::with_capacity(records.len());
    for record in records {
        children.extend(child(store, place, record).await?);
    }
    Ok(children)
}

/// `None`: it is gone, or not there yet.
async fn child(store: &Arc<dyn ObjectStore>, parent: &ImagePlace, record: ChildRecord) -> Result<Option<Child>> {
    let (Fate::Lives, Some(there)) = fate(store, parent, &record).await? else { return Ok(None) };
    let ChildRecord { snapshot, place: ImagePlace { pool, namespace, id }, .. } = record;
    let catalog = Catalog::new(there);
    let id = ImageId(id);
    let (name, trash) = match catalog.name_of(&id).await {
        Ok(name) => (name, false),
        Err(error) if error.kind == ErrorKind::NotFound => match catalog.trashed(&id).await {
            Ok(record) => (record.name, true),
            // It is being made.
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        },
        Err(error) => return Err(error),
    };
    Ok(Some(Child { snapshot: snapshot.0, pool: PoolId(pool), namespace, id, name, trash }))
}
