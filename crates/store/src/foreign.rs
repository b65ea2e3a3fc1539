//! Images of another kind, which another library keeps: what a migration from one needs of it.
//!
//! Owns: what such an image must do. Does not own: in which order it is asked for it (the engine's `migration/foreign`).
//!
//! Every operation may be repeated: what is done already is right.
use crate::{BaseSpec, PoolId, StoreError, StoreErrorKind, StoreFuture};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Where such an image is, by what does not change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignPlace {
    /// What kind of image it is.
    pub kind: String,
    pub pool: PoolId,
    pub namespace: String,
    pub id: String,
}

/// What is seen of one before it is moved.
#[derive(Clone, Debug, Default)]
pub struct ForeignFacts {
    /// Bytes.
    pub size: u64,
    /// log2 of its objects' size.
    pub order: u8,
    /// The same bits as an image's features have.
    pub features: u64,
    pub metadata: BTreeMap<String, String>,
    /// Why it cannot be moved, in words, if it cannot.
    pub refused: Option<String>,
}

/// One that a migration was begun of, or that has a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignFound {
    pub place: ForeignPlace,
    /// What was noted with it when it was set aside.
    pub note: Option<String>,
}

/// An image of another kind.
pub trait ForeignImage: Send + Sync + fmt::Debug {
    fn facts(&self) -> StoreFuture<ForeignFacts>;

    /// What was noted when it was set aside, until it was forgotten.
    fn note(&self) -> StoreFuture<Option<String>>;

    /// Notes what leads to the image that takes its place, and then takes its name from it: nobody opens it by that any more, and it is not
    /// removed. `Busy`: it is in use, or something is noted already.
    fn set_aside(&self, name: &str, note: &str) -> StoreFuture<()>;

    /// What it has now stays, for the image of lsd of this id, and can be opened as a base. `Busy`: somebody has it open.
    fn freeze(&self, image: &str) -> StoreFuture<BaseSpec>;

    /// Opens it to be written to, by nobody else meanwhile. `Busy`: another client has it open.
    fn open(&self) -> StoreFuture<Arc<dyn ForeignDisk>>;

    /// It has its name again, unless it has one. `Exists`: another image has it.
    fn give_name_back(&self, name: &str) -> StoreFuture<()>;

    /// Undoes what [`ForeignImage::freeze`] did, which nobody needs any more.
    fn thaw(&self, image: &str) -> StoreFuture<()>;

    /// Forgets what was noted, if it is this.
    fn forget(&self, note: &str) -> StoreFuture<()>;

    /// Removes it, with what was frozen, from where it was set aside.
    fn remove(&self, image: &str) -> StoreFuture<()>;
}

/// One that is open to be written to.
pub trait ForeignDisk: Send + Sync + fmt::Debug {
    /// Bytes.
    fn size(&self) -> StoreFuture<u64>;

    fn resize(&self, size: u64) -> StoreFuture<()>;

    /// What of a range may be anything but zeroes: in order, apart from each other.
    fn data(&self, offset: u64, len: u64) -> StoreFuture<Vec<Range<u64>>>;

    fn read(&self, offset: u64, len: u64) -> StoreFuture<Bytes>;

    fn write(&self, offset: u64, data: Bytes) -> StoreFuture<()>;

    /// The range reads as zeroes afterwards.
    fn zero(&self, offset: u64, len: u64) -> StoreFuture<()>;

    /// `None`: the key goes.
    fn set_metadata(&self, key: &str, value: Option<&str>) -> StoreFuture<()>;

    /// What was written is durable.
    fn flush(&self) -> StoreFuture<()>;

    /// Others may have it again. Nothing else is asked of it afterwards.
    fn close(&self) -> StoreFuture<()>;
}

pub(crate) fn unsupported<T: Send + 'static>(kind: &str) -> StoreFuture<T> {
    let reason = format!("this program knows no images of kind {kind:?}");
    let error = StoreError::new(StoreErrorKind::Unsupported, "open", kind).with_detail(reason);
    Box::pin(async { Err(error) })
}
