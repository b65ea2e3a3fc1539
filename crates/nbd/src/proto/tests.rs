//! The protocol against a model client, and against arbitrary bytes.
use super::wire::{self, command, command_flag, option, option_reply as rep};
use super::*;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use proptest::prelude::*;

struct Disks;

impl Exports for Disks {
    fn find(&self, name: &str) -> Option<ExportInfo> {
        let flags = wire::transmission_flag::HAS_FLAGS;
        let info = |size| ExportInfo { name: "disk".into(), description: Some("text".into()), size, flags };
        matches!(name, "" | "disk").then(|| info(1 << 20))
    }

    fn list(&self) -> Vec<ExportSummary> {
        vec![ExportSummary { name: "disk".into(), description: Some("text".into()) }]
    }
}

fn option_bytes(option: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.put_u64(wire::OPTION_MAGIC);
    bytes.put_u32(option);
    bytes.put_u32(data.len() as u32);
    bytes.put_slice(data);
    bytes
}

fn counted(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.put_u32(text.len() as u32);
    bytes.put_slice(text.as_bytes());
    bytes
}

fn go_data(name: &str, infos: &[u16]) -> Vec<u8> {
    let mut bytes = counted(name);
    bytes.put_u16(infos.len() as u16);
    infos.iter().for_each(|info| bytes.put_u16(*info));
    bytes
}

fn context_data(name: &str, queries: &[&str]) -> Vec<u8> {
    let mut bytes = counted(name);
    bytes.put_u32(queries.len() as u32);
    queries.iter().for_each(|query| bytes.extend(counted(query)));
    bytes
}

/// Option, type and data of an option reply.
type OptionReply = (u32, u32, Vec<u8>);

/// Runs a handshake with fixed newstyle and NO_ZEROES; gives the end and the option replies.
fn shake(options: &[Vec<u8>]) -> (Result<Progress, ProtocolError>, Vec<OptionReply>) {
    let mut output = BytesMut::new();
    let mut machine = Handshake::new(&mut output);
    output.clear();
    let mut input = BytesMut::new();
    input.put_u32(3);
    options.iter().for_each(|option| input.put_slice(option));
    let end = machine.advance(&mut input, &Disks, &mut output);
    let mut replies = Vec::new();
    while output.remaining() >= 20 {
        assert_eq!(output.get_u64(), wire::OPTION_REPLY_MAGIC);
        let (option, kind, len) = (output.get_u32(), output.get_u32(), output.get_u32());
        replies.push((option, kind, output.split_to(len as usize).to_vec()));
    }
    (end, replies)
}

#[test]
fn greeting_is_fixed_newstyle() {
    let mut output = BytesMut::new();
    Handshake::new(&mut output);
    assert_eq!(&output[..], b"NBDMAGICIHAVEOPT\x00\x03");
}

#[test]
fn export_name_is_answered_with_or_without_padding() {
    for (flags, len) in [(1u32, 10 + 124), (3, 10)] {
        let mut output = BytesMut::new();
        let mut machine = Handshake::new(&mut output);
        output.clear();
        let mut input = BytesMut::new();
        input.put_u32(flags);
        input.put_slice(&option_bytes(option::EXPORT_NAME, b"disk"));
        input.put_slice(b"next phase");
        let end = machine.advance(&mut input, &Disks, &mut output).unwrap();
        assert!(matches!(end, Progress::Ready(Session { structured_replies: false, .. })));
        assert_eq!(output.len(), len);
        assert_eq!(output.get_u64(), 1 << 20);
        assert_eq!(&input[..], b"next phase");
    }
    let (end, replies) = shake(&[option_bytes(option::EXPORT_NAME, b"none")]);
    assert_eq!((end, replies.len()), (Err(ProtocolError::UnknownExport("none".into())), 0));
}

#[test]
fn go_gives_the_informations_asked_for() {
    let (end, replies) = shake(&[
        option_bytes(option::STRUCTURED_REPLY, b""),
        option_bytes(option::SET_META_CONTEXT, &context_data("", &["x:y", "base:allocation"])),
        option_bytes(option::GO, &go_data("", &[wire::info::NAME, wire::info::BLOCK_SIZE, 99])),
    ]);
    let Ok(Progress::Ready(session)) = end else { panic!("{end:?}") };
    assert!(session.structured_replies && session.base_allocation);
    assert_eq!(session.export.name, "disk");
    let kinds: Vec<_> = replies.iter().map(|(option, kind, data)| (*option, *kind, data.len())).collect();
    assert_eq!(
        kinds,
        [
            (option::STRUCTURED_REPLY, rep::ACK, 0),
            (option::SET_META_CONTEXT, rep::META_CONTEXT, 19),
            (option::SET_META_CONTEXT, rep::ACK, 0),
            (option::GO, rep::INFO, 12),
            (option::GO, rep::INFO, 6),
            (option::GO, rep::INFO, 14),
            (option::GO, rep::ACK, 0),
        ]
    );
    assert_eq!(replies[3].2, b"\0\0\0\0\0\0\0\x10\0\0\0\x81", "EXPORT with HAS_FLAGS and SEND_DF");
}

