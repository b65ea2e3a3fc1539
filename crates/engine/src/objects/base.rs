//! The base of an image: opening it, and what its failures are to who reads the image.
//!
//! Owns: letting go of it, that a base which is gone or changed is an error, never zeroes, and never looks like a segment that was moved. Does not own:
//! what is the base's (`lsd_core::map`), reading the rest (`read/`).
use crate::objects::Objects;
use crate::objects::parallel;
use crate::{Bases, Error, ErrorKind, ImageId, Result};
use bytes::Bytes;
use futures::FutureExt;
use lsd_core::format::header::BaseRecord;
use lsd_store::{Base, BaseSpec, StoreError, StoreErrorKind};
use std::ops::Range;
use std::sync::Arc;

/// One read of a base has at most so many bytes; a longer range is read by several, side by side.
pub(crate) const BASE_READ_BYTES: u64 = 1 << 20;

/// `Corrupt`: it is gone, or not what it was; `Unsupported`: nobody here opens such a base.
pub(crate) async fn open(record: Option<&BaseRecord>, bases: &Bases) -> Result<Option<Arc<dyn Base>>> {
    let Some(record) = record else { return Ok(None) };
    let opened = bases.0.open(&spec_of(record)).await;
    opened.map(Some).map_err(|error| failed(&name_of(record), &error))
}

/// The image needs it no more. What is undone already is right, also where the base's place is gone. `Unsupported`: nobody here can.
pub(crate) async fn let_go(record: &BaseRecord, bases: &Bases, image: &ImageId) -> Result<()> {
    match bases.0.let_go(&spec_of(record), &image.0).await {
        Err(error) if error.kind != StoreErrorKind::NotFound => Err(failed(&name_of(record), &error)),
        _ => Ok(()),
    }
}

/// Whether it is kept for the image. `Unsupported`: nobody here can tell.
pub(crate) async fn is_kept(record: &BaseRecord, bases: &Bases, image: &ImageId) -> Result<bool> {
    let looked = bases.0.is_kept(&spec_of(record), &image.0).await;
    looked.map_err(|error| failed(&name_of(record), &error))
}

/// Keeps it for the image from here on. `Corrupt`: it is gone.
pub(crate) async fn keep(record: &BaseRecord, bases: &Bases, image: &ImageId) -> Result<()> {
    let kept = bases.0.keep(&spec_of(record), &image.0).await;
    kept.map_err(|error| failed(&name_of(record), &error))
}

fn spec_of(record: &BaseRecord) -> BaseSpec {
    let BaseRecord { kind, spec, identity, size, .. } = record.clone();
    BaseSpec { kind, spec, identity, size }
}

fn name_of(record: &BaseRecord) -> String {
    format!("{}:{}", record.kind, record.spec)
}

/// What becomes of an error of a base. None of them is `NotFound`: that is what a reader is told of data that was moved.
fn failed(name: &str, error: &StoreError) -> Error {
    let kind = match error.kind {
        StoreErrorKind::Unsupported => ErrorKind::Unsupported,
        StoreErrorKind::Permission => ErrorKind::Permission,
        StoreErrorKind::TimedOut => ErrorKind::TimedOut,
        StoreErrorKind::NotFound | StoreErrorKind::Stale | StoreErrorKind::Invalid => ErrorKind::Corrupt,
        _ => ErrorKind::Io { errno: error.errno },
    };
    Error::new(kind, format!("the image's base {name}: {error}"))
}

impl Objects {
    fn base(&self) -> Result<&Arc<dyn Base>> {
        self.base.as_ref().ok_or_else(|| Error::new(ErrorKind::Corrupt, "the image's base is not open"))
    }

    /// Bytes of the base, at most [`BASE_READ_BYTES`].
    pub(crate) async fn read_base(&self, offset: u64, len: u64) -> Result<Bytes> {
        let base = self.base()?;
        let bytes = base.read(offset, len).await.map_err(|error| failed(&base.name(), &error))?;
        if bytes.len() as u64 != len {
            let why = format!("the image's base {}: {} of {len} bytes at {offset}", base.name(), bytes.len());
            return Err(Error::new(ErrorKind::Corrupt, why));
        }
        Ok(bytes)
    }

    /// Several ranges of it, side by side.
    pub(crate) async fn read_base_ranges(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let reads = ranges.iter().map(|range| self.read_base(range.start, range.end - range.start).boxed());
        parallel::try_all(reads.collect()).await
    }

    /// What of a range of the base may be anything but zeroes; in order.
    pub(crate) async fn base_data(&self, offset: u64, len: u64) -> Result<Vec<Range<u64>>> {
        let base = self.base()?;
        base.data(offset, len).await.map_err(|error| failed(&base.name(), &error))
    }
}

/// A range in the parts that one read each may have.
pub(crate) fn parts(range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let starts = (range.start..range.end).step_by(BASE_READ_BYTES as usize);
    starts.map(move |start| start..range.end.min(start + BASE_READ_BYTES))
}
