//! The trash of a pool and namespace: images that have no name and can be brought back.
//!
//! Owns: the entries, which are in the directory, so that an image moves from one to the other in one update. Does not own: removing
//! an image (`lifecycle/`), who says what to remove (`image/trash.rs`).
use super::{Catalog, ID_KEY, NAME_KEY, REMOVING_KEY, check_name, not_found};
use crate::api::error::corrupt;
use crate::{Error, ErrorKind, ImageId, Result};
use lsd_core::format::header::{TrashRecord, encode_text, key};
use lsd_core::format::names;
use lsd_store::{KvPresence, KvUpdate, StoreErrorKind};

const TRASH_KEY: &str = "trash.";

impl Catalog {
    /// Every image in the trash with its entry, sorted by id.
    pub(crate) async fn trash(&self) -> Result<Vec<(ImageId, TrashRecord)>> {
        let values = self.values(TRASH_KEY).await?;
        let entry = |(key, value): (&String, &bytes::Bytes)| {
            let record = TrashRecord::decode(value).map_err(|error| corrupt(&Self::object(), error))?;
            Ok((ImageId(key[TRASH_KEY.len()..].to_owned()), record))
        };
        values.iter().map(entry).collect()
    }

    /// `NotFound`.
    pub(crate) async fn trashed(&self, id: &ImageId) -> Result<TrashRecord> {
        let key = format!("{TRASH_KEY}{id}");
        let values = self.values(&key).await?;
        let value = values.get(&key).ok_or_else(|| not_found(&id.0))?;
        TrashRecord::decode(value).map_err(|error| corrupt(&Self::object(), error))
    }

    /// The image loses its name and is in the trash. `NotFound`: it has not that name any more.
    pub(crate) async fn move_to_trash(&self, id: &ImageId, record: &TrashRecord) -> Result<()> {
        self.exchange_for_entry(id, record, &record.name).await
    }

    /// The same, and another image takes its place in the same update, under the same name or another. `Exists`, `NotFound`.
    pub(crate) async fn replace_by(
        &self,
        id: &ImageId,
        record: &TrashRecord,
        (name, successor): (&str, &ImageId),
    ) -> Result<()> {
        check_name(name)?;
        let (name_key, id_key) = (format!("{NAME_KEY}{}", record.name), format!("{ID_KEY}{id}"));
        let new_key = format!("{NAME_KEY}{name}");
        let mut update = KvUpdate::default()
            .presence(KvPresence::MustExist)
            .expect(name_key.clone(), encode_text(&id.0))
            .remove(id_key)
            .set(format!("{TRASH_KEY}{id}"), record.encode());
        if new_key != name_key {
            update = update.expect(new_key.clone(), "").remove(name_key);
        }
        let update = update
            .set(new_key.clone(), encode_text(&successor.0))
            .set(format!("{ID_KEY}{successor}"), encode_text(name));
        match self.store.kv_update(&Self::object(), update).await {
            Err(error) if error.kind == StoreErrorKind::Stale => {
                match name != record.name && self.id_of(name).await.is_ok() {
                    true => Err(Error::new(ErrorKind::Exists, format!("image {name:?} exists"))),
                    false => Err(not_found(&record.name)),
                }
            }
            replaced => Ok(replaced?),
        }
    }

    /// The image has its name again, which another one has: that has none from here on. `NotFound`: one of them is not as it was; and as
    /// [`Catalog::restore`].
    pub(crate) async fn replace_back(&self, id: &ImageId, record: &TrashRecord, other: &ImageId) -> Result<()> {
        let (name_key, trash_key) = (format!("{NAME_KEY}{}", record.name), format!("{TRASH_KEY}{id}"));
        let update = KvUpdate::default()
            .presence(KvPresence::MustExist)
            .expect(name_key.clone(), encode_text(&other.0))
            .expect(trash_key.clone(), record.encode())
            .remove(trash_key)
            .remove(format!("{ID_KEY}{other}"))
            .set(name_key, encode_text(&id.0))
            .set(format!("{ID_KEY}{id}"), encode_text(&record.name));
        match self.store.kv_update(&Self::object(), update).await {
            Err(error) if error.kind == StoreErrorKind::Stale => return Err(not_found(&id.0)),
            replaced => replaced?,
        }
        self.confirm_restored(id, record, &record.name).await
    }

