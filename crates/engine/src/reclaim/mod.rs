//! Deleting what an open image does not need any more: the only place that does, and it asks the pins ([`Pins`], rule 5).
//!
//! Owns: asking, deleting, and taking what is gone out of the table of segments. A failure leaves garbage, never damage: what could
//! not be deleted is asked about again by the next checkpoint, or goes with the image.
//! Does not own: what is dead (the table of segments, the map), when (`checkpoint/`), removing a whole image (`lifecycle/`), what a
//! repair finds to be left over (`check/orphans.rs`).
mod left;

use crate::api::limits::CHECKPOINT_STEP_LEAVES;
use crate::objects::{Objects, parallel};
use crate::shared::Shared;
use futures::FutureExt;
use futures::future::BoxFuture;
pub(crate) use left::{pages_of, uncommitted};
use lsd_core::format::header::LogRecord;
use lsd_core::units::{LeafNo, SegmentNo};
use lsd_state::pins::{PageKey, Pins, leaf_pages};
use lsd_state::segments::Segments;
use lsd_store::{ObjectName, ObjectStore, StoreErrorKind};
use std::collections::BTreeSet;
use std::sync::Arc;

/// After a checkpoint was committed: deletes those of `pages` and of `segments` that it does not need. `segments`: as its root has them.
pub(crate) async fn sweep(
    objects: &Objects,
    shared: &Shared,
    log: &LogRecord,
    pins: &Pins,
    (segments, pages): (&Segments, BTreeSet<PageKey>),
) {
    let unpinned = segments.entries().filter(|entry| pins.segment(entry).is_none());
    let dead = unpinned.map(|entry| entry.segment).collect();
    delete_pages(objects, pins, pages).await;
    delete_segments(objects, shared, log, dead).await;
    {
        let mut state = shared.lock();
        let space = state.segments.space();
        state.throttle.swept(&space);
    }
    shared.space_freed.notify_waiters();
}

/// Deletes those of the pages that nothing needs.
pub(crate) async fn delete_pages(objects: &Objects, pins: &Pins, pages: impl IntoIterator<Item = PageKey>) {
    let unpinned = pages.into_iter().filter(|page| pins.page(*page).is_none());
    let removals = unpinned.map(|(id, page)| remove(&objects.meta, objects.page(id, page)));
    let left = parallel::all(removals.collect()).await.into_iter().filter(|gone| !gone).count();
    if left > 0 {
        tracing::debug!(target: "lsd::reclaim", op = "remove", object = %objects.header(), left,
            "map pages could not be deleted: they go with the image");
    }
}

/// The last checkpoint of an owner is written before what is dead by it goes, so its table still has that, and nobody else takes it
/// out: the next owner does, before its own first checkpoint. Else tables would grow with each owner, and so would the list of
/// epochs in the header. The pages of a checkpoint that the last owner did not live to commit go with them.
pub(crate) async fn delete_what_is_left(objects: &Objects, shared: &Shared) {
    let (dead, mut pages, log, left_by) = {
        let mut state = shared.lock();
        let pages = std::mem::take(&mut state.left_pages);
        (std::mem::take(&mut state.dead), pages, state.log().clone(), state.left_by.take())
    };
    if !dead.is_empty() {
        delete_segments(objects, shared, &log, dead).await;
    }
    if let Some(left_by) = left_by {
        match uncommitted(objects, &left_by).await {
            Ok(found) => pages.extend(found),
            // The next checkpoint looks again.
            Err(_) => shared.lock().left_by = Some(left_by),
        }
    }
    if !pages.is_empty() {
        let snapshots = shared.lock().snapshots.clone();
        let pins = Pins::new(&log, stored_pages(shared).await, snapshots);
        let frozen = pins.kept_frozen(&pages);
        delete_pages(objects, &pins, pages).await;
        shared.lock().left_pages.extend(frozen);
    }
}

/// The pages that the leaves of the committed root are in. Only checkpoints change them, and the caller is one.
async fn stored_pages(shared: &Shared) -> BTreeSet<PageKey> {
    let (mut pages, mut next) = (BTreeSet::new(), Some(LeafNo(0)));
    while let Some(first) = next {
        let (leaves, beyond) = shared.stored_leaves(first);
        pages.extend(leaves.iter().flat_map(|leaf| leaf_pages(&leaf.at)));
        next = beyond;
        tokio::task::yield_now().await;
    }
    pages
}

/// Deletes segments that the pins have let go, and takes those that are gone out of the table.
async fn delete_segments(objects: &Objects, shared: &Shared, log: &LogRecord, dead: Vec<SegmentNo>) {
    let named = |segment: SegmentNo| Some((segment, objects.segment(log.epoch_of(segment)?, segment)));
    let (dead, names): (Vec<_>, Vec<_>) = dead.into_iter().filter_map(named).unzip();
    let gone = parallel::all(names.into_iter().map(|name| remove(&objects.data, name)).collect()).await;
    // What could not be deleted stays in the table: the next checkpoint tries again.
    let gone: Vec<SegmentNo> =
        dead.into_iter().zip(gone).filter_map(|(segment, gone)| gone.then_some(segment)).collect();
    for gone in gone.chunks(CHECKPOINT_STEP_LEAVES) {
        let mut state = shared.lock();
        for segment in gone {
            state.segments.forget(*segment);
            shared.checksums.forget(*segment);
        }
    }
}

fn remove(store: &Arc<dyn ObjectStore>, name: ObjectName) -> BoxFuture<'static, bool> {
    let store = store.clone();
    async move {
        match store.remove(&name).await {
            Err(error) => error.kind == StoreErrorKind::NotFound,
            Ok(()) => true,
        }
    }
    .boxed()
}
