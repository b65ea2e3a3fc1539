//! What was done to the destination of a migration since it was prepared, done to its source: when that is given back it has lost no write.
//!
//! Owns: what differs, and in which order it is brought over. Does not own: that nobody writes to either meanwhile (`abort.rs`).
//!
//! It may be broken off anywhere and done again: what both have alike by then is left alone. Only what lies in the source as it was
//! when it was frozen can lie in the same place in both: the source's later numbers are also the destination's.
use crate::api::limits::{DEEP_COPY_CHUNK, WALK_LEAVES};
use crate::image::Image;
use crate::read::beside::{locations, side_by_side};
use crate::session::Session;
use crate::{ImageRef, OpenOptions, Progress, Result, SnapInfo, SnapRef};
use lsd_core::format::checkpoint::LeafPlace;
use lsd_core::format::header::{MigrationRecord, SnapNamespace};
use lsd_core::map::Extent;
use lsd_core::units::{LeafNo, SegmentNo, SnapId};
use lsd_state::pins::Frozen;
use std::collections::{BTreeMap, BTreeSet};

/// `options`: how the destination is opened at its snapshots. Progress is in parts of the image, snapshots included.
pub(super) async fn bring_back(
    from: &Image,
    options: &OpenOptions,
    to: &Image,
    record: &MigrationRecord,
    progress: Progress<'_>,
) -> Result<()> {
    // Limits on I/O are for guests.
    from.lift_limits();
    to.lift_limits();
    let bounds = Frozen::of(&record.source);
    let theirs = of_users(from).await?;
    // Those that are there first: they may give up names that new ones have.
    follow_snapshots(&theirs, to).await?;
    let there: BTreeSet<u64> = of_users(to).await?.into_iter().map(|one| one.id).collect();
    // The destination never gives an id out again, so what was brought before it was broken off is complete.
    let new: Vec<&SnapInfo> = theirs.iter().filter(|one| !there.contains(&one.id)).collect();
    let limit = from.snapshots().limit().await?;
    if !new.is_empty() && to.snapshots().limit().await?.is_some() {
        to.snapshots().set_limit(None).await?;
    }
    let total = new.len() as u64 + 1;
    for (done, snapshot) in (0..).zip(new) {
        progress(done, total)?;
        let options = OpenOptions { snapshot: Some(SnapRef::Id(snapshot.id)), ..options.clone() };
        let id = ImageRef::Id(from.info().id);
        let moment = Image::open(&from.session.objects.meta, &id, &options).await?;
        let brought = bring(&moment, to, bounds).await;
        let _ = moment.close().await;
        brought?;
        let named = (SnapId(snapshot.id), &*snapshot.name);
        to.session.create_snapshot_like(named, snapshot.flags, snapshot.create_ns).await?;
    }
    // Also of a source without the feature that its users need for that.
    let ours: BTreeMap<u64, bool> = of_users(to).await?.into_iter().map(|one| (one.id, one.is_protected)).collect();
    for snapshot in theirs.iter().filter(|one| ours.get(&one.id) != Some(&one.is_protected)) {
        to.session.snap_protect(SnapId(snapshot.id), snapshot.is_protected).await?;
    }
    progress(total - 1, total)?;
    bring(from, to, bounds).await?;
    bring_metadata(from, to).await?;
    if limit != to.snapshots().limit().await? {
        to.snapshots().set_limit(limit).await?;
    }
    to.flush().await
}

async fn of_users(image: &Image) -> Result<Vec<SnapInfo>> {
    let mut all = image.snapshots().list().await?;
    all.retain(|snapshot| snapshot.namespace == SnapNamespace::User);
    Ok(all)
}

