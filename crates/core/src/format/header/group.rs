//! Groups of images: what the header of a member says, and the values of a group's own object.
//!
//! Owns: the bytes of these values. Does not own: in which order they change (the engine's `group`).
use super::{kind, open, seal};
use crate::format::codec::{Put, Take};
use crate::format::{FormatError, FormatResult, Refusal};
use crate::units::SnapId;

/// The group that an image is in, as its header has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupRef {
    /// Pool of the group; -1 where the store has no pools.
    pub pool: i64,
    pub group: String,
}

impl GroupRef {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_u64(self.pool.cast_unsigned());
        out.put_text(&self.group);
        seal(kind::GROUP_REF, &out)
    }

    pub fn decode(bytes: &[u8]) -> FormatResult<Self> {
        const WHAT: &str = "header group";
        let mut take = Take::new(WHAT, open(WHAT, kind::GROUP_REF, bytes)?);
        let found = Self { pool: take.u64()?.cast_signed(), group: take.text()? };
        take.end()?;
        if found.group.is_empty() {
            return Err(FormatError::new(WHAT, Refusal::Value("group")));
        }
        Ok(found)
    }
}

/// An image that a group names: its pool and its id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemberId {
    pub pool: i64,
    pub image: String,
}

impl MemberId {
    fn put(&self, out: &mut Vec<u8>) {
        out.put_u64(self.pool.cast_unsigned());
        out.put_text(&self.image);
    }

    fn take(take: &mut Take<'_>) -> FormatResult<Self> {
        Ok(Self { pool: take.u64()?.cast_signed(), image: take.text()? })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberState {
    /// The image's header says the same.
    Attached,
    /// It is on its way in or out: the image's header may say so or not.
    Incomplete,
}

/// An image of a group, as the group has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberRecord {
    pub id: MemberId,
    pub state: MemberState,
}

impl MemberRecord {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.id.put(&mut out);
        out.put_u8(match self.state {
            MemberState::Attached => 0,
            MemberState::Incomplete => 1,
        });
        seal(kind::GROUP_MEMBER, &out)
    }

    pub fn decode(bytes: &[u8]) -> FormatResult<Self> {
        const WHAT: &str = "member of a group";
        let mut take = Take::new(WHAT, open(WHAT, kind::GROUP_MEMBER, bytes)?);
        let id = MemberId::take(&mut take)?;
        let state = match take.u8()? {
            0 => MemberState::Attached,
            1 => MemberState::Incomplete,
            _ => return Err(FormatError::new(WHAT, Refusal::Value("state"))),
        };
        take.end()?;
        if id.image.is_empty() {
            return Err(FormatError::new(WHAT, Refusal::Value("image")));
        }
        Ok(Self { id, state })
    }
}

/// How far a snapshot of a group is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupSnapState {
    /// It is being taken, or that was broken off: some of the images may not have their part.
    Incomplete,
    Complete,
    /// It is being removed, or that was broken off: whoever was taking it gives up.
    Removing,
}

/// A snapshot of a group: one moment of all images that were in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSnapRecord {
    pub id: String,
    pub name: String,
    pub state: GroupSnapState,
    /// When it was begun, nanoseconds since 1970.
    pub time_ns: u64,
    /// The images, ascending, each with the id of its part; 0: not known.
    pub parts: Vec<(MemberId, SnapId)>,
}

impl GroupSnapRecord {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_text(&self.id);
        out.put_text(&self.name);
        out.put_u8(match self.state {
            GroupSnapState::Incomplete => 0,
            GroupSnapState::Complete => 1,
            GroupSnapState::Removing => 2,
        });
        out.put_u64(self.time_ns);
        out.put_u32(self.parts.len() as u32);
        for (member, snapshot) in &self.parts {
            member.put(&mut out);
            out.put_u64(snapshot.0);
        }
        seal(kind::GROUP_SNAPSHOT, &out)
    }

    pub fn decode(bytes: &[u8]) -> FormatResult<Self> {
        const WHAT: &str = "snapshot of a group";
        let refuse = |field| Err(FormatError::new(WHAT, Refusal::Value(field)));
        let mut take = Take::new(WHAT, open(WHAT, kind::GROUP_SNAPSHOT, bytes)?);
        let (id, name) = (take.text()?, take.text()?);
        let state = match take.u8()? {
            0 => GroupSnapState::Incomplete,
            1 => GroupSnapState::Complete,
            2 => GroupSnapState::Removing,
            _ => return refuse("state"),
        };
        let time_ns = take.u64()?;
        let count = take.u32()?;
        let mut parts: Vec<(MemberId, SnapId)> = Vec::new();
        for _ in 0..count {
            let part = (MemberId::take(&mut take)?, SnapId(take.u64()?));
            if parts.last().is_some_and(|last| last.0 >= part.0) {
                return refuse("order of images");
            }
            parts.push(part);
        }
        take.end()?;
        if id.is_empty() || name.is_empty() {
            return refuse("name");
        }
        Ok(Self { id, name, state, time_ns, parts })
    }
}
