//! One lsd image at run time, over any object store.
//!
//! Owns: the catalog of a pool, and an open image: writer, reader, cache, checkpoints, recovery, lock. Does not own:
//! formats and map (crate `lsd-core`), the store (crate `lsd-store`), the C API (crate `lsd-librbd`).
//! It never names RADOS. Every future must be polled inside a tokio runtime.
mod api;
mod append;
mod catalog;
mod check;
mod checkpoint;
mod collect;
mod group;
mod image;
mod lifecycle;
mod migration;
mod objects;
mod ownership;
mod pool_stats;
mod read;
mod reclaim;
mod recovery;
mod session;
mod shared;
mod ties;
mod write;

/// On an `async fn`: the caller gets its future in a box. Else everything that awaits it, in whatever crate or test program, would compile
/// it anew with all that it awaits in turn: the whole engine, a dozen times over. Not on what every read and write passes.
pub(crate) use async_recursion::async_recursion as compiled_here;

pub use api::bases::{BaseInfo, Bases};
pub use api::clock::Clock;
pub use api::config::{ConfigOption, ConfigSource, client_config, is_overridable, pool_config};
pub use api::error::{Error, ErrorKind, Result};
pub use api::executor::Executor;
pub use api::features::Features;
pub use api::info::{
    CreateOptions, Extent, ImageId, ImageInfo, ImageRef, OpenOptions, Quiesce, QuiesceEvent, SnapRef, Timestamps,
    UpdateEvent,
};
pub use api::io_limits::{IoLimits, Limited};
pub use api::options::{DEFAULT_FORMAT_OPTION, Options, STOCK_LIBRARY_OPTION, unknown_options};
pub use api::parent_cache::ParentCache;
pub use api::pool_metadata::PoolMetadata;
pub use api::read_data::{ReadData, ReadPiece, ReadTarget};
pub use api::settings::{AckMode, Settings};
pub use api::stats::{ClientStats, Stat};
pub use api::write_data::WriteData;
pub use catalog::namespaces::Namespaces;
pub use catalog::{Catalog, CatalogEntry};
pub use check::{CheckReport, Checked, Fault, Finding, RepairOptions, RepairReport, Severity};
pub use group::{GroupImage, GroupSnapshot, GroupSnapshotPart, Groups};
pub use image::{Child, DeepCopy, GroupName, Image, Locks, Metadata, Parent, SnapInfo, Snapshots, Trash, TrashEntry};
pub use lifecycle::clone::{CloneFormat, CloneOptions};
pub use lsd_core::format::header::{MigrationState, SnapNamespace, TrashSource};
pub use lsd_core::gc::{Space, Thresholds};
pub use lsd_core::rate::Limit;
pub use migration::{MigrationOptions, MigrationSide, MigrationStatus, Migrations};
pub use pool_stats::{ImageCounts, PoolStats};
pub use shared::seldom::Seldom;

/// Called by long operations with (done, total) in operation-specific units; a returned error ends the
/// operation and is its result (librbd's `librbd_progress_fn_t`).
pub type Progress<'a> = &'a (dyn Fn(u64, u64) -> Result<()> + Send + Sync);
