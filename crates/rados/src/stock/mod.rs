//! Stock RBD images, by the distribution's own librbd.
//!
//! Owns: finding and loading that library, a stock image at a snapshot as the base of an image of lsd, and that the snapshot is held as
//! long as somebody needs it. Does not own: passing a caller's calls on to it (crate `lsd-librbd`), what a base is to an image (the
//! engine).
mod base;
mod functions;
mod hold;
mod image;
mod library;
mod search;

pub use base::{RBD_BASE, StockBases, StockSnapshot};
pub use library::{Library, load, loaded};