/// Snapshots that are in both are called as in the destination, and others are gone.
async fn follow_snapshots(theirs: &[SnapInfo], to: &Image) -> Result<()> {
    let theirs: BTreeMap<u64, &SnapInfo> = theirs.iter().map(|one| (one.id, one)).collect();
    for own in of_users(to).await?.iter().filter(|own| !theirs.contains_key(&own.id)) {
        if own.is_protected {
            to.snapshots().unprotect(&own.name).await?;
        }
        to.snapshots().remove_by_id(own.id).await?;
    }
    let mut ours: BTreeMap<u64, String> = of_users(to).await?.into_iter().map(|one| (one.id, one.name)).collect();
    let wrong: Vec<u64> = ours.iter().filter(|(id, name)| theirs[*id].name != **name).map(|(id, _)| *id).collect();
    for id in wrong {
        let wanted = &theirs[&id].name;
        // One that has the name gets its own one later.
        if let Some(other) = ours.iter().find(|(_, name)| *name == wanted).map(|(other, _)| *other) {
            let mut aside = format!(".migration.{other}");
            while ours.values().any(|name| *name == aside) {
                aside.push('_');
            }
            to.session.snap_rename(SnapId(other), &aside).await?;
            ours.insert(other, aside);
        }
        to.session.snap_rename(SnapId(id), wanted).await?;
        ours.insert(id, wanted.clone());
    }
    Ok(())
}

async fn bring_metadata(from: &Image, to: &Image) -> Result<()> {
    let (theirs, ours) = (from.metadata().list().await?, to.metadata().list().await?);
    for (key, value) in &theirs {
        if ours.get(key) != Some(value) {
            to.metadata().set(key, value).await?;
        }
    }
    for key in ours.keys() {
        if !theirs.contains_key(key) {
            to.metadata().remove(key).await?;
        }
    }
    Ok(())
}

/// Makes the source show what the destination, or a snapshot of that, shows.
async fn bring(from: &Image, to: &Image, bounds: Frozen) -> Result<()> {
    if to.size() != from.size() {
        to.resize(from.size(), true, &|_, _| Ok(())).await?;
    }
    let (theirs, ours) = (&*from.session, &*to.session);
    let leaves: Vec<LeafNo> = differing(theirs, ours, bounds).into_iter().collect();
    for some in leaves.chunks(WALK_LEAVES) {
        let (there, here) = (of(theirs, some).await?, of(ours, some).await?);
        for (there, here) in there.iter().zip(&here) {
            bring_leaf(from, to, (there, here), bounds.last_segment).await?;
        }
    }
    Ok(())
}

/// Leaves that are not stored in the same place of what was frozen.
fn differing(theirs: &Session, ours: &Session, bounds: Frozen) -> BTreeSet<LeafNo> {
    let places = |session: &Session| -> BTreeMap<LeafNo, Option<LeafPlace>> {
        let state = session.shared.lock();
        let map = &state.view.map;
        map.leaves().map(|leaf| (leaf, map.stored_unchanged(leaf).copied())).collect()
    };
    let (theirs, ours) = (places(theirs), places(ours));
    let is_frozen = |place: &LeafPlace| place.pointers().all(|at| at.checkpoint <= bounds.last_checkpoint);
    let is_same = |leaf: &LeafNo| match (theirs.get(leaf), ours.get(leaf)) {
        (Some(Some(their)), Some(Some(our))) => their == our && is_frozen(their),
        _ => false,
    };
    theirs.keys().chain(ours.keys()).copied().filter(|leaf| !is_same(leaf)).collect()
}

async fn of(session: &Session, leaves: &[LeafNo]) -> Result<Vec<Vec<Extent>>> {
    let found = session.retry_if_moved(|| locations(&session.objects, &session.shared, leaves)).await;
    session.shared.trim_leaves(session.settings().map_cache_bytes);
    found
}

async fn bring_leaf(
    from: &Image,
    to: &Image,
    (there, here): (&[Extent], &[Extent]),
    last_frozen: SegmentNo,
) -> Result<()> {
    for piece in side_by_side(there, here) {
        let is_same = match (piece.ours, piece.theirs) {
            (Some(there), Some(here)) => there == here && there.segment() <= last_frozen,
            (there, here) => there.is_none() && here.is_none(),
        };
        if is_same {
            continue;
        }
        let (mut at, end) = (piece.offset, piece.offset + piece.len);
        while at < end {
            let len = (end - at).min(DEEP_COPY_CHUNK);
            if piece.ours.is_none() {
                to.discard(at, len, false).await?;
            } else {
                let data = from.read(at, len).await?.to_bytes();
                // What was only copied by the migration is there already.
                if to.read(at, len).await?.to_bytes() != data {
                    to.write(at, data, false).await?;
                }
            }
            at += len;
        }
    }
    Ok(())
}
