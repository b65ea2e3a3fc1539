//! Safe asynchronous librados, and the object store on it.
//!
//! Owns: connections ([`Cluster`]), pools ([`IoCtx`]), compound operations ([`WriteOp`], [`ReadOp`]), locks, watches,
//! the adoption of handles that a C caller made, and [`RadosStore`], which is lsd's object store on RADOS. Does not
//! own: what the bytes mean, retries, the C interface of librbd.
//!
//! Object operations are submitted in the call, complete on librados' own threads, and return plain futures that need
//! no runtime. Everything such an operation needs is owned by it until librados is done with it, so a future may be
//! dropped or forgotten at any time; the operation goes on. Submitting waits while the connection has as much in
//! flight as `objecter_inflight_ops` (1024) and `objecter_inflight_op_bytes` (100 MiB) allow. What says so blocks:
//! run it on a thread that may.
mod append_op;
mod callback;
mod cluster;
mod completion;
pub mod conf_file;
mod connections;
mod error;
mod ioctx;
mod lock;
mod options;
mod own_settings;
mod read_data;
mod read_op;
pub mod stock;
mod store;
mod text;
mod watch;
mod watchers;
mod write_op;

pub use append_op::AppendOp;
pub use callback::on_librados_thread;
pub use cluster::{Cluster, ClusterStat, ClusterUse};
pub use error::{RadosError, RadosResult};
pub use ioctx::{IoCtx, ObjectStat, PoolStat};
pub use lock::{LockDuration, LockSpec};
pub use options::ConnectOptions;
pub use read_op::{OmapPage, ReadOp, ReadOutcome};
pub use store::RadosStore;
pub use watch::Watch;
pub use write_op::{Compare, OpFlags, Operation, Target, WriteOp};
