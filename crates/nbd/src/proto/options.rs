//! The options of the handshake: parsing each and answering it.
use super::handshake::{ExportInfo, Exports, Negotiated, df_flag};
use super::wire::{self, info, option, option_reply as rep};
use bytes::{Buf, BufMut, BytesMut};

/// How the handshake goes on after an option that was answered.
pub(super) enum Answer {
    Continue,
    /// GO succeeded; `asked` is the name as the client gave it.
    Go {
        asked: String,
        export: ExportInfo,
    },
    Abort,
}

/// Why an option was not done: the reply's type and a text for a human.
type Refused = (u32, &'static str);

pub(super) fn answer(
    option: u32,
    data: &[u8],
    negotiated: &mut Negotiated,
    exports: &dyn Exports,
    output: &mut BytesMut,
) -> Answer {
    let result = match option {
        option::ABORT => {
            reply(output, option, rep::ACK, &[]);
            return Answer::Abort;
        }
        option::LIST => list(data, exports, output),
        option::INFO | option::GO => return info_or_go(option, data, negotiated, exports, output),
        option::STRUCTURED_REPLY => structured_reply(data, negotiated, output),
        option::LIST_META_CONTEXT => list_contexts(data, negotiated, exports, output),
        option::SET_META_CONTEXT => set_contexts(data, negotiated, exports, output),
        option::STARTTLS => Err((rep::ERR_UNSUP, "this server has no TLS")),
        option::EXTENDED_HEADERS => Err((rep::ERR_UNSUP, "this server has no extended headers")),
        _ => Err((rep::ERR_UNSUP, "unknown option")),
    };
    if let Err((kind, text)) = result {
        refuse(output, option, kind, text);
    }
    Answer::Continue
}

pub(super) fn refuse(output: &mut BytesMut, option: u32, kind: u32, text: &str) {
    reply(output, option, kind, text.as_bytes());
}

fn reply(output: &mut BytesMut, option: u32, kind: u32, data: &[u8]) {
    output.put_u64(wire::OPTION_REPLY_MAGIC);
    output.put_u32(option);
    output.put_u32(kind);
    output.put_u32(data.len() as u32);
    output.put_slice(data);
}

/// A string of the protocol: UTF-8, without NUL, at most [`wire::MAX_STRING_BYTES`].
pub(super) fn text(bytes: &[u8]) -> Option<&str> {
    let usable = bytes.len() <= wire::MAX_STRING_BYTES && !bytes.contains(&0);
    usable.then(|| std::str::from_utf8(bytes).ok()).flatten()
}

/// Takes a string with its length in front.
fn counted_text<'a>(data: &mut &'a [u8]) -> Result<&'a str, Refused> {
    let len = data.try_get_u32().map_err(|_| SHORT)? as usize;
    if len > wire::MAX_STRING_BYTES {
        return Err((rep::ERR_TOO_BIG, "a string is too long"));
    }
    let Some((now, later)) = data.split_at_checked(len) else { return Err(SHORT) };
    *data = later;
    text(now).ok_or((rep::ERR_INVALID, "a string is not UTF-8"))
}

const SHORT: Refused = (rep::ERR_INVALID, "the option is shorter than its fields");
const LONG: Refused = (rep::ERR_INVALID, "the option is longer than its fields");
const NO_EXPORT: Refused = (rep::ERR_UNKNOWN, "no such export");

fn list(data: &[u8], exports: &dyn Exports, output: &mut BytesMut) -> Result<(), Refused> {
    if !data.is_empty() {
        return Err(LONG);
    }
    for export in exports.list() {
        let description = export.description.unwrap_or_default();
        let mut item = BytesMut::with_capacity(4 + export.name.len() + description.len());
        item.put_u32(export.name.len() as u32);
        item.put_slice(export.name.as_bytes());
        item.put_slice(description.as_bytes());
        reply(output, option::LIST, rep::SERVER, &item);
    }
    reply(output, option::LIST, rep::ACK, &[]);
    Ok(())
}

fn structured_reply(data: &[u8], negotiated: &mut Negotiated, output: &mut BytesMut) -> Result<(), Refused> {
    if !data.is_empty() {
        return Err(LONG);
    }
    negotiated.structured_replies = true;
    reply(output, option::STRUCTURED_REPLY, rep::ACK, &[]);
    Ok(())
}

