//! Letting go of what a snapshot needed that went with its last clone, in the name of its image's owner.
//!
//! Owns: that somebody does it where nobody has the image open. Does not own: letting go (`session/snapshots/`).
use crate::api::clock::SystemClock;
use crate::objects::pools::open_place;
use crate::recovery::open;
use crate::session::{Role, Session};
use crate::{ImageId, ImageRef, OpenOptions, Result};
use futures::future::BoxFuture;
use lsd_core::format::header::ImagePlace;
use lsd_store::ObjectStore;
use std::sync::Arc;

/// Where it does not come to that, whoever owns the image next does it. `store`: any of the cluster.
pub(crate) fn give_back<'a>(store: &'a Arc<dyn ObjectStore>, image: &'a ImagePlace) -> BoxFuture<'a, ()> {
    // In a box: what a parent lets go of last may loose it from its own parent.
    Box::pin(async move {
        let Ok(store) = open_place(store, image.pool, &image.namespace).await else { return };
        let Ok(found) = open::find(&store, &ImageRef::Id(ImageId(image.id.clone()))).await else { return };
        let Ok(session) = Session::open(found, OpenOptions::default(), Arc::new(SystemClock)).await else { return };
        if let Err(error) = session.give_back_snapshots().await {
            tracing::debug!(target: "lsd::reclaim", image = session.shared.image, op = "snap-remove", %error,
                "what a removed snapshot needed is not given back yet");
        }
        let _ = session.close().await;
    })
}

impl Session {
    /// Becomes the owner where nobody is, and lets go of what removed snapshots needed.
    async fn give_back_snapshots(self: &Arc<Self>) -> Result<()> {
        let mut role = self.maintenance.lock().await;
        if self.own_if_free(&mut role).await?
            && let Role::Owner(checkpointer, _) = &*role
        {
            self.describe_anew().await?;
            self.release_snapshots(checkpointer).await?;
            self.loose_from_parent().await?;
        }
        Ok(())
    }
}
