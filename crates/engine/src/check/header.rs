//! The values of a header one by one: as much of it as verifies.
use super::finding::{CheckReport, Fault};
use crate::objects::header::{Header, Snapshots, had_base, left_base};
use crate::{Catalog, ErrorKind, ImageId, Result};
use lsd_core::format::FormatResult;
use lsd_core::format::header::{
    AncestryRecord, BaseRecord, ChildRecord, GroupRef, ImageRecord, LogRecord, MigrationRecord, SnapCounters,
    SnapRecord, StateRecord, Tombs, decode_epoch, decode_text, key,
};
use lsd_core::format::names;
use lsd_core::units::{MAX_IMAGE_BYTES, SegmentNo};
use lsd_store::{KvMap, ObjectStore};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Checks every value. `None` when those are damaged without which nothing else can be found; what else is damaged is
/// replaced by something that hides nothing.
pub(super) fn verify(id: &ImageId, values: &KvMap, report: &mut CheckReport) -> Option<Header> {
    let mut values = Values { object: names::header(&id.0), values, report };
    let image = values.decode(key::IMAGE, ImageRecord::decode);
    let state = values.decode(key::STATE, StateRecord::decode);
    let epoch = values.decode(key::EPOCH, decode_epoch);
    let log = values.decode(key::LOG, LogRecord::decode);
    let name = values.decode(key::NAME, decode_text);
    if values.values.contains_key(key::TOMBS) {
        values.decode(key::TOMBS, Tombs::decode);
    }
    let tombs = crate::objects::header::tombs(values.values);
    let mut metadata = BTreeMap::new();
    for meta in values.values.keys().filter(|name| name.starts_with(key::META)) {
        if let Some(text) = values.decode(meta, decode_text) {
            metadata.insert(meta[key::META.len()..].to_owned(), text);
        }
    }
    let snapshots = values.snapshots();
    let has_parent = values.values.contains_key(key::ANCESTRY);
    let ancestry = if has_parent { values.decode(key::ANCESTRY, AncestryRecord::decode) } else { None };
    // Without it nothing says whose numbers are whose.
    if has_parent && ancestry.is_none() {
        return None;
    }
    let is_migrating = values.values.contains_key(key::MIGRATION);
    let migration = if is_migrating { values.decode(key::MIGRATION, MigrationRecord::decode) } else { None };
    if is_migrating && migration.is_none() {
        return None;
    }
    let has_base = values.values.contains_key(key::BASE);
    let base = if has_base { values.decode(key::BASE, BaseRecord::decode) } else { None };
    // Without it nothing says what is shown where nothing was written.
    if has_base && base.is_none() {
        return None;
    }
    if values.values.contains_key(key::LEFT_BASE) {
        values.decode(key::LEFT_BASE, BaseRecord::decode);
    }
    let mut children = Vec::new();
    for child in values.values.keys().filter(|name| name.starts_with(key::CHILD)) {
        children.extend(values.decode(child, ChildRecord::decode));
    }
    let group = values.values.contains_key(key::GROUP).then(|| values.decode(key::GROUP, GroupRef::decode)).flatten();
    let (image, log) = (image?, log?);
    let state = state.unwrap_or(StateRecord {
        size: MAX_IMAGE_BYTES,
        features: 0,
        op_features: 0,
        flags: 0,
        access_ns: 0,
        modify_ns: 0,
    });
    let epoch = epoch.unwrap_or(log.epochs.last().map(|start| start.epoch).unwrap_or_default());
    let name = name.unwrap_or_default();
    let header = Header {
        image,
        state,
        epoch,
        log,
        tombs,
        name,
        metadata,
        snapshots,
        ancestry,
        children,
        group,
        migration,
        base,
        left_base: left_base(values.values),
        had_base: had_base(values.values),
        quiesce: crate::objects::header::quiesce(values.values),
        removing: false,
    };
    if let Some(why) = contradiction(id, &header) {
        values.report.add(names::header(&id.0), Fault::HeaderContradicts { why });
    }
    Some(header)
}

struct Values<'a> {
    object: String,
    values: &'a KvMap,
    report: &'a mut CheckReport,
}

impl Values<'_> {
    fn decode<T>(&mut self, key: &str, decode: impl Fn(&[u8]) -> FormatResult<T>) -> Option<T> {
        let why = match self.values.get(key).map(|value| decode(value)) {
            Some(Ok(value)) => return Some(value),
            Some(Err(error)) => error.to_string(),
            None => "missing".to_owned(),
        };
        self.report.add(&self.object, Fault::HeaderValue { key: key.to_owned(), why });
        None
    }
}

impl Values<'_> {
    /// Those that verify.
    fn snapshots(&mut self) -> Snapshots {
        let mut snapshots = Snapshots::default();
        if self.values.contains_key(key::SNAP_COUNTERS) {
            snapshots.counters = self.decode(key::SNAP_COUNTERS, SnapCounters::decode).unwrap_or_default();
        }
        for name in self.values.keys().filter(|name| name.starts_with(key::SNAP)) {
            match self.decode(name, SnapRecord::decode) {
                Some(record) if key::snap(record.id) == *name => drop(snapshots.all.insert(record.id, record)),
                Some(_) => {
                    let why = "it is the value of another snapshot".to_owned();
                    self.report.add(&self.object, Fault::HeaderValue { key: name.clone(), why });
                }
                None => {}
            }
        }
        snapshots
    }
}

fn contradiction(id: &ImageId, header: &Header) -> Option<&'static str> {
    let log = &header.log;
    if header.image.id != id.0 {
        return Some("it is the header of another image");
    }
    if log.replay_from == SegmentNo(0) {
        return Some("the log starts nowhere");
    }
    if log.epochs.last().is_some_and(|start| start.epoch > header.epoch) {
        return Some("the log has an epoch that nobody took");
    }
    if log.checkpoint.is_some_and(|checkpoint| u64::from(checkpoint.id.epoch) > header.epoch.0) {
        return Some("the checkpoint has an epoch that nobody took");
    }
    None
}

/// Whether the directory leads from the image's name to its id and back.
pub(super) async fn verify_listing(
    store: &Arc<dyn ObjectStore>,
    id: &ImageId,
    header: &Header,
    report: &mut CheckReport,
) -> Result<()> {
    let catalog = Catalog::new(store.clone());
    let listed = match catalog.name_of(id).await {
        Ok(name) => catalog.id_of(&name).await.map(|found| found == *id),
        Err(error) => Err(error),
    };
    match listed {
        Ok(true) => {}
        // In the trash an image has no name.
        Err(error) if error.kind == ErrorKind::NotFound && catalog.trashed(id).await.is_ok() => {}
        Err(error) if !matches!(error.kind, ErrorKind::NotFound | ErrorKind::Corrupt) => return Err(error),
        _ => drop(report.add(names::DIRECTORY, Fault::Unlisted { name: header.name.clone() })),
    }
    Ok(())
}
