//! What openers of an image tell and ask each other through the header's watch.
//!
//! Owns: the bytes of notices and of the answers to them. Does not own: who sends one when (the engine's `mailbox.rs`).
mod operation;

use super::codec::{Put, Take, open_envelope, seal_envelope};
use super::{FormatError, FormatResult, Refusal};
pub use operation::{Operation, SnapOperation};

/// "LSDN"
pub const NOTICE_MAGIC: u32 = u32::from_le_bytes(*b"LSDN");
pub const NOTICE_VERSION: u16 = 1;
/// What a receiver understands.
const NOTICE_VERSIONS: std::ops::RangeInclusive<u16> = 1..=NOTICE_VERSION;
const NOTICE: &str = "notice";
const ANSWER: &str = "answer to a notice";
const NOTICE_KIND: u16 = 1;
const ANSWER_KIND: u16 = 2;
/// Counters in one answer: one with more is refused.
pub const MOST_COUNTERS: usize = 1024;
/// Bytes of a counter's name, group included: a longer one is refused.
pub const MOST_COUNTER_NAME_BYTES: usize = 64;

/// Names a request for as long as its image exists: a number of a client's process that is not given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId {
    /// The number in the store's `client.N`.
    pub client: u64,
    /// The requester's watch.
    pub watch: u64,
    pub number: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Size, features, metadata or name changed: read the header again.
    HeaderChanged,
    /// Another client wants to write: the owner gives the image back as soon as it can.
    LockWanted,
    /// The image has no owner now; what it held is in the store.
    LockReleased,
    /// The owner carries this out, once, however often it is asked.
    Request {
        id: RequestId,
        /// Another owner may have been asked before.
        repeated: bool,
        operation: Operation,
    },
    /// The request has a result: who waits for it asks again and gets it.
    RequestDone(RequestId),
    /// Somebody wants to remove the image: who gets this lives, and nothing else follows from it.
    WhoIsThere,
    /// Somebody wants to see what this handle has counted. Everybody who watches answers, also one that does not own the image.
    StatsWanted,
    /// A client wants to be quiet before snapshots from now on; the header says so.
    QuiesceWatched,
    /// A snapshot is about to be taken: who wants to be quiet before that becomes so and stays so, and answers. It comes again and again
    /// until [`Notice::Unquiesce`].
    Quiesce {
        id: RequestId,
        /// False: who is not quiet for this snapshot yet does not become so any more.
        begin: bool,
    },
    /// It was taken, or not: everybody may go on. Who was quiet for it answers.
    Unquiesce(RequestId),
}

/// What is said to a notice: by the owner, but for counters and about being quiet. Whoever has nothing to say answers with no bytes at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The lock comes, after the writes that are under way.
    WillRelease,
    /// The owner took the lock by hand and keeps it.
    Keeps,
    /// A version of lsd that does not know this notice.
    Unsupported,
    /// The request is being carried out; in units of the operation.
    Running { done: u64, total: u64 },
    /// The request's result: 0 or a positive errno, and a text for people.
    Finished { errno: u32, why: String },
    /// What the handle has counted since it was opened, each as `group.name`.
    Stats(Vec<(String, u64)>),
    /// This handle is about to be quiet.
    Quiescing,
    /// 0: it is quiet, or was until this notice came; else the positive errno of what went wrong.
    Quiesced { errno: u32 },
}

pub fn encode(notice: &Notice) -> Vec<u8> {
    let mut out = Vec::new();
    match notice {
        Notice::HeaderChanged => out.put_u8(1),
        Notice::LockWanted => out.put_u8(2),
        Notice::LockReleased => out.put_u8(3),
        Notice::Request { id, repeated, operation } => {
            out.put_u8(4);
            put_id(&mut out, *id);
            out.put_u8(u8::from(*repeated));
            operation::put(&mut out, operation);
        }
        Notice::RequestDone(id) => {
            out.put_u8(5);
            put_id(&mut out, *id);
        }
        Notice::WhoIsThere => out.put_u8(6),
        Notice::StatsWanted => out.put_u8(7),
        Notice::QuiesceWatched => out.put_u8(8),
        Notice::Quiesce { id, begin } => {
            out.put_u8(9);
            put_id(&mut out, *id);
            out.put_u8(u8::from(*begin));
        }
        Notice::Unquiesce(id) => {
            out.put_u8(10);
            put_id(&mut out, *id);
        }
    }
    seal_envelope(NOTICE_MAGIC, NOTICE_VERSION, NOTICE_KIND, &out)
}

