//! Netlink messages and device names. The driver itself is tested in a guest, by the command's tests.
use super::genl::{Attributes, Message, attributes, get_u32, messages, request};
use super::*;
use proptest::prelude::*;

#[test]
fn only_whole_devices_have_an_index() {
    for (path, wanted) in [
        ("/dev/nbd0", Some(0)),
        ("/dev/nbd12", Some(12)),
        ("/dev/nbd", None),
        ("/dev/nbd0p1", None),
        ("/dev/nbd+1", None),
        ("/dev/sda", None),
        ("nbd0", None),
        ("/dev/nbd99999999999", None),
    ] {
        assert_eq!(DeviceIndex::from_path(Path::new(path)).map(|index| index.0), wanted, "{path}");
    }
    assert_eq!(DeviceIndex(7).path(), Path::new("/dev/nbd7"));
}

/// Laid out by hand after linux/netlink.h and linux/genetlink.h.
#[cfg(target_endian = "little")]
#[test]
fn a_request_has_the_kernels_layout() {
    let (mut fd, mut item, mut all) = (Attributes::default(), Attributes::default(), Attributes::default());
    fd.u32(1, 5);
    item.nested(1, &fd);
    all.u64(2, 0x0102_0304_0506_0708);
    all.text(10, "ab");
    all.nested(7, &item);
    let wanted: &[u8] = &[
        56, 0, 0, 0, 28, 0, 5, 0, 9, 0, 0, 0, 0, 0, 0, 0, // message header
        1, 1, 0, 0, // command, version
        12, 0, 2, 0, 8, 7, 6, 5, 4, 3, 2, 1, // size
        7, 0, 10, 0, b'a', b'b', 0, 0, // cookie and padding
        16, 0, 7, 0x80, 12, 0, 1, 0x80, 8, 0, 1, 0, 5, 0, 0, 0, // sockets
    ];
    assert_eq!(&request(28, 1, 9, &all)[..], wanted);
}

#[test]
fn what_is_written_is_read_back() {
    let (mut inner, mut all) = (Attributes::default(), Attributes::default());
    inner.u32(1, 77);
    all.text(10, "odd");
    all.nested(9, &inner);
    let bytes = request(28, 5, 3, &all);
    let parsed = messages(&bytes).unwrap();
    let [Message::Data { sequence: 3, attributes: data }] = &parsed[..] else { panic!("{parsed:?}") };
    let found: Vec<_> = attributes(data).collect();
    assert_eq!(found[0], (10, &b"odd\0"[..]));
    assert_eq!(found[1].0, 9);
    assert_eq!(attributes(found[1].1).next().and_then(|(_, value)| get_u32(value)), Some(77));
}

#[test]
fn an_unknown_family_is_not_an_error() {
    // The controller answers on every kernel with generic netlink; nobody registers this name.
    if let Ok(mut genl) = genl::Genl::open() {
        assert_eq!(genl.family("lsd-none").unwrap(), None);
        assert_eq!(genl.family("nlctrl").unwrap(), Some(16));
    }
}

proptest! {
    #[test]
    fn any_datagram_is_safe(bytes in proptest::collection::vec(any::<u8>(), 0..100), len in 0u8..64) {
        let mut bytes = bytes;
        if let [first, second, third, fourth, ..] = &mut bytes[..] {
            // A plausible length gets further.
            (*first, *second, *third, *fourth) = (len, 0, 0, 0);
        }
        for message in messages(&bytes).unwrap_or_default() {
            if let Message::Data { attributes: data, .. } = message {
                attributes(&data).for_each(|(_, value)| attributes(value).for_each(drop));
            }
        }
    }
}
