//! Taking a migration from an image of another kind back, also one that was broken off at any step.
//!
//! Owns: the order of the steps (rule 49). Does not own: what is brought back into the source (`bring.rs`).
//!
//! 1. The destination is frozen: who has it open does not write any more. One whose header never came into being cannot come any more.
//! 2. The source is opened by this one alone, and gets what was written to the destination.
//! 3. As long as it is open the destination is taken, as its removal takes it: nobody opens it any more.
//! 4. The destination loses its name, and the source has its own again. The destination goes, and what was frozen for it.
use super::{Moved, bring, check_is_noted, named, note_of};
use crate::api::error::invalid;
use crate::image::{Image, kin_open_options};
use crate::lifecycle::{self, remove};
use crate::migration::abort::{freeze_destination, name_of, prevent};
use crate::migration::pair::Half;
use crate::migration::prepare::quiet;
use crate::migration::{Migrations, store_of};
use crate::{Catalog, Error, ErrorKind, ImageRef, OpenOptions, Progress, Result};
use lsd_core::format::header::{MigrationState, encode_epoch, key};
use lsd_core::units::Epoch;
use lsd_store::{ForeignDisk, KvMap};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) async fn abort(migrations: &Migrations, moved: Moved, progress: Progress<'_>) -> Result<()> {
    if moved.state() == MigrationState::Committing {
        let reason = format!("{}: the source is being removed: commit the migration", moved.name);
        return Err(Error::new(ErrorKind::Busy, reason));
    }
    take_back(migrations, moved, progress).await
}

pub(super) async fn take_back(migrations: &Migrations, mut moved: Moved, progress: Progress<'_>) -> Result<()> {
    moved.look_again().await?;
    let note = note_of(&moved.destination);
    let is_noted = moved.source.note().await?.is_some_and(|noted| noted == note);
    let named = name_of(&moved.destination).await?;
    if is_noted {
        check_name_is_free(migrations, &moved).await?;
    }
    let header = moved.destination.values().await?;
    let has_header = header.is_some();
    match header {
        Some(values) if values.contains_key(key::REMOVING) => {}
        // It came into being when somebody had taken the migration back already: nobody was ever led to it.
        Some(_) if !is_noted && named.is_none() => {}
        Some(_) => bring_back(migrations, &mut moved, progress).await?,
        None => prevent(&moved.destination).await?,
    }
    // Rule 49: nobody can open the destination any more.
    let Moved { source, name, destination, .. } = &moved;
    let Half { store, id, .. } = destination;
    if let Some(named) = named {
        match Catalog::new(store.clone()).remove(&named, id).await {
            Err(error) if error.kind != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    // One that is in another migration by now, or in none, has its name or gave that one it. Others may have ended this one meanwhile.
    if is_noted && source.note().await?.is_some_and(|noted| noted == note) {
        source.give_name_back(name).await?;
    }
    let removed = lifecycle::remove_migrated((store, id), (None, None), &migrations.options.bases, progress);
    if has_header {
        removed.await?;
        source.thaw(&id.0).await?;
        return Ok(source.forget(&note).await?);
    }
    // A mark that keeps the header from coming into being does so as long as whoever makes it would find the note.
    source.thaw(&id.0).await?;
    source.forget(&note).await?;
    removed.await
}

/// `Exists`: another image has the source's name by now, of either kind.
async fn check_name_is_free(migrations: &Migrations, moved: &Moved) -> Result<()> {
    let place = moved.other();
    let store = store_of(&migrations.store, place.pool, &place.namespace).await?;
    let is_taken = match Catalog::new(store.clone()).id_of(&moved.name).await {
        Ok(id) => id != moved.destination.id,
        Err(error) if error.kind == ErrorKind::NotFound => false,
        Err(error) => return Err(error),
    };
    // What else was set aside has no name.
    let others = named(migrations, &store, &moved.name).await?;
    match is_taken || others.iter().any(|other| other.place != moved.place && other.note.is_none()) {
        true => {
            let reason = format!("{}: another image is called so by now: rename it", moved.name);
            Err(Error::new(ErrorKind::Exists, reason))
        }
        false => Ok(()),
    }
}

/// Steps 1 to 3.
async fn bring_back(migrations: &Migrations, moved: &mut Moved, progress: Progress<'_>) -> Result<()> {
    if moved.destination.record.is_none() {
        return Err(invalid(format!("{}: what is noted with it is no destination of it", moved.name)));
    }
    let frozen_at = freeze_destination(migrations, &mut moved.destination).await?;
    let Half { store, id, .. } = &moved.destination;
    let options = kin_open_options(store, &quiet(&migrations.options)).await?;
    let options = OpenOptions { read_only: true, ..options };
    let from = Image::open_with_clock(store, &ImageRef::Id(id.clone()), &options, migrations.clock.clone()).await?;
    let brought = give_back(moved, &from, frozen_at, progress).await;
    let _ = from.close().await;
    brought
}

async fn give_back(moved: &Moved, from: &Image, frozen_at: Epoch, progress: Progress<'_>) -> Result<()> {
    // Before, too: who opens it disturbs whoever has it.
    check_still_frozen(moved, frozen_at).await?;
    let disk = moved.source.open().await?;
    let taken = take_with(moved, from, (&disk, frozen_at), progress).await;
    let closed = disk.close().await;
    taken?;
    Ok(closed?)
}

/// With the source open, which nobody else can have open meanwhile.
async fn take_with(
    moved: &Moved,
    from: &Image,
    (disk, frozen_at): (&Arc<dyn ForeignDisk>, Epoch),
    progress: Progress<'_>,
) -> Result<()> {
    check_still_frozen(moved, frozen_at).await?;
    let facts = moved.source.facts().await?;
    bring::bring(from, disk, progress).await?;
    bring_metadata(from, disk, &facts.metadata).await?;
    // It counts when it is durable.
    disk.flush().await?;
    // Rule 49: as it was when it was frozen here, and while nobody else who aborts can have the source open.
    let seen = KvMap::from([(key::EPOCH.to_owned(), encode_epoch(frozen_at).into())]);
    let Half { store, .. } = &moved.destination;
    match remove::take(store, &moved.destination.object(), &seen).await {
        // Somebody else has done it.
        Err(error) if error.kind == ErrorKind::NotFound => Ok(()),
        taken => taken.map(drop),
    }
}

/// Rule 49. `Busy`: somebody else who aborts has given the source back already, and it may have a guest; or somebody has led the destination
/// back to its writers.
async fn check_still_frozen(moved: &Moved, frozen_at: Epoch) -> Result<()> {
    match super::in_use(&moved.destination).await? {
        Some(header) if header.epoch == frozen_at => check_is_noted(&moved.source, &moved.destination).await,
        _ => {
            let reason = format!("{}: somebody else changes its migration", moved.destination.name);
            Err(Error::new(ErrorKind::Busy, reason))
        }
    }
}

async fn bring_metadata(from: &Image, to: &Arc<dyn ForeignDisk>, there: &BTreeMap<String, String>) -> Result<()> {
    let here = from.metadata().list().await?;
    for (key, value) in here.iter().filter(|(key, value)| there.get(*key) != Some(*value)) {
        to.set_metadata(key, Some(value)).await?;
    }
    for key in there.keys().filter(|key| !here.contains_key(*key)) {
        to.set_metadata(key, None).await?;
    }
    Ok(())
}
