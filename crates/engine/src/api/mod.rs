//! What everybody above and below speaks of: errors, options, what an image is to its clients, limits.
//!
//! Owns: words and values. Does not own: anything that touches a store. It is the ground floor: it knows no other room.
pub(crate) mod bases;
pub(crate) mod clock;
pub(crate) mod config;
pub(crate) mod error;
pub(crate) mod executor;
pub(crate) mod features;
pub(crate) mod info;
pub(crate) mod io_limits;
pub(crate) mod limits;
pub(crate) mod live;
pub(crate) mod options;
pub(crate) mod parent_cache;
pub(crate) mod pool_metadata;
pub(crate) mod read_data;
pub(crate) mod settings;
pub(crate) mod stats;
pub(crate) mod write_data;
