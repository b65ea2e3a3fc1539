//! A migration, as the headers of its source and of its destination have it.
//!
//! Owns: the bytes of the value. Does not own: in which order both headers change (the state's `protocol`, the engine's `migration`).
use super::ancestry::{Ancestor, ImagePlace};
use super::{kind, open, seal};
use crate::format::codec::{Put, Take};
use crate::format::{FormatError, FormatResult, Refusal};
use crate::units::SnapId;

const WHAT: &str = "header migration";
/// The role of a destination that says at its end what kind of image its source is.
const OF_OTHER_KIND: u8 = 3;

/// Which of the two images the header is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrationRole {
    Source,
    Destination,
}

/// How far it is. The source's header knows of the states in which the source changes, the destination's of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrationState {
    /// The source is as it will stay, and the destination is being made.
    Preparing,
    Prepared,
    Executing,
    /// Nothing of the destination's leads to the source any more.
    Executed,
    /// Nobody writes to the destination any more: the source gets what was written there.
    Aborting,
    /// The source has it, and is an image like any other again. The destination goes.
    Returned,
    /// The source, which is an image of another kind, goes: nobody takes the migration back any more.
    Committing,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationRecord {
    pub role: MigrationRole,
    pub state: MigrationState,
    /// What was told of its progress.
    pub description: String,
    /// Where the other image is, and what it was called.
    pub other: ImagePlace,
    pub name: String,
    /// The destination is no clone in the end, whatever the source is.
    pub flatten: bool,
    /// The last id of a snapshot that the source had given out.
    pub last_snapshot: SnapId,
    /// The source: what it had when this began.
    pub source: Ancestor,
    /// Of a destination whose source is no image of lsd: what kind of image that is. What it had lies below as a base, so nothing of
    /// `source` counts but where it is.
    pub kind: Option<String>,
}

impl MigrationRecord {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_u8(match (self.role, &self.kind) {
            (MigrationRole::Source, _) => 1,
            (MigrationRole::Destination, None) => 2,
            (MigrationRole::Destination, Some(_)) => OF_OTHER_KIND,
        });
        out.put_u8(match self.state {
            MigrationState::Preparing => 1,
            MigrationState::Prepared => 2,
            MigrationState::Executing => 3,
            MigrationState::Executed => 4,
            MigrationState::Aborting => 5,
            MigrationState::Returned => 6,
            MigrationState::Committing => 7,
        });
        out.put_text(&self.description);
        self.other.put(&mut out);
        out.put_text(&self.name);
        out.put_u8(u8::from(self.flatten));
        out.put_u64(self.last_snapshot.0);
        self.source.put(&mut out);
        if let (MigrationRole::Destination, Some(kind)) = (self.role, &self.kind) {
            out.put_text(kind);
        }
        seal(kind::MIGRATION, &out)
    }

    pub fn decode(bytes: &[u8]) -> FormatResult<Self> {
        let mut take = Take::new(WHAT, open(WHAT, kind::MIGRATION, bytes)?);
        let (role, has_kind) = match take.u8()? {
            1 => (MigrationRole::Source, false),
            2 => (MigrationRole::Destination, false),
            OF_OTHER_KIND => (MigrationRole::Destination, true),
            _ => return refuse("role"),
        };
        let state = match take.u8()? {
            1 => MigrationState::Preparing,
            2 => MigrationState::Prepared,
            3 => MigrationState::Executing,
            4 => MigrationState::Executed,
            5 => MigrationState::Aborting,
            6 => MigrationState::Returned,
            7 => MigrationState::Committing,
            _ => return refuse("state"),
        };
        let record = Self {
            role,
            state,
            description: take.text()?,
            other: ImagePlace::take(&mut take)?,
            name: take.text()?,
            flatten: match take.u8()? {
                0 => false,
                1 => true,
                _ => return refuse("flag"),
            },
            last_snapshot: SnapId(take.u64()?),
            source: Ancestor::take(&mut take, WHAT)?,
            kind: has_kind.then(|| take.text()).transpose()?,
        };
        take.end()?;
        Ok(record)
    }
}

fn refuse<T>(field: &'static str) -> FormatResult<T> {
    Err(FormatError::new(WHAT, Refusal::Value(field)))
}
