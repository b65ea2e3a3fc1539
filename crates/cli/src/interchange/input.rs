//! A file or standard input, read in order.
use crate::error::{Failure, Result};
use nix::libc;
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read, Stdin};

/// What is skipped of a stream is read in pieces of this many bytes.
const SKIPPED_BYTES: u64 = 64 << 10;

#[derive(Debug)]
enum Source {
    File(BufReader<File>),
    Stream(BufReader<Stdin>),
    #[cfg(test)]
    Bytes(std::io::Cursor<Vec<u8>>),
}

impl Source {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<()> {
        match self {
            Source::File(file) => file.read_exact(into),
            Source::Stream(stream) => stream.read_exact(into),
            #[cfg(test)]
            Source::Bytes(bytes) => bytes.read_exact(into),
        }
    }
}

/// Blocks while it reads: it is for a thread of its own.
#[derive(Debug)]
pub struct Input {
    source: Source,
    /// Bytes that were taken.
    at: u64,
    /// Bytes of a regular file.
    size: Option<u64>,
}

impl Input {
    /// `-` is standard input.
    pub fn open(path: &str) -> Result<Self> {
        if path == "-" {
            return Ok(Self { source: Source::Stream(BufReader::new(std::io::stdin())), at: 0, size: None });
        }
        Self::open_file(path)
    }

    /// The same where `-` is the name of a file.
    pub fn open_file(path: &str) -> Result<Self> {
        let errno = |error: std::io::Error| error.raw_os_error().unwrap_or(libc::EIO);
        let file = File::open(path).map_err(|error| Failure::new(errno(error), format!("error opening {path}")))?;
        let kind = file.metadata().map_err(|error| Failure::new(errno(error), format!("stat error {path}")))?;
        let size = kind.is_file().then_some(kind.len());
        Ok(Self { source: Source::File(BufReader::new(file)), at: 0, size })
    }

    #[cfg(test)]
    pub fn of(bytes: &[u8]) -> Self {
        Self { source: Source::Bytes(std::io::Cursor::new(bytes.to_vec())), at: 0, size: Some(bytes.len() as u64) }
    }

    pub fn at(&self) -> u64 {
        self.at
    }

    /// `None` for what has no size until it ends.
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// Fills the buffer; `EDOM` where the input ends before that. `what` cannot be decoded then.
    pub fn fill(&mut self, into: &mut [u8], what: &str) -> Result<()> {
        self.source.read(into).map_err(|error| undecoded(&error, what))?;
        self.at += into.len() as u64;
        Ok(())
    }

    pub fn byte(&mut self, what: &str) -> Result<u8> {
        let mut bytes = [0; 1];
        self.fill(&mut bytes, what)?;
        Ok(bytes[0])
    }

    pub fn u64(&mut self, what: &str) -> Result<u64> {
        let mut bytes = [0; 8];
        self.fill(&mut bytes, what)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// Its length, then its bytes. `EINVAL`: it has more than `most` bytes, or is no text.
    pub fn string(&mut self, most: u32, what: &str) -> Result<String> {
        let mut len = [0; 4];
        self.fill(&mut len, what)?;
        let len = u32::from_le_bytes(len);
        let wrong = || Failure::invalid(format!("failed to decode {what}"));
        if len > most {
            return Err(wrong());
        }
        let mut bytes = vec![0; len as usize];
        self.fill(&mut bytes, what)?;
        String::from_utf8(bytes).map_err(|_| wrong())
    }

    pub fn skip(&mut self, len: u64, what: &str) -> Result<()> {
        if let (Source::File(file), Some(size)) = (&mut self.source, self.size) {
            let cut = || undecoded(&ErrorKind::UnexpectedEof.into(), what);
            let end = self.at.checked_add(len).filter(|end| *end <= size).ok_or_else(cut)?;
            file.seek_relative(len as i64).map_err(|error| undecoded(&error, what))?;
            self.at = end;
            return Ok(());
        }
        let mut left = len;
        let mut skipped = [0; SKIPPED_BYTES as usize];
        while left > 0 {
            let now = left.min(SKIPPED_BYTES);
            self.fill(&mut skipped[..now as usize], what)?;
            left -= now;
        }
        Ok(())
    }
}

fn undecoded(error: &std::io::Error, what: &str) -> Failure {
    let errno = match error.kind() {
        ErrorKind::UnexpectedEof => libc::EDOM,
        _ => error.raw_os_error().unwrap_or(libc::EIO),
    };
    Failure::new(errno, format!("failed to decode {what}"))
}
