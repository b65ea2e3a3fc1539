//! Locks, watches, notifications, and what two clients see of each other.
mod clients;
mod lock;
mod watch;

pub use clients::*;
pub use lock::*;
pub use watch::*;
