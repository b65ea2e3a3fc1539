//! Log objects: appends guarded by two attributes.
//!
//! | attribute | value |
//! |---|---|
//! | `lsd.epoch` | the epoch, 16 lower-case hexadecimal digits, so that it sorts as text |
//! | `lsd.tail` | length in bytes (u64) and length of the summary in bytes (u32, 0 while open), little-endian |
//!
//! An append demands both, exactly, and sets the second. A fence demands that the first is not higher and sets it;
//! being one operation that need not know the tail, it takes its place in the order of the operations in flight.
//!
//! An OSD carries out operations that compare one at a time for each object, until they are committed. Several
//! appends in flight to one object are therefore safe, but only appends to several objects overlap.
use super::{RadosStore, boxed};
use crate::append_op::AppendOp;
use crate::error::RadosError;
use crate::ioctx::IoCtx;
use crate::read_op::{ReadOp, ReadOutcome};
use crate::write_op::{Compare, OpFlags, WriteOp};
use bytes::{Buf, Bytes, BytesMut};
use futures::TryFutureExt;
use lsd_store::{Append, LogTail, Logs, ObjectName, StoreError, StoreErrorKind, StoreFuture, StoreLimits};
use nix::libc;

impl Logs for RadosStore {
    fn append(&self, name: &ObjectName, append: Append) -> StoreFuture<()> {
        append_to(&self.io, &self.limits, &name.0, &append)
    }

    fn log_tail(&self, name: &ObjectName) -> StoreFuture<LogTail> {
        self::log_tail(&self.io, &name.0)
    }

    fn fence(&self, name: &ObjectName, epoch: u64) -> StoreFuture<LogTail> {
        self::fence(&self.io, &name.0, epoch)
    }
}

const EPOCH: &str = "lsd.epoch";
const TAIL: &str = "lsd.tail";
const TAIL_BYTES: usize = 12;

/// Pieces of at least this many bytes are sent from where they are; runs of smaller ones are joined first, because the
/// messenger takes longer over many small ones.
const LARGE_PIECE: usize = 256 << 10;

/// Bytes of a new object that are written after the rest. The rest then starts at a block of the disk.
const HEAD_BYTES: usize = 4096;

fn epoch_text(epoch: u64) -> String {
    format!("{epoch:016x}")
}

fn tail_bytes(len: u64, summary_len: u32) -> [u8; TAIL_BYTES] {
    let mut bytes = [0; TAIL_BYTES];
    bytes[..8].copy_from_slice(&len.to_le_bytes());
    bytes[8..].copy_from_slice(&summary_len.to_le_bytes());
    bytes
}

/// `None` if the attributes are missing or are not ours.
fn tail_of(outcome: &ReadOutcome) -> Option<LogTail> {
    let epoch = std::str::from_utf8(outcome.xattrs.get(EPOCH)?).ok()?;
    let epoch = u64::from_str_radix(epoch, 16).ok()?;
    let mut tail = outcome.xattrs.get(TAIL).filter(|tail| tail.len() == TAIL_BYTES)?.clone();
    Some(LogTail { epoch, len: tail.get_u64_le(), summary_len: tail.get_u32_le() })
}

fn append_to(io: &IoCtx, limits: &StoreLimits, name: &str, append: &Append) -> StoreFuture<()> {
    let len = append.len();
    let invalid = |detail: &str| {
        let error = StoreError::new(StoreErrorKind::Invalid, "append", name).with_detail(detail);
        Box::pin(async move { Err(error) })
    };
    let Some(end) = append.at.checked_add(len).filter(|end| u64::from(append.summary_len) <= *end) else {
        return invalid("the summary is longer than the object");
    };
    if !len.is_multiple_of(u64::from(limits.append_alignment)) {
        return invalid("not a multiple of the pool's alignment");
    }
    if len > u64::from(limits.max_write) {
        return invalid("longer than one write can be");
    }
    let epoch = epoch_text(append.epoch);
    // The data goes first among the steps that carry bytes: an OSD receives all of them as one aligned piece, and data at
    // its start is written to the disk from where it is, while data behind a guard's value is copied. A guard that does not
    // hold undoes the steps before it as well.
    let pieces = joined(&append.data);
    let guarded = if append.at == 0 {
        first_append(pieces, limits).set_xattr(EPOCH, epoch.as_bytes())
    } else {
        let written = AppendOp::new().append(pieces);
        let expected = tail_bytes(append.at, 0);
        written.compare_xattr(EPOCH, Compare::Equal, epoch.as_bytes()).compare_xattr(TAIL, Compare::Equal, &expected)
    };
    let op = guarded.set_xattr(TAIL, &tail_bytes(end, append.summary_len));
    let creates = append.at == 0;
    let flags = if append.urgent || append.data.is_empty() { OpFlags::FULL_FORCE } else { OpFlags::FULL_TRY };
    let written = io.write(name, op, flags, "append");
    boxed(written.map_ok(drop).map_err(move |error| match error.errno {
        // A missing object has no tail, so the guard does not hold.
        libc::ENOENT if !creates => RadosError { errno: libc::ECANCELED, ..error },
        _ => error,
    }))
}

