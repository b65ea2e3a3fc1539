//! What a C pointer stands for.
//!
//! Owns: the objects behind `rbd_image_t`, `rbd_completion_t`, `rbd_image_options_t` and `rados_ioctx_t`, that a dead
//! handle is an error, and that a panic poisons its image only. Does not own: any function of `librbd.h` (layer `api`).
pub mod completion;
pub mod done;
pub mod entry;
pub mod events;
pub mod image;
pub mod layout;
pub mod listener;
pub mod options;
pub mod pool;
pub mod quiesce;
pub mod slab;
pub mod view;
