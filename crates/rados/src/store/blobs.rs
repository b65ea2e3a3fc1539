//! Objects as bytes: reading, putting, removing.
use super::{RadosStore, boxed};
use crate::ioctx::IoCtx;
use crate::read_op::ReadOp;
use crate::write_op::{OpFlags, WriteOp};
use bytes::Bytes;
use futures::TryFutureExt;
use futures::future::try_join_all;
use lsd_store::{Blobs, ObjectName, StoreError, StoreErrorKind, StoreFuture, StoreLimits};

impl Blobs for RadosStore {
    fn read(&self, name: &ObjectName, offset: u64, len: u64) -> StoreFuture<Bytes> {
        self::read(&self.io, &name.0, offset, len)
    }

    fn read_many(&self, name: &ObjectName, ranges: &[(u64, u64)]) -> StoreFuture<Vec<Bytes>> {
        self::read_many(&self.io, &name.0, ranges)
    }

    fn put(&self, name: &ObjectName, data: Bytes) -> StoreFuture<()> {
        self::put(&self.io, &self.limits, &name.0, &data)
    }

    fn stat(&self, name: &ObjectName) -> StoreFuture<u64> {
        self::stat(&self.io, &name.0)
    }

    fn remove(&self, name: &ObjectName) -> StoreFuture<()> {
        self::remove(&self.io, &name.0)
    }
}

/// librados counts the bytes of a read in an int; no object is longer (`osd_max_object_size`).
const LONGEST_READ: u64 = i32::MAX as u64;

fn read(io: &IoCtx, name: &str, offset: u64, len: u64) -> StoreFuture<Bytes> {
    if len == 0 {
        // librados takes a length of zero for "all".
        let stat = io.stat(name);
        return boxed(stat.map_ok(|_| Bytes::new()));
    }
    boxed(io.read(name, offset, len.min(LONGEST_READ)))
}

fn read_many(io: &IoCtx, name: &str, ranges: &[(u64, u64)]) -> StoreFuture<Vec<Bytes>> {
    let reads: Vec<_> = ranges.chunks(READS_PER_OPERATION).map(|some| read_some(io, name, some)).collect();
    Box::pin(async move { Ok(try_join_all(reads).await?.concat()) })
}

/// A longer range is read by itself: those of one operation have their memory before it is known how much will come, bytes.
const LONGEST_RANGE: u64 = 32 << 20;

/// Reads of one operation. The OSD does them one after the other, so many of them are better spread over some operations.
const READS_PER_OPERATION: usize = 32;

fn read_some(io: &IoCtx, name: &str, ranges: &[(u64, u64)]) -> StoreFuture<Vec<Bytes>> {
    // A length of zero means "all" to an OSD.
    if ranges.len() == 1 || ranges.iter().any(|(_, len)| *len == 0 || *len > LONGEST_RANGE) {
        let reads: Vec<_> = ranges.iter().map(|(offset, len)| read(io, name, *offset, *len)).collect();
        return Box::pin(try_join_all(reads));
    }
    let op = ranges.iter().fold(ReadOp::new(), |op, (offset, len)| op.data(*offset, *len as usize));
    let reading = io.read_op(name, op, "read");
    boxed(reading.map_ok(|outcome| outcome.data))
}

/// It passes in a full pool.
fn put(io: &IoCtx, limits: &StoreLimits, name: &str, data: &[u8]) -> StoreFuture<()> {
    if data.len() as u64 > u64::from(limits.max_write) {
        let error = StoreError::new(StoreErrorKind::Invalid, "put", name).with_detail("longer than one write can be");
        return Box::pin(async move { Err(error) });
    }
    let op = WriteOp::new().create(true).write_full(data);
    let written = io.write(name, op, OpFlags::FULL_FORCE, "put");
    boxed(written.map_ok(drop))
}

/// A removal frees space, so a full pool lets it pass.
fn remove(io: &IoCtx, name: &str) -> StoreFuture<()> {
    let written = io.write(name, WriteOp::new().remove(), OpFlags::FULL_TRY, "remove");
    boxed(written.map_ok(drop))
}

fn stat(io: &IoCtx, name: &str) -> StoreFuture<u64> {
    let stat = io.stat(name);
    boxed(stat.map_ok(|stat| stat.size))
}
