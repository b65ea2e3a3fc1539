//! Log objects in files: guarded appends, fences, tails.
//!
//! The order that makes a log right after a power cut at any moment (docs/adr/0002-directory-store.md has the cases):
//! - creation: head and data are flushed before the file has its name, the name before the reply;
//! - append: data is flushed before the reply; what a cut leaves of it is a torn end of an open object;
//! - seal: data is flushed before the slot that says "sealed" is written, so a sealed object is never torn;
//! - fence: the data that the fence will report is flushed before the slot that raises the epoch is written.
//!
//! A slot is never written over the state it follows, and every step runs under the file's lock, so another process
//! sees the state before or after it.
use super::fault::{Fault, Outcome};
use super::files::{self, LockKind};
use super::format::{self, DATA_OFFSET, Kind, LOG_HEAD_LEN, Prelude, TailSlot};
use super::object_file::{ObjectFile, OpenFiles, REOPEN_MAX};
use super::rescue;
use super::room::Urgency;
use super::root::Root;
use crate::{Append, LogTail, StoreErrorKind};
use std::sync::Arc;

/// The tail of a log object whose file is locked.
struct Log<'a> {
    root: &'a Root,
    file: &'a ObjectFile,
    slot: TailSlot,
    len: u64,
}

impl<'a> Log<'a> {
    fn load(root: &'a Root, file: &'a ObjectFile) -> Outcome<Self> {
        let slot = TailSlot::decode_newest(&files::read_up_to(&file.file, 0, LOG_HEAD_LEN)?)?;
        let len = file.data_len()?;
        if slot.summary_len != 0 && slot.sealed_len != len {
            let detail = format!("the object was sealed with {} bytes and holds {len}", slot.sealed_len);
            return Err(Fault::corrupt(detail));
        }
        Ok(Self { root, file, slot, len })
    }

    fn tail(&self) -> LogTail {
        LogTail { epoch: self.slot.epoch, len: self.len, summary_len: self.slot.summary_len }
    }

    /// Makes the data durable that a killed process may have left in the page cache, so that what is reported now
    /// cannot be gone after a power cut. A sealed object was flushed before it was sealed.
    fn settle(&self) -> Outcome<()> {
        if self.slot.summary_len == 0 {
            self.file.file.sync_data()?;
        }
        Ok(())
    }

    fn write_slot(&mut self, slot: TailSlot) -> Outcome<()> {
        files::write_pieces(&self.file.file, &[&slot.encode()], slot.offset())?;
        self.file.file.sync_data()?;
        self.root.clients.check()?;
        self.slot = slot;
        Ok(())
    }

    /// Writes the accepted appends behind each other under one flush. On failure the object is as long as before.
    fn write(&mut self, accepted: &[&Append]) -> Outcome<()> {
        let pieces: Vec<&[u8]> = accepted.iter().flat_map(|append| files::slices(&append.data)).collect();
        let added: u64 = accepted.iter().map(|append| append.len()).sum();
        let all_urgent = accepted.iter().all(|append| is_urgent(append) == Urgency::Urgent);
        let urgency = if all_urgent { Urgency::Urgent } else { Urgency::Ordinary };
        self.root.room.spend(added, urgency, || {
            let written = files::write_pieces(&self.file.file, &pieces, DATA_OFFSET + self.len);
            let flushed = written.and_then(|()| Ok(self.file.file.sync_data()?));
            // Who was fenced off meanwhile leaves the file as it is: it may be gone from its name.
            self.root.clients.check()?;
            flushed.or_else(|fault| self.take_back(fault))
        })?;
        self.len += added;
        Ok(())
    }

    /// Without this the next append would find bytes that nobody acknowledged. If it fails as well, the length stays wrong
    /// and every later append is refused.
    fn take_back(&self, fault: Fault) -> Outcome<()> {
        self.file.file.set_len(DATA_OFFSET + self.len).map_err(|error| {
            Fault::new(StoreErrorKind::Io, format!("an append failed and could not be taken back ({error})"))
        })?;
        Err(fault)
    }
}

/// How an append is treated when there is little room.
fn is_urgent(append: &Append) -> Urgency {
    if append.urgent || append.is_empty() { Urgency::Urgent } else { Urgency::Ordinary }
}

