//! The C API of librbd over the lsd engine.
//!
//! Owns: pointers, errno, handles, completions, the threads that callbacks run on, and passing on what is asked of a stock RBD
//! image. Does not own: any decision about an image (crate `lsd-engine`) or about RADOS (crate `lsd-rados`). Every function that librbd exports up to
//! Ceph 20 is here; those that are not supported yet are in `api/unsupported.rs`, and `docs/COMPAT.md` says of each
//! what it does.
//!
//! Six layers. Each knows those below it only, and no modules form a circle (`tests/tidy/`):
//!
//! ```text
//!   face       what clients find: each function once, and which library answers
//!    |   \
//!   api    \    the functions of librbd.h for lsd's images, a file for each section
//!    |    stock    the distribution's librbd, for RBD's images: loaded when the first one is needed
//!    |   /
//!   handles    what a C pointer stands for: image, completion, options, pool
//!    |    \
//!    |    runtime    threads, tasks, and the one thread on which callbacks run; knows nothing of C
//!    |
//!   ffi        types, errors and memory of C; no panic goes beyond it
//! ```
//!
//! **Invariants.** No panic crosses into C. No handle is ever dereferenced: it is looked up. No callback of a caller
//! runs inside the call that started its operation.
mod api;
mod face;
mod ffi;
mod handles;
mod runtime;
mod stock;
