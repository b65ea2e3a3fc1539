//! What describes an image: the options it is created with and what an open one tells of itself.
use crate::{Bases, Executor, Features, ParentCache, Settings};
use lsd_store::{ObjectStore, PoolId};
use std::fmt;
use std::sync::Arc;

/// An image's immutable id: digits and lower-case letters, where librbd's are hexadecimal; opaque to clients.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImageId(pub String);

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a caller names an image.
#[derive(Clone, Debug)]
pub enum ImageRef {
    Name(String),
    Id(ImageId),
}

#[derive(Clone, Debug)]
pub struct CreateOptions {
    /// Bytes; need not be a multiple of anything.
    pub size: u64,
    /// log2 of the object size that clients see (12..=25, else `Domain`); lsd's own objects do not depend on it.
    pub order: u8,
    pub features: u64,
    /// Bytes; 0 means the object size.
    pub stripe_unit: u64,
    /// 0 where `stripe_unit` is 0, and only there.
    pub stripe_count: u64,
    /// Where the log's data goes; `None`: the pool of the header.
    pub data_pool: Option<PoolId>,
    /// A caller's choice of id (librbd's rbd_create never gives one; import and mirroring do).
    pub id: Option<ImageId>,
}

impl Default for CreateOptions {
    fn default() -> Self {
        Self {
            size: 0,
            order: 22,
            features: Features::DEFAULT,
            stripe_unit: 0,
            stripe_count: 0,
            data_pool: None,
            id: None,
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    pub read_only: bool,
    /// With `read_only`: every read shows the image as it was when it was opened, or fails (`Outdated`) where the owner has collected what
    /// that needs. Without it a handle that does not own the image shows what was durable a second ago at most.
    pub hold_moment: bool,
    /// Where neither the image nor its pool says otherwise.
    pub settings: Settings,
    /// The default namespace of the image's pool, where the pool's own options are; `None`: the image is in it.
    pub pool: Option<Arc<dyn ObjectStore>>,
    pub executor: Executor,
    /// The handle shows this snapshot, and is read-only.
    pub snapshot: Option<SnapRef>,
    /// Shared with other handles; `None`: what the handle reads of its parents it keeps for itself.
    pub parents: Option<ParentCache>,
    /// Who opens what the image shows where it was never written, if it has such a base.
    pub bases: Bases,
}

/// Which snapshot of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapRef {
    /// One of the user's.
    Name(String),
    Id(u64),
}

/// Seconds and nanoseconds since the epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timestamps {
    pub create_ns: u64,
    pub access_ns: u64,
    pub modify_ns: u64,
}

/// A snapshot of what an open image is. All sizes in bytes.
#[derive(Clone, Debug)]
pub struct ImageInfo {
    pub id: ImageId,
    pub name: String,
    pub size: u64,
    pub order: u8,
    pub features: u64,
    pub op_features: u64,
    pub flags: u64,
    pub stripe_unit: u64,
    pub stripe_count: u64,
    pub data_pool: PoolId,
    /// Prefix of the data objects' names, e.g. `lsd_data.10226b8b4567`.
    pub block_name_prefix: String,
    pub timestamps: Timestamps,
}

/// A range of the image that has data (or is known to read as zeroes).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    pub offset: u64,
    pub len: u64,
    pub data: bool,
}

/// Something about an open image changed (rbd_update_watch).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateEvent {
    /// Size, features, metadata or name.
    Header,
}

/// What a client is told that wants to be quiet while a snapshot is taken (rbd_quiesce_watch).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuiesceEvent {
    /// Become quiet and say so ([`crate::Image::quiesce_complete`]).
    Quiesce,
    /// Go on.
    Unquiesce,
}

/// Whether a snapshot waits for clients that want to be quiet before it (`rbd_default_snapshot_quiesce_mode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Quiesce {
    /// Where one of them cannot, or says nothing in time, there is no snapshot.
    #[default]
    Required,
    /// The snapshot is taken all the same.
    IgnoreErrors,
    /// Nobody is asked.
    Skip,
}
