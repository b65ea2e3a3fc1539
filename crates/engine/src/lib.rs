//! One lsd image at run time, over any object store.
//!
//! Owns: the catalog of a pool, and an open image: writer, reader, cache, checkpoints, recovery, lock. Does not own:
//! formats and map (crate `lsd-core`), the store (crate `lsd-store`), the C API (crate `lsd-librbd`).
//! It never names RADOS. Every future must be polled inside a tokio runtime.
mod ahead;
mod appender;
mod background;
mod buffers;
mod catalog;
mod check;
mod checkpoint;
mod clock;
mod described;
mod desk;
mod error;
mod executor;
mod features;
mod fetch;
mod follow;
mod gc;
mod handover;
mod header;
mod image;
mod info;
mod inner;
mod io;
mod layout;
mod leaf_ahead;
mod lifecycle;
mod limits;
mod live;
mod loader;
mod lock;
mod maintenance;
mod moved;
mod namespaces;
mod objects;
mod options;
mod pace;
mod parallel;
mod places;
mod pool_metadata;
mod protocol;
mod ranges;
mod read_data;
mod readahead;
mod reader;
mod recovery;
mod removal;
mod requests;
mod room;
mod segments;
mod settings;
mod shared;
mod state;
mod sums;
mod takeover;
mod turns;
mod waiters;
mod watch;
mod write_data;
mod writer;

pub use catalog::{Catalog, CatalogEntry};
pub use check::{CheckReport, Checked, Fault, Finding, RepairOptions, RepairReport, Severity};
pub use clock::Clock;
pub use error::{Error, ErrorKind, Result};
pub use executor::Executor;
pub use features::Features;
pub use image::Image;
pub use info::{CreateOptions, Extent, ImageId, ImageInfo, ImageRef, OpenOptions, Timestamps, UpdateEvent};
pub use lsd_core::gc::{Space, Thresholds};
pub use namespaces::Namespaces;
pub use options::{Options, unknown_options};
pub use pool_metadata::PoolMetadata;
pub use read_data::{ReadData, ReadPiece, ReadTarget};
pub use settings::{AckMode, Settings};
pub use write_data::WriteData;

/// Called by long operations with (done, total) in operation-specific units; a returned error ends the
/// operation and is its result (librbd's `librbd_progress_fn_t`).
pub type Progress<'a> = &'a (dyn Fn(u64, u64) -> Result<()> + Send + Sync);