#[test]
fn a_context_counts_only_for_its_export_and_only_the_last_selection() {
    let structured = option_bytes(option::STRUCTURED_REPLY, b"");
    let select = |name: &str, queries: &[&str]| option_bytes(option::SET_META_CONTEXT, &context_data(name, queries));
    let go = option_bytes(option::GO, &go_data("disk", &[]));
    let base = "base:allocation";
    for (options, wanted) in [
        (vec![structured.clone(), select("disk", &[base]), go.clone()], true),
        (vec![structured.clone(), select("", &[base]), go.clone()], false),
        (vec![structured.clone(), select("disk", &[base]), select("disk", &[]), go.clone()], false),
        (vec![structured.clone(), select("disk", &["base:"]), go.clone()], false),
        (vec![select("disk", &[base]), structured.clone(), go.clone()], false),
    ] {
        let (end, _) = shake(&options);
        assert!(matches!(end, Ok(Progress::Ready(ref session)) if session.base_allocation == wanted), "{end:?}");
    }
}

#[test]
fn refusals_name_their_reason_and_the_handshake_goes_on() {
    let long_name = "n".repeat(wire::MAX_STRING_BYTES + 1);
    for (option, data, wanted) in [
        (option::STARTTLS, vec![], rep::ERR_UNSUP),
        (option::EXTENDED_HEADERS, vec![], rep::ERR_UNSUP),
        (77, b"??".to_vec(), rep::ERR_UNSUP),
        (option::LIST, b"x".to_vec(), rep::ERR_INVALID),
        (option::STRUCTURED_REPLY, b"x".to_vec(), rep::ERR_INVALID),
        (option::GO, b"".to_vec(), rep::ERR_INVALID),
        (option::GO, go_data("none", &[]), rep::ERR_UNKNOWN),
        (option::INFO, go_data(&long_name, &[]), rep::ERR_TOO_BIG),
        (option::INFO, [go_data("disk", &[]), vec![0]].concat(), rep::ERR_INVALID),
        (option::GO, b"\0\0\0\x02\xff\xfe\0\0".to_vec(), rep::ERR_INVALID),
        (option::LIST_META_CONTEXT, context_data("disk", &[]), rep::ERR_INVALID),
        (option::INFO, vec![0; wire::MAX_OPTION_BYTES + 1], rep::ERR_TOO_BIG),
    ] {
        let (end, replies) = shake(&[option_bytes(option, &data), option_bytes(option::ABORT, b"")]);
        assert_eq!(end, Ok(Progress::Ended));
        assert_eq!(replies.len(), 2, "option {option}");
        assert_eq!((replies[0].0, replies[0].1), (option, wanted), "option {option}");
        assert_eq!((replies[1].0, replies[1].1), (option::ABORT, rep::ACK));
    }
}

#[test]
fn limits_end_the_connection() {
    let many = vec![option_bytes(option::LIST, b""); wire::MAX_OPTIONS as usize + 1];
    assert_eq!(shake(&many).0, Err(ProtocolError::TooManyOptions));
    let mut huge = option_bytes(option::LIST, b"");
    let len = wire::MAX_SKIPPED_OPTION_BYTES + 1;
    huge.truncate(12);
    huge.put_u32(len);
    assert_eq!(shake(&[huge]).0, Err(ProtocolError::OptionTooLong { option: option::LIST, len }));
}

fn header(kind: u16, flags: u16, offset: u64, len: u32) -> RequestHeader {
    RequestHeader { flags, kind, cookie: Cookie(1), offset, len }
}

