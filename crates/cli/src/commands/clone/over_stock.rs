//! A clone of a stock RBD image's snapshot: an image of lsd that shows it where it was never written.
//!
//! Owns: the order of the steps, so that no such image is there that nobody keeps the snapshot for. Does not own: reading the snapshot and
//! keeping it (`lsd_rados::stock`), the image over it (the engine).
use super::super::layout::Layout;
use super::FAILED;
use crate::error::{Failure, Result};
use crate::session::{Location, Session};
use lsd_core::format::names;
use lsd_engine::{Catalog, CreateOptions, ErrorKind, Image, ImageId, ImageRef};
use lsd_rados::RadosError;
use lsd_rados::stock::{StockBases, StockSnapshot};
use lsd_store::BaseSpec;
use nix::libc;
use uuid::Uuid;

/// No image of lsd has the name, and one of RBD's has.
pub async fn is_stock(session: &Session, parent: &Location) -> Result<bool> {
    let store = parent.store(session).await?;
    match Catalog::new(store).id_of(&parent.image).await {
        Ok(_) => return Ok(false),
        Err(error) if error.kind == ErrorKind::NotFound => {}
        Err(error) => return Err(Failure::engine(FAILED, &error)),
    }
    let (pool, namespace) = session.pool_and_namespace(&parent.place);
    let there = session.stock_bases().await?.is_there((&pool, &namespace), &parent.image).await;
    there.map_err(|error| failed(&error))
}

pub async fn clone(session: &Session, parent: &Location, to: &Location, layout: &Layout) -> Result<()> {
    let bases = session.stock_bases().await?;
    // 1. Which snapshot it is.
    let (base, snapshot) = look_at(session, &bases, parent).await?;
    let store = session.store(&to.place).await?;
    let id = ImageId(names::new_id(Uuid::new_v4().as_u64_pair().1));
    let options = CreateOptions { id: Some(id.clone()), ..layout.for_new(session, &store, base.size).await? };
    // 2. From here on nobody takes the snapshot away. It may have gone just before.
    let kept = async {
        bases.hold(&snapshot, &id.0).await.map_err(|error| failed(&error))?;
        let (_, found) = look_at(session, &bases, parent).await?;
        if found == snapshot { Ok(()) } else { Err(Failure::errno(FAILED, libc::ENOENT)) }
    };
    let made = async {
        kept.await?;
        // 3. The image.
        let made = to.give_name(session, Image::create_over(&store, &to.image, &options, &base)).await;
        made.map_err(|error| Failure::engine(FAILED, &error))
    };
    let Err(failure) = made.await else { return Ok(()) };
    // Where nobody knows whether it is there, it may need the snapshot.
    let there = Image::base_of(&store, &ImageRef::Id(id.clone())).await;
    if there.is_err_and(|error| error.kind == ErrorKind::NotFound) {
        let _ = bases.let_go(&snapshot, &id.0).await;
    }
    Err(failure)
}

async fn look_at(session: &Session, bases: &StockBases, parent: &Location) -> Result<(BaseSpec, StockSnapshot)> {
    let (pool, namespace) = session.pool_and_namespace(&parent.place);
    let snapshot = parent.snap.as_deref().unwrap_or_default();
    bases.look_at((&pool, &namespace), &parent.image, snapshot).await.map_err(|error| failed(&error))
}

fn failed(error: &RadosError) -> Failure {
    match error.errno {
        // The reason is in it: a snapshot that is not protected, a library that is not there.
        libc::EINVAL | libc::EOPNOTSUPP => Failure::new(error.errno, format!("{FAILED}: {}", error.object)),
        errno => Failure::errno(FAILED, errno),
    }
}
