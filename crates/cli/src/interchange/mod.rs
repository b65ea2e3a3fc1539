//! rbd's own file formats: differences (`rbd diff v1`, `rbd diff v2`) and images with all their snapshots (`rbd image v2`).
//!
//! Owns: the bytes, reading and writing them in order. Does not own: what is read of an image and what is done to it (module
//! `commands`). A file that ends too early is `EDOM`, as in rbd; anything else that is wrong in it is `EINVAL`.
pub mod diff;
pub mod image;
mod input;
mod output;

pub use input::Input;
pub use output::{Output, Writer};

/// Longest name of a snapshot that is taken for one, bytes; longer ones are taken for damage.
const NAME_BYTES_MAX: u32 = 4096;
/// Longest metadata key or value that is taken for one, bytes.
const METADATA_BYTES_MAX: u32 = 16 << 20;

/// A string as both formats have it: its length, then its bytes.
fn put_string(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u32).to_le_bytes());
    out.extend(text.as_bytes());
}