#[test]
fn requests_are_refused_as_the_protocol_says() {
    let limits = Limits { size: 1 << 30, read_only: false, structured_replies: true, base_allocation: true };
    let plain = Limits { structured_replies: false, base_allocation: false, ..limits };
    let read_only = Limits { read_only: true, ..limits };
    let over = wire::MAX_PAYLOAD_BYTES + 1;
    for (limits, kind, flags, offset, len, wanted) in [
        (limits, command::READ, 0, limits.size, 1, NbdError::Invalid),
        (limits, command::READ, 0, u64::MAX, 1, NbdError::Invalid),
        (limits, command::READ, 0, 0, over, NbdError::Invalid),
        (plain, command::READ, command_flag::DF, 0, 1, NbdError::Invalid),
        (limits, command::WRITE, 0, limits.size - 1, 2, NbdError::NoSpace),
        (limits, command::WRITE, 0, u64::MAX, u32::MAX, NbdError::NoSpace),
        (limits, command::WRITE, 0, 0, over, NbdError::Invalid),
        (limits, command::WRITE, command_flag::DF, 0, 1, NbdError::Invalid),
        (read_only, command::WRITE, 0, 0, 1, NbdError::Perm),
        (read_only, command::TRIM, 0, 0, 1, NbdError::Perm),
        (read_only, command::WRITE_ZEROES, 0, 0, 1, NbdError::Perm),
        (limits, command::TRIM, 0, limits.size, 1, NbdError::Invalid),
        (limits, command::WRITE_ZEROES, command_flag::NO_HOLE | command_flag::FAST_ZERO, 0, 1, NbdError::NotSupported),
        (plain, command::BLOCK_STATUS, 0, 0, 1, NbdError::Invalid),
        (limits, command::BLOCK_STATUS, 0, 0, 0, NbdError::Invalid),
        (limits, command::BLOCK_STATUS, 0, limits.size, 1, NbdError::Invalid),
        (limits, 99, 0, 0, 0, NbdError::Invalid),
    ] {
        let refusal = header(kind, flags, offset, len).check(&limits).unwrap_err();
        assert_eq!(refusal.error, wanted, "{kind} {flags} {offset} {len}: {}", refusal.reason);
    }
    let whole = header(command::TRIM, command_flag::FUA, 0, 1 << 30).check(&limits);
    assert_eq!(whole, Ok(Command::Trim { offset: 0, len: 1 << 30, fua: true }), "no payload, no payload limit");
}

/// Reads a structured read reply back: (content, content chunks).
fn decode_read(reply: &Reply, offset: u64, len: usize) -> (Vec<u8>, usize) {
    let mut bytes: Vec<u8> = Vec::new();
    for part in &reply.parts {
        match part {
            Part::Bytes(part) => bytes.extend_from_slice(part),
            Part::Zero(zeroes) => bytes.resize(bytes.len() + *zeroes as usize, 0),
        }
    }
    let (mut input, mut content, mut covered, mut chunks) = (&bytes[..], vec![0xee; len], 0, 0);
    loop {
        assert_eq!(input.get_u32(), wire::STRUCTURED_REPLY_MAGIC);
        let (flags, kind, cookie, size) = (input.get_u16(), input.get_u16(), input.get_u64(), input.get_u32());
        assert_eq!(cookie, 5);
        match kind {
            wire::chunk::NONE => assert_eq!(size, 0),
            wire::chunk::OFFSET_DATA => {
                let at = (input.get_u64() - offset) as usize;
                let size = size as usize - 8;
                assert!(size > 0);
                input.copy_to_slice(&mut content[at..at + size]);
                covered += size;
                chunks += 1;
            }
            wire::chunk::OFFSET_HOLE => {
                assert_eq!(size, 12);
                let (at, size) = ((input.get_u64() - offset) as usize, input.get_u32() as usize);
                assert!(size > 0);
                content[at..at + size].fill(0);
                covered += size;
                chunks += 1;
            }
            other => panic!("chunk {other}"),
        }
        if flags & wire::chunk::FLAG_DONE != 0 {
            assert!(input.is_empty());
            assert_eq!(covered, len);
            return (content, chunks);
        }
    }
}

fn pieces() -> impl Strategy<Value = Vec<Piece>> {
    let data = proptest::collection::vec(any::<u8>(), 0..600).prop_map(|data| Piece::Data(Bytes::from(data)));
    let zero = (0u64..1500).prop_map(Piece::Zero);
    proptest::collection::vec(prop_oneof![data, zero], 0..12)
}

fn flat(pieces: &[Piece]) -> Vec<u8> {
    pieces.iter().fold(Vec::new(), |mut all, piece| {
        match piece {
            Piece::Data(data) => all.extend_from_slice(data),
            Piece::Zero(len) => all.resize(all.len() + *len as usize, 0),
        }
        all
    })
}

