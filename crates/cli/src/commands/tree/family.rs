//! Going through a family: up from an image to its oldest ancestor, then down to everybody.
use crate::commands::kin::Kin;
use futures::future::BoxFuture;
use lsd_engine::{Child, ErrorKind, Image, ImageId, ImageRef, OpenOptions, Parent, Result, SnapNamespace};
use lsd_store::{ObjectStore, PoolId};
use std::collections::BTreeSet;
use std::sync::Arc;

/// An image of the family, with all below it.
pub struct Member {
    pub kin: Kin,
    pub id: ImageId,
    /// Bytes.
    pub size: u64,
    pub trash: bool,
    /// The image that the user named.
    pub is_asked_for: bool,
    /// Its snapshots that have clones.
    pub branches: Vec<Branch>,
}

impl Member {
    /// A name that no other image has, whatever is renamed.
    pub fn node(&self) -> String {
        format!("{}/{}/{}", self.kin.pool, self.kin.namespace, self.id)
    }
}

/// A snapshot that has clones.
pub struct Branch {
    pub id: u64,
    /// A removed one: what it was called.
    pub name: String,
    pub removed: bool,
    pub children: Vec<Member>,
}

/// Where an image is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    pool: i64,
    namespace: String,
    id: String,
}

struct Walk<'a> {
    store: &'a Arc<dyn ObjectStore>,
    options: &'a OpenOptions,
    asked_for: Place,
    /// Images that were met, so that damage cannot make it endless.
    met: BTreeSet<Place>,
}

/// The oldest ancestor, with all below it. Closes the image.
pub async fn of(store: &Arc<dyn ObjectStore>, image: Image, options: &OpenOptions) -> Result<Member> {
    let info = image.info();
    let place = Place { pool: store.pool_id().0, namespace: store.namespace(), id: info.id.0.clone() };
    let mut walk = Walk { store, options, asked_for: place.clone(), met: BTreeSet::new() };
    let (mut oldest, mut trash, mut name) = (place, false, info.name);
    let mut parent = image.parent().await;
    image.close().await?;
    loop {
        let found = match parent {
            Ok(found) => found,
            Err(error) if error.kind == ErrorKind::NotFound => break,
            Err(error) => return Err(error),
        };
        let Parent { pool: PoolId(pool), namespace, id, .. } = found;
        (oldest, trash, name) = (Place { pool, namespace, id: id.0 }, found.trash, found.name);
        if !walk.met.insert(oldest.clone()) {
            break;
        }
        let above = walk.open(&oldest).await?;
        parent = above.parent().await;
        above.close().await?;
    }
    walk.met.clear();
    walk.member(oldest, name, trash).await
}

impl Walk<'_> {
    async fn open(&self, place: &Place) -> Result<Image> {
        let store = match (place.pool, &place.namespace) == (self.store.pool_id().0, &self.store.namespace()) {
            true => self.store.clone(),
            false => self.store.open_namespace(PoolId(place.pool), &place.namespace).await?,
        };
        let pool = match place.namespace.is_empty() {
            true => None,
            false => Some(self.store.open_namespace(PoolId(place.pool), "").await?),
        };
        let options = OpenOptions { pool, ..self.options.clone() };
        Image::open(&store, &ImageRef::Id(ImageId(place.id.clone())), &options).await
    }

    /// In a box: it calls itself.
    fn member(&mut self, place: Place, name: String, trash: bool) -> BoxFuture<'_, Result<Member>> {
        Box::pin(async move {
            self.met.insert(place.clone());
            let image = self.open(&place).await?;
            let size = image.size();
            let looked = branches(&image).await;
            image.close().await?;
            let mut below = Vec::new();
            for (mut branch, children) in looked? {
                for Child { pool: PoolId(pool), namespace, id, name, trash, .. } in children {
                    let place = Place { pool, namespace, id: id.0 };
                    if self.met.contains(&place) {
                        continue;
                    }
                    match self.member(place, name, trash).await {
                        Ok(child) => branch.children.push(child),
                        // It was removed meanwhile.
                        Err(error) if error.kind == ErrorKind::NotFound => {}
                        Err(error) => return Err(error),
                    }
                }
                below.push(branch);
            }
            let kin = Kin::of(self.store, PoolId(place.pool), &place.namespace, &name).await?;
            let is_asked_for = place == self.asked_for;
            Ok(Member { kin, id: ImageId(place.id), size, trash, is_asked_for, branches: below })
        })
    }
}

/// The snapshots that have clones, and those.
async fn branches(image: &Image) -> Result<Vec<(Branch, Vec<Child>)>> {
    let children = image.children(None).await?;
    let mut branches = Vec::new();
    for snapshot in image.snapshots().list().await? {
        let its: Vec<Child> = children.iter().filter(|child| child.snapshot == snapshot.id).cloned().collect();
        if its.is_empty() {
            continue;
        }
        let (name, removed) = match snapshot.namespace {
            SnapNamespace::Trash { name } => (name, true),
            _ => (snapshot.name, false),
        };
        branches.push((Branch { id: snapshot.id, name, removed, children: Vec::new() }, its));
    }
    Ok(branches)
}
