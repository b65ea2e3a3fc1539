//! The fixed newstyle handshake, server side, as a state machine over byte buffers.
//!
//! Owns: the order of the messages and what has been negotiated. Does not own: the content of options (`options`).
use super::options::{self, Answer};
use super::{ProtocolError, wire};
use bytes::{Buf, BufMut, BytesMut};

/// What a client learns of an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportInfo {
    /// The canonical name; differs from the asked one for the default export.
    pub name: String,
    pub description: Option<String>,
    /// Bytes.
    pub size: u64,
    /// Bits of [`wire::transmission_flag`] without SEND_DF, which depends on the negotiation.
    pub flags: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportSummary {
    pub name: String,
    pub description: Option<String>,
}

/// The exports on offer, asked during the handshake.
pub trait Exports {
    /// The empty name asks for the default export.
    fn find(&self, name: &str) -> Option<ExportInfo>;
    fn list(&self) -> Vec<ExportSummary>;
}

/// What was agreed when the transmission phase begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The export, under its canonical name.
    pub export: ExportInfo,
    pub structured_replies: bool,
    /// `base:allocation` was selected for this export.
    pub base_allocation: bool,
}

/// Where the handshake stands after it consumed what it could.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    NeedMore,
    /// The rest of the input belongs to the transmission phase.
    Ready(Session),
    /// The client aborted; close after sending the output.
    Ended,
}

enum State {
    ClientFlags,
    Options,
    /// An option too long to look at: this many bytes are dropped, then it is answered.
    Skip {
        option: u32,
        remaining: u32,
    },
    Over,
}

/// Bytes of an option's header: magic, option, length.
const OPTION_HEADER_BYTES: usize = 16;
/// Padding after the answer to EXPORT_NAME unless NO_ZEROES was negotiated, bytes.
const EXPORT_NAME_PADDING: usize = 124;

/// The handshake of one connection.
pub struct Handshake {
    state: State,
    no_zeroes: bool,
    options_seen: u32,
    negotiated: Negotiated,
}

/// What options changed so far.
#[derive(Default)]
pub(super) struct Negotiated {
    pub structured_replies: bool,
    /// The export (as the client named it) for which `base:allocation` was selected.
    pub base_allocation_for: Option<String>,
}

impl Handshake {
    /// Starts a connection; the greeting goes into `output`.
    pub fn new(output: &mut BytesMut) -> Self {
        output.put_u64(wire::INIT_MAGIC);
        output.put_u64(wire::OPTION_MAGIC);
        output.put_u16(wire::handshake_flag::ALL);
        Self { state: State::ClientFlags, no_zeroes: false, options_seen: 0, negotiated: Negotiated::default() }
    }

    /// Consumes complete messages from `input` and appends answers to `output`, until it needs more input or the
    /// handshake is over. Output is to be sent in every case, errors included.
    pub fn advance(
        &mut self,
        input: &mut BytesMut,
        exports: &dyn Exports,
        output: &mut BytesMut,
    ) -> Result<Progress, ProtocolError> {
        loop {
            let step = match self.state {
                State::ClientFlags => self.client_flags(input)?,
                State::Options => self.option(input, exports, output)?,
                State::Skip { option, remaining } => self.skip(input, output, option, remaining),
                State::Over => Some(Progress::Ended),
            };
            match step {
                // An answered option: the next one may be in the input already.
                None => continue,
                Some(Progress::NeedMore) => return Ok(Progress::NeedMore),
                Some(end) => {
                    self.state = State::Over;
                    return Ok(end);
                }
            }
        }
    }

    fn client_flags(&mut self, input: &mut BytesMut) -> Result<Option<Progress>, ProtocolError> {
        if input.len() < 4 {
            return Ok(Some(Progress::NeedMore));
        }
        let flags = input.get_u32();
        // A client without FIXED_NEWSTYLE may only send EXPORT_NAME; answering its other options is harmless.
        if flags & !u32::from(wire::handshake_flag::ALL) != 0 {
            return Err(ProtocolError::UnknownClientFlags(flags));
        }
        self.no_zeroes = flags & u32::from(wire::handshake_flag::NO_ZEROES) != 0;
        self.state = State::Options;
        Ok(None)
    }

