//! The two images of a migration: finding one from the other, and what their headers say of it.
//!
//! Owns: reading and changing that value, for everybody but the destination's owner, who says that it is executed. Does not own: when
//! (`mod.rs`, `prepare.rs`, `abort.rs`).
use super::{MigrationSide, store_of};
use crate::api::error::invalid;
use crate::api::limits::HEADER_TRIES;
use crate::objects::header::{self, Header};
use crate::objects::pools::place_of;
use crate::ownership::watch;
use crate::{Catalog, Error, ErrorKind, ImageId, Result};
use lsd_core::format::header::{
    ImagePlace, MigrationRecord, MigrationRole, MigrationState, REQUIRES_FOREIGN, REQUIRES_MIGRATION, TrashSource,
    decode_requires, encode_epoch, encode_requires, key,
};
use lsd_core::format::names;
use lsd_core::format::notice::Notice;
use lsd_core::units::Epoch;
use lsd_store::{KvMap, KvPresence, KvUpdate, ObjectName, ObjectStore, StoreErrorKind};
use std::sync::Arc;

/// One of the two.
#[derive(Clone, Debug)]
pub(super) struct Half {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) id: ImageId,
    /// What it was called when the migration began.
    pub(super) name: String,
    /// As its header has it; `None`: it is not there, or not any more.
    pub(super) record: Option<MigrationRecord>,
}

impl Half {
    pub(super) fn object(&self) -> ObjectName {
        names::header(&self.id.0).into()
    }

    /// `None`: there is no header, or nothing but a mark that there is none.
    pub(super) async fn values(&self) -> Result<Option<KvMap>> {
        let values = header::values_of(&self.store, &self.object()).await?;
        Ok(values.filter(|values| values.contains_key(key::IMAGE)))
    }

    pub(super) async fn header(&self) -> Result<Option<Header>> {
        self.values().await?.map(|values| Header::decode(&self.object(), &values)).transpose()
    }

    pub(super) fn place(&self) -> ImagePlace {
        place_of(&self.store, &self.id)
    }

    /// Both names are in one directory.
    pub(super) fn is_beside(&self, other: &Half) -> bool {
        self.store.pool_id() == other.store.pool_id() && self.store.namespace() == other.store.namespace()
    }

    /// `Canceled`: it is in the migration no more that it was in, or that is being taken back.
    pub(super) async fn check_is_in_migration(&self) -> Result<()> {
        let now = self.header().await?.and_then(|header| header.migration);
        let is_it = |now: &MigrationRecord| {
            now.state != MigrationState::Returned && self.record.as_ref().is_none_or(|it| it.other == now.other)
        };
        match now.is_some_and(|now| is_it(&now)) {
            true => Ok(()),
            false => Err(Error::new(ErrorKind::Canceled, format!("{}: the migration was taken back", self.name))),
        }
    }

    /// What the other one says is there to be read. An image that is in another migration by now, or in none, has no record of this one.
    async fn at(one: &Half, record: &MigrationRecord) -> Result<Self> {
        let store = store_of(&one.store, record.other.pool, &record.other.namespace).await?;
        let mut half = Self { store, id: ImageId(record.other.id.clone()), name: record.name.clone(), record: None };
        if let Some(values) = half.values().await? {
            header::check_understood(&half.object(), &values)?;
            let bad = |error| crate::api::error::corrupt(&half.object(), error);
            let theirs = header::migration(&values).map_err(bad)?;
            half.record = theirs.filter(|theirs| theirs.role != record.role && theirs.other == one.place());
        }
        Ok(half)
    }

    /// Its present name, where it has one.
    pub(super) async fn side(&self) -> Result<MigrationSide> {
        let place = place_of(&self.store, &self.id);
        let name = match Catalog::new(self.store.clone()).name_of(&self.id).await {
            Err(error) if error.kind == ErrorKind::NotFound => self.name.clone(),
            name => name?,
        };
        Ok(MigrationSide { pool: place.pool, namespace: place.namespace, name, id: self.id.clone() })
    }

    /// `Busy`: it is in none of the states `from` any more, so somebody else does something with the migration.
    pub(super) async fn set_state(&mut self, from: &[MigrationState], to: MigrationState) -> Result<()> {
        let next = |record: &MigrationRecord| {
            let is_as_expected = from.contains(&record.state);
            is_as_expected.then(|| MigrationRecord { state: to, description: String::new(), ..record.clone() })
        };
        // Rule 40: who gives the source what was written to the destination, and was slower, owns it no more.
        self.change(next, to == MigrationState::Returned).await?;
        if self.record.as_ref().is_none_or(|record| record.state != to) {
            return Err(Error::new(ErrorKind::Busy, format!("{}: somebody else changes its migration", self.name)));
        }
        watch::notify_of(&self.store, &self.object(), &Notice::HeaderChanged).await;
        Ok(())
    }

