//! The data of an open image: a part of its public face.
//!
//! Owns: the words of the calls, and that each passes the limits of the image. Does not own: what the calls do (`write/`, `read/`), who
//! waits for a limit (`shared/gate.rs`).
use crate::api::io_limits::Io;
use crate::compiled_here;
use crate::{Image, Progress, ReadData, ReadTarget, Result, WriteData};
use bytes::Bytes;

impl Image {
    /// `Invalid` outside the image (the whole range must lie inside it).
    pub async fn read(&self, offset: u64, len: u64) -> Result<ReadData> {
        self.session.admit(Io::Read, len).await;
        self.session.read(offset, len).await.map_err(|error| error.during("read"))
    }

    /// The same into memory of the caller's: one pass over what came from the store instead of two. After `Corrupt` some of it may
    /// have been given.
    pub async fn read_into(&self, offset: u64, len: u64, target: &mut dyn ReadTarget) -> Result<()> {
        self.session.admit(Io::Read, len).await;
        self.session.read_into(offset, len, target).await.map_err(|error| error.during("read"))
    }

    /// `fua`: durable when it returns, whatever the acknowledgement mode. `ReadOnly`, `Invalid`, `NoSpace`, `Fenced`.
    pub async fn write(&self, offset: u64, data: impl Into<WriteData>, fua: bool) -> Result<()> {
        let data = data.into();
        let _passage = self.session.admit(Io::Write, data.len()).await;
        self.session.write(offset, data, fua).await.map_err(|error| error.during("write"))
    }

    /// The range reads as zeroes afterwards and its space is given back.
    pub async fn discard(&self, offset: u64, len: u64, fua: bool) -> Result<()> {
        let _passage = self.session.admit(Io::Write, len).await;
        self.session.clear(offset, len, false, fua).await.map_err(|error| error.during("discard"))
    }

    /// The range reads as zeroes; `thick`: space stays allocated.
    pub async fn write_zeroes(&self, offset: u64, len: u64, thick: bool, fua: bool) -> Result<()> {
        let _passage = self.session.admit(Io::Write, len).await;
        if thick {
            let zeroes = Bytes::from_static(&[0]);
            return self.session.write_same(offset, len, zeroes, fua).await;
        }
        self.session.clear(offset, len, true, fua).await.map_err(|error| error.during("write-zeroes"))
    }

    /// Writes `pattern` over and over; `len` is a multiple of its length, else `Invalid`.
    #[compiled_here]
    pub async fn write_same(&self, offset: u64, len: u64, pattern: Bytes) -> Result<()> {
        let _passage = self.session.admit(Io::Write, len).await;
        self.session.write_same(offset, len, pattern, false).await
    }

    /// Writes only if the present content equals `compare` (same length as `data`): else `Mismatch`.
    #[compiled_here]
    pub async fn compare_and_write(&self, offset: u64, compare: Bytes, data: Bytes) -> Result<()> {
        let _passage = self.session.admit(Io::Write, data.len() as u64).await;
        self.session.compare_and_write(offset, compare, data).await
    }

    /// What is stored of blocks (bytes of one: a power of two from 4096 to a client-visible object) that are all zeroes is given back,
    /// beside others that write. Progress is in objects. `Invalid`, `ReadOnly`.
    #[compiled_here]
    pub async fn sparsify(&self, block: u64, progress: Progress<'async_recursion>) -> Result<()> {
        self.session.sparsify(block, progress).await.map_err(|error| error.during("sparsify"))
    }

    /// Whatever the image's limits (`rbd_qos_*`) hold back goes on now, and nothing is limited any more: the image is about to be
    /// closed.
    pub fn lift_limits(&self) {
        self.session.shared.gate.lift();
    }

    /// Everything acknowledged before the call is durable when it returns.
    pub async fn flush(&self) -> Result<()> {
        self.session.flush().await.map_err(|error| error.during("flush"))
    }
}
