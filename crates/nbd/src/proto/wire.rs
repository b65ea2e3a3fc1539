//! The protocol's numbers, named as in the NBD specification, and the limits this server sets.
//!
//! Every integer on the wire is big-endian; encoders use `bytes::BufMut::put_*`, decoders `bytes::Buf::try_get_*`.

/// "NBDMAGIC", the first eight bytes a server sends.
pub const INIT_MAGIC: u64 = 0x4e42_444d_4147_4943;
/// "IHAVEOPT", sent by a newstyle server and before each option of the client.
pub const OPTION_MAGIC: u64 = 0x4948_4156_454f_5054;
pub const OPTION_REPLY_MAGIC: u64 = 0x0003_e889_0455_65a9;
pub const REQUEST_MAGIC: u32 = 0x2560_9513;
pub const SIMPLE_REPLY_MAGIC: u32 = 0x6744_6698;
pub const STRUCTURED_REPLY_MAGIC: u32 = 0x668e_33ef;

/// Handshake flags, both directions.
pub mod handshake_flag {
    pub const FIXED_NEWSTYLE: u16 = 1 << 0;
    pub const NO_ZEROES: u16 = 1 << 1;
    pub const ALL: u16 = FIXED_NEWSTYLE | NO_ZEROES;
}

pub mod option {
    pub const EXPORT_NAME: u32 = 1;
    pub const ABORT: u32 = 2;
    pub const LIST: u32 = 3;
    pub const STARTTLS: u32 = 5;
    pub const INFO: u32 = 6;
    pub const GO: u32 = 7;
    pub const STRUCTURED_REPLY: u32 = 8;
    pub const LIST_META_CONTEXT: u32 = 9;
    pub const SET_META_CONTEXT: u32 = 10;
    pub const EXTENDED_HEADERS: u32 = 11;
}

pub mod option_reply {
    pub const ACK: u32 = 1;
    pub const SERVER: u32 = 2;
    pub const INFO: u32 = 3;
    pub const META_CONTEXT: u32 = 4;
    const ERROR: u32 = 1 << 31;
    pub const ERR_UNSUP: u32 = ERROR | 1;
    pub const ERR_POLICY: u32 = ERROR | 2;
    pub const ERR_INVALID: u32 = ERROR | 3;
    pub const ERR_UNKNOWN: u32 = ERROR | 6;
    pub const ERR_SHUTDOWN: u32 = ERROR | 7;
    pub const ERR_TOO_BIG: u32 = ERROR | 9;
}

pub mod info {
    pub const EXPORT: u16 = 0;
    pub const NAME: u16 = 1;
    pub const DESCRIPTION: u16 = 2;
    pub const BLOCK_SIZE: u16 = 3;
}

/// Flags of an export, sent when the transmission phase is agreed.
pub mod transmission_flag {
    pub const HAS_FLAGS: u16 = 1 << 0;
    pub const READ_ONLY: u16 = 1 << 1;
    pub const SEND_FLUSH: u16 = 1 << 2;
    pub const SEND_FUA: u16 = 1 << 3;
    pub const SEND_TRIM: u16 = 1 << 5;
    pub const SEND_WRITE_ZEROES: u16 = 1 << 6;
    pub const SEND_DF: u16 = 1 << 7;
    pub const CAN_MULTI_CONN: u16 = 1 << 8;
    pub const SEND_CACHE: u16 = 1 << 10;
    pub const SEND_FAST_ZERO: u16 = 1 << 11;
}

pub mod command {
    pub const READ: u16 = 0;
    pub const WRITE: u16 = 1;
    pub const DISC: u16 = 2;
    pub const FLUSH: u16 = 3;
    pub const TRIM: u16 = 4;
    pub const CACHE: u16 = 5;
    pub const WRITE_ZEROES: u16 = 6;
    pub const BLOCK_STATUS: u16 = 7;
}

pub mod command_flag {
    pub const FUA: u16 = 1 << 0;
    pub const NO_HOLE: u16 = 1 << 1;
    pub const DF: u16 = 1 << 2;
    pub const REQ_ONE: u16 = 1 << 3;
    pub const FAST_ZERO: u16 = 1 << 4;
}

pub mod chunk {
    pub const NONE: u16 = 0;
    pub const OFFSET_DATA: u16 = 1;
    pub const OFFSET_HOLE: u16 = 2;
    pub const BLOCK_STATUS: u16 = 5;
    pub const ERROR: u16 = (1 << 15) + 1;
    pub const FLAG_DONE: u16 = 1 << 0;
}

/// Status bits of the metadata context `base:allocation`.
pub mod allocation {
    pub const HOLE: u32 = 1 << 0;
    pub const ZERO: u32 = 1 << 1;
}

pub const BASE_ALLOCATION: &str = "base:allocation";
/// The id under which `base:allocation` appears in replies once a client has selected it.
pub const BASE_ALLOCATION_ID: u32 = 1;

/// Longest name, description or query, bytes (the protocol's own limit). Longer: ERR_TOO_BIG, or ERR_INVALID in EXPORT_NAME.
pub const MAX_STRING_BYTES: usize = 4096;
/// Longest option that is looked at, bytes. A longer one is skipped without being stored and answered ERR_TOO_BIG.
pub const MAX_OPTION_BYTES: usize = 64 << 10;
/// Longest option that is skipped, bytes. Beyond it the connection is dropped.
pub const MAX_SKIPPED_OPTION_BYTES: u32 = 32 << 20;
/// Options of one client. Beyond it the connection is dropped.
pub const MAX_OPTIONS: u32 = 1024;
/// Largest read or write, bytes; what clients may assume without asking. A larger one gets EINVAL and its payload is skipped.
pub const MAX_PAYLOAD_BYTES: u32 = 32 << 20;
/// Advertised as the preferred request unit, bytes.
pub const PREFERRED_BLOCK_BYTES: u32 = 4096;
/// Advertised as the smallest request unit, bytes: images are byte-exact.
pub const MIN_BLOCK_BYTES: u32 = 1;
/// Zeroes shorter than this are sent as data inside a structured read, bytes: a chunk costs 32 and splits the reply.
pub const MIN_HOLE_BYTES: u64 = 512;
/// Most descriptors in one block status reply (1 MiB of payload). Beyond it the reply ends early, as the protocol allows.
pub const MAX_DESCRIPTORS: usize = (1 << 20) / 8;
/// Longest text in an error reply, bytes; cut beyond it.
pub const MAX_ERROR_TEXT_BYTES: usize = 1024;
