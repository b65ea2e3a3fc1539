//! The NBD protocol as values and state machines.
//!
//! Owns: the newstyle handshake of a server, the transmission phase's requests and replies, their limits. Does not
//! own: sockets, time, the devices behind the exports. Nothing here does I/O, and no input can make it panic or
//! hold more memory than the limits in [`wire`].
mod errno;
mod handshake;
mod options;
mod reply;
mod request;
pub mod wire;

#[cfg(test)]
mod tests;

pub use errno::NbdError;
pub use handshake::{ExportInfo, ExportSummary, Exports, Handshake, Progress, Session};
pub use reply::{Descriptor, Part, Piece, Reply};
pub use request::{Command, Cookie, Limits, Refusal, RequestHeader};

/// The peer broke the protocol in a way that cannot be answered: the connection has to be dropped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    #[error("bad magic {found:#x} in {place}")]
    BadMagic { place: &'static str, found: u64 },
    #[error("unknown client flags {0:#x}")]
    UnknownClientFlags(u32),
    #[error("more than {} options", wire::MAX_OPTIONS)]
    TooManyOptions,
    #[error("option {option} of {len} bytes")]
    OptionTooLong { option: u32, len: u32 },
    #[error("no export named {0:?}")]
    UnknownExport(String),
}