/// Bytes of a client that starts well: valid framing around arbitrary content gets deeper than noise does.
fn client_bytes() -> impl Strategy<Value = Vec<u8>> {
    let data = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..40),
        any::<u16>().prop_map(|infos| go_data("disk", &[infos])),
        Just(context_data("disk", &["base:allocation", "base:"])),
        Just(go_data("none", &[])),
    ];
    let framed = (0u32..13, data).prop_map(|(option, data)| option_bytes(option, &data));
    let noise = proptest::collection::vec(any::<u8>(), 0..60);
    let piece = prop_oneof![4 => framed, 1 => noise];
    (0u32..5, proptest::collection::vec(piece, 0..8)).prop_map(|(flags, pieces)| {
        let mut bytes = Vec::new();
        bytes.put_u32(flags);
        pieces.iter().for_each(|piece| bytes.extend_from_slice(piece));
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// No bytes panic; what is kept is bounded; where the input is cut does not matter.
    #[test]
    fn any_handshake_input_is_safe(
        bytes in prop_oneof![client_bytes(), proptest::collection::vec(any::<u8>(), 0..200)],
        cut in 1usize..50,
    ) {
        let run = |step: usize| {
            let mut output = BytesMut::new();
            let mut machine = Handshake::new(&mut output);
            let mut input = BytesMut::new();
            let mut end = Ok(Progress::NeedMore);
            for part in bytes.chunks(step) {
                input.put_slice(part);
                if end == Ok(Progress::NeedMore) {
                    end = machine.advance(&mut input, &Disks, &mut output);
                    assert!(output.len() <= 18 + 400 * (1 + bytes.len() / 16));
                }
            }
            (end, output, input)
        };
        prop_assert_eq!(run(cut), run(bytes.len().max(1)));
    }

    /// No header panics, and an accepted command lies inside the device.
    #[test]
    fn any_request_is_safe(
        bytes in proptest::collection::vec(any::<u8>(), 0..40),
        kind in 0u16..9,
        flags in 0u16..64,
        offset in prop_oneof![any::<u64>(), 0u64..5000],
        len in prop_oneof![any::<u32>(), 0u32..5000],
        size in prop_oneof![any::<u64>(), 0u64..10000],
        (read_only, structured_replies, base_allocation) in any::<(bool, bool, bool)>(),
    ) {
        let mut input = BytesMut::from(&bytes[..]);
        let _ = RequestHeader::decode(&mut input);
        let limits = Limits { size, read_only, structured_replies, base_allocation };
        let Ok(command) = header(kind, flags, offset, len).check(&limits) else { return Ok(()) };
        let (writes, payload) = match command {
            Command::Write { .. } => (true, true),
            Command::Trim { .. } | Command::WriteZeroes { .. } => (true, false),
            Command::Read { .. } => (false, true),
            Command::Cache { .. } | Command::BlockStatus { .. } => (false, false),
            Command::Flush | Command::Disconnect => return Ok(()),
        };
        prop_assert!(u128::from(offset) + u128::from(len) <= u128::from(size));
        prop_assert!(!(writes && read_only));
        prop_assert!(!payload || len <= wire::MAX_PAYLOAD_BYTES);
    }

    #[test]
    fn structured_reads_carry_the_content(pieces in pieces(), offset in 0u64..1 << 40, dont_fragment: bool) {
        let content = flat(&pieces);
        let reply = Reply::structured_read(Cookie(5), offset, pieces, dont_fragment);
        let (got, chunks) = decode_read(&reply, offset, content.len());
        prop_assert_eq!(got, content);
        prop_assert!(!dont_fragment || chunks <= 1);
    }

    #[test]
    fn simple_reads_carry_the_content(pieces in pieces()) {
        let content = flat(&pieces);
        let reply = Reply::simple_read(Cookie(0x0102_0304_0506_0708), pieces);
        let mut bytes: Vec<u8> = Vec::new();
        for part in &reply.parts {
            match part {
                Part::Bytes(part) => bytes.extend_from_slice(part),
                Part::Zero(zeroes) => bytes.resize(bytes.len() + *zeroes as usize, 0),
            }
        }
        prop_assert_eq!(&bytes[..16], b"\x67\x44\x66\x98\0\0\0\0\x01\x02\x03\x04\x05\x06\x07\x08");
        prop_assert_eq!(&bytes[16..], &content[..]);
    }

    #[test]
    fn error_text_is_cut_at_a_character(text in ".{0,700}") {
        let reply = Reply::error(Cookie(1), NbdError::Io, &text, true);
        let Part::Bytes(bytes) = &reply.parts[0] else { panic!("no bytes") };
        let shown = std::str::from_utf8(&bytes[26..]).unwrap();
        prop_assert!(text.starts_with(shown) && shown.len() <= wire::MAX_ERROR_TEXT_BYTES);
        prop_assert!(shown.len() == text.len() || shown.len() + 4 > wire::MAX_ERROR_TEXT_BYTES);
    }
}

#[test]
fn errno_become_protocol_errors() {
    use nix::libc;
    for (errno, wanted) in [
        (libc::EPERM, 1),
        (libc::EROFS, 1),
        (libc::EIO, 5),
        (libc::ENOMEM, 12),
        (libc::EINVAL, 22),
        (libc::ENOSPC, 28),
        (libc::EDQUOT, 28),
        (libc::EFBIG, 28),
        (libc::EOVERFLOW, 75),
        (libc::EOPNOTSUPP, 95),
        (libc::ESHUTDOWN, 108),
        (libc::ETIMEDOUT, 5),
        (-3, 5),
    ] {
        assert_eq!(NbdError::from_errno(errno).code(), wanted);
    }
}
