use super::*;
use proptest::prelude::*;

fn id() -> RequestId {
    RequestId { client: 4123, watch: 7, number: u64::MAX }
}

fn notices() -> Vec<Notice> {
    let request = |operation| Notice::Request { id: id(), repeated: true, operation };
    let (from, to) = (None, Some("value".to_owned()));
    vec![
        Notice::HeaderChanged,
        Notice::LockWanted,
        Notice::LockReleased,
        request(Operation::Resize { from: 1, to: u64::MAX, allow_shrink: true }),
        request(Operation::SetMetadata { key: "key".into(), from, to }),
        request(Operation::SetFeatures { mask: 1, from: 2, to: 3 }),
        request(Operation::Flatten),
        request(Operation::Sparsify { block: 4096 }),
        request(Operation::Migrate),
        Notice::RequestDone(id()),
        Notice::WhoIsThere,
        Notice::StatsWanted,
        Notice::QuiesceWatched,
        Notice::Quiesce { id: id(), begin: true },
        Notice::Unquiesce(id()),
    ]
}

fn counters(count: usize) -> Answer {
    Answer::Stats((0..count).map(|index| (format!("io.counter_{index}"), u64::MAX - index as u64)).collect())
}

fn answers() -> Vec<Answer> {
    vec![
        Answer::WillRelease,
        Answer::Keeps,
        Answer::Unsupported,
        Answer::Running { done: 1, total: 2 },
        Answer::Finished { errno: 28, why: "full".into() },
        counters(0),
        counters(3),
        Answer::Quiescing,
        Answer::Quiesced { errno: 110 },
    ]
}

#[test]
fn what_is_sent_comes_back() {
    for notice in notices() {
        assert_eq!(decode(&encode(&notice)), Ok(notice));
    }
    for answer in answers() {
        assert_eq!(decode_answer(&encode_answer(&answer)), Ok(answer));
    }
}

#[test]
fn counters_have_the_bytes_that_the_format_says() {
    assert_eq!(encode(&Notice::StatsWanted)[16..], [7]);
    let bytes = encode_answer(&Answer::Stats(vec![("io.reads".into(), 258)]));
    let wanted = [&[6, 1, 0, 0, 0, 8, 0, 0, 0][..], b"io.reads", &[2, 1, 0, 0, 0, 0, 0, 0]].concat();
    assert_eq!(bytes[16..], wanted);
}

#[test]
fn being_quiet_has_the_bytes_that_the_format_says() {
    let id = [&4123_u64.to_le_bytes()[..], &7_u64.to_le_bytes(), &u64::MAX.to_le_bytes()].concat();
    assert_eq!(encode(&Notice::QuiesceWatched)[16..], [8]);
    assert_eq!(encode(&Notice::Quiesce { id: self::id(), begin: false })[16..], [&[9], &id[..], &[0]].concat());
    assert_eq!(encode(&Notice::Unquiesce(self::id()))[16..], [&[10], &id[..]].concat());
    assert_eq!(encode_answer(&Answer::Quiesced { errno: 258 })[16..], [8, 2, 1, 0, 0]);
}

/// What an older version makes of a notice that it does not know: its owner says so, others say nothing.
#[test]
fn a_later_notice_is_told_from_damage() {
    let later = seal_envelope(NOTICE_MAGIC, NOTICE_VERSION, NOTICE_KIND, &[200]);
    assert_eq!(decode(&later).unwrap_err().why, Refusal::Value("notice"));
    let mut damaged = encode(&Notice::StatsWanted);
    damaged[16] ^= 1;
    assert_eq!(decode(&damaged).unwrap_err().why, Refusal::Checksum);
}

#[test]
fn counters_are_bounded_and_have_names_that_can_be_shown() {
    let refused = |answer: &Answer| decode_answer(&encode_answer(answer)).unwrap_err().why;
    assert_eq!(decode_answer(&encode_answer(&counters(MOST_COUNTERS))), Ok(counters(MOST_COUNTERS)));
    assert_eq!(refused(&counters(MOST_COUNTERS + 1)), Refusal::Value("number of counters"));
    let named = |name: String| Answer::Stats(vec![(name, 1)]);
    let longest = format!("io.{}", "x".repeat(MOST_COUNTER_NAME_BYTES - 3));
    assert_eq!(decode_answer(&encode_answer(&named(longest.clone()))), Ok(named(longest.clone())));
    let bad = ["", "io", "io.", ".reads", "io.a.b", "IO.reads", "io.\u{1b}[2J", "io.a b", "io.1st", "io.<x>"];
    for name in bad.into_iter().map(str::to_owned).chain([longest + "x"]) {
        assert_eq!(refused(&named(name.clone())), Refusal::Value("name of a counter"), "{name:?}");
    }
    // A number of counters without the counters.
    let cut = seal_envelope(NOTICE_MAGIC, NOTICE_VERSION, ANSWER_KIND, &[6, 0, 4, 0, 0]);
    assert_eq!(decode_answer(&cut).unwrap_err().why, Refusal::Truncated);
}

proptest! {
    #[test]
    fn any_payload_is_refused_or_comes_back(payload in prop::collection::vec(any::<u8>(), 0..200), tag in 0_u8..12) {
        let payload = [&[tag][..], &payload].concat();
        let sealed = |kind| seal_envelope(NOTICE_MAGIC, NOTICE_VERSION, kind, &payload);
        if let Ok(notice) = decode(&sealed(NOTICE_KIND)) {
            prop_assert_eq!(encode(&notice), sealed(NOTICE_KIND));
        }
        if let Ok(answer) = decode_answer(&sealed(ANSWER_KIND)) {
            prop_assert_eq!(encode_answer(&answer), sealed(ANSWER_KIND));
        }
        prop_assert!(decode(&payload).is_err() && decode_answer(&payload).is_err());
    }

    #[test]
    fn a_changed_byte_is_noticed(which in 0_usize..15, at in any::<prop::sample::Index>(), flip in 1_u8..) {
        let mut bytes = encode(&notices()[which]);
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        prop_assert!(decode(&bytes).is_err());
        let mut bytes = encode_answer(&answers()[which % answers().len()]);
        let at = at % bytes.len();
        bytes[at] ^= flip;
        prop_assert!(decode_answer(&bytes).is_err());
    }
}
