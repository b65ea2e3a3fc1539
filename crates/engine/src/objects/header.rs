//! The image header as read from its keyed object.
use crate::api::error::corrupt;
use crate::objects::Objects;
use crate::{Error, ErrorKind, Features, Result, SnapRef};
use lsd_core::format::header::{
    AncestryRecord, BaseRecord, CheckpointPointer, ChildRecord, GroupRef, ImageRecord, LogRecord, MigrationRecord,
    MigrationRole, MigrationState, REQUIRES_BASE, REQUIRES_KNOWN, SnapCounters, SnapNamespace, SnapRecord, StateRecord,
    Tombs, decode_epoch, decode_requires, decode_text, key,
};
use lsd_core::format::{FormatError, FormatResult, Refusal};
use lsd_core::units::{Epoch, SnapId};
use lsd_store::{KvMap, ObjectName, ObjectStore, StoreErrorKind};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The snapshots of an image, as the header has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Snapshots {
    pub(crate) all: BTreeMap<SnapId, SnapRecord>,
    pub(crate) counters: SnapCounters,
}

impl Snapshots {
    pub(crate) fn decode(values: &KvMap) -> FormatResult<Self> {
        let counters = values.get(key::SNAP_COUNTERS).map(|value| SnapCounters::decode(value)).transpose()?;
        let records = values.iter().filter(|(name, _)| name.starts_with(key::SNAP));
        let decode = |(name, value): (&String, &bytes::Bytes)| {
            let record = SnapRecord::decode(value)?;
            match *name == key::snap(record.id) {
                true => Ok((record.id, record)),
                false => Err(FormatError::new("header snapshot", Refusal::Foreign("id"))),
            }
        };
        let all = records.map(decode).collect::<FormatResult<_>>()?;
        Ok(Self { all, counters: counters.unwrap_or_default() })
    }

    /// What of librbd's operation features follows from them.
    pub(crate) fn op_features(&self) -> u64 {
        let is_trashed = |record: &SnapRecord| matches!(record.namespace, SnapNamespace::Trash { .. });
        let of = |record: &SnapRecord| {
            let is_parent = record.children > record.strict_children;
            let parent = if is_parent { Features::OP_CLONE_PARENT } else { 0 };
            parent | if is_trashed(record) { Features::OP_SNAP_TRASH } else { 0 }
        };
        self.usable().map(of).fold(0, |all, of| all | of)
    }

    /// Those that are there for clients.
    pub(crate) fn usable(&self) -> impl Iterator<Item = &SnapRecord> {
        self.all.values().filter(|record| !record.is_removing)
    }

    /// One of them is the image's part of a group's snapshot.
    pub(crate) fn have_part_of_group(&self) -> bool {
        self.usable().any(|record| matches!(record.namespace, SnapNamespace::Group { .. }))
    }

    /// `NotEmpty`: the image cannot be removed.
    pub(crate) fn check_none(&self, image: &str) -> Result<()> {
        match self.usable().next() {
            Some(snapshot) => {
                let reason = format!("{image}: the image has snapshots, {:?} for one", snapshot.name);
                Err(Error::new(ErrorKind::NotEmpty, reason))
            }
            None => Ok(()),
        }
    }

    /// A user's snapshot by its name.
    pub(crate) fn named(&self, name: &str) -> Option<&SnapRecord> {
        self.usable().find(|record| record.namespace == SnapNamespace::User && record.name == name)
    }

    /// `NotFound`.
    pub(crate) fn find(&self, snapshot: &SnapRef) -> Result<SnapRecord> {
        let (found, name) = match snapshot {
            SnapRef::Name(name) => (self.named(name), format!("no snapshot {name:?}")),
            SnapRef::Id(id) => {
                let usable = self.all.get(&SnapId(*id)).filter(|record| !record.is_removing);
                (usable, format!("no snapshot with id {id}"))
            }
        };
        found.cloned().ok_or_else(|| Error::new(ErrorKind::NotFound, name))
    }

    /// Whether an image with these snapshots has anything of its ancestors' yet.
    pub(crate) fn need_parent(&self, ancestry: &AncestryRecord) -> bool {
        ancestry.overlap.is_some() || self.all.values().any(|record| record.overlap.is_some())
    }

    /// The roots that keep something in the store.
    pub(crate) fn roots(&self) -> impl Iterator<Item = (SnapId, CheckpointPointer)> {
        self.all.iter().map(|(id, record)| (*id, record.root))
    }
}