    fn option(
        &mut self,
        input: &mut BytesMut,
        exports: &dyn Exports,
        output: &mut BytesMut,
    ) -> Result<Option<Progress>, ProtocolError> {
        if input.len() < OPTION_HEADER_BYTES {
            return Ok(Some(Progress::NeedMore));
        }
        let mut header = &input[..OPTION_HEADER_BYTES];
        let magic = header.get_u64();
        if magic != wire::OPTION_MAGIC {
            return Err(ProtocolError::BadMagic { place: "option", found: magic });
        }
        let option = header.get_u32();
        let len = header.get_u32();
        if len as usize > wire::MAX_OPTION_BYTES {
            if len > wire::MAX_SKIPPED_OPTION_BYTES || option == wire::option::EXPORT_NAME {
                return Err(ProtocolError::OptionTooLong { option, len });
            }
            input.advance(OPTION_HEADER_BYTES);
            self.count_option()?;
            self.state = State::Skip { option, remaining: len };
            return Ok(None);
        }
        if input.len() - OPTION_HEADER_BYTES < len as usize {
            return Ok(Some(Progress::NeedMore));
        }
        input.advance(OPTION_HEADER_BYTES);
        let data = input.split_to(len as usize);
        self.count_option()?;
        self.answer(option, &data, exports, output)
    }

    fn count_option(&mut self) -> Result<(), ProtocolError> {
        self.options_seen += 1;
        if self.options_seen > wire::MAX_OPTIONS { Err(ProtocolError::TooManyOptions) } else { Ok(()) }
    }

    fn answer(
        &mut self,
        option: u32,
        data: &[u8],
        exports: &dyn Exports,
        output: &mut BytesMut,
    ) -> Result<Option<Progress>, ProtocolError> {
        if option == wire::option::EXPORT_NAME {
            return self.export_name(data, exports, output).map(Some);
        }
        Ok(match options::answer(option, data, &mut self.negotiated, exports, output) {
            Answer::Continue => None,
            Answer::Go { asked, export } => Some(Progress::Ready(self.session(&asked, export))),
            Answer::Abort => Some(Progress::Ended),
        })
    }

    /// The oldest way in: no error can be answered, so an unknown name ends the connection.
    fn export_name(
        &mut self,
        data: &[u8],
        exports: &dyn Exports,
        output: &mut BytesMut,
    ) -> Result<Progress, ProtocolError> {
        let name = options::text(data).ok_or_else(|| {
            ProtocolError::UnknownExport(String::from_utf8_lossy(&data[..data.len().min(256)]).into())
        })?;
        let export = exports.find(name).ok_or_else(|| ProtocolError::UnknownExport(name.to_owned()))?;
        output.put_u64(export.size);
        output.put_u16(export.flags | df_flag(&self.negotiated));
        if !self.no_zeroes {
            output.put_bytes(0, EXPORT_NAME_PADDING);
        }
        Ok(Progress::Ready(self.session(name, export)))
    }

    fn session(&self, asked: &str, export: ExportInfo) -> Session {
        let base_allocation =
            self.negotiated.structured_replies && self.negotiated.base_allocation_for.as_deref() == Some(asked);
        Session { export, structured_replies: self.negotiated.structured_replies, base_allocation }
    }

    fn skip(&mut self, input: &mut BytesMut, output: &mut BytesMut, option: u32, remaining: u32) -> Option<Progress> {
        let now = input.len().min(remaining as usize);
        input.advance(now);
        let remaining = remaining - now as u32;
        if remaining > 0 {
            self.state = State::Skip { option, remaining };
            return Some(Progress::NeedMore);
        }
        options::refuse(output, option, wire::option_reply::ERR_TOO_BIG, "the option is too long");
        self.state = State::Options;
        None
    }
}

/// SEND_DF means something only with structured replies.
pub(super) fn df_flag(negotiated: &Negotiated) -> u16 {
    if negotiated.structured_replies { wire::transmission_flag::SEND_DF } else { 0 }
}
