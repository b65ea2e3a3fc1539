//! Log objects: appends, fences, and the order of what is in flight.
mod append;
mod fence;
mod order;

pub use append::*;
pub use fence::*;
pub use order::*;
