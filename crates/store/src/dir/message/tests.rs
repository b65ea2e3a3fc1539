use super::*;

#[test]
fn messages_go_there_and_back() {
    for kind in [MessageKind::Notify, MessageKind::Ack, MessageKind::Gone, MessageKind::Removed] {
        for payload in [Bytes::new(), Bytes::from("payload")] {
            let message = Message { kind, id: 1, from: 1 << 40, cookie: u64::MAX, payload };
            assert_eq!(Message::decode(&message.encode()), Some(message));
        }
    }
}

#[test]
fn golden_bytes() {
    let message = Message { kind: MessageKind::Ack, id: 5, from: 6, cookie: 7, payload: Bytes::from("x") };
    let expected = b"LSDN\x01\0\x02\0\x05\0\0\0\0\0\0\0\x06\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0x";
    assert_eq!(message.encode(), expected);
}

#[test]
fn what_is_no_message_is_ignored() {
    let message = Message { kind: MessageKind::Ack, id: 5, from: 6, cookie: 7, payload: Bytes::new() };
    let good = message.encode();
    for len in 0..good.len() {
        assert_eq!(Message::decode(&good[..len]), None);
    }
    for place in 0..8 {
        let mut bad = good.clone();
        bad[place] = 0xEE;
        assert_eq!(Message::decode(&bad), None, "byte {place}");
    }
}
