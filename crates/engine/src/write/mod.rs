//! The data path of an open image: what a client's read, write, discard and flush become.
pub(crate) mod room;
mod sparsify;

use crate::api::error::invalid;
use crate::api::io_limits::Io;
use crate::api::stats::Counter;
use crate::api::write_data::WriteData;
use crate::read::prefetch::task::Before;
use crate::read::{self, Parts};
use crate::session::{Session, waits_for_log};
use crate::shared::locked::Locked;
use crate::shared::queue::Passage;
use crate::{Error, ErrorKind, ReadData, ReadPiece, ReadTarget, Result};
use bytes::{Bytes, BytesMut};
use lsd_core::format::record::{MAX_RECORD_BYTES, Record, RecordKind};
use lsd_core::units::Seq;
use lsd_state::buffers::Keep;
use lsd_state::state::{Attempt, Chunk};
use std::sync::Arc;
use tokio::sync::futures::Notified;

/// A longer write is accepted in steps of so many records, so that it never needs more than the least dirty memory.
const STEP_CHUNKS: usize = (crate::shared::MIN_DIRTY_BYTES / MAX_RECORD_BYTES as u64) as usize;
/// Most bytes written in one piece by operations that make their own data (write-same, thick zeroes).
const MADE_BYTES: u64 = 1 << 20;