    /// Tells how far it is, as long as it is in this state.
    pub(super) async fn describe(&mut self, state: MigrationState, description: &str) -> Result<()> {
        let described = |record: &MigrationRecord| {
            let described = MigrationRecord { description: description.to_owned(), ..record.clone() };
            (record.state == state).then_some(described)
        };
        self.change(described, false).await
    }

    /// A destination that an abort has frozen is the image again, unless it is taken already: what was brought back until then is the
    /// source's alone, and the next abort finds it. Who aborts expects the epoch at which it froze the destination (rule 40).
    pub(super) async fn lead_back(&mut self) -> Result<()> {
        let next = |record: &MigrationRecord| {
            let is_frozen = record.state == MigrationState::Aborting;
            is_frozen.then(|| MigrationRecord { state: MigrationState::Executing, ..record.clone() })
        };
        if self.values().await?.is_some_and(|values| !values.contains_key(key::REMOVING)) {
            self.change(next, true).await?;
        }
        Ok(())
    }

    /// `Invalid`: the image is in no migration, or in another one than this. Nobody's epoch is asked unless it is raised: an owner leaves this
    /// value alone, but for one change that expects it as it was.
    async fn change(
        &mut self,
        change: impl Fn(&MigrationRecord) -> Option<MigrationRecord>,
        raises_epoch: bool,
    ) -> Result<()> {
        let other = self.record.as_ref().map(|record| record.other.clone());
        let is_same = |found: &MigrationRecord| other.as_ref().is_none_or(|other| *other == found.other);
        for _ in 0..HEADER_TRIES {
            let found = self.header().await?.and_then(|header| Some((header.epoch, header.migration?)));
            let Some((epoch, before)) = found.filter(|(_, found)| is_same(found)) else {
                return Err(invalid(format!("{}: image is not migrating", self.name)));
            };
            let Some(after) = change(&before) else {
                self.record = Some(before);
                return Ok(());
            };
            let mut update = KvUpdate::default()
                .presence(KvPresence::MustExist)
                .expect(key::MIGRATION, before.encode())
                .set(key::MIGRATION, after.encode());
            if raises_epoch {
                update = update
                    .expect(key::REMOVING, "")
                    .expect(key::EPOCH, encode_epoch(epoch))
                    .set(key::EPOCH, encode_epoch(raised(epoch)));
            }
            match self.store.kv_update(&self.object(), update).await {
                Err(error) if error.kind == StoreErrorKind::Stale => {}
                changed => {
                    changed?;
                    self.record = Some(after);
                    return Ok(());
                }
            }
        }
        Err(Error::new(ErrorKind::Busy, format!("{}: others change its migration", self.name)))
    }

    /// The image is not in the migration with this one any more.
    pub(super) async fn forget(&self, other: &ImagePlace) -> Result<()> {
        for _ in 0..HEADER_TRIES {
            let Some(values) = self.values().await? else { return Ok(()) };
            let Some(record) = values.get(key::MIGRATION) else { return Ok(()) };
            // Somebody else who was faster has forgotten it, and the next migration has begun.
            if MigrationRecord::decode(record).is_ok_and(|record| record.other != *other) {
                return Ok(());
            }
            let mut update = KvUpdate::default()
                .presence(KvPresence::MustExist)
                .expect(key::MIGRATION, record.clone())
                .remove(key::MIGRATION);
            if let Some(value) = values.get(key::REQUIRES) {
                let bits = decode_requires(value).unwrap_or_default() & !(REQUIRES_MIGRATION | REQUIRES_FOREIGN);
                update = update.expect(key::REQUIRES, value.clone()).set(key::REQUIRES, encode_requires(bits));
            }
            match self.store.kv_update(&self.object(), update).await {
                Err(error) if error.kind == StoreErrorKind::Stale => {}
                forgotten => {
                    forgotten?;
                    watch::notify_of(&self.store, &self.object(), &Notice::HeaderChanged).await;
                    return Ok(());
                }
            }
        }
        Err(Error::new(ErrorKind::Busy, format!("{}: others change its migration", self.name)))
    }
}

/// The next one; the last of all epochs stays.
pub(super) fn raised(epoch: Epoch) -> Epoch {
    Epoch((epoch.0 + 1).min(u64::from(u32::MAX)))
}