/// Creates the object with its first data. A write of a whole object gives it a digest, which the OSD then brings up to date
/// with every append: one more checksum over all data, where BlueStore has its own. So the object's head is written after the
/// rest; neither of the two is whole. An erasure-coded pool takes appends only, and has its own way of checking.
fn first_append(pieces: Vec<Bytes>, limits: &StoreLimits) -> AppendOp {
    let op = AppendOp::new().create();
    if limits.append_alignment != 1 {
        return op.append(pieces);
    }
    let total: usize = pieces.iter().map(Bytes::len).sum();
    let at = HEAD_BYTES.min(total / 2);
    let (head, rest) = split(pieces, at);
    op.write(at as u64, rest).write(0, head)
}

/// The first `len` bytes, and what follows.
fn split(pieces: Vec<Bytes>, len: usize) -> (Vec<Bytes>, Vec<Bytes>) {
    let (mut head, mut rest, mut left) = (Vec::new(), Vec::new(), len);
    for mut piece in pieces {
        let first = piece.split_to(piece.len().min(left));
        left -= first.len();
        head.extend((!first.is_empty()).then_some(first));
        rest.extend((!piece.is_empty()).then_some(piece));
    }
    (head, rest)
}

/// The data as it is handed to librados: large pieces as they are, runs of small ones joined.
fn joined(data: &[Bytes]) -> Vec<Bytes> {
    let mut whole = Vec::new();
    let mut small = BytesMut::new();
    for piece in data {
        if piece.len() >= LARGE_PIECE {
            whole.extend((!small.is_empty()).then(|| small.split().freeze()));
            whole.push(piece.clone());
        } else {
            if small.is_empty() {
                small.reserve(data.iter().map(Bytes::len).filter(|len| *len < LARGE_PIECE).sum());
            }
            small.extend_from_slice(piece);
        }
    }
    whole.extend((!small.is_empty()).then(|| small.freeze()));
    whole
}

/// The tail, from one read of both attributes, behind every append and fence that was sent before it.
fn log_tail(io: &IoCtx, name: &str) -> StoreFuture<LogTail> {
    let read = io.read_op(name, ReadOp::new().ordered().xattrs(), "log_tail");
    let name = name.to_owned();
    Box::pin(async move {
        let outcome = read.await.map_err(StoreError::from)?;
        tail_of(&outcome).ok_or_else(|| not_a_log("log_tail", &name))
    })
}

fn fence(io: &IoCtx, name: &str, epoch: u64) -> StoreFuture<LogTail> {
    let text = epoch_text(epoch);
    let op = WriteOp::new()
        .compare_xattr(TAIL, Compare::NotEqual, b"")
        .compare_xattr(EPOCH, Compare::GreaterOrEqual, text.as_bytes())
        .set_xattr(EPOCH, text.as_bytes());
    let fenced = io.write(name, op, OpFlags::FULL_TRY, "fence");
    // Behind the fence no older epoch can append, so the tail that is read next is the one that was fenced. The read is ordered: an
    // OSD that scrubs or recovers the object holds the fence back, and would serve a plain read at once.
    let tail = log_tail(io, name);
    let name = name.to_owned();
    Box::pin(async move {
        let fenced = fenced.await;
        let tail = tail.await;
        match fenced {
            Ok(_) => {
                let tail = tail?;
                // Somebody else's later fence came in between: ours does not hold any more.
                if tail.epoch == epoch { Ok(tail) } else { Err(StoreError::new(StoreErrorKind::Stale, "fence", name)) }
            }
            // What is not a log object fails the guard as well; its tail says so.
            Err(error) if error.errno == libc::ECANCELED => Err(tail.err().unwrap_or_else(|| error.into())),
            Err(error) => Err(error.into()),
        }
    })
}

fn not_a_log(operation: &'static str, name: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Invalid, operation, name).with_detail("not a log object")
}

#[cfg(test)]
mod tests;