impl Session {
    /// Waits until an operation exceeds no limit of the image. A change is under way from its call on, so that a flush covers it
    /// (rule 21).
    pub(crate) async fn admit(&self, io: Io, bytes: u64) -> Option<Passage<'_>> {
        if self.shared.gate.is_open() {
            return None;
        }
        let passage = (io == Io::Write).then(|| self.underway.enter());
        Box::pin(self.shared.gate.pass(io, bytes)).await;
        passage
    }

    pub(crate) async fn read(self: &Arc<Self>, offset: u64, len: u64) -> Result<ReadData> {
        let read =
            self.read_parts(offset, len).await.and_then(|parts| parts.into_data(&self.shared, Keep::IfUsedAgain));
        read.inspect_err(|error| self.shared.tell_damage("read", error))
    }

    pub(crate) async fn read_into(self: &Arc<Self>, offset: u64, len: u64, target: &mut dyn ReadTarget) -> Result<()> {
        let parts = self.read_parts(offset, len).await;
        let read = parts.and_then(|parts| parts.copy_to(target, &self.shared, Keep::IfUsedAgain));
        read.inspect_err(|error| self.shared.tell_damage("read", error))
    }

    async fn read_parts(self: &Arc<Self>, offset: u64, len: u64) -> Result<Parts> {
        self.check_open()?;
        self.shared.counters.count(Counter::Reads);
        self.shared.counters.add(Counter::ReadBytes, len);
        if len == 0 {
            return Ok(Parts::default());
        }
        self.keep_up().await?;
        let size = {
            let state = self.shared.lock();
            state.check(offset, len)?;
            state.view.size
        };
        if self.settings().cache_bytes > 0 {
            self.prefetch.data(&self.objects, &self.shared, (offset, len), size);
        }
        self.load_ahead(offset, len, Before::Reading);
        let parts = self.retry_if_moved(|| read::read(&self.objects, &self.shared, offset, len)).await;
        self.shared.trim_leaves(self.settings().map_cache_bytes);
        parts
    }

    fn load_ahead(&self, offset: u64, len: u64, before: Before) {
        let map_bytes = self.settings().map_cache_bytes;
        self.prefetch.leaves(&self.objects, &self.shared, (offset, len), before, map_bytes);
    }

    pub(crate) async fn write(self: &Arc<Self>, offset: u64, data: WriteData, fua: bool) -> Result<()> {
        self.write_range(offset, data, fua, false).await
    }

    /// `owned`: the caller holds the range lock.
    async fn write_range(self: &Arc<Self>, mut offset: u64, data: WriteData, fua: bool, owned: bool) -> Result<()> {
        self.check_open()?;
        self.shared.counters.count(Counter::Writes);
        self.shared.counters.add(Counter::WrittenBytes, data.len());
        let _passage = (data.chunks().len() > STEP_CHUNKS).then(|| self.underway.enter());
        if data.len() == 0 {
            return Box::pin(self.ensure_owner()).await;
        }
        if self.owns() {
            self.shared.lock().check(offset, data.len())?;
        }
        let mut last = Seq(0);
        for step in data.chunks().chunks(STEP_CHUNKS) {
            last = self.accept(offset, step, owned).await?;
            offset += Chunk::total(step);
        }
        self.acknowledge(last, fua).await
    }

    /// One step of a write: takes dirty memory, which the log gives back byte by byte, and a place in the log.
    async fn accept(self: &Arc<Self>, offset: u64, chunks: &[Chunk], owned: bool) -> Result<Seq> {
        let len = Chunk::total(chunks);
        self.wait_for_room(len, owned).await?;
        self.load_ahead(offset, len, Before::Writing);
        if owned {
            // Whoever has the turn, or hands the image over, may be waiting for this very range.
            return Box::pin(self.accept_in_turn(offset, len, chunks, None)).await;
        }
        if self.may_pass() && self.shared.try_take_dirty(len) {
            let accepted = self.try_write(offset, chunks, false);
            if let Ok(Attempt::Done(seq)) = accepted {
                self.shared.trim_leaves(self.settings().map_cache_bytes);
                return Ok(seq);
            }
            self.shared.give_dirty(len);
            accepted?;
        }
        Box::pin(self.accept_in_line(offset, len, chunks)).await
    }

    async fn accept_in_line(self: &Arc<Self>, offset: u64, len: u64, chunks: &[Chunk]) -> Result<Seq> {
        let (ticket, since) = (self.queue.enter(), self.refusals.count());
        let (_turn, ()) = futures::join!(ticket.turn(), self.prepare(offset, len, since));
        self.accept_in_turn(offset, len, chunks, Some(since)).await
    }

    /// `since`: the refusals that the change found at its call; `None`: the caller holds the range.
    async fn accept_in_turn(
        self: &Arc<Self>,
        offset: u64,
        len: u64,
        chunks: &[Chunk],
        since: Option<u64>,
    ) -> Result<Seq> {
        let owned = since.is_none();
        loop {
            if let Some(since) = since {
                self.ensure_owner_since(since).await?;
            }
            self.shared.wait_for_space().await;
            self.shared.wait_for_leaves().await?;
            self.shared.take_dirty(len).await?;
            let unlocked = self.shared.unlocked.notified();
            let attempt = self.try_write(offset, chunks, owned);
            if let Ok(Attempt::Done(seq)) = attempt {
                self.shared.trim_leaves(self.settings().map_cache_bytes);
                return Ok(seq);
            }
            // Nobody waits with dirty memory: whom it waits for may need some.
            self.shared.give_dirty(len);
            match attempt? {
                // The hand-over waits for whoever holds a range, so this ownership ended in a failure.
                Attempt::NotOwner if owned => {
                    return Err(Error::new(ErrorKind::Fenced, "the image was lost meanwhile"));
                }
                obstacle => self.overcome(obstacle, unlocked, since).await?,
            }
        }
    }

    /// True if a change need not stand in line.
    fn may_pass(&self) -> bool {
        self.owns() && self.queue.is_free()
    }

    /// Gets what a change will need while those before it have their turn, so that many wait side by side. What fails here is
    /// tried again, and told, by the change itself.
    async fn prepare(self: &Arc<Self>, offset: u64, len: u64, since: u64) {
        if self.ensure_owner_since(since).await.is_err() {
            return;
        }
        let missing = {
            let state = self.shared.lock();
            if state.check(offset, len).is_err() {
                return;
            }
            // Of what is to be emptied, what comes first: it may be more than fits in memory.
            state.view.map.missing(offset, state.clear_len(offset, len))
        };
        if !missing.is_empty() {
            let _ = self.shared.load_leaves(&self.objects, missing).await;
        }
    }

    fn try_write(&self, offset: u64, chunks: &[Chunk], owned: bool) -> Result<Attempt> {
        self.attempt(&mut |state: &mut Locked<'_>| state.attempt(|state| state.try_write(offset, chunks, owned)))
    }

    /// One attempt at a change.
    fn attempt(&self, change: &mut impl FnMut(&mut Locked<'_>) -> Result<Attempt>) -> Result<Attempt> {
        let mut state = self.shared.lock();
        let before = state.open_batch();
        let outcome = change(&mut state)?;
        if state.open_batch() != before {
            self.shared.batch_opened.notify_one();
        }
        Ok(outcome)
    }

    /// Tries a change until this handle owns the image, no leaf is missing and nobody holds its range.
    pub(crate) async fn change(
        self: &Arc<Self>,
        attempt: impl FnMut(&mut Locked<'_>) -> Result<Attempt>,
    ) -> Result<Seq> {
        self.change_since(self.refusals.count(), attempt).await
    }

    async fn change_since(
        self: &Arc<Self>,
        since: u64,
        mut attempt: impl FnMut(&mut Locked<'_>) -> Result<Attempt>,
    ) -> Result<Seq> {
        loop {
            let unlocked = self.shared.unlocked.notified();
            match self.attempt(&mut attempt)? {
                Attempt::Done(seq) => {
                    self.shared.trim_leaves(self.settings().map_cache_bytes);
                    return Ok(seq);
                }
                obstacle => self.overcome(obstacle, unlocked, Some(since)).await?,
            }
        }
    }

    /// Waits until a change that met this obstacle may be tried again. `unlocked`: from before it was tried.
    async fn overcome(self: &Arc<Self>, obstacle: Attempt, unlocked: Notified<'_>, since: Option<u64>) -> Result<()> {
        match obstacle {
            Attempt::Done(_) => Ok(()),
            Attempt::NeedLeaves(leaves) => match self.shared.load_leaves_again(&self.objects, leaves).await {
                // The image was given away meanwhile, and its next owner does not need them any more: the next try takes it back.
                Err(error) if error.kind == ErrorKind::NotFound && self.shared.lock().writer.is_none() => Ok(()),
                loaded => loaded,
            },
            Attempt::Held => {
                unlocked.await;
                Ok(())
            }
            Attempt::NotOwner => self.ensure_owner_since(since.unwrap_or_else(|| self.refusals.count())).await,
            // Who asks for it cuts it into steps.
            Attempt::Wide => Err(invalid("too much for one record")),
        }
    }

    async fn acknowledge(&self, seq: Seq, fua: bool) -> Result<()> {
        let settings = self.settings().clone();
        let waits = {
            let mut state = self.shared.lock();
            let waits = fua || waits_for_log(&settings, state.flushed);
            if !waits {
                state.promised = state.promised.max(seq);
            }
            waits
        };
        if waits { self.shared.wait_durable(seq).await } else { Ok(()) }
    }

    /// Discard and write-zeroes: a record without data, or several in the order of the image.
    pub(crate) async fn clear(self: &Arc<Self>, offset: u64, len: u64, zeroes: bool, fua: bool) -> Result<()> {
        self.check_open()?;
        if len == 0 {
            return Box::pin(self.ensure_owner()).await;
        }
        self.shared.counters.count(Counter::Discards);
        self.shared.counters.add(Counter::DiscardedBytes, len);
        let mut clear = |state: &mut Locked<'_>| match self.shared.holds_leaves(state) {
            true => Ok(Attempt::Held),
            false => try_clear(state, (offset, len), zeroes),
        };
        if self.may_pass()
            && let Attempt::Done(seq) = self.attempt(&mut clear)?
        {
            return self.acknowledge(seq, fua).await;
        }
        let seq = Box::pin(self.clear_in_line((offset, len), zeroes)).await?;
        self.acknowledge(seq, fua).await
    }

    async fn clear_in_line(self: &Arc<Self>, (offset, len): (u64, u64), zeroes: bool) -> Result<Seq> {
        let (ticket, since) = (self.queue.enter(), self.refusals.count());
        let _passage = self.underway.enter();
        let (turn, ()) = futures::join!(ticket.turn(), self.prepare(offset, len, since));
        self.ensure_owner_since(since).await?;
        self.shared.wait_for_leaves().await?;
        let mut is_wide = false;
        let attempt = |state: &mut Locked<'_>| {
            let attempt = try_clear(state, (offset, len), zeroes)?;
            is_wide = matches!(attempt, Attempt::Wide);
            Ok(if is_wide { Attempt::Done(state.view.end) } else { attempt })
        };
        let seq = self.change_since(since, attempt).await?;
        if !is_wide {
            return Ok(seq);
        }
        // Rule 30: what is called later and overlaps waits for all of it, other changes go on.
        let held = self.hold(offset..offset + len, since).await?;
        drop(turn);
        drop(ticket);
        let seq = self.clear_in_steps((offset, len), zeroes).await;
        drop(held);
        seq
    }

    /// The caller holds the range.
    async fn clear_in_steps(self: &Arc<Self>, (offset, len): (u64, u64), zeroes: bool) -> Result<Seq> {
        let (mut at, mut last) = (0, Seq(0));
        while at < len {
            self.shared.wait_for_leaves().await?;
            let step = self.shared.lock().clear_len(offset + at, len - at);
            let record = clear_record(offset + at, step, zeroes);
            let attempt = |state: &mut Locked<'_>| match try_record(state, record, true)? {
                // The hand-over waits for whoever holds a range, so this ownership ended in a failure.
                Attempt::NotOwner => Err(Error::new(ErrorKind::Fenced, "the image was lost meanwhile")),
                attempt => Ok(attempt),
            };
            last = self.change(attempt).await?;
            at += step;
        }
        Ok(last)
    }

    /// Writes `pattern` over and over.
    pub(crate) async fn write_same(self: &Arc<Self>, offset: u64, len: u64, pattern: Bytes, fua: bool) -> Result<()> {
        if pattern.is_empty() || !len.is_multiple_of(pattern.len() as u64) {
            return Err(invalid(format!("{len} bytes are no multiple of a pattern of {} bytes", pattern.len())));
        }
        let times = (MADE_BYTES / pattern.len() as u64).clamp(1, len.max(1).div_ceil(pattern.len() as u64));
        let mut block = BytesMut::with_capacity(pattern.len() * times as usize);
        (0..times).for_each(|_| block.extend_from_slice(&pattern));
        let block = block.freeze();
        let _passage = self.underway.enter();
        let mut done = 0;
        while done < len {
            let part = (len - done).min(block.len() as u64);
            self.write(offset + done, block.slice(..part as usize).into(), fua).await?;
            done += part;
        }
        Ok(())
    }

    /// Compares and writes while nobody else can change the range.
    pub(crate) async fn compare_and_write(self: &Arc<Self>, offset: u64, compare: Bytes, data: Bytes) -> Result<()> {
        if compare.len() != data.len() {
            return Err(invalid("compare and write data differ in length"));
        }
        self.check_open()?;
        let (_passage, since) = (self.underway.enter(), self.refusals.count());
        self.ensure_owner_since(since).await?;
        let len = data.len() as u64;
        self.shared.lock().check(offset, len)?;
        let range = offset..offset + len;
        let held = self.hold(range.clone(), since).await?;
        let read = || read::read(&self.objects, &self.shared, offset, len);
        let present = self.retry_if_moved(read).await?.into_data(&self.shared, Keep::IfUsedAgain)?;
        if let Some(at) = first_difference(&present, &compare) {
            return Err(Error::new(ErrorKind::Mismatch { offset: at }, "the data differs"));
        }
        let result = self.write_range(offset, data.into(), false, true).await;
        drop(held);
        result
    }

    /// Holds a range while this handle owns the image: the hand-over waits for it.
    async fn hold(self: &Arc<Self>, range: std::ops::Range<u64>, since: u64) -> Result<Held> {
        loop {
            let unlocked = self.shared.unlocked.notified();
            let owner = {
                let mut state = self.shared.lock();
                state.check_alive()?;
                let owner = state.writer.is_some() && !state.yielding;
                if owner && state.locks.is_free(&range) {
                    state.locks.hold(range.clone());
                    return Ok(Held { session: self.clone(), range });
                }
                owner
            };
            if owner {
                unlocked.await;
            } else {
                self.ensure_owner_since(since).await?;
            }
        }
    }

    /// Covers every change that was called before it, also those that wait to be accepted: librbd's flush waits for what is
    /// in flight.
    pub(crate) async fn flush(&self) -> Result<()> {
        self.check_open()?;
        self.shared.counters.count(Counter::Flushes);
        let call = self.underway.called();
        if !self.queue.is_free() {
            let ticket = self.queue.enter();
            drop(ticket.turn().await);
        }
        self.underway.ended_before(call).await;
        let end = {
            let mut state = self.shared.lock();
            state.check_alive()?;
            state.flushed = true;
            state.view.end
        };
        if !self.owns() {
            // The next read shows everything that others have flushed by now.
            self.follower.set_age(None);
        }
        self.shared.wait_durable(end).await
    }
}