#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub(super) source: Half,
    pub(super) destination: Half,
    /// What the header says that led here.
    pub(super) record: MigrationRecord,
}

impl Pair {
    /// By the name of either, also of a source that is in the trash. `NotFound`; `Invalid`: it is in no migration, or more than one source
    /// in the trash is called so.
    pub(super) async fn find(store: &Arc<dyn ObjectStore>, name: &str) -> Result<Self> {
        let catalog = Catalog::new(store.clone());
        let mut not_found = match catalog.id_of(name).await {
            Err(error) if error.kind == ErrorKind::NotFound => error,
            id => return Self::of(store, &id?).await,
        };
        let mut found: Option<Self> = None;
        for (id, entry) in catalog.trash().await? {
            if entry.source != TrashSource::Migration || entry.name != name {
                continue;
            }
            match (Self::of(store, &id).await, &found) {
                (Ok(_), Some(_)) => {
                    let reason =
                        format!("{name}: the sources of several migrations are called so: say the destination");
                    return Err(invalid(reason));
                }
                (Ok(pair), None) => found = Some(pair),
                // Of a migration that is over its entry may be left.
                (Err(error), _) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::Invalid) => not_found = error,
                (Err(error), _) => return Err(error),
            }
        }
        found.ok_or(not_found)
    }

    pub(super) async fn of(store: &Arc<dyn ObjectStore>, id: &ImageId) -> Result<Self> {
        let mut half = Half { store: store.clone(), id: id.clone(), name: id.0.clone(), record: None };
        let header = half.header().await?;
        let gone = || Error::new(ErrorKind::NotFound, format!("no image {:?}", id.0));
        let header = header.ok_or_else(gone)?;
        half.name.clone_from(&header.name);
        let record = header.migration.ok_or_else(|| invalid(format!("{}: image is not migrating", header.name)))?;
        half.record = Some(record.clone());
        let other = Half::at(&half, &record).await?;
        Ok(match record.role {
            MigrationRole::Source => Self { source: half, destination: other, record },
            MigrationRole::Destination => Self { source: other, destination: half, record },
        })
    }

    /// The destination knows how far it is, once it is there; of what comes before and behind that the source knows.
    pub(super) fn state(&self) -> (MigrationState, String) {
        let of = |half: &Half| half.record.as_ref().map(|record| (record.state, record.description.clone()));
        match (of(&self.source), of(&self.destination)) {
            (Some((MigrationState::Returned, words)), _) => (MigrationState::Aborting, words),
            (_, Some(known)) | (Some(known), None) => known,
            (None, None) => (self.record.state, self.record.description.clone()),
        }
    }

    /// What the destination says by now.
    pub(super) async fn look_again(&mut self) -> Result<()> {
        let record = self.destination.header().await?.and_then(|header| header.migration);
        self.destination.record = record.filter(|record| record.other == self.source.place());
        Ok(())
    }

    /// The destination was frozen to be given back when the source, whose header is `source`, was being removed already: the abort
    /// cannot get any further. Not so once it has given the source back, or taken the destination.
    pub(super) async fn is_late_abort(&self, source: Option<&KvMap>) -> Result<bool> {
        let goes = |values: &KvMap| values.contains_key(key::REMOVING);
        if self.state().0 != MigrationState::Aborting || source.is_some_and(|source| !goes(source)) {
            return Ok(false);
        }
        let is_returned = self.source.record.as_ref().is_some_and(|it| it.state == MigrationState::Returned);
        Ok(!is_returned && self.destination.values().await?.is_some_and(|values| !goes(&values)))
    }

    /// `Invalid`: the preparation was broken off before the source said that it is done, so the names may not be exchanged.
    pub(super) fn check_prepared(&self) -> Result<()> {
        match &self.source.record {
            Some(record) if record.state == MigrationState::Preparing => {
                Err(invalid("the migration is being prepared, or its preparation was broken off: then abort it"))
            }
            _ => Ok(()),
        }
    }

    /// `Invalid`.
    pub(super) fn check_state(&self, allowed: &[MigrationState], wanted: &str) -> Result<()> {
        check_state(self.state().0, allowed, wanted)
    }
}

/// `Invalid`.
pub(super) fn check_state(state: MigrationState, allowed: &[MigrationState], wanted: &str) -> Result<()> {
    match allowed.contains(&state) {
        true => Ok(()),
        false => {
            let state = format!("{state:?}").to_lowercase();
            Err(invalid(format!("current migration state is '{state}', and should be '{wanted}'")))
        }
    }
}
