//! The memory of one data operation: one buffer, or the pieces of an iovec.
//!
//! Owns: checking it, copying out of it, and where a read puts its bytes. Does not own: how long it is valid, which is
//! for the caller.
use crate::ffi::caller::target::{CallerTarget, Piece};
use crate::ffi::errno::{Errno, Outcome};
use bytes::{Bytes, BytesMut};
use lsd_engine::WriteData;
use nix::libc;
use std::ffi::{c_char, c_int};

/// The caller's memory of one operation, in order. It stays valid until the operation is complete: that is what
/// librbd.h asks of callers of aio functions, and a synchronous caller waits.
pub struct CallerMemory {
    pieces: Vec<Piece>,
    len: u64,
}

// SAFETY: the memory belongs to the operation until it is complete, whichever thread works on it.
unsafe impl Send for CallerMemory {}

impl CallerMemory {
    /// EINVAL for null with a length.
    pub fn buffer(start: *const c_char, len: usize) -> Outcome<Self> {
        if start.is_null() && len > 0 {
            return Err(Errno::EINVAL);
        }
        Ok(Self { pieces: vec![Piece { start: start as *mut u8, len }], len: len as u64 })
    }

    /// EINVAL for no iovec, null pointers, or lengths whose sum overflows.
    ///
    /// # Safety
    /// `iov`: null, or `count` iovecs.
    pub unsafe fn iovecs(iov: *const libc::iovec, count: c_int) -> Outcome<Self> {
        if iov.is_null() || count <= 0 {
            return Err(Errno::EINVAL);
        }
        // SAFETY: not null, and `count` long by the caller's contract.
        let iovecs = unsafe { std::slice::from_raw_parts(iov, count as usize) };
        let mut len = 0_u64;
        let mut pieces = Vec::with_capacity(iovecs.len());
        for iovec in iovecs.iter().filter(|iovec| iovec.iov_len > 0) {
            if iovec.iov_base.is_null() {
                return Err(Errno::EINVAL);
            }
            len = len.checked_add(iovec.iov_len as u64).ok_or(Errno::EINVAL)?;
            pieces.push(Piece { start: iovec.iov_base.cast(), len: iovec.iov_len });
        }
        Ok(Self { pieces, len })
    }

    /// Bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// The first `len` bytes, copied. Callers may reuse their memory as soon as a write is acknowledged, which is
    /// before the log has it, so a copy is needed.
    pub fn copy_out(&self, len: u64) -> Bytes {
        let mut left = len.min(self.len) as usize;
        let mut all = BytesMut::with_capacity(left);
        for piece in self.slices() {
            let now = piece.len().min(left);
            all.extend_from_slice(&piece[..now]);
            left -= now;
        }
        all.freeze()
    }

    /// The same for a write, with its checksums.
    pub fn write_data(&self, len: u64) -> WriteData {
        WriteData::copied(self.slices(), len.min(self.len) as usize)
    }

    fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let not_empty = self.pieces.iter().filter(|piece| piece.len > 0);
        // SAFETY: the piece is the operation's (see the type), and not null as it is not empty.
        not_empty.map(|piece| unsafe { std::slice::from_raw_parts(piece.start, piece.len) })
    }

    /// Where a read puts its bytes: the start of the memory.
    pub fn target(&self) -> CallerTarget<'_> {
        CallerTarget::new(&self.pieces)
    }
}
