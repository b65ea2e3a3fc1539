//! Files: how one comes to be whole and durable, and how it is locked between processes.
//!
//! Owns: every call whose order decides what is there after a power cut. Does not own: what the bytes mean.
use super::fault::{Fault, Outcome};
use crate::StoreErrorKind;
use bytes::Bytes;
use nix::errno::Errno;
use nix::sys::uio::pwritev;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, IoSlice};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Condvar, Mutex, PoisonError};

/// Pieces in one write call (Linux's IOV_MAX); more take several calls.
const PIECES_PER_CALL: usize = 1024;

/// Opens an existing file for reading and, where that is allowed, writing. Never waits (a FIFO put there would).
pub(super) fn open(path: &Path) -> Outcome<File> {
    let with = |write: bool| OpenOptions::new().read(true).write(write).custom_flags(nix::libc::O_NONBLOCK).open(path);
    let file = match with(true) {
        Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) => {
            with(false)
        }
        other => other,
    }?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(Fault::corrupt("it is not a regular file")) }
}

/// Up to `len` bytes from `offset`, shorter at the end of the file.
pub(super) fn read_up_to(file: &File, offset: u64, len: usize) -> Outcome<Vec<u8>> {
    let mut buffer = vec![0; len];
    let mut filled = 0;
    while filled < len {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    buffer.truncate(filled);
    Ok(buffer)
}

/// Writes the pieces one after another from `offset`. After an error some of it may be in the file.
pub(super) fn write_pieces(file: &File, pieces: &[&[u8]], offset: u64) -> Outcome<()> {
    let mut slices: Vec<IoSlice<'_>> =
        pieces.iter().filter(|piece| !piece.is_empty()).map(|p| IoSlice::new(p)).collect();
    let mut rest = &mut slices[..];
    let mut at = offset;
    while !rest.is_empty() {
        let place = i64::try_from(at).map_err(|_| Errno::EFBIG)?;
        match pwritev(file, &rest[..rest.len().min(PIECES_PER_CALL)], place) {
            Ok(0) => return Err(Fault::new(StoreErrorKind::Io, "the file takes no more bytes")),
            Ok(count) => {
                at += count as u64;
                IoSlice::advance_slices(&mut rest, count);
            }
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// A file's lock against other processes and other stores of this process; ends when it is dropped. It belongs to the
/// open file, so two locks through one [`File`] do not exclude each other.
pub(super) struct FileLock<'a>(&'a File);

impl Drop for FileLock<'_> {
    fn drop(&mut self) {
        // Cannot fail for a file that is open.
        drop(self.0.unlock());
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum LockKind {
    Shared,
    Exclusive,
}

/// Locks a file that nobody else can have locked for longer than a moment.
pub(super) fn lock(file: &File, kind: LockKind) -> Outcome<FileLock<'_>> {
    take(file, kind)?.ok_or_else(|| Fault::new(StoreErrorKind::Busy, "another process has locked a new file"))
}

/// Locks a file if that is possible now.
pub(super) fn take(file: &File, kind: LockKind) -> Outcome<Option<FileLock<'_>>> {
    Ok(try_lock(file, kind)?.then(|| FileLock(file)))
}

/// True if the lock was taken.
pub(super) fn try_lock(file: &File, kind: LockKind) -> Outcome<bool> {
    let tried = if kind == LockKind::Shared { file.try_lock_shared() } else { file.try_lock() };
    match tried {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

/// True if the file still has a name: it was not removed or replaced since it was opened.
pub(super) fn is_linked(file: &File) -> Outcome<bool> {
    Ok(file.metadata()?.nlink() > 0)
}

/// A file under construction. It has a name in the directory for temporary files until it is published or dropped.
pub(super) struct NewFile<'a> {
    pub file: File,
    path: &'a Path,
}

impl Drop for NewFile<'_> {
    fn drop(&mut self) {
        // Already gone after a replacement; else opening the store again removes what cannot be removed now.
        drop(fs::remove_file(self.path));
    }
}

impl<'a> NewFile<'a> {
    /// Creates the file `path` and writes the pieces durably.
    pub fn write(path: &'a Path, pieces: &[&[u8]]) -> Outcome<Self> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        let new = Self { file, path };
        write_pieces(&new.file, pieces, 0)?;
        new.file.sync_all()?;
        Ok(new)
    }

    /// Gives the file its name if nothing bears it (`Exists`). Durable once the directory is flushed.
    pub fn publish(&self, name: &Path) -> Outcome<()> {
        Ok(fs::hard_link(self.path, name)?)
    }

    /// Gives the file its name in place of what bore it. Durable once the directory is flushed.
    pub fn replace(&self, name: &Path) -> Outcome<()> {
        Ok(fs::rename(self.path, name)?)
    }
}

/// A directory whose changes several threads flush: those who wait at the same time share one flush.
pub(super) struct SyncedDir {
    directory: File,
    state: Mutex<SyncState>,
    changed: Condvar,
}

#[derive(Default)]
struct SyncState {
    /// Number of the last request.
    asked: u64,
    /// Every request up to this one is durable.
    done: u64,
    running: bool,
    /// A directory that failed to reach the disk once is not trusted again.
    failed: Option<Fault>,
}

impl SyncedDir {
    pub fn open(path: &Path) -> Outcome<Self> {
        Ok(Self { directory: File::open(path)?, state: Mutex::default(), changed: Condvar::new() })
    }

    /// Makes every change of this directory durable that happened before the call.
    pub fn sync(&self) -> Outcome<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.asked += 1;
        let ticket = state.asked;
        loop {
            if let Some(fault) = &state.failed {
                return Err(fault.clone());
            }
            if state.done >= ticket {
                return Ok(());
            }
            if state.running {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.running = true;
            let covers = state.asked;
            drop(state);
            let synced = self.directory.sync_all();
            state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.running = false;
            match synced {
                Ok(()) => state.done = covers,
                Err(error) => state.failed = Some(Fault::from(error).while_doing("flush of the directory")),
            }
            self.changed.notify_all();
        }
    }
}

/// The pieces of an append as slices.
pub(super) fn slices(pieces: &[Bytes]) -> impl Iterator<Item = &[u8]> {
    pieces.iter().map(|piece| &piece[..])
}

#[cfg(test)]
mod tests;
