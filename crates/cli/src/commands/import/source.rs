//! What is imported: a file or device, whose holes are skipped, or a stream.
use crate::commands::transfer::CHUNK_BYTES;
use crate::error::{Failure, Result};
use bytes::Bytes;
use nix::errno::Errno;
use nix::libc;
use nix::unistd::{Whence, lseek};
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, FileTypeExt};
use tokio::sync::mpsc;

/// Chunks that wait between the thread that reads and the task that writes. The reader waits beyond it.
const QUEUED_CHUNKS_MAX: usize = 8;

/// Content at an offset of the image.
#[derive(Clone, Debug)]
pub struct Chunk {
    pub offset: u64,
    pub data: Bytes,
}

/// An open source.
#[derive(Debug)]
pub enum Source {
    File { file: File, size: u64 },
    Stream(Box<dyn ReadDebug>),
}

/// A readable stream that can be printed while debugging.
pub trait ReadDebug: Read + Send + std::fmt::Debug {}
impl<T: Read + Send + std::fmt::Debug> ReadDebug for T {}

impl Source {
    /// `-` is standard input.
    pub fn open(path: &str) -> Result<Self> {
        if path == "-" {
            return Ok(Self::Stream(Box::new(std::io::stdin())));
        }
        let errno = |error: std::io::Error| error.raw_os_error().unwrap_or(libc::EIO);
        let file = File::open(path).map_err(|error| Failure::new(errno(error), format!("error opening {path}")))?;
        let kind = file.metadata().map_err(|error| Failure::new(errno(error), format!("stat error {path}")))?;
        if kind.is_dir() {
            return Err(Failure::new(libc::EISDIR, "cannot import a directory"));
        }
        if !kind.is_file() && !kind.file_type().is_block_device() {
            return Ok(Self::Stream(Box::new(file)));
        }
        let mut file = file;
        let unsized_file = |error| Failure::new(errno(error), "unable to get size of file/block device");
        let size = file.seek(SeekFrom::End(0)).map_err(unsized_file)?;
        Ok(Self::File { file, size })
    }

    /// Bytes; `None` for a stream, whose end shows only when it is reached.
    pub fn size(&self) -> Option<u64> {
        match self {
            Source::File { size, .. } => Some(*size),
            Source::Stream(_) => None,
        }
    }

    /// Reads on a thread of its own, in order. Holes of a file are left out. An
    /// error is the last item.
    pub fn chunks(self) -> mpsc::Receiver<Result<Chunk>> {
        let (sender, receiver) = mpsc::channel(QUEUED_CHUNKS_MAX);
        std::thread::spawn(move || {
            let read = match self {
                Source::File { file, size } => read_file(&file, size, &sender),
                Source::Stream(stream) => read_stream(stream, &sender),
            };
            if let Err(error) = read {
                let errno = error.raw_os_error().unwrap_or(libc::EIO);
                // The task that writes may have given up already.
                let _ = sender.blocking_send(Err(Failure::errno("error reading the source", errno)));
            }
        });
        receiver
    }
}

type Sender = mpsc::Sender<Result<Chunk>>;

/// Sends a chunk; false when nobody wants it any more.
fn send(sender: &Sender, offset: u64, data: Vec<u8>) -> bool {
    sender.blocking_send(Ok(Chunk { offset, data: data.into() })).is_ok()
}

fn read_file(file: &File, size: u64, sender: &Sender) -> std::io::Result<()> {
    let mut offset = 0;
    while offset < size {
        let Some(data) = next_data(file, offset)?.filter(|data| *data < size) else { break };
        // Chunks stay aligned, so that what one request writes another does not write again.
        offset = data.max(offset) / CHUNK_BYTES * CHUNK_BYTES;
        let end = size.min(offset + CHUNK_BYTES);
        let mut buffer = vec![0; (end - offset) as usize];
        file.read_exact_at(&mut buffer, offset)?;
        if !send(sender, offset, buffer) {
            break;
        }
        offset = end;
    }
    Ok(())
}

/// Where data begins at or after an offset; `None`: only a hole follows. Where the file cannot tell, all is data.
fn next_data(file: &File, offset: u64) -> std::io::Result<Option<u64>> {
    match lseek(file, offset as i64, Whence::SeekData) {
        Ok(data) => Ok(Some(data as u64)),
        Err(Errno::ENXIO) => Ok(None),
        Err(Errno::EINVAL | Errno::ENOTSUP) => Ok(Some(offset)),
        Err(errno) => Err(errno.into()),
    }
}

fn read_stream(mut stream: Box<dyn ReadDebug>, sender: &Sender) -> std::io::Result<()> {
    let mut offset = 0;
    loop {
        let mut buffer = vec![0; CHUNK_BYTES as usize];
        let len = read_full(&mut stream, &mut buffer)?;
        let at_end = len < buffer.len();
        buffer.truncate(len);
        if len > 0 && !send(sender, offset, buffer) {
            return Ok(());
        }
        offset += len as u64;
        if at_end {
            return Ok(());
        }
    }
}

/// Reads until the buffer is full or the stream ends.
fn read_full(stream: &mut dyn Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match stream.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(len) => filled += len,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
