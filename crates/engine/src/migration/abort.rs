//! Taking a migration back, also one that was broken off at any step.
//!
//! Owns: the order of the steps (rule 40). Does not own: what is brought back into the source (`bring.rs`).
//!
//! 1. The destination is frozen: who has it open does not write any more. One whose header never came into being cannot come any more.
//! 2. The source gets what was written to the destination.
//! 3. The destination is marked as being removed, and then the source is an image like any other again.
//! 4. The source gets its name back, the destination goes, and the source's header forgets the migration.
use super::pair::{Half, Pair};
use super::prepare::{freezing, make_clean, quiet};
use super::{Migrations, bring};
use crate::api::limits::HEADER_TRIES;
use crate::image::Image;
use crate::lifecycle::{self, remove};
use crate::objects::header::Header;
use crate::objects::pools::place_of;
use crate::recovery::open::{self, Found};
use crate::ties::tie;
use crate::{Catalog, Error, ErrorKind, ImageRef, Progress, Result};
use lsd_core::format::header::{MigrationRecord, MigrationState, encode_epoch, key};
use lsd_core::units::Epoch;
use lsd_store::{KvPresence, KvUpdate, StoreErrorKind};

pub(super) async fn abort(migrations: &Migrations, name: &str, progress: Progress<'_>) -> Result<()> {
    let mut pair = Pair::find(&migrations.store, name).await?;
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
            None => prevent(&pair).await?,
        }
        // Rule 40: nobody can open the destination any more. From here on the source may let go of what that needed.
        let before = [MigrationState::Preparing, MigrationState::Prepared, MigrationState::Returned];
        pair.source.set_state(&before, MigrationState::Returned).await?;
    }
    let named = give_name_back(&pair).await?;
    lifecycle::remove_migrated(&pair.destination.store, &pair.destination.id, (named, None), progress).await?;
    pair.source.forget().await?;
    // What was only kept for the destination goes with the next owner's first checkpoint: where this is not it, with a later one's.
    let _ = make_clean(migrations, &pair.source, false).await;
    Ok(())
}

/// Steps 1 and 2, and the mark.
async fn bring_back(migrations: &Migrations, pair: &mut Pair, progress: Progress<'_>) -> Result<()> {
    freeze_destination(migrations, pair).await?;
    let Half { store, id, .. } = &pair.destination;
    let options = crate::image::kin_open_options(store, &quiet(&migrations.options)).await?;
    let options = crate::OpenOptions { read_only: true, ..options };
    let from = Image::open_with_clock(store, &ImageRef::Id(id.clone()), &options, migrations.clock.clone()).await?;
    let to = open_source(migrations, pair).await;
    let brought = match &to {
        Ok(to) => bring::bring_back(&from, &options, to, &pair.record, progress).await,
        Err(error) => Err(error.clone()),
    };
    // It counts when it is durable.
    let closed = match to {
        Ok(to) => to.close().await,
        Err(_) => Ok(()),
    };
    let _ = from.close().await;
    brought.and(closed)?;
    let object = pair.destination.object();
    let Some(values) = pair.destination.values().await? else { return Ok(()) };
    remove::take(store, &object, &values).await
}

async fn open_source(migrations: &Migrations, pair: &Pair) -> Result<Image> {
    let Half { store, id, .. } = &pair.source;
    let found = open::find(store, &ImageRef::Id(id.clone())).await?;
    let found = Found { objects: found.objects.of_migrator(), ..found };
    let options = crate::image::kin_open_options(store, &quiet(&migrations.options)).await?;
    Image::open_found(found, &options, migrations.clock.clone()).await
}

/// Nobody writes to it from here on, and everything that was acknowledged can be read. `Busy`.
async fn freeze_destination(migrations: &Migrations, pair: &mut Pair) -> Result<()> {
    let half = &mut pair.destination;
    for _ in 0..HEADER_TRIES {
        let Some(values) = half.values().await? else { break };
        let header = Header::decode(&half.object(), &values)?;
        let Some(record) = header.migration.clone() else { break };
        if record.state == MigrationState::Aborting {
            return Ok(());
        }
        check_destination(half, &header).await?;
        if !header.log.clean {
            make_clean(migrations, half, false).await?;
            continue;
        }
        let aborting = MigrationRecord { state: MigrationState::Aborting, description: String::new(), ..record };
        match half.store.kv_update(&half.object(), freezing(&values, &header, &aborting)).await {
            Err(error) if error.kind == StoreErrorKind::Stale => {}
            frozen => {
                half.record = Some(aborting);
                return Ok(frozen?);
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
    match remove::check_in_no_group(&half.store, header).await {
        Err(error) if error.kind == ErrorKind::InGroup => return busy("image is in a group: take it out first"),
        free => free?,
    }
    remove::until_unused(&half.store, &half.object(), &header.name).await
}

/// A destination whose header is not there: from here on it does not come any more, and its tie goes.
async fn prevent(pair: &Pair) -> Result<()> {
    let half = &pair.destination;
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
    let source = pair.source.header().await?;
    if let Some(ancestry) = source.and_then(|header| header.ancestry) {
        // The source's own tie keeps the snapshot.
        tie::loose(&half.store, &ancestry, &place_of(&half.store, &half.id)).await?;
    }
    Ok(())
}

/// The source has its name again. Returns the name that the destination still has.
async fn give_name_back(pair: &Pair) -> Result<Option<String>> {
    let (source, destination) = (&pair.source, &pair.destination);
    let catalog = Catalog::new(source.store.clone());
    let named = match Catalog::new(destination.store.clone()).name_of(&destination.id).await {
        Err(error) if error.kind == ErrorKind::NotFound => None,
        name => Some(name?),
    };
    let entry = match catalog.trashed(&source.id).await {
        // It has it, or never lost it.
        Err(error) if error.kind == ErrorKind::NotFound => return Ok(named),
        entry => entry?,
    };
    let is_one_place = source.store.pool_id() == destination.store.pool_id()
        && source.store.namespace() == destination.store.namespace();
    if is_one_place && named.as_deref() == Some(entry.name.as_str()) {
        catalog.replace_back(&source.id, &entry, &destination.id).await?;
        return Ok(None);
    }
    catalog.restore(&source.id, &entry, &entry.name).await?;
    Ok(named)
}
