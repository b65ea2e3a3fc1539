//! The C API of librbd over the lsd engine.
//!
//! Owns: pointers, errno, handles, completions, and the threads that callbacks run on. Does not own: any decision
//! about an image (crate `lsd-engine`) or about RADOS (crate `lsd-rados`). Every function that librbd exports up to
//! Ceph 20 is here; those that are not supported yet are in `unsupported.rs`, and `docs/COMPAT.md` says of each what
//! it does.
//!
//! **Invariants.** No panic crosses into C. No handle is ever dereferenced: it is looked up. No callback of a caller
//! runs inside the call that started its operation.
mod aio;
mod caller;
mod completion;
mod copy;
mod create;
mod ctypes;
mod deliver;
mod diff;
mod discard;
mod errno;
mod features;
mod image;
mod info;
mod io;
mod list;
mod locks;
mod log;
mod metadata;
mod namespace;
mod notify;
mod open;
mod operation;
mod options;
mod panic;
mod plain;
mod pool;
mod progress;
mod runtime;
mod slab;
mod task;
mod unsupported;
mod version;
mod watch;
