//! Locks on the files of a store, and what becomes of one whose holder was stopped.
//!
//! Owns: waiting for a lock; taking a file away from clients that hold its lock and have been silent for too long. Does not
//! own: who is silent, and what fencing a client means (`clients`).
//!
//! A process that is stopped (SIGSTOP, a debugger, a frozen container) keeps its locks, wherever in an operation it is, and
//! goes on from there some day. So that nobody waits for it longer than for its signs of life:
//! 1. the clients of the processes that hold the lock are fenced off, if all of them are silent: from here on nothing that
//!    they do to a file by its name takes effect, and what they do to a file that they have open is not told as a success;
//! 2. the file is marked as condemned: who gets its lock from now on leaves it alone;
//! 3. if the same processes still are all that hold its lock, nobody else is at work on it, and it is copied;
//! 4. the copy takes its name. What the stopped client does to the old file, nobody sees.
//!
//! What a client was told of before 1 is in the file before 3. One process at a time does this (the lock of the store's
//! directory); if it is stopped in its turn, others get `TimedOut` until it goes on or ends.
use super::fault::{Fault, Outcome};
use super::files::{self, FileLock, LockKind};
use super::room::Urgency;
use super::root::Root;
use crate::StoreErrorKind;
use nix::sys::stat::{major, minor};
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// How long a file's lock may be held by another process before an operation gives up (`TimedOut`): longer than any
/// flush, and than the usual time for which a client may be silent.
const LOCK_WAIT: Duration = Duration::from_secs(60);

/// Longest pause between two tries for a lock.
const LOCK_PAUSE_MAX: Duration = Duration::from_millis(5);

/// How often somebody who waits looks whether the holders are silent.
const LOOK_PAUSE: Duration = Duration::from_millis(500);

/// The mode bit of a file that is condemned. It means nothing else on a regular file.
const CONDEMNED: u32 = 0o1000;

/// A process that holds a lock, and its clients of this store.
struct Holder {
    pid: i32,
    clients: Vec<u64>,
}

/// Locks a file of the store, which was opened by this path. `None`: the path stands for another file by now, or for none.
pub(super) fn lock<'a>(root: &Root, file: &'a File, path: &Path, kind: LockKind) -> Outcome<Option<FileLock<'a>>> {
    let begun = Instant::now();
    let mut looked = begun;
    let mut pause = Duration::from_micros(50);
    loop {
        if let Some(held) = files::take(file, kind)? {
            let metadata = file.metadata()?;
            if metadata.nlink() == 0 {
                return Ok(None);
            }
            if metadata.mode() & CONDEMNED == 0 {
                return Ok(Some(held));
            }
            drop(held);
            spare(root, file)?;
            continue;
        }
        if begun.elapsed() >= LOCK_WAIT {
            let detail = format!("another process has held its lock for {} s", LOCK_WAIT.as_secs());
            return Err(Fault::new(StoreErrorKind::TimedOut, detail));
        }
        if looked.elapsed() >= LOOK_PAUSE {
            looked = Instant::now();
            rescue(root, file, path)?;
            if !files::is_linked(file)? {
                return Ok(None);
            }
        }
        thread::sleep(pause);
        pause = (pause * 2).min(LOCK_PAUSE_MAX);
    }
}