/// `Value` or `Version` for a notice of a later version: an owner answers it with [`Answer::Unsupported`], everybody
/// else ignores it.
pub fn decode(bytes: &[u8]) -> FormatResult<Notice> {
    let mut take = Take::new(NOTICE, open_envelope(NOTICE, NOTICE_MAGIC, NOTICE_VERSIONS, NOTICE_KIND, bytes)?);
    let notice = match take.u8()? {
        1 => Notice::HeaderChanged,
        2 => Notice::LockWanted,
        3 => Notice::LockReleased,
        4 => Notice::Request {
            id: take_id(&mut take)?,
            repeated: take_flag(&mut take, NOTICE)?,
            operation: operation::take(&mut take)?,
        },
        5 => Notice::RequestDone(take_id(&mut take)?),
        6 => Notice::WhoIsThere,
        7 => Notice::StatsWanted,
        8 => Notice::QuiesceWatched,
        9 => Notice::Quiesce { id: take_id(&mut take)?, begin: take_flag(&mut take, NOTICE)? },
        10 => Notice::Unquiesce(take_id(&mut take)?),
        _ => return Err(FormatError::new(NOTICE, Refusal::Value("notice"))),
    };
    take.end()?;
    Ok(notice)
}

pub fn encode_answer(answer: &Answer) -> Vec<u8> {
    let mut out = Vec::new();
    match answer {
        Answer::WillRelease => out.put_u8(1),
        Answer::Keeps => out.put_u8(2),
        Answer::Unsupported => out.put_u8(3),
        Answer::Running { done, total } => {
            out.put_u8(4);
            out.put_u64(*done);
            out.put_u64(*total);
        }
        Answer::Finished { errno, why } => {
            out.put_u8(5);
            out.put_u32(*errno);
            out.put_text(why);
        }
        Answer::Stats(counters) => {
            out.put_u8(6);
            put_counters(&mut out, counters);
        }
        Answer::Quiescing => out.put_u8(7),
        Answer::Quiesced { errno } => {
            out.put_u8(8);
            out.put_u32(*errno);
        }
    }
    seal_envelope(NOTICE_MAGIC, NOTICE_VERSION, ANSWER_KIND, &out)
}

pub fn decode_answer(bytes: &[u8]) -> FormatResult<Answer> {
    let mut take = Take::new(ANSWER, open_envelope(ANSWER, NOTICE_MAGIC, NOTICE_VERSIONS, ANSWER_KIND, bytes)?);
    let answer = match take.u8()? {
        1 => Answer::WillRelease,
        2 => Answer::Keeps,
        3 => Answer::Unsupported,
        4 => Answer::Running { done: take.u64()?, total: take.u64()? },
        5 => Answer::Finished { errno: take.u32()?, why: take.text()? },
        6 => Answer::Stats(take_counters(&mut take)?),
        7 => Answer::Quiescing,
        8 => Answer::Quiesced { errno: take.u32()? },
        _ => return Err(FormatError::new(ANSWER, Refusal::Value("answer"))),
    };
    take.end()?;
    Ok(answer)
}

fn put_id(out: &mut Vec<u8>, id: RequestId) {
    out.put_u64(id.client);
    out.put_u64(id.watch);
    out.put_u64(id.number);
}

fn take_id(take: &mut Take<'_>) -> FormatResult<RequestId> {
    Ok(RequestId { client: take.u64()?, watch: take.u64()?, number: take.u64()? })
}

fn put_counters(out: &mut Vec<u8>, counters: &[(String, u64)]) {
    out.put_u32(counters.len() as u32);
    for (name, value) in counters {
        out.put_text(name);
        out.put_u64(*value);
    }
}

fn take_counters(take: &mut Take<'_>) -> FormatResult<Vec<(String, u64)>> {
    let count = take.u32()? as usize;
    if count > MOST_COUNTERS {
        return Err(FormatError::new(ANSWER, Refusal::Value("number of counters")));
    }
    let mut counters = Vec::new();
    for _ in 0..count {
        let name = take.text()?;
        if !is_counter_name(&name) {
            return Err(FormatError::new(ANSWER, Refusal::Value("name of a counter")));
        }
        counters.push((name, take.u64()?));
    }
    Ok(counters)
}

/// `group.name`. Such names can be shown as they are, whoever sent them: on a terminal, and as names in JSON and XML.
fn is_counter_name(name: &str) -> bool {
    let is_word = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_lowercase())
            && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    let parts = name.split_once('.').filter(|_| name.len() <= MOST_COUNTER_NAME_BYTES);
    parts.is_some_and(|(group, counter)| is_word(group) && is_word(counter))
}

fn take_flag(take: &mut Take<'_>, what: &'static str) -> FormatResult<bool> {
    match take.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(FormatError::new(what, Refusal::Value("flag"))),
    }
}

#[cfg(test)]
mod tests;
