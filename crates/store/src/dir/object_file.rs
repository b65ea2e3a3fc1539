//! Objects that hold data: opening their files, keeping them open, reading.
use super::fault::{Fault, Outcome};
use super::files;
use super::format::{Kind, PRELUDE_LEN, Prelude};
use super::root::Root;
use crate::StoreErrorKind;
use bytes::Bytes;
use std::collections::HashMap;
use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError};

/// Files kept open; beyond that the one used longest ago is closed. Small, since a process may have many stores open and
/// usually may have 1,024 files.
const OPEN_FILES_MAX: usize = 64;

/// How often an object may be removed and made anew under a waiting operation before it fails.
pub(super) const REOPEN_MAX: usize = 1000;

/// The file of an object whose first bytes were found good.
pub(super) struct ObjectFile {
    pub file: File,
    pub prelude: Prelude,
}

impl ObjectFile {
    fn open(root: &Root, name: &str) -> Outcome<Self> {
        let file = files::open(&root.object(name)?)?;
        let prelude = Prelude::decode(&files::read_up_to(&file, 0, PRELUDE_LEN)?);
        if prelude.is_err() && !files::is_linked(&file)? {
            // It was removed meanwhile, and what is removed is emptied.
            return Err(StoreErrorKind::NotFound.into());
        }
        Ok(Self { prelude: prelude?, file })
    }

    /// Bytes of data it holds: as RADOS counts, keys are not data.
    pub fn data_len(&self) -> Outcome<u64> {
        let held = self.file.metadata()?.len().checked_sub(self.prelude.data_offset);
        let held = held.ok_or_else(|| Fault::corrupt("the file is shorter than its own head"))?;
        match self.prelude.kind {
            Kind::Log => Ok(held),
            Kind::Keyed | Kind::Store => Ok(0),
            Kind::Whole if held == self.prelude.data_len => Ok(held),
            Kind::Whole => {
                let detail = format!("the file holds {held} of the object's {} bytes", self.prelude.data_len);
                Err(Fault::corrupt(detail))
            }
        }
    }

    pub fn read(&self, offset: u64, len: u64) -> Outcome<Bytes> {
        let rest = self.data_len()?.saturating_sub(offset).min(len);
        let len = usize::try_from(rest).map_err(|_| StoreErrorKind::Invalid)?;
        if len == 0 {
            return Ok(Bytes::new());
        }
        Ok(files::read_up_to(&self.file, self.prelude.data_offset + offset, len)?.into())
    }
}

/// Open files of objects that hold data.
#[derive(Default)]
pub(super) struct OpenFiles {
    state: Mutex<Cache>,
}

#[derive(Default)]
struct Cache {
    clock: u64,
    files: HashMap<String, (Arc<ObjectFile>, u64)>,
}

impl OpenFiles {
    /// The object's file as it is named now: one that was removed or replaced is not served any more.
    pub fn get(&self, root: &Root, name: &str) -> Outcome<Arc<ObjectFile>> {
        if let Some(file) = self.cached(name) {
            if files::is_linked(&file.file)? {
                return Ok(file);
            }
            self.forget(name);
        }
        let file = Arc::new(ObjectFile::open(root, name)?);
        if matches!(file.prelude.kind, Kind::Log | Kind::Whole) {
            self.keep(name, file.clone());
        }
        Ok(file)
    }

    /// Looks at the object's file. What is seen of one that lost its name meanwhile does not count.
    pub fn with<T>(&self, root: &Root, name: &str, look: impl Fn(&ObjectFile) -> Outcome<T>) -> Outcome<T> {
        for _ in 0..REOPEN_MAX {
            let file = self.get(root, name)?;
            let seen = look(&file);
            if files::is_linked(&file.file)? {
                return seen;
            }
        }
        Err(Fault::new(StoreErrorKind::TimedOut, "other processes keep replacing it"))
    }

    pub fn forget(&self, name: &str) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).files.remove(name);
    }

    fn cached(&self, name: &str) -> Option<Arc<ObjectFile>> {
        let mut cache = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        cache.clock += 1;
        let now = cache.clock;
        let (file, used) = cache.files.get_mut(name)?;
        *used = now;
        Some(file.clone())
    }

    fn keep(&self, name: &str, file: Arc<ObjectFile>) {
        let mut cache = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.files.len() >= OPEN_FILES_MAX
            && let Some(oldest) = cache.files.iter().min_by_key(|(_, (_, used))| *used).map(|(name, _)| name.clone())
        {
            cache.files.remove(&oldest);
        }
        let now = cache.clock;
        cache.files.insert(name.to_owned(), (file, now));
    }
}