/// Every value of a header, decoded.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    pub(crate) image: ImageRecord,
    pub(crate) state: StateRecord,
    pub(crate) epoch: Epoch,
    pub(crate) log: LogRecord,
    pub(crate) tombs: Tombs,
    pub(crate) name: String,
    pub(crate) metadata: BTreeMap<String, String>,
    /// Those that are being removed included.
    pub(crate) snapshots: Snapshots,
    /// Of a clone.
    pub(crate) ancestry: Option<AncestryRecord>,
    /// Clones of its snapshots.
    pub(crate) children: Vec<ChildRecord>,
    /// The group that the image is in, if that is still there (`catalog/groups.rs`).
    pub(crate) group: Option<GroupRef>,
    /// Of the source and of the destination of a migration.
    pub(crate) migration: Option<MigrationRecord>,
    /// What is shown where nothing was ever written.
    pub(crate) base: Option<BaseRecord>,
    /// What the image needs no more, and is not let go of yet.
    pub(crate) left_base: Option<BaseRecord>,
    /// The image has a base, or had one, or one of its line did.
    pub(crate) had_base: bool,
    /// Clients that want to be quiet before snapshots, by their keys, as they are: nobody reads the values.
    pub(crate) quiesce: KvMap,
    /// Rule 25: the image is being removed, or its removal was broken off.
    pub(crate) removing: bool,
}

impl Header {
    /// Reads the header as it is now. `NotFound`, also while the image is being removed; `Corrupt`.
    pub(crate) async fn read(objects: &Objects) -> Result<Self> {
        let values = objects.read_header().await.map_err(|error| match error.kind {
            ErrorKind::NotFound => Error::new(ErrorKind::NotFound, format!("{}: the image was removed", objects.id)),
            _ => error,
        })?;
        Self::decode(&objects.header(), &values)?.in_use()
    }

    /// `NotFound` for an image that is being removed: nobody opens it, reads it on or becomes its owner.
    pub(crate) fn in_use(self) -> Result<Self> {
        if self.removing {
            let reason = format!("{}: the image is being removed, or its removal was broken off", self.name);
            return Err(Error::new(ErrorKind::NotFound, reason));
        }
        Ok(self)
    }

    /// Up to where the image shows what its base has.
    pub(crate) fn base_overlap(&self) -> u64 {
        self.base.as_ref().map_or(0, |base| base.overlap)
    }

    /// Rule 38. `ReadOnly`, as librbd has it: the image is the source of a migration, or the destination of one that is being aborted.
    pub(crate) fn check_writable(&self) -> Result<()> {
        let why = match self.migration.as_ref().map(|migration| (migration.role, migration.state)) {
            None | Some((_, MigrationState::Returned)) => return Ok(()),
            Some((MigrationRole::Source, _)) => "image being migrated",
            Some((MigrationRole::Destination, MigrationState::Aborting)) => "the image's migration is being aborted",
            Some((MigrationRole::Destination, _)) => return Ok(()),
        };
        Err(Error::new(ErrorKind::ReadOnly, format!("{}: {why}", self.name)))
    }

    /// `ReadOnly`: the image is the source of a migration; `Busy`: it is the destination. So it is neither removed, nor moved to the
    /// trash, nor repaired.
    pub(crate) fn check_not_migrating(&self) -> Result<()> {
        self.check_writable()?;
        check_is_over(&self.name, self.migration.as_ref())
    }

    /// `Busy`: what a clone of it would point at may be the source's of a migration, or is about to go.
    pub(crate) fn check_may_have_clones(&self) -> Result<()> {
        match self.migration.as_ref().map(|migration| (migration.role, migration.state)) {
            Some((MigrationRole::Destination, MigrationState::Executed)) => Ok(()),
            _ => self.check_not_migrating(),
        }
    }

    /// Rule 47: what another image requires whose map or log comes from this one, beside these bits.
    pub(crate) fn passes_on(&self, bits: u64) -> u64 {
        bits | if self.had_base { REQUIRES_BASE } else { 0 }
    }

