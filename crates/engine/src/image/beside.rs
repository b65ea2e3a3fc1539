//! What a snapshot takes beside another, or an image beside its last snapshot.
//!
//! Owns: going through both maps. Does not own: comparing leaves (`read/beside.rs`).
use crate::Result;
use crate::api::limits::WALK_LEAVES;
use crate::read::beside::{bytes_unlike, locations};
use crate::session::Session;
use lsd_core::map::Extent;
use lsd_core::units::LeafNo;

pub(super) async fn bytes_beside(session: &Session, other: &Session) -> Result<u64> {
    session.keep_up().await?;
    other.keep_up().await?;
    let leaves = differing(session, other);
    let mut bytes = 0;
    for some in leaves.chunks(WALK_LEAVES) {
        let (ours, theirs) = (of(session, some).await?, of(other, some).await?);
        bytes += ours.iter().zip(&theirs).map(|(ours, theirs)| bytes_unlike(ours, theirs)).sum::<u64>();
    }
    Ok(bytes)
}

/// Leaves of the session that the other does not have stored in the same place.
fn differing(session: &Session, other: &Session) -> Vec<LeafNo> {
    let places: Vec<_> = {
        let state = session.shared.lock();
        let map = &state.view.map;
        map.leaves().map(|leaf| (leaf, map.stored_unchanged(leaf).copied())).collect()
    };
    let state = other.shared.lock();
    let is_same = |leaf, place| place == state.view.map.stored_unchanged(leaf).copied();
    places
        .into_iter()
        .filter(|(leaf, place)| place.is_none() || !is_same(*leaf, *place))
        .map(|(leaf, _)| leaf)
        .collect()
}

async fn of(session: &Session, leaves: &[LeafNo]) -> Result<Vec<Vec<Extent>>> {
    let found = session.retry_if_moved(|| locations(&session.objects, &session.shared, leaves)).await;
    session.shared.trim_leaves(session.settings().map_cache_bytes);
    found
}
