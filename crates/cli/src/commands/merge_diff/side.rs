//! One of the two differences that are merged, read in order.
//!
//! Owns: what it has next, the order of it, its end. Does not own: which of the two counts (`merge.rs`).
use crate::error::{Failure, Result};
use crate::interchange::diff::{Record, Version};
use crate::interchange::{Input, Output};
use nix::libc;

/// Data is copied in pieces of this many bytes.
const COPIED_BYTES: usize = 256 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Write,
    Zero,
    /// What the image has no more.
    Cut,
}

/// What is left of a part of the image of which the difference says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    pub kind: Kind,
    pub offset: u64,
    pub len: u64,
}

#[derive(Debug)]
pub struct Side {
    name: &'static str,
    input: Input,
    pub from: String,
    pub to: String,
    /// Bytes of the image afterwards.
    pub size: u64,
    /// The record that ended the head.
    pending: Option<Record>,
    pub part: Option<Part>,
    /// What stands next must not be before this.
    at: u64,
    pub ended: bool,
}

impl Side {
    /// Reads what stands before the data.
    pub fn open(name: &'static str, mut input: Input) -> Result<Self> {
        let words = format!("failed to parse {name} diff header");
        let mut read = || {
            if Version::read(&mut input)? != Version::One {
                return Err(Failure::invalid("invalid or unexpected diff banner"));
            }
            let (mut from, mut to, mut size) = Default::default();
            loop {
                match Record::read(&mut input, Version::One)? {
                    Record::From(name) => from = name,
                    Record::To(name) => to = name,
                    Record::Size(bytes) => size = bytes,
                    other => return Ok((from, to, size, other)),
                }
            }
        };
        let (from, to, size, pending) = read().map_err(|failure| Failure::new(failure.code, words))?;
        Ok(Self { name, input, from, to, size, pending: Some(pending), part: None, at: 0, ended: false })
    }

    pub fn offset(&self) -> u64 {
        self.part.map_or(self.at, |part| part.offset)
    }

    /// Takes up the next part, if there is none. `last`: what is said of the image behind the last one.
    pub fn refill(&mut self, last: impl FnOnce(u64) -> Option<Part>) -> Result<()> {
        if self.part.is_some() || self.ended {
            return Ok(());
        }
        let record = match self.pending.take() {
            Some(record) => Ok(record),
            None => Record::read(&mut self.input, Version::One),
        };
        let words = || format!("failed to read {} diff data chunk header", self.name);
        let (kind, offset, len) = match record.map_err(|failure| Failure::new(failure.code, words()))? {
            Record::Write { offset, len } if len > 0 => (Kind::Write, offset, len),
            Record::Zero { offset, len } if len > 0 => (Kind::Zero, offset, len),
            Record::End => {
                self.ended = true;
                self.check_order(self.size)?;
                self.part = last(self.size);
                return Ok(());
            }
            _ => return Err(Failure::new(libc::EOPNOTSUPP, words())),
        };
        self.check_order(offset)?;
        self.at = offset.checked_add(len).ok_or_else(|| Failure::invalid(words()))?;
        self.part = Some(Part { kind, offset, len });
        Ok(())
    }

    fn check_order(&self, offset: u64) -> Result<()> {
        if self.at <= offset {
            return Ok(());
        }
        let words = format!("out-of-order offset from {} diff ({} > {offset})", self.name, self.at);
        Err(Failure::new(libc::EOPNOTSUPP, words))
    }

    /// Writes the first `len` bytes of the part, which it has.
    pub fn copy(&mut self, len: u64, output: &mut Output) -> Result<()> {
        let words = "failed to merge diff chunk";
        let failed = |error: std::io::Error| Failure::new(error.raw_os_error().unwrap_or(libc::EIO), words);
        let Some(Part { kind, offset, .. }) = self.part else { return Ok(()) };
        let record = match kind {
            Kind::Write => Record::Write { offset, len },
            Kind::Zero => Record::Zero { offset, len },
            Kind::Cut => return self.advance(len),
        };
        output.write(&record.encode(Version::One)).map_err(failed)?;
        if kind == Kind::Write {
            let mut left = len;
            let mut bytes = vec![0; COPIED_BYTES.min(usize::try_from(left).unwrap_or(COPIED_BYTES))];
            while left > 0 {
                let now = left.min(bytes.len() as u64);
                let taken = self.input.fill(&mut bytes[..now as usize], words);
                taken.map_err(|failure| Failure::new(failure.code, words))?;
                output.write(&bytes[..now as usize]).map_err(failed)?;
                left -= now;
            }
        }
        self.advance(len)
    }

    /// Passes over the first `len` bytes of the part, which it has.
    pub fn skip(&mut self, len: u64) -> Result<()> {
        if self.part.is_some_and(|part| part.kind == Kind::Write) {
            let words = format!("failed to skip {} diff data", self.name);
            self.input.skip(len, "").map_err(|failure| Failure::new(failure.code, words))?;
        }
        self.advance(len)
    }

    fn advance(&mut self, by: u64) -> Result<()> {
        self.part = self.part.and_then(|Part { kind, offset, len }| {
            let part = Part { kind, offset: offset + by, len: len - by };
            (part.len > 0).then_some(part)
        });
        Ok(())
    }
}
