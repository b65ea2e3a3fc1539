//! A base that is a file with the bare content of a disk.
//!
//! Owns: that what is read is of the file that the image was made of: its size and the time of its last modification are looked at
//! behind every read. Does not own: keeping others from writing to it.
use super::{Base, BaseSpec};
use crate::{StoreError, StoreErrorKind, StoreFuture};
use bytes::Bytes;
use nix::unistd::Whence;
use std::fs::{File, Metadata};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The kind of such a base.
pub const FILE_BASE: &str = "file";

#[derive(Clone, Debug)]
pub struct FileBase {
    path: PathBuf,
    file: Arc<File>,
    identity: String,
    size: u64,
}

impl FileBase {
    /// What an image of this file would have as its base. The path is taken as it is now, from the root on.
    pub async fn look_at(path: &Path) -> Result<BaseSpec, StoreError> {
        let path = path.to_owned();
        blocking(move || {
            let failed = |error: io::Error| failed(&path, "open base", &error);
            let full = path.canonicalize().map_err(failed)?;
            let found = File::open(&full).and_then(|file| file.metadata()).map_err(failed)?;
            if !found.is_file() {
                return Err(refused(StoreErrorKind::Invalid, "open base", &path, "it is no regular file"));
            }
            let Some(spec) = full.to_str().map(str::to_owned) else {
                return Err(refused(StoreErrorKind::Invalid, "open base", &path, "its path is not UTF-8"));
            };
            Ok(BaseSpec { kind: FILE_BASE.to_owned(), spec, identity: identity(&found), size: found.len() })
        })
        .await
    }

    /// `Stale`: it is not what it was.
    pub(crate) async fn open(spec: &BaseSpec) -> Result<Self, StoreError> {
        let BaseSpec { spec: path, identity, size, .. } = spec.clone();
        blocking(move || {
            let path = PathBuf::from(path);
            let file = File::open(&path).map_err(|error| failed(&path, "open base", &error))?;
            let base = Self { path, file: Arc::new(file), identity, size };
            base.check("open base")?;
            Ok(base)
        })
        .await
    }

    /// `Stale`.
    fn check(&self, operation: &'static str) -> Result<(), StoreError> {
        let found = self.file.metadata().map_err(|error| failed(&self.path, operation, &error))?;
        let why = match (found.len() == self.size, identity(&found) == self.identity) {
            (true, true) => return Ok(()),
            (false, _) => {
                format!("it had {} bytes when the image was made of it, and has {} now", self.size, found.len())
            }
            (true, false) => "it was modified since the image was made of it".to_owned(),
        };
        Err(refused(StoreErrorKind::Stale, operation, &self.path, &why))
    }

    fn read_now(&self, offset: u64, len: u64) -> Result<Bytes, StoreError> {
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
        let read = self.file.read_exact_at(&mut bytes, offset);
        // What ended too early was cut off: that says more.
        self.check("read base")?;
        read.map_err(|error| failed(&self.path, "read base", &error))?;
        Ok(bytes.into())
    }

    fn data_now(&self, offset: u64, len: u64) -> Result<Vec<Range<u64>>, StoreError> {
        let end = offset + len;
        let (mut at, mut found) = (offset, Vec::new());
        while at < end {
            let start = match self.seek(at, Whence::SeekData)? {
                Some(start) if start < end => start,
                _ => break,
            };
            let stop = self.seek(start, Whence::SeekHole)?.unwrap_or(end).min(end);
            found.push(start..stop);
            at = stop.max(start + 1);
        }
        self.check("read base")?;
        Ok(found)
    }

    /// `None`: there is no more data. Where the file system knows nothing of holes, all is data.
    fn seek(&self, from: u64, whence: Whence) -> Result<Option<u64>, StoreError> {
        match nix::unistd::lseek(&*self.file, from.cast_signed(), whence) {
            Ok(at) => Ok(Some(at.cast_unsigned())),
            Err(nix::errno::Errno::ENXIO) => Ok(None),
            Err(nix::errno::Errno::EINVAL) if matches!(whence, Whence::SeekData) => Ok(Some(from)),
            Err(nix::errno::Errno::EINVAL) => Ok(None),
            Err(error) => Err(StoreError::from_errno(error as i32, "read base", self.path.display().to_string())),
        }
    }
}

impl Base for FileBase {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn read(&self, offset: u64, len: u64) -> StoreFuture<Bytes> {
        let base = self.clone();
        Box::pin(blocking(move || base.read_now(offset, len)))
    }

    fn data(&self, offset: u64, len: u64) -> StoreFuture<Vec<Range<u64>>> {
        let base = self.clone();
        Box::pin(blocking(move || base.data_now(offset, len)))
    }
}

/// On a thread that may wait.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let stopped = |_| StoreError::new(StoreErrorKind::Io, "read base", "").with_detail("the reading thread stopped");
    tokio::task::spawn_blocking(work).await.map_err(stopped)?
}

fn identity(found: &Metadata) -> String {
    format!("mtime={}.{:09}", found.mtime(), found.mtime_nsec())
}

fn failed(path: &Path, operation: &'static str, error: &io::Error) -> StoreError {
    StoreError::from_errno(
        error.raw_os_error().unwrap_or(nix::errno::Errno::EIO as i32),
        operation,
        path.display().to_string(),
    )
}

fn refused(kind: StoreErrorKind, operation: &'static str, path: &Path, why: &str) -> StoreError {
    StoreError::new(kind, operation, path.display().to_string()).with_detail(why)
}

#[cfg(test)]
mod tests;
