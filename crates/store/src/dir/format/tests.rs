use super::*;

fn prelude() -> Prelude {
    Prelude { kind: Kind::Keyed, data_offset: 64, data_len: 7, data_crc: 0x0102_0304 }
}

/// The bytes of version 1, for ever.
#[test]
fn golden_bytes() {
    let mut expected = [0; 64];
    expected[..8].copy_from_slice(b"LSDDIROB");
    expected[8] = 1;
    expected[12] = 3;
    expected[16] = 64;
    expected[24] = 7;
    expected[32..36].copy_from_slice(&[4, 3, 2, 1]);
    expected[60..].copy_from_slice(&[0xf4, 0x1b, 0xf5, 0x70]);
    assert_eq!(prelude().encode()[..], expected[..]);
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    let slot = TailSlot { generation: 3, epoch: 0x1122, sealed_len: 4096, summary_len: 9 };
    let mut expected = [0; 64];
    expected[0] = 3;
    expected[8..10].copy_from_slice(&[0x22, 0x11]);
    expected[17] = 16;
    expected[24] = 9;
    expected[60..].copy_from_slice(&[0xdc, 0x36, 0xb9, 0x4f]);
    assert_eq!(slot.encode()[..], expected[..]);
    let map = KvMap::from([("b".to_owned(), Bytes::new()), ("a".to_owned(), Bytes::from("xyz"))]);
    let expected = b"\x02\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0a\x03\0\0\0\0\0\0\0xyz\x01\0\0\0\0\0\0\0b\0\0\0\0\0\0\0\0";
    assert_eq!(encode_keys(&map), expected);
}

#[test]
fn every_changed_bit_of_a_prelude_is_seen() {
    let good = prelude().encode();
    assert_eq!(Prelude::decode(&good).expect("good"), prelude());
    for bit in 0..good.len() * 8 {
        let mut bad = good;
        bad[bit / 8] ^= 1 << (bit % 8);
        Prelude::decode(&bad).expect_err("a changed bit");
    }
    for len in 0..good.len() {
        Prelude::decode(&good[..len]).expect_err("a short prelude");
    }
}

#[test]
fn a_newer_version_is_not_damage() {
    let mut newer = prelude().encode();
    newer[8] = 2;
    assert_eq!(Prelude::decode(&newer).expect_err("newer").kind, StoreErrorKind::Unsupported);
}

#[test]
fn the_newest_good_slot_counts() {
    let slot = |generation| TailSlot { generation, epoch: generation + 10, sealed_len: 0, summary_len: 0 };
    let mut head = vec![0; LOG_HEAD_LEN];
    TailSlot::decode_newest(&head).expect_err("no slot");
    for generation in [1, 2, 3] {
        let at = slot(generation).offset() as usize;
        head[at..at + 64].copy_from_slice(&slot(generation).encode());
        assert_eq!(TailSlot::decode_newest(&head).expect("slot"), slot(generation));
    }
    head[slot(3).offset() as usize + 9] ^= 1;
    assert_eq!(TailSlot::decode_newest(&head).expect("the slot before a torn one"), slot(2));
    head[slot(2).offset() as usize] ^= 1;
    TailSlot::decode_newest(&head).expect_err("both damaged");
    TailSlot::decode_newest(&head[..600]).expect_err("cut off");
}

#[test]
fn damaged_keys_are_refused() {
    let map: KvMap = (0..9).map(|n| (format!("key{n}"), Bytes::from(vec![n; usize::from(n)]))).collect();
    let payload = encode_keys(&map);
    let with = |payload: &[u8]| Prelude { data_len: payload.len() as u64, data_crc: crc32c(payload), ..prelude() };
    let decode = |prelude: &Prelude, payload: &[u8]| decode_keys(prelude, Bytes::copy_from_slice(payload));
    assert_eq!(decode(&with(&payload), &payload).expect("good"), map);
    for place in 0..payload.len() {
        let mut bad = payload.clone();
        bad[place] ^= 0x80;
        decode(&with(&payload), &bad).expect_err("wrong checksum");
        decode(&with(&payload), &payload[..place]).expect_err("wrong length");
        decode(&with(&payload[..place]), &payload[..place]).expect_err("cut off under a right checksum");
        // A right checksum over nonsense must not panic, whatever it says.
        drop(decode(&with(&bad), &bad));
    }
}
