//! The object of a group: which images are in it, and its snapshots.
//!
//! Owns: its keys, and what each update of it expects. Does not own: the images' side, in which order both change (`members.rs`,
//! `snapshots.rs`).
use crate::api::error::corrupt;
use crate::catalog::groups::{check_length, no_group};
use crate::{Error, ErrorKind, Result};
use lsd_core::format::header::{GroupSnapRecord, GroupSnapState, MemberId, MemberRecord, encode_text};
use lsd_core::format::{FormatResult, names};
use lsd_store::{KvMap, KvPresence, KvUpdate, ObjectName, ObjectStore, StoreErrorKind};
use std::sync::Arc;

/// The group's own id: what the object is.
const ID: &str = "id";
/// Present while the group is being removed: nothing is added to it any more.
const REMOVING: &str = "removing";
const MEMBER: &str = "member.";
const SNAP: &str = "snap.";
/// The name of a snapshot, with its id.
const SNAP_NAME: &str = "snap_name.";
const NO_NAME: &str = "a snapshot of a group needs a name";

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct GroupObject {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) id: String,
}

/// Everything that a group has.
#[derive(Clone, Debug, Default)]
pub(super) struct Contents {
    /// By pool and id.
    pub(super) members: Vec<MemberRecord>,
    /// In the order in which they were taken.
    pub(super) snapshots: Vec<GroupSnapRecord>,
}

impl Contents {
    pub(super) fn snapshot(&self, name: &str) -> Result<&GroupSnapRecord> {
        self.snapshots.iter().find(|snapshot| snapshot.name == name).ok_or_else(|| no_snapshot(name))
    }
}

/// Decoded values whose keys begin so.
fn values<T>(values: &KvMap, prefix: &str, decode: impl Fn(&[u8]) -> FormatResult<T>) -> FormatResult<Vec<T>> {
    values.iter().filter(|(key, _)| key.starts_with(prefix)).map(|(_, value)| decode(value)).collect()
}

fn member_key(id: &MemberId) -> String {
    format!("{MEMBER}{:016x}.{}", id.pool.cast_unsigned(), id.image)
}

impl GroupObject {
    fn object(&self) -> ObjectName {
        names::group(&self.id).into()
    }

    /// A new group, without a name.
    pub(super) async fn create(&self) -> Result<()> {
        let update = KvUpdate::default().presence(KvPresence::MustCreate).set(ID, encode_text(&self.id));
        Ok(self.store.kv_update(&self.object(), update).await?)
    }

    /// `NotFound`.
    pub(super) async fn read(&self) -> Result<Contents> {
        let object = self.object();
        let stored = self.store.kv_get(&object, "").await?;
        let decode = || -> FormatResult<Contents> {
            let mut members = values(&stored, MEMBER, MemberRecord::decode)?;
            let mut snapshots = values(&stored, SNAP, GroupSnapRecord::decode)?;
            members.sort_by(|one, other| one.id.cmp(&other.id));
            snapshots.sort_by(|one, other| (one.time_ns, &one.id).cmp(&(other.time_ns, &other.id)));
            Ok(Contents { members, snapshots })
        };
        decode().map_err(|error| corrupt(&object, error))
    }

    /// An update of a group that stays. `NotFound`: it does not. `otherwise`: something else was not as expected.
    async fn add(&self, update: KvUpdate, otherwise: impl FnOnce() -> Error) -> Result<()> {
        let update = update.presence(KvPresence::MustExist).expect(REMOVING, "");
        match self.store.kv_update(&self.object(), update).await {
            Err(error) if error.kind == StoreErrorKind::Stale => {
                let stored = self.store.kv_get(&self.object(), REMOVING).await?;
                if stored.contains_key(REMOVING) { Err(no_group(&self.id)) } else { Err(otherwise()) }
            }
            added => Ok(added?),
        }
    }

    /// Whatever the group has of it already.
    pub(super) async fn put_member(&self, member: &MemberRecord) -> Result<()> {
        let update = KvUpdate::default().set(member_key(&member.id), member.encode());
        self.add(update, || no_group(&self.id)).await
    }

