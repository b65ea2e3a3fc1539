//! The base of an image: what is read for everything that was never written.
//!
//! Owns: the bytes of the value. Does not own: what a base is (`lsd_store::Base`), when it is dropped (the engine's flatten).
use super::{kind, open, seal};
use crate::format::codec::{Put, Take};
use crate::format::{FormatError, FormatResult, Refusal};
use crate::units::MAX_IMAGE_BYTES;

/// A base as the header names it. What the texts mean only who opens it knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseRecord {
    /// What sort of base it is, `file` for one.
    pub kind: String,
    /// Where it is.
    pub spec: String,
    /// What it was when the image was made: another one in its place is refused.
    pub identity: String,
    /// Bytes that it had then.
    pub size: u64,
    /// Up to this byte the image shows it. A shrink lowers it for good.
    pub overlap: u64,
}

impl BaseRecord {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_text(&self.kind);
        out.put_text(&self.spec);
        out.put_text(&self.identity);
        out.put_u64(self.size);
        out.put_u64(self.overlap);
        seal(kind::BASE, &out)
    }

    pub fn decode(bytes: &[u8]) -> FormatResult<Self> {
        const WHAT: &str = "header base";
        let mut take = Take::new(WHAT, open(WHAT, kind::BASE, bytes)?);
        let found = Self {
            kind: take.text()?,
            spec: take.text()?,
            identity: take.text()?,
            size: take.u64()?,
            overlap: take.u64()?,
        };
        take.end()?;
        if found.kind.is_empty() {
            return Err(FormatError::new(WHAT, Refusal::Value("kind")));
        }
        if found.overlap > found.size.min(MAX_IMAGE_BYTES) {
            return Err(FormatError::new(WHAT, Refusal::Value("overlap")));
        }
        Ok(found)
    }
}
