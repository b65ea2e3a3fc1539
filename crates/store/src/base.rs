//! Bases: what an image shows where it was never written.
//!
//! Owns: what a base must do, and the base that is a file. Does not own: who opens them (`bases.rs`), which image has one, and up to
//! where it shows it (the engine), the bytes in the header (crate `lsd-core`).
//!
//! A base is read-only, and stays as it is as long as an image needs it: an image that finds another one in its place does not open.
mod file;

use crate::StoreFuture;
use bytes::Bytes;
pub use file::{FILE_BASE, FileBase};
use std::fmt;
use std::ops::Range;

/// A read-only source of bytes.
///
/// No operation gives anything but what was there when the image was made: where that is gone or changed, it fails.
pub trait Base: Send + Sync + fmt::Debug {
    /// For messages.
    fn name(&self) -> String;

    /// Bytes.
    fn size(&self) -> u64;

    /// Exactly these bytes; they lie inside.
    fn read(&self, offset: u64, len: u64) -> StoreFuture<Bytes>;

    /// What of a range, which lies inside, may be anything but zeroes: in order, apart from each other. All of it where nothing is known.
    fn data(&self, offset: u64, len: u64) -> StoreFuture<Vec<Range<u64>>>;
}

/// A base as an image's header names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseSpec {
    /// What sort of base it is.
    pub kind: String,
    /// Where it is.
    pub spec: String,
    /// What it was when the image was made.
    pub identity: String,
    /// Bytes that it had then.
    pub size: u64,
}
