//! A new file or standard output, written in order.
use bytes::Bytes;
use std::fs::OpenOptions;
use std::io::{BufWriter, Error, Result, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// What waits for the thread that writes, in pieces that were handed over.
const QUEUED_PIECES_MAX: usize = 4;
const BUFFER_BYTES: usize = 64 << 10;

pub struct Output {
    out: BufWriter<Box<dyn Write + Send>>,
    /// `None`: standard output.
    path: Option<PathBuf>,
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Output {
    /// `-` is standard output; a file must be new.
    pub fn open(path: &str) -> Result<Self> {
        let (out, path): (Box<dyn Write + Send>, _) = match path {
            "-" => (Box::new(std::io::stdout()), None),
            path => {
                let file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(path)?;
                (Box::new(file), Some(path.into()))
            }
        };
        Ok(Self { out: BufWriter::with_capacity(BUFFER_BYTES, out), path })
    }

    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes)
    }

    pub fn end(&mut self) -> Result<()> {
        self.out.flush()
    }

    /// What takes the file away again where it could not be completed.
    pub fn removal(&self) -> impl FnOnce() + use<> {
        let path = self.path.clone();
        move || {
            // It may be gone; the failure that led here is what counts.
            let _ = path.map(std::fs::remove_file);
        }
    }

    /// Writes from now on, on a thread that may block.
    pub fn start(mut self) -> Writer {
        let (sender, mut receiver) = mpsc::channel::<Vec<Bytes>>(QUEUED_PIECES_MAX);
        let thread = tokio::task::spawn_blocking(move || {
            while let Some(pieces) = receiver.blocking_recv() {
                pieces.iter().try_for_each(|piece| self.write(piece))?;
            }
            self.end()
        });
        Writer { sender, thread }
    }
}

/// The thread that writes.
#[derive(Debug)]
pub struct Writer {
    sender: mpsc::Sender<Vec<Bytes>>,
    thread: JoinHandle<Result<()>>,
}

impl Writer {
    /// False when writing failed; [`Self::finish`] says why.
    pub async fn write(&self, pieces: Vec<Bytes>) -> bool {
        self.sender.send(pieces).await.is_ok()
    }

    /// Waits for everything that was handed over.
    pub async fn finish(self) -> Result<()> {
        drop(self.sender);
        self.thread.await.map_err(|_| Error::other("the writing thread stopped"))?
    }
}
