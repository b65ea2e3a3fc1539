//! Taking a migration back, also one that was broken off at any step.
//!
//! Owns: the order of the steps (rule 40). Does not own: what is brought back into the source (`bring.rs`).
//!
//! 1. The destination is frozen: who has it open does not write any more. One whose header never came into being cannot come any more.
//! 2. The source gets what was written to the destination.
//! 3. The destination is marked as being removed, and then the source is an image like any other again.
//! 4. The source gets its name back, the destination goes, and the source's header forgets the migration.
use super::pair::{Half, Pair, raised};
use super::prepare::{freezing, make_clean, quiet};
use super::{Migrations, bring};
use crate::api::limits::HEADER_TRIES;
use crate::image::Image;
use crate::lifecycle::{self, remove};
use crate::objects::header::Header;
use crate::objects::pools::place_of;
use crate::recovery::open::{self, Found};
use crate::ties::tie;
use crate::{Bases, Catalog, Error, ErrorKind, ImageRef, Progress, Result};
use lsd_core::format::header::{MigrationRecord, MigrationState, TrashSource, encode_epoch, key};
use lsd_core::units::Epoch;
use lsd_store::{KvMap, KvPresence, KvUpdate, StoreErrorKind};

pub(super) async fn abort(migrations: &Migrations, name: &str, progress: Progress<'_>) -> Result<()> {
    abort_pair(migrations, Pair::find(&migrations.store, name).await?, progress).await
}

pub(super) async fn abort_pair(migrations: &Migrations, mut pair: Pair, progress: Progress<'_>) -> Result<()> {
    let name = pair.source.name.clone();
    if pair.source.record.is_none() {
        return Err(Error::new(ErrorKind::NotFound, format!("{name}: the source is gone: commit the migration")));
    }
    let of_source = pair.source.values().await?.unwrap_or_default();
    if of_source.contains_key(key::REMOVING) {
        return Err(Error::new(ErrorKind::Busy, format!("{name}: the source is being removed: commit the migration")));
    }
    let is_returned = |pair: &Pair| pair.source.record.as_ref().is_some_and(|it| it.state == MigrationState::Returned);
    if !is_returned(&pair) {
        match pair.destination.values().await? {
            Some(values) if values.contains_key(key::REMOVING) => {}
            Some(_) => bring_back(migrations, &mut pair, progress).await?,
            None => {
                prevent(&pair.destination).await?;
                loose(&pair.source, &pair.destination).await?;
            }
        }
        // Rule 40: nobody can open the destination any more. From here on the source may let go of what that needed.
        let before = [MigrationState::Preparing, MigrationState::Prepared];
        match pair.source.set_state(&before, MigrationState::Returned).await {
            // Somebody else was faster: nothing needs the mark that there is no destination.
            Err(error) if error.kind == ErrorKind::Invalid => {
                let Half { store, id, .. } = &pair.destination;
                lifecycle::remove_migrated((store, id), (None, None), &migrations.options.bases, progress).await?;
                return Err(error);
            }
            freed => freed?,
        }
    }
    let named = give_name_back(&pair.source, &pair.destination).await?;
    let Half { store, id, .. } = &pair.destination;
    lifecycle::remove_migrated((store, id), (named, None), &migrations.options.bases, progress).await?;
    pair.source.forget(&pair.destination.place()).await?;
    // What was only kept for the destination goes with the next owner's first checkpoint: where this is not it, with a later one's.
    let _ = make_clean(migrations, &pair.source).await;
    Ok(())
}

/// A destination that came into being when its migration was taken back already goes, and the source has its name.
pub(super) async fn discard(source: &Half, destination: &Half, progress: Progress<'_>) -> Result<()> {
    // The names of a source that is in another migration by now are that one's.
    let named = match source.header().await?.and_then(|header| header.migration) {
        Some(_) => name_of(destination).await?,
        None => give_name_back(source, destination).await?,
    };
    // It never had a base.
    let Half { store, id, .. } = destination;
    lifecycle::remove_migrated((store, id), (named, None), &Bases::default(), progress).await?;
    loose(source, destination).await
}

/// Steps 1 and 2, and the mark.
async fn bring_back(migrations: &Migrations, pair: &mut Pair, progress: Progress<'_>) -> Result<()> {
    let frozen_at = freeze_destination(migrations, &mut pair.destination).await?;
    let Half { store, id, .. } = &pair.destination;
    let options = crate::image::kin_open_options(store, &quiet(&migrations.options)).await?;
    let options = crate::OpenOptions { read_only: true, ..options };
    let from = Image::open_with_clock(store, &ImageRef::Id(id.clone()), &options, migrations.clock.clone()).await?;
    let to = open_source(migrations, pair).await;
    let brought = match &to {
        Ok(to) => match take_source(to, &pair.destination, frozen_at).await {
            Ok(()) => bring::bring_back(&from, &options, to, &pair.record, progress).await,
            taken => taken,
        },
        Err(error) => Err(error.clone()),
    };
    // It counts when it is durable.
    let closed = match to {
        Ok(to) => to.close().await,
        Err(_) => Ok(()),
    };
    let _ = from.close().await;
    brought.and(closed)?;
    // Rule 40: as it was when it was frozen here. Otherwise somebody may have written to it since.
    let seen = KvMap::from([(key::EPOCH.to_owned(), encode_epoch(frozen_at).into())]);
    match remove::take(store, &pair.destination.object(), &seen).await {
        // Somebody else has done it.
        Err(error) if error.kind == ErrorKind::NotFound => Ok(()),
        taken => taken.map(drop),
    }
}

