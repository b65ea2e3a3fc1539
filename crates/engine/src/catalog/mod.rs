//! Names and ids of a pool's images: the keyed object `lsd_directory`.
pub(crate) mod groups;
pub(crate) mod namespaces;
mod trash;

use crate::api::error::{corrupt, invalid};
use crate::api::limits::{MAX_NAME_BYTES, NOTIFY_TIMEOUT, PARALLEL_OPS};
use crate::compiled_here;
use crate::{Error, ErrorKind, ImageId, Result};
use futures::future::BoxFuture;
use lsd_core::format::header::{decode_text, encode_text, key};
use lsd_core::format::names;
use lsd_core::format::notice::{self, Notice};
use lsd_store::{KvMap, KvPresence, KvUpdate, ObjectName, ObjectStore, StoreErrorKind};
use std::sync::Arc;

const NAME_KEY: &str = "name.";
const ID_KEY: &str = "id.";
/// Present while an image whose name is still listed has no header any more, because it is being removed.
const REMOVING_KEY: &str = "removing.";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogEntry {
    pub name: String,
    pub id: ImageId,
}

/// The directory of one pool and namespace.
#[derive(Clone, Debug)]
pub struct Catalog {
    store: Arc<dyn ObjectStore>,
}

impl Catalog {
    pub fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { store }
    }

    fn object() -> ObjectName {
        names::DIRECTORY.into()
    }

    async fn values(&self, prefix: &str) -> Result<KvMap> {
        match self.store.kv_get(&Self::object(), prefix).await {
            Ok(values) => Ok(values),
            // A pool without a directory has no images yet.
            Err(error) if error.kind == StoreErrorKind::NotFound => Ok(KvMap::new()),
            Err(error) => Err(error.into()),
        }
    }

    async fn value(&self, key: &str) -> Result<String> {
        let values = self.values(key).await?;
        let value = values.get(key).ok_or_else(|| not_found(key))?;
        decode_text(value).map_err(|error| corrupt(&Self::object(), error))
    }

    /// Every image, sorted by name.
    #[compiled_here]
    pub async fn list(&self) -> Result<Vec<CatalogEntry>> {
        let entry = |(key, value): (String, _)| {
            let id = decode_text(value).map_err(|error| corrupt(&Self::object(), error))?;
            Ok(CatalogEntry { name: key[NAME_KEY.len()..].to_owned(), id: ImageId(id) })
        };
        let values = self.values(NAME_KEY).await?;
        values.iter().map(|(key, value)| entry((key.clone(), value))).collect()
    }

    /// `NotFound`.
    #[compiled_here]
    pub async fn id_of(&self, name: &str) -> Result<ImageId> {
        Ok(ImageId(self.value(&format!("{NAME_KEY}{name}")).await?))
    }

    /// `NotFound`.
    #[compiled_here]
    pub async fn name_of(&self, id: &ImageId) -> Result<String> {
        self.value(&format!("{ID_KEY}{id}")).await
    }

    /// Adds an image; both its name and its id must be new (`Exists`).
    pub(crate) async fn add(&self, name: &str, id: &ImageId) -> Result<()> {
        check_name(name)?;
        let (name_key, id_key) = (format!("{NAME_KEY}{name}"), format!("{ID_KEY}{id}"));
        let update = KvUpdate::default()
            .presence(KvPresence::Any)
            .expect(name_key.clone(), "")
            .expect(id_key.clone(), "")
            .set(name_key, encode_text(&id.0))
            .set(id_key, encode_text(name));
        match self.store.kv_update(&Self::object(), update).await {
            Ok(()) => Ok(()),
            Err(error) if error.kind == StoreErrorKind::Stale => {
                Err(Error::new(ErrorKind::Exists, format!("image {name:?} exists")))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The image's header goes next: from here on only this entry says that it was not lost.
    pub(crate) async fn mark_removing(&self, name: &str, id: &ImageId) -> Result<()> {
        let update = KvUpdate::default()
            .presence(KvPresence::MustExist)
            .expect(format!("{NAME_KEY}{name}"), encode_text(&id.0))
            .set(format!("{REMOVING_KEY}{id}"), encode_text(name));
        Ok(self.store.kv_update(&Self::object(), update).await?)
    }

    pub(crate) async fn is_removing(&self, id: &ImageId) -> Result<bool> {
        let key = format!("{REMOVING_KEY}{id}");
        Ok(self.values(&key).await?.contains_key(&key))
    }

    /// `NotFound` if the name does not belong to this id any more.
    pub(crate) async fn remove(&self, name: &str, id: &ImageId) -> Result<()> {
        let (name_key, id_key) = (format!("{NAME_KEY}{name}"), format!("{ID_KEY}{id}"));
        let update = KvUpdate::default()
            .presence(KvPresence::MustExist)
            .expect(name_key.clone(), encode_text(&id.0))
            .remove(name_key)
            .remove(id_key)
            .remove(format!("{REMOVING_KEY}{id}"));
        match self.store.kv_update(&Self::object(), update).await {
            Ok(()) => Ok(()),
            Err(error) if matches!(error.kind, StoreErrorKind::Stale | StoreErrorKind::NotFound) => {
                Err(not_found(name))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Gives an image another name. An open image keeps working: openers know it by its id. `NotFound`, `Exists`.
    #[compiled_here]
    pub async fn rename(&self, from: &str, to: &str) -> Result<()> {
        check_name(to)?;
        let id = self.id_of(from).await?;
        let (from_key, to_key) = (format!("{NAME_KEY}{from}"), format!("{NAME_KEY}{to}"));
        let update = KvUpdate::default()
            .presence(KvPresence::MustExist)
            .expect(from_key.clone(), encode_text(&id.0))
            .expect(to_key.clone(), "")
            .remove(from_key)
            .set(to_key, encode_text(&id.0))
            .set(format!("{ID_KEY}{id}"), encode_text(to));
        match self.store.kv_update(&Self::object(), update).await {
            Ok(()) => {}
            Err(error) if error.kind == StoreErrorKind::Stale => {
                return Err(Error::new(ErrorKind::Exists, format!("image {to:?} exists")));
            }
            Err(error) => return Err(error.into()),
        }
        let header = self.write_name(&id, to).await?;
        let news = notice::encode(&Notice::HeaderChanged).into();
        // An opener that does not hear of it shows the old name until it reads the header again.
        let _ = self.store.notify(&header, news, NOTIFY_TIMEOUT).await;
        Ok(())
    }

    /// Lets those who have images open look at what the pool says of options. Who does not hear of it looks when the image's header
    /// changes.
    #[compiled_here]
    pub async fn tell_of_options(&self) -> Result<()> {
        let images = self.list().await?.into_iter().map(|entry| entry.id);
        let all: Vec<ImageId> = images.chain(self.trash().await?.into_iter().map(|(id, _)| id)).collect();
        for some in all.chunks(PARALLEL_OPS) {
            let tellings: Vec<BoxFuture<'_, ()>> =
                some.iter().map(|id| -> BoxFuture<'_, ()> { Box::pin(self.tell(id)) }).collect();
            futures::future::join_all(tellings).await;
        }
        Ok(())
    }

    async fn tell(&self, id: &ImageId) {
        let header: ObjectName = names::header(&id.0).into();
        let _ = self.store.notify(&header, notice::encode(&Notice::HeaderChanged).into(), NOTIFY_TIMEOUT).await;
    }

    /// The directory is the truth; the header's copy of the name is for those who look at the header alone. Returns the header.
    pub(crate) async fn write_name(&self, id: &ImageId, name: &str) -> Result<ObjectName> {
        let header: ObjectName = names::header(&id.0).into();
        let update = KvUpdate::default().presence(KvPresence::MustExist).set(key::NAME, encode_text(name));
        self.store.kv_update(&header, update).await?;
        Ok(header)
    }
}

fn not_found(what: &str) -> Error {
    let what = what.trim_start_matches(NAME_KEY).trim_start_matches(ID_KEY);
    Error::new(ErrorKind::NotFound, format!("no image {what:?}"))
}

/// `Invalid`: empty, or with a character that image specs use. `NameTooLong`.
fn check_name(name: &str) -> Result<()> {
    if name.len() > MAX_NAME_BYTES {
        let reason = format!("a name of {} bytes: at most {MAX_NAME_BYTES} are allowed", name.len());
        return Err(Error::new(ErrorKind::NameTooLong, reason));
    }
    if name.is_empty() || name.contains(['/', '@', '\0']) {
        return Err(invalid(format!("{name:?} cannot be the name of an image")));
    }
    Ok(())
}