fn clear_record(offset: u64, len: u64, zeroes: bool) -> Record {
    let kind = if zeroes { RecordKind::WriteZeroes { len } } else { RecordKind::Discard { len } };
    Record { offset, kind }
}

/// [`Attempt::Wide`] for a range that takes several records.
fn try_clear(state: &mut Locked<'_>, (offset, len): (u64, u64), zeroes: bool) -> Result<Attempt> {
    state.check(offset, len)?;
    if state.clear_len(offset, len) < len {
        return Ok(Attempt::Wide);
    }
    try_record(state, clear_record(offset, len, zeroes), false)
}

fn try_record(state: &mut Locked<'_>, record: Record, owned: bool) -> Result<Attempt> {
    state.attempt(|state| state.try_clear(record, owned))
}

/// A held range, released when it goes out of scope: also when its operation is dropped half-way.
struct Held {
    session: Arc<Session>,
    range: std::ops::Range<u64>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.session.shared.lock().locks.release(&self.range);
        self.session.shared.unlocked.notify_waiters();
    }
}

fn first_difference(present: &ReadData, compare: &[u8]) -> Option<u64> {
    let mut at = 0usize;
    for piece in &present.pieces {
        let len = piece.len() as usize;
        let expected = &compare[at..at + len];
        let differs = match piece {
            ReadPiece::Data(bytes) => bytes.iter().zip(expected).position(|(a, b)| a != b),
            ReadPiece::Zero(_) => expected.iter().position(|byte| *byte != 0),
        };
        if let Some(index) = differs {
            return Some((at + index) as u64);
        }
        at += len;
    }
    None
}