/// Runs `action` on the log object with its file locked against other processes. The caller's strand keeps this
/// store's other operations away from it.
fn with_log<T>(root: &Root, open: &OpenFiles, name: &str, action: impl FnOnce(Log<'_>) -> Outcome<T>) -> Outcome<T> {
    for _ in 0..REOPEN_MAX {
        let file: Arc<ObjectFile> = open.get(root, name)?;
        must_be_log(&file)?;
        if let Some(_held) = rescue::lock(root, &file.file, &root.object(name)?, LockKind::Exclusive)? {
            root.clients.check()?;
            return action(Log::load(root, &file)?);
        }
    }
    Err(Fault::new(StoreErrorKind::TimedOut, "other processes keep replacing it"))
}

/// Waits for nobody: what it reports is in the file and durable, though an append under way may still add to it, or take
/// back what it did not report as done.
pub(super) fn tail(root: &Root, open: &OpenFiles, name: &str) -> Outcome<LogTail> {
    open.with(root, name, |file| {
        must_be_log(file)?;
        let _held = files::take(&file.file, LockKind::Shared)?;
        let log = Log::load(root, file)?;
        log.settle()?;
        Ok(log.tail())
    })
}

fn must_be_log(file: &ObjectFile) -> Outcome<()> {
    match file.prelude.kind {
        Kind::Log => Ok(()),
        _ => Err(Fault::new(StoreErrorKind::Invalid, "it is not a log object")),
    }
}

pub(super) fn fence(root: &Root, open: &OpenFiles, name: &str, epoch: u64) -> Outcome<LogTail> {
    with_log(root, open, name, |mut log| {
        if log.slot.epoch > epoch {
            return Err(Fault::new(StoreErrorKind::Stale, format!("its epoch is {}", log.slot.epoch)));
        }
        log.settle()?;
        if log.slot.epoch < epoch {
            log.write_slot(TailSlot { generation: log.slot.generation + 1, epoch, ..log.slot })?;
        }
        Ok(log.tail())
    })
}

/// Carries out consecutive appends of one client; one result for each, in their order.
pub(super) fn append_group(root: &Root, open: &OpenFiles, name: &str, appends: &[Append]) -> Vec<Outcome<()>> {
    let mut results = Vec::with_capacity(appends.len());
    while let Some(next) = appends.get(results.len()) {
        if next.at == 0 {
            results.push(create(root, name, next));
            continue;
        }
        let rest = &appends[results.len()..];
        // What waits for room holds back nothing that need not.
        let ends = |append: &Append| append.at == 0 || is_urgent(append) != is_urgent(next);
        let run = rest.iter().position(ends).map_or(rest, |end| &rest[..end]);
        results.extend(append_run(root, open, name, run));
    }
    results
}

fn create(root: &Root, name: &str, append: &Append) -> Outcome<()> {
    let path = root.object(name)?;
    if path.exists() {
        return Err(StoreErrorKind::Exists.into());
    }
    let sealed_len = if append.summary_len == 0 { 0 } else { append.len() };
    let slot = TailSlot { generation: 1, epoch: append.epoch, sealed_len, summary_len: append.summary_len };
    let prelude = Prelude { kind: Kind::Log, data_offset: format::offset_of(Kind::Log), data_len: 0, data_crc: 0 };
    let mut head = vec![0; DATA_OFFSET as usize];
    let (prelude, encoded, at) = (prelude.encode(), slot.encode(), slot.offset() as usize);
    head[..prelude.len()].copy_from_slice(&prelude);
    head[at..at + encoded.len()].copy_from_slice(&encoded);
    let pieces: Vec<&[u8]> = std::iter::once(&head[..]).chain(files::slices(&append.data)).collect();
    root.create(&path, &pieces, is_urgent(append))
}

fn append_run(root: &Root, open: &OpenFiles, name: &str, run: &[Append]) -> Vec<Outcome<()>> {
    let done = with_log(root, open, name, |log| Ok(append_locked(log, run)));
    match done {
        Ok(results) => results,
        Err(fault) => {
            // An append beyond 0 never creates: for it a missing object is one that somebody removed first.
            let missing = fault.kind == StoreErrorKind::NotFound;
            let fault = if missing { StoreErrorKind::Stale.into() } else { fault };
            run.iter().map(|_| Err(fault.clone())).collect()
        }
    }
}

/// Checks every append against the tail the ones before it will leave, writes those that hold, then the seal.
fn append_locked(mut log: Log<'_>, run: &[Append]) -> Vec<Outcome<()>> {
    let mut expected = log.tail();
    let mut accepted = Vec::new();
    let mut results: Vec<Outcome<()>> = Vec::with_capacity(run.len());
    for append in run {
        let guard = LogTail { epoch: append.epoch, len: append.at, summary_len: 0 };
        if guard == expected {
            expected = LogTail { len: append.at + append.len(), summary_len: append.summary_len, ..guard };
            accepted.push(append);
            results.push(Ok(()));
        } else {
            let now = format!("its tail is epoch {} at {}", expected.epoch, expected.len);
            let sealed = if expected.summary_len == 0 { "" } else { ", sealed" };
            results.push(Err(Fault::new(StoreErrorKind::Stale, now + sealed)));
        }
    }
    if accepted.is_empty() {
        return results;
    }
    if let Err(fault) = log.write(&accepted) {
        return results.into_iter().map(|result| result.and(Err(fault.clone()))).collect();
    }
    if expected.summary_len != 0 {
        let (generation, sealed_len) = (log.slot.generation + 1, expected.len);
        let slot = TailSlot { generation, sealed_len, summary_len: expected.summary_len, ..log.slot };
        if let Err(fault) = log.write_slot(slot) {
            // Only the last accepted one sealed. Its data stays; whether the seal is on the disk nobody knows.
            if let Some(sealing) = results.iter_mut().rev().find(|result| result.is_ok()) {
                *sealing = Err(fault.while_doing("seal"));
            }
        }
    }
    results
}
