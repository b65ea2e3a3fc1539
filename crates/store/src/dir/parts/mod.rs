//! The parts of the store's trait on a directory, one file each.
//!
//! Owns: which work each operation queues. Does not own: the queues (`strands.rs`), what is done to files (the folder above).
mod blobs;
mod keyed;
mod logs;
mod pools;
mod presence;
