//! Keyed objects in files: the whole map is written anew for every change.
use super::fault::{Fault, Outcome};
use super::files::{self, LockKind};
use super::format::{self, Kind, PRELUDE_LEN, Prelude};
use super::rescue;
use super::room::Urgency;
use super::root::Root;
use crate::{KvMap, StoreErrorKind};
use std::fs::File;
use std::path::Path;

/// How often another process may create or remove the object between two steps of an update before it fails.
const RETRIES_MAX: usize = 1000;

/// All keys, as they are durable. Waits for nobody: a state is never changed in its place.
pub(super) fn get(root: &Root, path: &Path) -> Outcome<KvMap> {
    for _ in 0..RETRIES_MAX {
        let file = files::open(path)?;
        let held = files::take(&file, LockKind::Shared)?;
        if held.is_some() && !files::is_linked(&file)? {
            continue;
        }
        let map = load(&file);
        if map.is_err() && !files::is_linked(&file)? {
            continue;
        }
        let map = map?;
        if held.is_none() {
            // Whoever is changing it may have given it its name and not made that durable yet.
            root.directory(path).sync()?;
        }
        return Ok(map);
    }
    Err(Fault::new(StoreErrorKind::TimedOut, "other processes keep replacing it"))
}

/// One atomic change: `change` makes the next state from the present one (`None`: the object does not exist).
pub(super) fn modify(
    root: &Root,
    path: &Path,
    urgency: Urgency,
    mut change: impl FnMut(Option<&KvMap>) -> Outcome<KvMap>,
) -> Outcome<()> {
    for _ in 0..RETRIES_MAX {
        let changed = rescue::with_locked(root, path, LockKind::Exclusive, |file| {
            let present = load(file)?;
            let next = change(Some(&present))?;
            if next == present {
                // The state before it may be a killed process's, not flushed yet.
                return root.directory(path).sync();
            }
            save(&next, |pieces| root.replace(path, pieces, urgency))
        });
        if let Some(()) = changed? {
            return Ok(());
        }
        let first = change(None)?;
        match save(&first, |pieces| root.create(path, pieces, urgency)) {
            Err(fault) if fault.kind == StoreErrorKind::Exists => {}
            other => return other,
        }
    }
    Err(Fault::new(StoreErrorKind::TimedOut, "other processes keep creating and removing it"))
}

fn load(file: &File) -> Outcome<KvMap> {
    let prelude = Prelude::decode(&files::read_up_to(file, 0, PRELUDE_LEN)?)?;
    if prelude.kind != Kind::Keyed {
        return Err(Fault::new(StoreErrorKind::Invalid, "it is not a keyed object"));
    }
    let held = file.metadata()?.len().saturating_sub(prelude.data_offset);
    // One byte more than it should hold is enough to see that there are too many.
    let len = held.min(prelude.data_len.saturating_add(1));
    let len = usize::try_from(len).map_err(|_| StoreErrorKind::Invalid)?;
    format::decode_keys(&prelude, files::read_up_to(file, prelude.data_offset, len)?.into())
}

fn save(map: &KvMap, write: impl FnOnce(&[&[u8]]) -> Outcome<()>) -> Outcome<()> {
    let payload = format::encode_keys(map);
    let prelude = Prelude {
        kind: Kind::Keyed,
        data_offset: format::offset_of(Kind::Keyed),
        data_len: payload.len() as u64,
        data_crc: format::crc32c(&payload),
    };
    write(&[&prelude.encode(), &payload])
}
