//! Names and ids of a pool's groups, in the pool's directory, and whether a group is there.
//!
//! Owns: the directory's entries of groups. Does not own: what a group has (`group/`).
use super::Catalog;
use crate::api::error::{corrupt, invalid};
use crate::api::limits::MAX_NAME_BYTES;
use crate::objects::pools::in_pool;
use crate::{Error, ErrorKind, Result};
use lsd_core::format::header::{GroupRef, decode_text, encode_text};
use lsd_core::format::names;
use lsd_store::{KvPresence, KvUpdate, ObjectStore, PoolId, StoreErrorKind};
use std::sync::Arc;

const NAME_KEY: &str = "group.";
const ID_KEY: &str = "group_id.";
const NO_NAME: &str = "a group needs a name";

impl Catalog {
    /// The names of all groups, sorted.
    pub(crate) async fn groups(&self) -> Result<Vec<String>> {
        Ok(self.values(NAME_KEY).await?.into_keys().map(|key| key[NAME_KEY.len()..].to_owned()).collect())
    }

    /// `NotFound`.
    pub(crate) async fn group_id(&self, name: &str) -> Result<String> {
        self.group_value(&format!("{NAME_KEY}{name}"), name).await
    }

    /// `NotFound`.
    pub(crate) async fn group_name(&self, id: &str) -> Result<String> {
        self.group_value(&format!("{ID_KEY}{id}"), id).await
    }

    async fn group_value(&self, key: &str, what: &str) -> Result<String> {
        let values = self.values(key).await?;
        let value = values.get(key).ok_or_else(|| no_group(what))?;
        decode_text(value).map_err(|error| corrupt(&Self::object(), error))
    }

    /// `Exists`, `Invalid` (name).
    pub(crate) async fn add_group(&self, name: &str, id: &str) -> Result<()> {
        check_length(name, NO_NAME)?;
        let name_key = format!("{NAME_KEY}{name}");
        let update = KvUpdate::default()
            .presence(KvPresence::Any)
            .expect(name_key.clone(), "")
            .set(name_key, encode_text(id))
            .set(format!("{ID_KEY}{id}"), encode_text(name));
        match self.store.kv_update(&Self::object(), update).await {
            Err(error) if error.kind == StoreErrorKind::Stale => Err(group_exists(name)),
            added => Ok(added?),
        }
    }

    /// `NotFound`, `Exists` (also for its own name, as in librbd), `Invalid`.
    pub(crate) async fn rename_group(&self, from: &str, to: &str) -> Result<()> {
        check_length(to, NO_NAME)?;
        let id = self.group_id(from).await?;
        let (from_key, to_key) = (format!("{NAME_KEY}{from}"), format!("{NAME_KEY}{to}"));
        let update = KvUpdate::default()
            .presence(KvPresence::MustExist)
            .expect(from_key.clone(), encode_text(&id))
            .expect(to_key.clone(), "")
            .remove(from_key)
            .set(to_key, encode_text(&id))
            .set(format!("{ID_KEY}{id}"), encode_text(to));
        if from == to {
            return Err(group_exists(to));
        }
        match self.store.kv_update(&Self::object(), update).await {
            Err(error) if error.kind == StoreErrorKind::Stale => Err(group_exists(to)),
            renamed => Ok(renamed?),
        }
    }

    /// What is gone already is no error; whoever has the name by now keeps it.
    pub(crate) async fn forget_group(&self, id: &str) -> Result<()> {
        let name = match self.group_name(id).await {
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(()),
            name => name?,
        };
        let name_key = format!("{NAME_KEY}{name}");
        let update = KvUpdate::default()
            .presence(KvPresence::MustExist)
            .expect(name_key.clone(), encode_text(id))
            .remove(name_key)
            .remove(format!("{ID_KEY}{id}"));
        Ok(self.store.kv_update(&Self::object(), update).await?)
    }
}

/// Whether a member's header speaks of a group that is there. One that is not holds nothing: it is as if the header said nothing.
/// `store`: the member's.
pub(crate) async fn is_there(store: &Arc<dyn ObjectStore>, group: &GroupRef) -> Result<bool> {
    let found = async {
        let pool = in_pool(store, PoolId(group.pool)).await?;
        Ok(pool.kv_get(&names::group(&group.group).into(), "").await?)
    };
    match found.await {
        Ok(_) => Ok(true),
        Err(Error { kind: ErrorKind::NotFound, .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

pub(crate) fn no_group(what: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("no group {what:?}"))
}

fn group_exists(name: &str) -> Error {
    Error::new(ErrorKind::Exists, format!("group {name:?} exists"))
}

/// `Invalid`, with these words: empty. `NameTooLong`. Whether a command line can name it is the caller's business, as with librbd.
pub(crate) fn check_length(name: &str, empty: &str) -> Result<()> {
    match name.len() {
        0 => Err(invalid(empty)),
        1..=MAX_NAME_BYTES => Ok(()),
        len => {
            let reason = format!("a name of {len} bytes: at most {MAX_NAME_BYTES} are allowed");
            Err(Error::new(ErrorKind::NameTooLong, reason))
        }
    }
}