    /// The image has a name again. `Exists`: another image has it. `NotFound`: it is not in the trash any more, or has no header; `Busy`:
    /// somebody removes it, or began to.
    pub(crate) async fn restore(&self, id: &ImageId, record: &TrashRecord, name: &str) -> Result<()> {
        check_name(name)?;
        let (name_key, trash_key) = (format!("{NAME_KEY}{name}"), format!("{TRASH_KEY}{id}"));
        if self.values(&name_key).await?.contains_key(&name_key) {
            return Err(Error::new(ErrorKind::Exists, format!("image {name:?} exists")));
        }
        let update = KvUpdate::default()
            .presence(KvPresence::MustExist)
            .expect(name_key.clone(), "")
            .expect(trash_key.clone(), record.encode())
            .remove(trash_key)
            .set(name_key, encode_text(&id.0))
            .set(format!("{ID_KEY}{id}"), encode_text(name));
        match self.store.kv_update(&Self::object(), update).await {
            Err(error) if error.kind == StoreErrorKind::Stale => return Err(not_found(&id.0)),
            restored => restored?,
        }
        self.confirm_restored(id, record, name).await
    }

    async fn exchange_for_entry(&self, id: &ImageId, record: &TrashRecord, name: &str) -> Result<()> {
        let name_key = format!("{NAME_KEY}{name}");
        let update = KvUpdate::default()
            .presence(KvPresence::MustExist)
            .expect(name_key.clone(), encode_text(&id.0))
            .remove(name_key)
            .remove(format!("{ID_KEY}{id}"))
            // Of a removal that met the name while the image was on its way back.
            .remove(format!("{REMOVING_KEY}{id}"))
            .set(format!("{TRASH_KEY}{id}"), record.encode());
        match self.store.kv_update(&Self::object(), update).await {
            Err(error) if matches!(error.kind, StoreErrorKind::Stale | StoreErrorKind::NotFound) => {
                Err(not_found(name))
            }
            moved => Ok(moved?),
        }
    }

    /// Rule 48: only with this has the image come back, and its header says its name, too, and that it came back: a removal that has read the
    /// header before takes it no more. Where this fails it is in the trash again, as far as it is there.
    async fn confirm_restored(&self, id: &ImageId, record: &TrashRecord, name: &str) -> Result<()> {
        let update = KvUpdate::default()
            .presence(KvPresence::MustExist)
            .expect(key::REMOVING, "")
            .set(key::NAME, encode_text(name))
            .set(key::RESTORED, encode_text(&record.deleted_ns.to_string()));
        let error = match self.store.kv_update(&names::header(&id.0).into(), update).await {
            Err(error) if error.kind == StoreErrorKind::Stale => {
                Error::new(ErrorKind::Busy, format!("{}: it is being removed, or that was broken off", record.name))
            }
            Err(error) if error.kind == StoreErrorKind::NotFound => not_found(&id.0),
            confirmed => return Ok(confirmed?),
        };
        match self.exchange_for_entry(id, record, name).await {
            // The removal has met the name, and taken that, too.
            Err(gone) if gone.kind == ErrorKind::NotFound => Err(error),
            put_back => put_back.and(Err(error)),
        }
    }

    /// The image is removed: its entry goes. `NotFound`.
    pub(crate) async fn forget_trashed(&self, id: &ImageId, record: &TrashRecord) -> Result<()> {
        let key = format!("{TRASH_KEY}{id}");
        let update =
            KvUpdate::default().presence(KvPresence::MustExist).expect(key.clone(), record.encode()).remove(key);
        match self.store.kv_update(&Self::object(), update).await {
            Err(error) if error.kind == StoreErrorKind::Stale => Err(not_found(&id.0)),
            gone => Ok(gone?),
        }
    }
}