fn info_or_go(
    option: u32,
    data: &[u8],
    negotiated: &Negotiated,
    exports: &dyn Exports,
    output: &mut BytesMut,
) -> Answer {
    let (asked, export, wanted) = match parse_info(data, exports) {
        Ok(parsed) => parsed,
        Err((kind, text)) => {
            refuse(output, option, kind, text);
            return Answer::Continue;
        }
    };
    let mut item = BytesMut::with_capacity(64);
    item.put_u16(info::EXPORT);
    item.put_u64(export.size);
    item.put_u16(export.flags | df_flag(negotiated));
    reply(output, option, rep::INFO, &item);
    if wanted.name {
        item.clear();
        item.put_u16(info::NAME);
        item.put_slice(export.name.as_bytes());
        reply(output, option, rep::INFO, &item);
    }
    if let (true, Some(description)) = (wanted.description, &export.description) {
        item.clear();
        item.put_u16(info::DESCRIPTION);
        item.put_slice(description.as_bytes());
        reply(output, option, rep::INFO, &item);
    }
    if wanted.block_size {
        item.clear();
        item.put_u16(info::BLOCK_SIZE);
        item.put_u32(wire::MIN_BLOCK_BYTES);
        item.put_u32(wire::PREFERRED_BLOCK_BYTES);
        item.put_u32(wire::MAX_PAYLOAD_BYTES);
        reply(output, option, rep::INFO, &item);
    }
    reply(output, option, rep::ACK, &[]);
    if option == option::GO { Answer::Go { asked, export } } else { Answer::Continue }
}

/// Which informations beside EXPORT a client asked for; unknown ones are ignored, as the protocol wants.
#[derive(Default)]
struct Wanted {
    name: bool,
    description: bool,
    block_size: bool,
}

fn parse_info(mut data: &[u8], exports: &dyn Exports) -> Result<(String, ExportInfo, Wanted), Refused> {
    let asked = counted_text(&mut data)?.to_owned();
    let count = data.try_get_u16().map_err(|_| SHORT)?;
    let mut wanted = Wanted::default();
    for _ in 0..count {
        match data.try_get_u16().map_err(|_| SHORT)? {
            info::NAME => wanted.name = true,
            info::DESCRIPTION => wanted.description = true,
            info::BLOCK_SIZE => wanted.block_size = true,
            _ => {}
        }
    }
    if !data.is_empty() {
        return Err(LONG);
    }
    let export = exports.find(&asked).ok_or(NO_EXPORT)?;
    Ok((asked, export, wanted))
}

fn list_contexts(
    data: &[u8],
    negotiated: &Negotiated,
    exports: &dyn Exports,
    output: &mut BytesMut,
) -> Result<(), Refused> {
    let query = parse_contexts(data, negotiated, exports)?;
    if query.queries == 0 || query.exact || query.namespace {
        context(output, option::LIST_META_CONTEXT, 0);
    }
    reply(output, option::LIST_META_CONTEXT, rep::ACK, &[]);
    Ok(())
}

fn set_contexts(
    data: &[u8],
    negotiated: &mut Negotiated,
    exports: &dyn Exports,
    output: &mut BytesMut,
) -> Result<(), Refused> {
    // A failed selection leaves none, and a new one replaces the old.
    negotiated.base_allocation_for = None;
    let query = parse_contexts(data, negotiated, exports)?;
    if query.exact {
        negotiated.base_allocation_for = Some(query.export);
        context(output, option::SET_META_CONTEXT, wire::BASE_ALLOCATION_ID);
    }
    reply(output, option::SET_META_CONTEXT, rep::ACK, &[]);
    Ok(())
}

fn context(output: &mut BytesMut, option: u32, id: u32) {
    let mut item = BytesMut::with_capacity(4 + wire::BASE_ALLOCATION.len());
    item.put_u32(id);
    item.put_slice(wire::BASE_ALLOCATION.as_bytes());
    reply(output, option, rep::META_CONTEXT, &item);
}

/// What the queries of a metadata context option ask of the one context there is.
struct ContextQuery {
    export: String,
    queries: u32,
    /// `base:allocation`
    exact: bool,
    /// `base:`, which asks for the whole namespace when listing and selects nothing.
    namespace: bool,
}

fn parse_contexts(mut data: &[u8], negotiated: &Negotiated, exports: &dyn Exports) -> Result<ContextQuery, Refused> {
    if !negotiated.structured_replies {
        return Err((rep::ERR_INVALID, "metadata contexts need structured replies"));
    }
    let export = counted_text(&mut data)?.to_owned();
    let queries = data.try_get_u32().map_err(|_| SHORT)?;
    let mut query = ContextQuery { export, queries, exact: false, namespace: false };
    // Bounded by the option's length: each query takes four bytes at least.
    for _ in 0..queries {
        match counted_text(&mut data)? {
            wire::BASE_ALLOCATION => query.exact = true,
            "base:" => query.namespace = true,
            _ => {}
        }
    }
    if !data.is_empty() {
        return Err(LONG);
    }
    if exports.find(&query.export).is_none() {
        return Err(NO_EXPORT);
    }
    Ok(query)
}