    /// `Corrupt`: a value is missing or does not verify. `Unsupported`: as [`check_understood`] has it.
    pub(crate) fn decode(object: &ObjectName, values: &KvMap) -> Result<Self> {
        let get = |key: &str| match values.get(key) {
            Some(value) => Ok(value.as_ref()),
            None => Err(Error::new(ErrorKind::Corrupt, format!("{object}: no value {key:?}"))),
        };
        check_understood(object, values)?;
        let bad = |error: FormatError| corrupt(object, error);
        let metadata = values
            .iter()
            .filter_map(|(name, value)| Some((name.strip_prefix(key::META)?.to_owned(), decode_text(value))))
            .map(|(name, value)| Ok((name, value?)))
            .collect::<FormatResult<_>>()
            .map_err(bad)?;
        Ok(Self {
            image: ImageRecord::decode(get(key::IMAGE)?).map_err(bad)?,
            state: StateRecord::decode(get(key::STATE)?).map_err(bad)?,
            epoch: decode_epoch(get(key::EPOCH)?).map_err(bad)?,
            log: LogRecord::decode(get(key::LOG)?).map_err(bad)?,
            tombs: tombs(values),
            name: decode_text(get(key::NAME)?).map_err(bad)?,
            metadata,
            snapshots: Snapshots::decode(values).map_err(bad)?,
            ancestry: values.get(key::ANCESTRY).map(|value| AncestryRecord::decode(value)).transpose().map_err(bad)?,
            children: children(values).map_err(bad)?,
            group: group(values).map_err(bad)?,
            migration: migration(values).map_err(bad)?,
            base: base(values).map_err(bad)?,
            left_base: left_base(values),
            had_base: had_base(values),
            quiesce: quiesce(values),
            removing: values.contains_key(key::REMOVING),
        })
    }
}

fn children(values: &KvMap) -> FormatResult<Vec<ChildRecord>> {
    let of_children = values.iter().filter(|(name, _)| name.starts_with(key::CHILD));
    of_children.map(|(_, value)| ChildRecord::decode(value)).collect()
}

/// `Unsupported`: the image requires something that this version of lsd does not know, so that opening, repairing or removing it could
/// destroy what belongs to it. `Corrupt`: what it requires does not verify.
pub(crate) fn check_understood(object: &ObjectName, values: &KvMap) -> Result<()> {
    let unknown = requires(values).map_err(|error| corrupt(object, error))? & !REQUIRES_KNOWN;
    if unknown == 0 {
        return Ok(());
    }
    let reason =
        format!("{object}: requires what this version of lsd does not know (bits {unknown:#x}): use a newer one");
    Err(Error::new(ErrorKind::Unsupported, reason))
}

/// Everything in a header, verified or not; `None` if there is none.
pub(crate) async fn values_of(store: &Arc<dyn ObjectStore>, header: &ObjectName) -> Result<Option<KvMap>> {
    match store.kv_get(header, "").await {
        Ok(values) => Ok(Some(values)),
        Err(error) if error.kind == StoreErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What who touches the image must understand.
pub(crate) fn requires(values: &KvMap) -> FormatResult<u64> {
    values.get(key::REQUIRES).map_or(Ok(0), |value| decode_requires(value))
}

/// The image has a base, or had one, or one of its line did; what it requires was looked at before.
pub(crate) fn had_base(values: &KvMap) -> bool {
    requires(values).is_ok_and(|bits| bits & REQUIRES_BASE != 0)
}

pub(crate) fn base(values: &KvMap) -> FormatResult<Option<BaseRecord>> {
    values.get(key::BASE).map(|value| BaseRecord::decode(value)).transpose()
}

/// Nobody reads data by it: one that does not verify leaves something kept.
pub(crate) fn left_base(values: &KvMap) -> Option<BaseRecord> {
    values.get(key::LEFT_BASE).and_then(|value| BaseRecord::decode(value).ok())
}

pub(crate) fn group(values: &KvMap) -> FormatResult<Option<GroupRef>> {
    values.get(key::GROUP).map(|value| GroupRef::decode(value)).transpose()
}

pub(crate) fn migration(values: &KvMap) -> FormatResult<Option<MigrationRecord>> {
    values.get(key::MIGRATION).map(|value| MigrationRecord::decode(value)).transpose()
}

/// As [`Header::check_not_migrating`] of a header of which other values need not verify; `Busy` also of a source. `Corrupt`: this
/// value does not verify.
pub(crate) fn check_not_migrating(object: &ObjectName, values: &KvMap) -> Result<()> {
    check_is_over(&object.0, migration(values).map_err(|error| corrupt(object, error))?.as_ref())
}

fn check_is_over(image: &str, migration: Option<&MigrationRecord>) -> Result<()> {
    match migration {
        Some(migration) if migration.state != MigrationState::Returned => {
            Err(Error::new(ErrorKind::Busy, format!("{image}: image in migration state")))
        }
        _ => Ok(()),
    }
}

pub(crate) fn quiesce(values: &KvMap) -> KvMap {
    let of_clients = values.iter().filter(|(name, _)| name.starts_with(key::QUIESCE));
    of_clients.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Nobody reads data by it: one that does not verify is made anew by the next owner, and until then what it names is found by walking
/// the pool.
pub(crate) fn tombs(values: &KvMap) -> Tombs {
    let unknown = Tombs { more: true, ..Tombs::default() };
    values.get(key::TOMBS).map_or_else(Tombs::default, |value| Tombs::decode(value).unwrap_or(unknown))
}
