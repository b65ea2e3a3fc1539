//! Locks, watches and notifications. An object with keys has them, as an image's header does.
mod clients;
mod lock;
mod watch;

pub use clients::*;
pub use lock::*;
pub use watch::*;
