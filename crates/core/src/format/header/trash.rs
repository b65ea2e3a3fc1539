//! An image in the trash, as the directory has it.
use super::{kind, open, seal};
use crate::format::codec::{Put, Take};
use crate::format::{FormatError, FormatResult, Refusal};

/// Who put it there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrashSource {
    User,
    Mirroring,
    Migration,
    Removing,
    UserParent,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrashRecord {
    pub source: TrashSource,
    /// What it was called.
    pub name: String,
    /// When it was put there, nanoseconds since 1970.
    pub deleted_ns: u64,
    /// Until when it is only removed by force, nanoseconds since 1970.
    pub deferred_until_ns: u64,
}

impl TrashRecord {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_u8(match self.source {
            TrashSource::User => 0,
            TrashSource::Mirroring => 1,
            TrashSource::Migration => 2,
            TrashSource::Removing => 3,
            TrashSource::UserParent => 4,
        });
        out.put_text(&self.name);
        out.put_u64(self.deleted_ns);
        out.put_u64(self.deferred_until_ns);
        seal(kind::TRASH, &out)
    }

    pub fn decode(bytes: &[u8]) -> FormatResult<Self> {
        const WHAT: &str = "trash entry";
        let mut take = Take::new(WHAT, open(WHAT, kind::TRASH, bytes)?);
        let source = match take.u8()? {
            0 => TrashSource::User,
            1 => TrashSource::Mirroring,
            2 => TrashSource::Migration,
            3 => TrashSource::Removing,
            4 => TrashSource::UserParent,
            _ => return Err(FormatError::new(WHAT, Refusal::Value("source"))),
        };
        let record = Self { source, name: take.text()?, deleted_ns: take.u64()?, deferred_until_ns: take.u64()? };
        take.end()?;
        Ok(record)
    }
}
