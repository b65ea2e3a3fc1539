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
    MigrationRecord, MigrationRole, MigrationState, REQUIRES_MIGRATION, TrashSource, decode_requires, encode_requires,
    key,
};
use lsd_core::format::names;
use lsd_core::format::notice::Notice;
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
        match self.store.kv_get(&self.object(), "").await {
            Ok(values) => Ok(Some(values).filter(|values| values.contains_key(key::IMAGE))),
            Err(error) if error.kind == StoreErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn header(&self) -> Result<Option<Header>> {
        self.values().await?.map(|values| Header::decode(&self.object(), &values)).transpose()
    }

    /// What the other one says is there to be read.
    async fn at(store: &Arc<dyn ObjectStore>, one: &MigrationRecord) -> Result<Self> {
        let store = store_of(store, one.other.pool, &one.other.namespace).await?;
        let mut half = Self { store, id: ImageId(one.other.id.clone()), name: one.name.clone(), record: None };
        if let Some(values) = half.values().await? {
            header::check_understood(&half.object(), &values)?;
            let bad = |error| crate::api::error::corrupt(&half.object(), error);
            half.record = header::migration(&values).map_err(bad)?;
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
        self.change(next).await?;
        if self.record.as_ref().is_none_or(|record| record.state != to) {
            return Err(Error::new(ErrorKind::Busy, format!("{}: somebody else changes its migration", self.name)));
        }
        watch::notify_of(&self.store, &self.object(), &Notice::HeaderChanged).await;
        Ok(())
    }

    /// Tells how far it is, as long as it is in this state.
    pub(super) async fn describe(&mut self, state: MigrationState, description: &str) -> Result<()> {
        self.change(|record| {
            let described = MigrationRecord { description: description.to_owned(), ..record.clone() };
            (record.state == state).then_some(described)
        })
        .await
    }

    /// Nobody's epoch is asked: an owner leaves this value alone, but for one change that expects it as it was.
    async fn change(&mut self, change: impl Fn(&MigrationRecord) -> Option<MigrationRecord>) -> Result<()> {
        for _ in 0..HEADER_TRIES {
            let header = self.header().await?;
            let Some(before) = header.and_then(|header| header.migration) else {
                return Err(invalid(format!("{}: image is not migrating", self.name)));
            };
            let Some(after) = change(&before) else {
                self.record = Some(before);
                return Ok(());
            };
            let update = KvUpdate::default()
                .presence(KvPresence::MustExist)
                .expect(key::MIGRATION, before.encode())
                .set(key::MIGRATION, after.encode());
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

    /// The image is in no migration any more.
    pub(super) async fn forget(&self) -> Result<()> {
        for _ in 0..HEADER_TRIES {
            let Some(values) = self.values().await? else { return Ok(()) };
            let Some(record) = values.get(key::MIGRATION) else { return Ok(()) };
            let mut update = KvUpdate::default()
                .presence(KvPresence::MustExist)
                .expect(key::MIGRATION, record.clone())
                .remove(key::MIGRATION);
            if let Some(value) = values.get(key::REQUIRES) {
                let bits = decode_requires(value).unwrap_or(REQUIRES_MIGRATION) & !REQUIRES_MIGRATION;
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

#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub(super) source: Half,
    pub(super) destination: Half,
    /// What the header says that led here.
    pub(super) record: MigrationRecord,
}

impl Pair {
    /// By the name of either, also of a source that is in the trash. `NotFound`; `Invalid`: it is in no migration.
    pub(super) async fn find(store: &Arc<dyn ObjectStore>, name: &str) -> Result<Self> {
        let catalog = Catalog::new(store.clone());
        let id = match catalog.id_of(name).await {
            Err(error) if error.kind == ErrorKind::NotFound => {
                let entries = catalog.trash().await?;
                let is_it = |entry: &&(ImageId, _)| {
                    let (_, record): &(ImageId, lsd_core::format::header::TrashRecord) = entry;
                    record.source == TrashSource::Migration && record.name == name
                };
                entries.iter().find(is_it).map(|(id, _)| id.clone()).ok_or(error)?
            }
            id => id?,
        };
        Self::of(store, &id).await
    }

    pub(super) async fn of(store: &Arc<dyn ObjectStore>, id: &ImageId) -> Result<Self> {
        let mut half = Half { store: store.clone(), id: id.clone(), name: id.0.clone(), record: None };
        let header = half.header().await?;
        let gone = || Error::new(ErrorKind::NotFound, format!("no image {:?}", id.0));
        let header = header.ok_or_else(gone)?;
        half.name.clone_from(&header.name);
        let record = header.migration.ok_or_else(|| invalid(format!("{}: image is not migrating", header.name)))?;
        half.record = Some(record.clone());
        let other = Half::at(store, &record).await?;
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

    /// `Invalid`: the preparation was broken off before the source said that it is done, so the names may not be exchanged.
    pub(super) fn check_prepared(&self) -> Result<()> {
        match &self.source.record {
            Some(record) if record.state == MigrationState::Preparing => {
                Err(invalid("the migration's preparation was broken off: abort it"))
            }
            _ => Ok(()),
        }
    }

    /// `Invalid`.
    pub(super) fn check_state(&self, allowed: &[MigrationState], wanted: &str) -> Result<()> {
        let (state, _) = self.state();
        match allowed.contains(&state) {
            true => Ok(()),
            false => {
                let state = format!("{state:?}").to_lowercase();
                Err(invalid(format!("current migration state is '{state}', and should be '{wanted}'")))
            }
        }
    }
}
