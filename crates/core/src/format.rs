//! The bytes of lsd: `docs/FORMAT.md` is the normative text, this is the code that must agree with it.
//!
//! Owns: encoding and decoding of batches, segment summaries, header values and checkpoint pages, and object names.
//! Does not own: what a decoded log means ([`crate::replay`]), leaf encoding (the map's own `codec`).
//! Every decoder takes arbitrary bytes and returns an error for anything that is not exactly valid.
pub mod batch;
pub mod block_sums;
pub mod checkpoint;
pub mod codec;
pub mod header;
pub mod names;
pub mod notice;
mod placement;
pub mod record;
pub mod root;
pub mod segment;
pub mod share;

use std::fmt;

/// Why bytes were refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Shorter than the structure says or needs.
    Truncated,
    /// Another kind of bytes altogether.
    Magic,
    /// A version this code does not know.
    Version(u16),
    Checksum,
    /// Valid, but of another image, epoch, segment or place.
    Foreign(&'static str),
    /// A field outside its domain.
    Value(&'static str),
}

/// Bytes that are not what they should be: which structure, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormatError {
    pub what: &'static str,
    pub why: Refusal,
}

impl FormatError {
    pub fn new(what: &'static str, why: Refusal) -> Self {
        Self { what, why }
    }
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.why {
            Refusal::Truncated => write!(f, "{}: truncated", self.what),
            Refusal::Magic => write!(f, "{}: wrong magic", self.what),
            Refusal::Version(version) => write!(f, "{}: unknown version {version}", self.what),
            Refusal::Checksum => write!(f, "{}: checksum does not match", self.what),
            Refusal::Foreign(field) => write!(f, "{}: belongs elsewhere ({field} differs)", self.what),
            Refusal::Value(field) => write!(f, "{}: bad value of {field}", self.what),
        }
    }
}

impl std::error::Error for FormatError {}

pub type FormatResult<T> = Result<T, FormatError>;

/// Identity of an image in its data and map objects, chosen at creation; the id that clients see is text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ImageUuid(pub [u8; 16]);

#[cfg(test)]
mod tests;