    /// False if the group has not exactly `from` of it any more.
    pub(super) async fn change_member(&self, from: &MemberRecord, to: &MemberRecord) -> Result<bool> {
        let key = member_key(&from.id);
        let update = KvUpdate::default()
            .presence(KvPresence::MustExist)
            .expect(key.clone(), from.encode())
            .set(key, to.encode());
        match self.store.kv_update(&self.object(), update).await {
            Err(error) if error.kind == StoreErrorKind::Stale => Ok(false),
            Err(error) => Err(error.into()),
            Ok(()) => Ok(true),
        }
    }

    /// One that is not there is no error.
    pub(super) async fn drop_member(&self, id: &MemberId) -> Result<()> {
        let update = KvUpdate::default().presence(KvPresence::MustExist).remove(member_key(id));
        Ok(self.store.kv_update(&self.object(), update).await?)
    }

    /// `Exists`, `Invalid` (name).
    pub(super) async fn add_snapshot(&self, record: &GroupSnapRecord) -> Result<()> {
        check_length(&record.name, NO_NAME)?;
        let name_key = format!("{SNAP_NAME}{}", record.name);
        let update = KvUpdate::default()
            .expect(name_key.clone(), "")
            .set(name_key, encode_text(&record.id))
            .set(format!("{SNAP}{}", record.id), record.encode());
        self.add(update, || snapshot_exists(&record.name)).await
    }

    /// `NotFound`: it is not as in `from` any more.
    pub(super) async fn change_snapshot(&self, from: &GroupSnapRecord, to: &GroupSnapRecord) -> Result<()> {
        let key = format!("{SNAP}{}", from.id);
        let mut update = KvUpdate::default()
            .presence(KvPresence::MustExist)
            .expect(key.clone(), from.encode())
            .set(key, to.encode());
        if from.name != to.name {
            let name_key = format!("{SNAP_NAME}{}", to.name);
            update = update
                .expect(name_key.clone(), "")
                .set(name_key, encode_text(&to.id))
                .remove(format!("{SNAP_NAME}{}", from.name));
        }
        match self.store.kv_update(&self.object(), update).await {
            Err(error) if error.kind == StoreErrorKind::Stale => Err(no_snapshot(&from.name)),
            changed => Ok(changed?),
        }
    }

    /// `Exists`, `NotFound`, `Invalid`; `Busy`: it is being taken or removed.
    pub(super) async fn rename_snapshot(&self, from: &GroupSnapRecord, name: &str) -> Result<()> {
        check_length(name, NO_NAME)?;
        if self.read().await?.snapshot(name).is_ok() {
            return Err(snapshot_exists(name));
        }
        if from.state != GroupSnapState::Complete {
            let reason = format!("the snapshot {:?} is not complete", from.name);
            return Err(Error::new(ErrorKind::Busy, reason));
        }
        self.change_snapshot(from, &GroupSnapRecord { name: name.to_owned(), ..from.clone() }).await
    }

    /// `NotFound`: it is not as in `record` any more.
    pub(super) async fn drop_snapshot(&self, record: &GroupSnapRecord) -> Result<()> {
        let key = format!("{SNAP}{}", record.id);
        let update = KvUpdate::default()
            .presence(KvPresence::MustExist)
            .expect(key.clone(), record.encode())
            .remove(key)
            .remove(format!("{SNAP_NAME}{}", record.name));
        match self.store.kv_update(&self.object(), update).await {
            Err(error) if error.kind == StoreErrorKind::Stale => Err(no_snapshot(&record.name)),
            dropped => Ok(dropped?),
        }
    }

    /// From here on nothing is added to the group.
    pub(super) async fn begin_removal(&self) -> Result<()> {
        let update = KvUpdate::default().presence(KvPresence::MustExist).set(REMOVING, encode_text(&self.id));
        Ok(self.store.kv_update(&self.object(), update).await?)
    }

    /// What is gone already is no error.
    pub(super) async fn delete(&self) -> Result<()> {
        match self.store.remove(&self.object()).await {
            Err(error) if error.kind == StoreErrorKind::NotFound => Ok(()),
            deleted => Ok(deleted?),
        }
    }
}

pub(super) fn no_snapshot(name: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("the group has no snapshot {name:?}"))
}

fn snapshot_exists(name: &str) -> Error {
    Error::new(ErrorKind::Exists, format!("the group has a snapshot {name:?}"))
}
