//! What the destination of a migration begins as.
//!
//! Owns: its first header, and that what the source is a clone of stays for it, too. Does not own: the order of the steps (`prepare.rs`).
use super::pair::Half;
use super::prepare::Frozen;
use crate::api::error::invalid;
use crate::lifecycle;
use crate::objects::pools::place_of;
use crate::ties::tie::{ParentHeader, child_of};
use crate::{Error, ErrorKind, Features, Result};
use lsd_core::format::header::{
    Ancestor, ChildRecord, ImageRecord, MigrationRecord, MigrationRole, MigrationState, REQUIRES_CLONES,
    REQUIRES_MIGRATION, REQUIRES_SNAPSHOTS, StateRecord, encode_requires, encode_text, key,
};
use lsd_store::KvUpdate;

/// The destination is a clone of what the source is a clone of, and that stays for it. Returns whether it is one.
pub(super) async fn tie(frozen: &Frozen, destination: &Half, is_strict: bool) -> Result<bool> {
    let Frozen { half, header, .. } = frozen;
    let Some(ancestry) = header.ancestry.as_ref().filter(|ancestry| header.snapshots.need_parent(ancestry)) else {
        return Ok(false);
    };
    let Some(Ancestor { place, last_segment, .. }) = ancestry.ancestors.last() else { return Ok(false) };
    let parent = ParentHeader::at(&half.store, place).await?;
    if child_of(&parent.read().await?, ancestry.snapshot, &place_of(&half.store, &half.id)).is_none() {
        return Err(invalid(format!("{}: its parent does not know it: check it", header.name)));
    }
    let child = ChildRecord {
        snapshot: ancestry.snapshot,
        place: place_of(&destination.store, &destination.id),
        is_strict,
        time_ns: header.image.create_ns,
    };
    parent.tie_beside(&child, *last_segment).await?;
    Ok(true)
}

/// `Canceled`: a repair of the parent was faster.
pub(super) async fn check_tied(frozen: &Frozen, destination: &Half) -> Result<()> {
    let Frozen { half, header, .. } = frozen;
    let Some(ancestry) = &header.ancestry else { return Ok(()) };
    let Some(Ancestor { place, .. }) = ancestry.ancestors.last() else { return Ok(()) };
    let parent = ParentHeader::at(&half.store, place).await?.read().await?;
    if child_of(&parent, ancestry.snapshot, &place_of(&destination.store, &destination.id)).is_none() {
        let reason = format!("{}: its parent took the unfinished destination for one that is gone", destination.name);
        return Err(Error::new(ErrorKind::Canceled, reason));
    }
    Ok(())
}

/// `strict`: of a clone, whether its parent's snapshot must be protected.
pub(super) fn first_header(
    frozen: &Frozen,
    destination: &Half,
    (image, features): (&ImageRecord, u64),
    strict: Option<bool>,
) -> Result<KvUpdate> {
    let Frozen { half, header, record } = frozen;
    let is_child = strict == Some(false) && header.ancestry.as_ref().is_some_and(|ancestry| ancestry.overlap.is_some());
    let (op_features, features) = match is_child {
        true => (Features::OP_CLONE_CHILD, features | Features::OPERATIONS),
        false => (0, features),
    };
    let state = StateRecord { features, op_features, ..header.state };
    let log = lsd_core::format::header::LogRecord { epochs: Vec::new(), ..header.log.clone() };
    let of_destination = MigrationRecord {
        role: MigrationRole::Destination,
        state: MigrationState::Prepared,
        other: place_of(&half.store, &half.id),
        name: half.name.clone(),
        ..record.clone()
    };
    let requires = header.passes_on(REQUIRES_SNAPSHOTS | REQUIRES_CLONES | REQUIRES_MIGRATION);
    let mut update = lifecycle::first_header(&destination.name, image, &state, (header.epoch, &log))
        .set(key::MIGRATION, of_destination.encode())
        .set(key::SNAP_COUNTERS, header.snapshots.counters.encode())
        .set(key::REQUIRES, encode_requires(requires));
    if let Some(ancestry) = header.ancestry.as_ref().filter(|_| strict.is_some()) {
        update = update.set(key::ANCESTRY, ancestry.encode());
    }
    for snapshot in header.snapshots.usable() {
        update = update.set(key::snap(snapshot.id), snapshot.encode());
    }
    for (name, value) in &header.metadata {
        update = update.set(format!("{}{name}", key::META), encode_text(value));
    }
    Ok(update)
}
