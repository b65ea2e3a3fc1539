//! A snapshot beside another, or an image beside one of its snapshots: what it takes in the store, and what differs.
//!
//! Owns: going through both maps. Does not own: comparing leaves (`read/beside.rs`).
use crate::api::error::invalid;
use crate::api::limits::WALK_LEAVES;
use crate::read::beside::{Beside, bytes_unlike, locations, side_by_side};
use crate::read::first_extents;
use crate::session::Session;
use crate::{Extent as Change, Result};
use lsd_core::map::Extent;
use lsd_core::units::{LeafNo, Loc, Seq};
use std::collections::BTreeSet;
use std::ops::{Range, RangeInclusive};

pub(super) async fn bytes_beside(session: &Session, other: &Session) -> Result<u64> {
    session.keep_up().await?;
    other.keep_up().await?;
    let leaves = differing(session, other, LeafNo(0)..=LeafNo(u32::MAX));
    let mut bytes = 0;
    for some in leaves.chunks(WALK_LEAVES) {
        let (ours, theirs) = (of(session, some).await?, of(other, some).await?);
        bytes += ours.iter().zip(&theirs).map(|(ours, theirs)| bytes_unlike(ours, theirs)).sum::<u64>();
    }
    Ok(bytes)
}

/// Leaves of the session, of those in the range, that the other does not have stored in the same place.
fn differing(session: &Session, other: &Session, range: RangeInclusive<LeafNo>) -> Vec<LeafNo> {
    let places: Vec<_> = {
        let state = session.shared.lock();
        let map = &state.view.map;
        map.leaves_in(range).map(|leaf| (leaf, map.stored_unchanged(leaf).copied())).collect()
    };
    let state = other.shared.lock();
    let is_same = |leaf, place| place == state.view.map.stored_unchanged(leaf).copied();
    places
        .into_iter()
        .filter(|(leaf, place)| place.is_none() || !is_same(*leaf, *place))
        .map(|(leaf, _)| leaf)
        .collect()
}

/// What of an image counts as its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counted {
    All,
    /// What lies in segments of its own: not what a clone shows of its parent.
    Own,
}

/// What is not the same as in the other: extents in order, with whether they have data here. Of `None` all that has data differs.
pub(super) async fn changes(
    session: &Session,
    from: Option<&Session>,
    range: Range<u64>,
    counted: Counted,
    each: &mut (dyn FnMut(Change) -> Result<()> + Send),
) -> Result<()> {
    session.keep_up().await?;
    if let Some(from) = from {
        from.keep_up().await?;
    }
    if range.is_empty() {
        return Ok(());
    }
    if from.is_none() && counted == Counted::All && session.described().base.is_some() {
        return all_data(session, range, each).await;
    }
    // An image is often gone through range by range: no look may cost more than its range does.
    let within = LeafNo::of(range.start)..=LeafNo::of(range.end - 1);
    let leaves: BTreeSet<LeafNo> = match from {
        Some(from) => {
            let theirs = differing(from, session, within.clone());
            differing(session, from, within).into_iter().chain(theirs).collect()
        }
        None => session.shared.lock().view.map.leaves_in(within).collect(),
    };
    let leaves: Vec<LeafNo> = leaves.into_iter().collect();
    let unmoved = from.and_then(|from| unmoved_since(session, from));
    let ancestors = session.objects.ancestors();
    // What an ancestor wrote is older than anything that the image itself has: where the other has it elsewhere, it was flattened.
    let is_ancestors = |loc: Loc| !ancestors.is_users_own(loc.segment());
    let is_old = |loc: Loc| {
        let newest = session.shared.lock().segments.newest(loc.segment()).known();
        unmoved.is_some_and(|since| is_ancestors(loc) || newest.is_some_and(|newest| newest <= since))
    };
    let counts = |loc: &Loc| counted == Counted::All || ancestors.is_users_own(loc.segment());
    for some in leaves.chunks(WALK_LEAVES) {
        let ours = of(session, some).await?;
        let theirs = match from {
            Some(from) => of(from, some).await?,
            None => vec![Vec::new(); some.len()],
        };
        for piece in ours.iter().zip(&theirs).flat_map(|(ours, theirs)| side_by_side(ours, theirs)) {
            let piece = Beside { ours: piece.ours.filter(counts), theirs: piece.theirs.filter(counts), ..piece };
            let (start, end) = (piece.offset.max(range.start), (piece.offset + piece.len).min(range.end));
            if start < end && differs(&piece, is_old) {
                each(Change { offset: start, len: end - start, data: piece.ours.is_some() })?;
            }
        }
    }
    Ok(())
}

/// Everything that has data, also where only the image's base has.
async fn all_data(
    session: &Session,
    range: Range<u64>,
    each: &mut (dyn FnMut(Change) -> Result<()> + Send),
) -> Result<()> {
    let mut at = range.start;
    while at < range.end {
        let rest = (at, range.end - at);
        let find = || first_extents(&session.objects, &session.shared, rest, WALK_LEAVES);
        let found = session.retry_if_moved(find).await?;
        session.shared.trim_leaves(session.settings().map_cache_bytes);
        at = found.last().map_or(range.end, |last| last.offset + last.len);
        for extent in found.into_iter().filter(|extent| extent.data) {
            each(extent)?;
        }
    }
    Ok(())
}

/// `is_old`: written before the other's moment, wherever it lies now.
fn differs(piece: &Beside, is_old: impl Fn(Loc) -> bool) -> bool {
    match (piece.ours, piece.theirs) {
        (Some(ours), Some(theirs)) => ours != theirs && !is_old(ours),
        (ours, theirs) => ours.is_some() != theirs.is_some(),
    }
}

/// The last sequence of the other's moment, if what lies elsewhere now and was written until then is the same data: collection moved
/// it. `None` where the image was rolled back since, so that it has data which the other had not any more.
fn unmoved_since(session: &Session, from: &Session) -> Option<Seq> {
    let snapshot = from.shown.as_ref().filter(|_| session.image.uuid == from.image.uuid)?;
    let state = session.shared.lock();
    let is_later = state.view.end >= snapshot.root.frontier;
    (is_later && snapshot.id > state.view.rolled_back).then_some(snapshot.root.frontier)
}

/// `Invalid`: they are not of one image, nor is one a clone of what the other shows. A clone's numbers go on where its parent's snapshot
/// ends, so that places in both maps can be compared.
pub(super) fn check_kin(session: &Session, other: &Session) -> Result<()> {
    let ancestry = session.described().ancestry.clone();
    let is_parent = ancestry.zip(other.shown.as_ref()).is_some_and(|(ancestry, shown)| {
        let parent = ancestry.ancestors.last().map(|parent| parent.uuid);
        parent == Some(other.image.uuid) && ancestry.snapshot == shown.id
    });
    match session.image.uuid == other.image.uuid || is_parent {
        true => Ok(()),
        false => Err(invalid("the handles are of two images")),
    }
}

async fn of(session: &Session, leaves: &[LeafNo]) -> Result<Vec<Vec<Extent>>> {
    let found = session.retry_if_moved(|| locations(&session.objects, &session.shared, leaves)).await;
    session.shared.trim_leaves(session.settings().map_cache_bytes);
    found
}
