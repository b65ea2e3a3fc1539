//! Requests of the transmission phase: decoding a header and checking it against the session.
use super::wire::{self, command, command_flag as flag};
use super::{NbdError, ProtocolError};
use bytes::{Buf, BytesMut};

/// The client's name for a request; comes back in its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cookie(pub u64);

/// A request as it came, not yet checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHeader {
    pub flags: u16,
    pub kind: u16,
    pub cookie: Cookie,
    /// Bytes.
    pub offset: u64,
    /// Bytes.
    pub len: u32,
}

/// What a request is checked against.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes; the device's present size.
    pub size: u64,
    pub read_only: bool,
    pub structured_replies: bool,
    pub base_allocation: bool,
}

/// A request that may be carried out. Ranges lie inside the device; offsets and lengths are bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    Read { offset: u64, len: u32, dont_fragment: bool },
    Write { offset: u64, len: u32, fua: bool },
    Flush,
    Trim { offset: u64, len: u32, fua: bool },
    WriteZeroes { offset: u64, len: u32, no_hole: bool, fua: bool },
    Cache { offset: u64, len: u32 },
    BlockStatus { offset: u64, len: u32, one: bool },
    Disconnect,
}

/// A request that gets an error for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub error: NbdError,
    pub reason: &'static str,
}

impl RequestHeader {
    pub const BYTES: usize = 28;

    /// Takes one header off `input`; `None` where it is not complete yet.
    pub fn decode(input: &mut BytesMut) -> Result<Option<Self>, ProtocolError> {
        if input.len() < Self::BYTES {
            return Ok(None);
        }
        let magic = input.get_u32();
        if magic != wire::REQUEST_MAGIC {
            return Err(ProtocolError::BadMagic { place: "request", found: magic.into() });
        }
        Ok(Some(Self {
            flags: input.get_u16(),
            kind: input.get_u16(),
            cookie: Cookie(input.get_u64()),
            offset: input.get_u64(),
            len: input.get_u32(),
        }))
    }

    /// Bytes that follow the header on the wire, whether or not the request is accepted.
    pub fn payload_len(&self) -> u32 {
        if self.kind == command::WRITE { self.len } else { 0 }
    }

    /// The command, or the error to answer with. A refused write still has its payload to be skipped.
    pub fn check(&self, limits: &Limits) -> Result<Command, Refusal> {
        let Self { offset, len, .. } = *self;
        let fua = self.flags & flag::FUA != 0;
        match self.kind {
            command::READ => {
                self.allow_flags(flag::DF)?;
                self.inside(limits, NbdError::Invalid)?;
                self.payload_fits()?;
                let dont_fragment = self.flags & flag::DF != 0;
                if dont_fragment && !limits.structured_replies {
                    return Err(invalid("DF needs structured replies"));
                }
                Ok(Command::Read { offset, len, dont_fragment })
            }
            command::WRITE => {
                self.allow_flags(0)?;
                self.writable(limits)?;
                self.payload_fits()?;
                Ok(Command::Write { offset, len, fua })
            }
            command::DISC => Ok(Command::Disconnect),
            command::FLUSH => {
                self.allow_flags(0)?;
                Ok(Command::Flush)
            }
            command::TRIM => {
                self.allow_flags(0)?;
                // Only what would need space beyond the end lacks it.
                self.writable_inside(limits, NbdError::Invalid)?;
                Ok(Command::Trim { offset, len, fua })
            }
            command::CACHE => {
                self.allow_flags(0)?;
                self.inside(limits, NbdError::Invalid)?;
                Ok(Command::Cache { offset, len })
            }
            command::WRITE_ZEROES => self.check_write_zeroes(limits, fua),
            command::BLOCK_STATUS => self.check_block_status(limits),
            _ => Err(invalid("unknown command")),
        }
    }

    fn check_write_zeroes(&self, limits: &Limits, fua: bool) -> Result<Command, Refusal> {
        self.allow_flags(flag::NO_HOLE | flag::FAST_ZERO)?;
        self.writable(limits)?;
        let no_hole = self.flags & flag::NO_HOLE != 0;
        // A hole is one log record whatever its length; allocated zeroes may cost as much as writing them, and a
        // client that asked for speed then prefers to write.
        if no_hole && self.flags & flag::FAST_ZERO != 0 {
            return Err(Refusal { error: NbdError::NotSupported, reason: "allocated zeroes are not fast" });
        }
        Ok(Command::WriteZeroes { offset: self.offset, len: self.len, no_hole, fua })
    }

    fn check_block_status(&self, limits: &Limits) -> Result<Command, Refusal> {
        self.allow_flags(flag::REQ_ONE)?;
        if !limits.base_allocation {
            return Err(invalid("no metadata context was selected"));
        }
        self.inside(limits, NbdError::Invalid)?;
        if self.len == 0 {
            return Err(invalid("block status of nothing"));
        }
        Ok(Command::BlockStatus { offset: self.offset, len: self.len, one: self.flags & flag::REQ_ONE != 0 })
    }

    /// FUA is accepted everywhere: the protocol has servers take it with any command.
    fn allow_flags(&self, allowed: u16) -> Result<(), Refusal> {
        if self.flags & !(allowed | flag::FUA) != 0 { Err(invalid("unknown flag for this command")) } else { Ok(()) }
    }

    fn inside(&self, limits: &Limits, error: NbdError) -> Result<(), Refusal> {
        match self.offset.checked_add(self.len.into()) {
            Some(end) if end <= limits.size => Ok(()),
            _ => Err(Refusal { error, reason: "the range ends beyond the device" }),
        }
    }

    fn writable(&self, limits: &Limits) -> Result<(), Refusal> {
        self.writable_inside(limits, NbdError::NoSpace)
    }

    fn writable_inside(&self, limits: &Limits, beyond: NbdError) -> Result<(), Refusal> {
        if limits.read_only {
            return Err(Refusal { error: NbdError::Perm, reason: "the export is read-only" });
        }
        self.inside(limits, beyond)
    }

    fn payload_fits(&self) -> Result<(), Refusal> {
        if self.len > wire::MAX_PAYLOAD_BYTES { Err(invalid("longer than the maximum block size")) } else { Ok(()) }
    }
}

fn invalid(reason: &'static str) -> Refusal {
    Refusal { error: NbdError::Invalid, reason }
}
