use super::*;

fn spec() -> LockSpec {
    LockSpec {
        name: "rbd_lock".into(),
        cookie: "auto 1".into(),
        mode: LockMode::Exclusive,
        tag: "internal".into(),
        description: String::new(),
        duration: LockDuration::Limited(Duration::from_millis(1500)),
    }
}

use std::time::Duration;

#[test]
fn a_lock_request_has_ceph_s_bytes() {
    let mut expected = vec![1, 1, 51, 0, 0, 0, 8, 0, 0, 0];
    expected.extend(b"rbd_lock");
    expected.extend([1, 6, 0, 0, 0]);
    expected.extend(b"auto 1");
    expected.extend([8, 0, 0, 0]);
    expected.extend(b"internal");
    expected.extend([0, 0, 0, 0, 1, 0, 0, 0, 0x00, 0x65, 0xCD, 0x1D, 0]);
    expected[2] = u8::try_from(expected.len() - 6).expect("short");
    assert_eq!(lock(&spec()), expected);
}

#[test]
fn only_clients_can_be_broken() {
    assert!(break_lock("lock", "client.4123", "c").is_some());
    for wrong in ["", "client", "client.", "client.x", "osd.1", "4123"] {
        assert!(break_lock("lock", wrong, "c").is_none(), "{wrong}");
    }
}

/// An answer with one holder: client 4123 at 127.0.0.1:0/77.
fn answer() -> Vec<u8> {
    let mut id = vec![ENTITY_CLIENT];
    id.extend(4123u64.to_le_bytes());
    put_string(&mut id, "c1");
    let mut socket = AF_INET.to_le_bytes().to_vec();
    socket.extend([0, 0, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    let mut address = 1u32.to_le_bytes().to_vec();
    address.extend(77u32.to_le_bytes());
    address.extend(u32::try_from(socket.len()).expect("short").to_le_bytes());
    address.extend(socket);
    let mut info = vec![0; 8];
    info.push(1);
    info.extend(structure(&address));
    put_string(&mut info, "what it is for");
    let mut fields = 1u32.to_le_bytes().to_vec();
    fields.extend(structure(&id));
    fields.extend(structure(&info));
    fields.push(EXCLUSIVE);
    put_string(&mut fields, "a tag");
    structure(&fields)
}

#[test]
fn an_answer_names_the_holder() {
    let holder = Locker { client: "client.4123".into(), cookie: "c1".into(), addr: "127.0.0.1:0/77".into() };
    let expected = LockState { exclusive: true, tag: "a tag".into(), lockers: vec![holder] };
    assert_eq!(lock_state(&answer()), Some(expected));
}

#[test]
fn a_cut_or_changed_answer_never_panics() {
    let answer = answer();
    for len in 0..answer.len() {
        assert_eq!(lock_state(&answer[..len]), None, "cut to {len} bytes");
    }
    for place in 0..answer.len() {
        for value in [0, 1, 0x7f, 0xff] {
            let mut changed = answer.clone();
            changed[place] = value;
            let _ = lock_state(&changed);
        }
    }
}
