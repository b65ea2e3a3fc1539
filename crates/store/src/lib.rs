//! The object store that lsd's engine runs on.
//!
//! Owns: the [`ObjectStore`] trait and its parts, its error type, the contract suite every implementation passes
//! ([`contract`]), the memory store and the directory store, and what
//! an image shows where it was never written ([`Base`]). Does not own: RADOS (crate `lsd-rados`), any
//! knowledge of what the bytes mean (crate `lsd-core`), retry policy (crate `lsd-engine`).
mod base;
mod bases;
pub mod contract;
mod dir;
mod error;
mod foreign;
mod locks;
mod memory;
mod parts;

pub use base::{Base, BaseSpec, FILE_BASE, FileBase};
pub use bases::{FileBases, OpenBases};
pub use dir::{DIR_MAX_WRITE, DirStore};
pub use error::{StoreError, StoreErrorKind};
pub use foreign::{ForeignDisk, ForeignFacts, ForeignFound, ForeignImage, ForeignPlace};
pub use memory::{MEMORY_MAX_WRITE, MEMORY_POOL, MemoryCluster, MemoryReads, MemoryStore};
pub use parts::blobs::Blobs;
pub use parts::keyed::{Keyed, KvExpect, KvMap, KvPresence, KvUpdate};
pub use parts::logs::{Append, LogTail, Logs};
pub use parts::object::{ObjectName, StoreFuture};
pub use parts::pools::{ObjectStore, PoolId, PoolUse, Pools, StoreLimits, StoreRoom};
pub use parts::presence::{
    LockMode, LockRequest, LockState, Locker, NotifyReply, Presence, WatchHandler, WatchId, Watcher,
};
