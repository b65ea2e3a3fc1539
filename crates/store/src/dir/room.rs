//! Room in the file system: what ordinary writes leave free, so that what frees space finds some.
//!
//! Owns: the file `reserve`, which holds blocks of the file system that are given up when nothing else is left, and the
//! decision whether a write may go ahead. Does not own: which write is urgent (the trait says so), writing.
//!
//! Ordinary writes leave as much as the reserve should hold. Urgent ones may have half of what there is, whole reserve
//! included: a large one ends long before the last small one, and what frees space is small.
use super::fault::{Fault, Outcome};
use crate::{PoolUse, StoreErrorKind, StoreRoom};
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use nix::libc;
use nix::sys::statvfs::{Statvfs, fstatvfs};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What the reserve should hold, bytes; in a small file system [`RESERVE_FRACTION`] of it.
const RESERVE_BYTES: u64 = 64 << 20;
const RESERVE_FRACTION: u64 = 8;

/// Free space beside what a write needs itself: entries of directories, extents, a page of each new file.
const SLACK_BYTES: u64 = 256 << 10;

/// With less than this to spare, writes are let through one at a time, so that each sees what the one before took.
const NEARLY_FULL_BYTES: u64 = 64 << 20;

/// The reserve is filled up again once so much is free beside it.
const REFILL_FREE_BYTES: u64 = 4 << 20;

/// How a write is treated when there is little room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Urgency {
    Ordinary,
    /// It frees space, or comes before what does.
    Urgent,
}

pub(super) struct Room {
    directory: File,
    reserve: PathBuf,
    turn: Mutex<()>,
}

/// What the file system has at one moment, bytes.
struct Free {
    /// For anybody.
    available: u64,
    /// In the reserve.
    held: u64,
    /// What the reserve should hold.
    wanted: u64,
}

impl Free {
    /// What ordinary writes may take.
    fn ordinary(&self) -> u64 {
        self.available.saturating_sub(self.wanted.saturating_sub(self.held))
    }

    fn fault(&self) -> Fault {
        let (free, kept) = ((self.available + self.held) >> 20, self.wanted >> 20);
        let detail = format!("{free} MiB are free, {kept} MiB of which are kept for what frees space");
        Fault::new(StoreErrorKind::Full, detail)
    }
}

impl Room {
    pub fn open(root: &Path, reserve: PathBuf) -> Outcome<Self> {
        Ok(Self { directory: File::open(root)?, reserve, turn: Mutex::new(()) })
    }

    /// What there is now; `None` in a file system that does not count.
    pub fn known(&self) -> Option<StoreRoom> {
        let free = self.free().ok().filter(|free| free.wanted > 0)?;
        let ordinary = free.ordinary().saturating_sub(SLACK_BYTES);
        Some(StoreRoom { ordinary, urgent: free.available + free.held, reserve: free.wanted })
    }

    /// Of the whole file system, whoever uses it; the reserve counts as used. `Unsupported`: it does not count.
    pub fn used(&self) -> Outcome<PoolUse> {
        let system = self.system()?;
        let total = system.blocks().saturating_mul(system.fragment_size());
        if total == 0 {
            return Err(Fault::new(StoreErrorKind::Unsupported, "the file system does not count its blocks"));
        }
        let free = system.blocks_available().saturating_mul(system.fragment_size()).min(total);
        Ok(PoolUse { share: (total - free) as f64 / total as f64, total })
    }

    /// Runs `write`, which needs `bytes`, if there is room for it: else `Full`, and it did not run. An urgent one runs again
    /// if it failed for want of room and the reserve can help.
    pub fn spend<T>(&self, bytes: u64, urgency: Urgency, write: impl FnMut() -> Outcome<T>) -> Outcome<T> {
        match urgency {
            Urgency::Ordinary => self.spend_ordinarily(bytes, write),
            Urgency::Urgent => self.spend_urgently(bytes, write),
        }
    }

    fn spend_ordinarily<T>(&self, bytes: u64, mut write: impl FnMut() -> Outcome<T>) -> Outcome<T> {
        let need = bytes + SLACK_BYTES;
        let _turn = if self.free()?.ordinary() < need + NEARLY_FULL_BYTES { Some(self.turn()) } else { None };
        let free = self.free()?;
        if free.ordinary() < need {
            return Err(free.fault());
        }
        write()
    }

    pub fn spend_urgently<T>(&self, bytes: u64, mut write: impl FnMut() -> Outcome<T>) -> Outcome<T> {
        let need = bytes + SLACK_BYTES;
        if self.free()?.available >= need + NEARLY_FULL_BYTES {
            return write();
        }
        let _turn = self.turn();
        let free = self.free()?;
        if bytes > (free.available + free.held) / 2 {
            return Err(free.fault());
        }
        self.give_up(need.saturating_sub(free.available))?;
        match write() {
            Err(fault) if fault.kind == StoreErrorKind::Full && self.give_up(need)? => write(),
            written => written,
        }
    }

    /// Makes the reserve what it should be, as far as there is room. Where that cannot be done (no such thing in this file
    /// system, no permission), what ordinary writes leave free has to do.
    pub fn refill(&self) {
        let Ok(free) = self.free() else { return };
        if free.held < free.wanted && free.ordinary() >= REFILL_FREE_BYTES {
            let _turn = self.turn();
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(false).custom_flags(libc::O_NOFOLLOW);
            let file = options.open(&self.reserve);
            let length = i64::try_from(free.wanted).unwrap_or(i64::MAX);
            drop(file.map(|file| fallocate(&file, FallocateFlags::empty(), 0, length)));
        }
    }

    /// Lets go of `bytes` of the reserve; false if it has none.
    fn give_up(&self, bytes: u64) -> Outcome<bool> {
        if bytes == 0 {
            return Ok(false);
        }
        let opened = OpenOptions::new().write(true).custom_flags(libc::O_NOFOLLOW).open(&self.reserve);
        let Ok(file) = opened else { return Ok(false) };
        let held = file.metadata()?.len();
        if held > 0 {
            file.set_len(held.saturating_sub(bytes))?;
        }
        Ok(held > 0)
    }

    fn system(&self) -> Outcome<Statvfs> {
        loop {
            match fstatvfs(&self.directory) {
                Err(Errno::EINTR) => {}
                system => return Ok(system?),
            }
        }
    }

    fn free(&self) -> Outcome<Free> {
        let system = self.system()?;
        if system.blocks() == 0 {
            // A file system that does not count (one in memory without a size).
            return Ok(Free { available: u64::MAX / 2, held: 0, wanted: 0 });
        }
        let unit = system.fragment_size();
        let available = system.blocks_available().saturating_mul(unit);
        let wanted = (system.blocks().saturating_mul(unit) / RESERVE_FRACTION).min(RESERVE_BYTES);
        let held = self.reserve.metadata().map_or(0, |reserve| reserve.len());
        Ok(Free { available, held, wanted })
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        // It guards nothing that a panic could leave half done.
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