/// Opens `path` and locks it such that nobody can replace or remove it while `action` runs. What `action` reads is
/// therefore the last state. `None` if there is no such file; `action` did not run then.
pub(super) fn with_locked<T>(
    root: &Root,
    path: &Path,
    kind: LockKind,
    action: impl FnOnce(&File) -> Outcome<T>,
) -> Outcome<Option<T>> {
    let begun = Instant::now();
    loop {
        let file = match files::open(path) {
            Err(fault) if fault.kind == StoreErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        if let Some(_held) = lock(root, &file, path, kind)? {
            return action(&file).map(Some);
        }
        if begun.elapsed() >= LOCK_WAIT {
            return Err(Fault::new(StoreErrorKind::TimedOut, "other processes keep replacing it"));
        }
    }
}

/// A file was condemned, and its lock is free after all: whoever condemned it has replaced it, or went away before.
fn spare(root: &Root, file: &File) -> Outcome<()> {
    let _turn = turn(root)?;
    if let Some(_held) = files::take(file, LockKind::Exclusive)? {
        condemn(file, false)?;
    }
    Ok(())
}

/// Replaces a file whose lock only silent clients hold. Does nothing otherwise.
fn rescue(root: &Root, file: &File, path: &Path) -> Outcome<()> {
    let Some(holders) = silent_holders(root, file)? else { return Ok(()) };
    for holder in &holders {
        holder.clients.iter().try_for_each(|client| root.clients.fence(*client))?;
    }
    let _turn = turn(root)?;
    let named = match files::open(path) {
        Err(fault) if fault.kind == StoreErrorKind::NotFound => return Ok(()),
        other => other?.metadata()?,
    };
    let condemned = file.metadata()?;
    if (named.dev(), named.ino()) != (condemned.dev(), condemned.ino()) {
        return Ok(());
    }
    condemn(file, true)?;
    let is_theirs = |pid: &i32| holders.iter().any(|holder| holder.pid == *pid);
    let now = holding(file)?;
    if now.is_empty() || !now.iter().all(is_theirs) {
        return condemn(file, false);
    }
    let len = usize::try_from(file.metadata()?.len()).map_err(|_| StoreErrorKind::Invalid)?;
    root.replace(path, &[&files::read_up_to(file, 0, len)?], Urgency::Urgent)
}

/// One process at a time condemns files and spares them.
fn turn(root: &Root) -> Outcome<FileLock<'_>> {
    let begun = Instant::now();
    loop {
        if let Some(turn) = files::take(root.directory_file(), LockKind::Exclusive)? {
            return Ok(turn);
        }
        if begun.elapsed() >= LOCK_WAIT {
            let detail = "another process was stopped while it replaced a file: end it or let it go on";
            return Err(Fault::new(StoreErrorKind::TimedOut, detail));
        }
        thread::sleep(LOCK_PAUSE_MAX);
    }
}

fn condemn(file: &File, condemned: bool) -> Outcome<()> {
    let mode = file.metadata()?.mode() & 0o7777 & !CONDEMNED;
    Ok(file.set_permissions(Permissions::from_mode(mode | if condemned { CONDEMNED } else { 0 }))?)
}

/// The processes that hold a file's lock, with their clients of this store. `None` if one of them may be at work, or nobody
/// can tell.
fn silent_holders(root: &Root, file: &File) -> Outcome<Option<Vec<Holder>>> {
    let mut holders = Vec::new();
    for pid in holding(file)? {
        match root.clients.silent_clients_of(pid)? {
            Some(clients) if !clients.is_empty() => holders.push(Holder { pid, clients }),
            _ => return Ok(None),
        }
    }
    Ok((!holders.is_empty()).then_some(holders))
}

/// The processes that hold a lock of this file, as the kernel lists them. Those of other process namespaces are not in the
/// list: then it is empty, and who waits for such a lock waits until it is given back.
fn holding(file: &File) -> Outcome<Vec<i32>> {
    let metadata = file.metadata()?;
    let list = fs::read_to_string("/proc/locks").unwrap_or_default();
    let inode = format!(":{}", metadata.ino());
    let device = format!("{:02x}:{:02x}", major(metadata.dev()), minor(metadata.dev()));
    let locks = list.lines().filter_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let (kind, pid, place) = (words.next()?, words.nth(2)?, words.next()?);
        let device = place.strip_suffix(&inode).filter(|_| kind == "FLOCK")?;
        Some((pid.parse::<i32>().ok()?, device.to_owned()))
    });
    let locks: Vec<(i32, String)> = locks.collect();
    // Some file systems have other device numbers in this list than their files show.
    let exact = locks.iter().any(|(_, found)| *found == device);
    let mut pids: Vec<i32> =
        locks.into_iter().filter(|(_, found)| !exact || *found == device).map(|(pid, _)| pid).collect();
    pids.sort_unstable();
    pids.dedup();
    Ok(pids)
}

#[cfg(test)]
mod tests;
