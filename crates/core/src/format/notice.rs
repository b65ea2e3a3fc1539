//! What openers of an image tell each other through the header's watch.
use super::codec::{Take, open_envelope, seal_envelope};
use super::{FormatError, FormatResult, Refusal};

/// "LSDN"
pub const NOTICE_MAGIC: u32 = u32::from_le_bytes(*b"LSDN");
pub const NOTICE_VERSION: u16 = 1;
const WHAT: &str = "notice";
const KIND: u16 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Size, features, metadata or name changed: read the header again.
    HeaderChanged,
}

pub fn encode(notice: Notice) -> Vec<u8> {
    let number = match notice {
        Notice::HeaderChanged => 1,
    };
    seal_envelope(NOTICE_MAGIC, NOTICE_VERSION, KIND, &[number])
}

/// `Value` for a notice of a later version, which its receiver ignores.
pub fn decode(bytes: &[u8]) -> FormatResult<Notice> {
    let mut take = Take::new(WHAT, open_envelope(WHAT, NOTICE_MAGIC, NOTICE_VERSION, KIND, bytes)?);
    let number = take.u8()?;
    take.end()?;
    match number {
        1 => Ok(Notice::HeaderChanged),
        _ => Err(FormatError::new(WHAT, Refusal::Value("notice"))),
    }
}
