//! Images that are held together: all of them are owned here, and nobody writes to any of them.
//!
//! Owns: opening the images of a group, taking them in the order of pools and ids, letting them go. Does not own: what is done while
//! they are held (`snapshots.rs`, `rollback.rs`), taking one image (`session/own.rs`).
use crate::api::clock::Clock;
use crate::api::limits::GROUP_HOLD_PATIENCE;
use crate::checkpoint::Checkpointer;
use crate::objects::parallel;
use crate::objects::pools::in_pool;
use crate::recovery::open;
use crate::session::{Role, Session};
use crate::{Error, ErrorKind, ImageId, ImageRef, OpenOptions, Result};
use futures::FutureExt;
use lsd_core::format::header::{MemberId, SnapNamespace, SnapRecord};
use lsd_store::{ObjectStore, PoolId};
use std::sync::Arc;
use tokio::sync::MutexGuard;
use tokio::time::timeout;

/// One image of a group, open.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) id: MemberId,
    pub(super) session: Arc<Session>,
}

impl Opened {
    /// The image's part of a group's snapshot, as far as this handle knows.
    pub(super) fn part(&self, namespace: &SnapNamespace) -> Option<SnapRecord> {
        let described = self.session.described();
        described.snapshots.usable().find(|record| record.namespace == *namespace).cloned()
    }
}

/// Opens an image for changes. `NotFound`, also where its pool is gone.
pub(super) async fn open(
    store: &Arc<dyn ObjectStore>,
    id: &MemberId,
    options: &OpenOptions,
    clock: &Arc<dyn Clock>,
) -> Result<Opened> {
    let pool = in_pool(store, PoolId(id.pool)).await?;
    // The options of a pool are in its default namespace, which is known of the group's own pool only.
    let options = match id.pool == store.pool_id().0 {
        true => options.clone(),
        false => OpenOptions { pool: None, ..options.clone() },
    };
    let found = open::find(&pool, &ImageRef::Id(ImageId(id.image.clone()))).await?;
    let session = Session::open(found, options, clock.clone()).await?;
    Ok(Opened { id: id.clone(), session })
}

/// All of them, or none.
pub(super) async fn open_all(
    store: &Arc<dyn ObjectStore>,
    ids: &[MemberId],
    options: &OpenOptions,
    clock: &Arc<dyn Clock>,
) -> Result<Vec<Opened>> {
    let opening = ids.iter().map(|id| open(store, id, options, clock).boxed()).collect();
    let mut opened = Vec::new();
    let mut failed = None;
    for result in parallel::all(opening).await {
        match result {
            Ok(image) => opened.push(image),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    match failed {
        None => Ok(opened),
        Some(error) => {
            close_all(&opened).await;
            Err(error)
        }
    }
}

/// Tells everybody what changed and gives the images back. What was to be durable is so already: how a close ends changes nothing.
pub(super) async fn close_all(images: &[Opened]) {
    let close = |image: &'_ Opened| {
        let session = image.session.clone();
        async move { session.close().await }.boxed()
    };
    for closed in parallel::all(images.iter().map(close).collect()).await {
        if let Err(error) = closed {
            tracing::debug!(target: "lsd::image", op = "close", %error, "an image of a group did not close cleanly");
        }
    }
}

/// An image that is held: it is owned here, and as long as this lives it is given to nobody. Who asks for it is told that it will come.
#[derive(Debug)]
pub(super) struct Held<'a> {
    pub(super) image: &'a Opened,
    pub(super) checkpointer: Arc<Checkpointer>,
    _role: MutexGuard<'a, Role>,
}

/// Takes all images, one after the other in their order: two that hold the same images wait for each other in one place. Whoever owned
/// one until then has made durable what it had acknowledged, so what is acknowledged anywhere before the last image is taken is in
/// what they are now, and nothing is acknowledged from then on. `TimedOut`, `ReadOnly`, `Busy`: an owner keeps its image.
pub(super) async fn hold(images: &[Opened]) -> Result<Vec<Held<'_>>> {
    let taking = async {
        let mut held = Vec::new();
        for image in images {
            let session = &image.session;
            let since = session.refusals.count();
            let mut role = session.maintenance.lock().await;
            let checkpointer = session.own(&mut role, since).await?;
            session.settle().await?;
            held.push(Held { image, checkpointer, _role: role });
        }
        Ok(held)
    };
    let late = |_| Err(Error::new(ErrorKind::TimedOut, "the images of the group are not given to this client"));
    timeout(GROUP_HOLD_PATIENCE, taking).await.unwrap_or_else(late)
}
