//! The trait of an object store, and the words it speaks in.
pub mod keyed;
pub mod logs;
pub mod pools;
pub mod presence;
