//! Stock RBD images, by the distribution's own librbd.
//!
//! Owns: finding and loading that library, a stock image at a snapshot as the base of an image of lsd, that the snapshot is held as
//! long as somebody needs it, and what a migration does to its source. Does not own: passing a caller's calls on to it (crate `lsd-librbd`), what a base is to an image (the
//! engine).
mod base;
mod disk;
mod functions;
mod hold;
mod image;
mod library;
mod moved;
mod records;
mod search;
mod writing;

pub use base::{RBD_BASE, StockBases, StockSnapshot};
pub use library::{Library, load, loaded};