/// Rule 40. Who froze the destination before somebody wrote to it once more may not write to the source what it shows of then: from here
/// on one who froze it later either finds that this one owns the source, or has taken it from this one, which never gets it again.
async fn take_source(to: &Image, destination: &Half, frozen_at: Epoch) -> Result<()> {
    to.session.ensure_owner().await?;
    match destination.header().await? {
        Some(header) if header.epoch == frozen_at && !header.removing => Ok(()),
        _ => Err(Error::new(ErrorKind::Busy, format!("{}: somebody else changes its migration", destination.name))),
    }
}

async fn open_source(migrations: &Migrations, pair: &Pair) -> Result<Image> {
    let Half { store, id, .. } = &pair.source;
    let found = open::find(store, &ImageRef::Id(id.clone())).await?;
    let found = Found { objects: found.objects.of_migrator(), ..found };
    let options = crate::image::kin_open_options(store, &quiet(&migrations.options)).await?;
    Image::open_found(found, &options, migrations.clock.clone()).await
}

/// Nobody writes to it from here on, and everything that was acknowledged can be read. Returns the epoch that it stays at. `Busy`.
pub(super) async fn freeze_destination(migrations: &Migrations, half: &mut Half) -> Result<Epoch> {
    for _ in 0..HEADER_TRIES {
        let Some(values) = half.values().await? else { break };
        let header = Header::decode(&half.object(), &values)?;
        let Some(record) = header.migration.clone() else { break };
        match record.state {
            MigrationState::Aborting => return Ok(header.epoch),
            // Rule 49: since somebody looked before.
            MigrationState::Committing => {
                let reason = format!("{}: the source is being removed: commit the migration", header.name);
                return Err(Error::new(ErrorKind::Busy, reason));
            }
            _ => {}
        }
        check_destination(half, &header).await?;
        if !header.log.clean {
            make_clean(migrations, half).await?;
            continue;
        }
        let aborting = MigrationRecord { state: MigrationState::Aborting, description: String::new(), ..record };
        match half.store.kv_update(&half.object(), freezing(&values, &header, &aborting)).await {
            Err(error) if error.kind == StoreErrorKind::Stale => {}
            frozen => {
                half.record = Some(aborting);
                frozen?;
                return Ok(raised(header.epoch));
            }
        }
    }
    Err(Error::new(ErrorKind::Busy, format!("{}: image is in use", half.name)))
}

async fn check_destination(half: &Half, header: &Header) -> Result<()> {
    let busy = |why: &str| Err(Error::new(ErrorKind::Busy, format!("{}: {why}", header.name)));
    if header.snapshots.usable().any(|snapshot| snapshot.children > 0) {
        return busy("its snapshots have clones: flatten them first");
    }
    if header.snapshots.have_part_of_group() {
        return busy("it has a part of a group's snapshot: remove that first");
    }
    // A source of another kind would not get them.
    let is_foreign = header.migration.as_ref().is_some_and(|migration| migration.kind.is_some());
    if is_foreign && header.snapshots.usable().next().is_some() {
        return busy("it has snapshots: remove them first");
    }
    match remove::check_in_no_group(&half.store, header).await {
        Err(error) if error.kind == ErrorKind::InGroup => return busy("image is in a group: take it out first"),
        free => free?,
    }
    remove::until_unused(&half.store, &half.object(), &header.name).await
}

/// A destination whose header is not there: from here on it does not come any more.
pub(super) async fn prevent(half: &Half) -> Result<()> {
    let mark = KvUpdate::default().presence(KvPresence::MustCreate).set(key::REMOVING, encode_epoch(Epoch::default()));
    match half.store.kv_update(&half.object(), mark).await {
        // Left by somebody who died here.
        Err(error) if error.kind == StoreErrorKind::Exists => {
            if half.values().await?.is_some() {
                return Err(Error::new(ErrorKind::Busy, format!("{}: it is being made right now", half.name)));
            }
        }
        marked => marked?,
    }
    Ok(())
}

/// The source's own tie keeps the snapshot that it is a clone of.
async fn loose(source: &Half, destination: &Half) -> Result<()> {
    if let Some(ancestry) = source.header().await?.and_then(|header| header.ancestry) {
        tie::loose(&destination.store, &ancestry, &place_of(&destination.store, &destination.id)).await?;
    }
    Ok(())
}

pub(super) async fn name_of(half: &Half) -> Result<Option<String>> {
    match Catalog::new(half.store.clone()).name_of(&half.id).await {
        Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
        name => name.map(Some),
    }
}

/// The source has its name again. Returns the name that the destination still has.
async fn give_name_back(source: &Half, destination: &Half) -> Result<Option<String>> {
    let catalog = Catalog::new(source.store.clone());
    let named = name_of(destination).await?;
    let entry = match catalog.trashed(&source.id).await {
        // It has it, or never lost it.
        Err(error) if error.kind == ErrorKind::NotFound => return Ok(named),
        entry => entry?,
    };
    // Its user has put it there since.
    if entry.source != TrashSource::Migration {
        return Ok(named);
    }
    if source.is_beside(destination) && named.as_deref() == Some(entry.name.as_str()) {
        catalog.replace_back(&source.id, &entry, &destination.id).await?;
        return Ok(None);
    }
    catalog.restore(&source.id, &entry, &entry.name).await?;
    Ok(named)
}
