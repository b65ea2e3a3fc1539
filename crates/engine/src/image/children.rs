//! Flattening the clones of a snapshot, before it is removed.
//!
//! Owns: which, and how they are opened. Does not own: flattening one (`session/flatten.rs`).
use super::kin;
use crate::compiled_here;
use crate::objects::pools::open_place;
use crate::recovery::open;
use crate::session::Session;
use crate::{Error, ErrorKind, Features, ImageRef, OpenOptions, Progress, Result};
use lsd_core::units::SnapId;
use std::sync::Arc;

/// Flattens the clones of a snapshot. `options`: how they are opened. Progress is in clones. `Busy`: one has snapshots, and no deep-flatten.
#[compiled_here]
pub(super) async fn flatten_children(
    session: &Session,
    snapshot: SnapId,
    options: &OpenOptions,
    progress: Progress<'async_recursion>,
) -> Result<()> {
    let children = kin::children(session, Some(snapshot)).await?;
    let total = children.len() as u64;
    for (done, child) in (1..).zip(children) {
        let store = open_place(&session.objects.meta, child.pool.0, &child.namespace).await?;
        let found = open::find(&store, &ImageRef::Id(child.id)).await?;
        let options = kin::open_options(&store, options).await?;
        let opened = Session::open(found, options, session.clock.clone()).await?;
        let flattened = flatten_child(&opened).await;
        let closed = opened.close().await;
        flattened.and(closed)?;
        progress(done, total)?;
    }
    Ok(())
}

async fn flatten_child(child: &Arc<Session>) -> Result<()> {
    let described = child.described().clone();
    let keeps_parent = described.state.features & Features::DEEP_FLATTEN == 0;
    if keeps_parent && described.snapshots.usable().next().is_some() {
        return Err(Error::new(ErrorKind::Busy, format!("snapshots of {} need the snapshot", described.name)));
    }
    child.flatten(&|_, _| Ok(())).await
}
