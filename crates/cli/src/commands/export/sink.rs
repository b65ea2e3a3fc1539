//! Where an export goes: a new file, in which zeroes stay holes, or standard output.
use crate::commands::transfer::is_zero;
use lsd_engine::{ReadData, ReadPiece};
use std::fs::{File, OpenOptions};
use std::io::{Error, Result, Stdout, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Reads that wait for the thread that writes.
const QUEUED_READS_MAX: usize = 4;
/// Zeroes for a stream are written in pieces of this many bytes.
const ZERO_BYTES: usize = 64 << 10;

#[derive(Debug)]
pub enum Sink {
    File(File),
    /// `at`: bytes written so far.
    Stream {
        out: Stdout,
        at: u64,
    },
}

impl Sink {
    /// `-` is standard output; a file must be new.
    pub fn open(path: &str) -> Result<Self> {
        if path == "-" {
            return Ok(Self::Stream { out: std::io::stdout(), at: 0 });
        }
        Ok(Self::File(OpenOptions::new().write(true).create_new(true).mode(0o644).open(path)?))
    }

    /// Writes from now on, on a thread that may block.
    pub fn start(mut self) -> Writer {
        let (sender, mut receiver) = mpsc::channel::<(u64, ReadData)>(QUEUED_READS_MAX);
        let written = Arc::new(AtomicU64::new(0));
        let so_far = written.clone();
        let thread = tokio::task::spawn_blocking(move || {
            while let Some((offset, data)) = receiver.blocking_recv() {
                self.write(offset, &data)?;
                so_far.store(offset + data.len(), Ordering::Relaxed);
            }
            Ok(self)
        });
        Writer { sender, thread, written }
    }

    fn write(&mut self, offset: u64, data: &ReadData) -> Result<()> {
        match self {
            Sink::File(file) => write_holey(file, offset, data),
            Sink::Stream { out, at } => {
                zeroes(out, offset - *at)?;
                for piece in &data.pieces {
                    match piece {
                        ReadPiece::Data(bytes) => out.write_all(bytes)?,
                        ReadPiece::Zero(len) => zeroes(out, *len)?,
                    }
                }
                *at = offset + data.len();
                Ok(())
            }
        }
    }

    /// Everything after the last data is zeroes, up to `size`.
    fn end(self, size: u64) -> Result<()> {
        match self {
            Sink::File(file) => file.set_len(size),
            Sink::Stream { mut out, at } => {
                zeroes(&mut out, size - at)?;
                out.flush()
            }
        }
    }
}

/// The thread that writes.
#[derive(Debug)]
pub struct Writer {
    sender: mpsc::Sender<(u64, ReadData)>,
    thread: JoinHandle<Result<Sink>>,
    written: Arc<AtomicU64>,
}

impl Writer {
    /// Offsets must ascend. False when writing failed; [`Self::finish`] says why.
    pub async fn write(&mut self, offset: u64, data: ReadData) -> bool {
        self.sender.send((offset, data)).await.is_ok()
    }

    /// Up to where everything has been written, bytes.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Waits for everything that was handed over; the whole is `size` bytes then.
    pub async fn finish(self, size: u64) -> Result<()> {
        drop(self.sender);
        let stopped = |_| Error::other("the writing thread stopped");
        let sink = self.thread.await.map_err(stopped)??;
        tokio::task::spawn_blocking(move || sink.end(size)).await.map_err(stopped)?
    }
}

fn write_holey(file: &File, offset: u64, data: &ReadData) -> Result<()> {
    let mut at = offset;
    for piece in &data.pieces {
        if let ReadPiece::Data(bytes) = piece
            && !is_zero(bytes)
        {
            file.write_all_at(bytes, at)?;
        }
        at += piece.len();
    }
    Ok(())
}

fn zeroes(out: &mut dyn Write, mut len: u64) -> Result<()> {
    let block = [0; ZERO_BYTES];
    while len > 0 {
        let now = len.min(ZERO_BYTES as u64);
        out.write_all(&block[..now as usize])?;
        len -= now;
    }
    Ok(())
}
