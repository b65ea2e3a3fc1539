use super::super::names;
use super::*;
use crate::units::Epoch;

/// What `ceph osd map` says of these names.
#[test]
fn the_hash_is_ceph_s() {
    for (name, hashed) in [
        ("abc", 0x251e_4793),
        ("abcdefghijkl", 0x0b1b_3ea5),
        ("rbd_data.269da7cb7f78.0000000000000000", 0x99bd_5974),
        ("lsd_data.g70o8lph14.00000001.0000000001", 0x998d_4444),
    ] {
        assert_eq!(hash(name.as_bytes()), hashed, "{name}");
    }
}

/// Names are part of the format: these must never change.
#[test]
fn letters_are_fixed() {
    let name = |number| names::segment("g70o8lph14", Epoch(1), SegmentNo(number));
    assert_eq!(name(1), "lsd_data.g70o8lph14.00000001.00000001gg");
    assert_eq!(name(0xabcdef), "lsd_data.g70o8lph14.00000001.00abcdefgs");
    let old = names::segment("84f2a6c01d3e5b", Epoch(1), SegmentNo(0xabcdef));
    assert_eq!(old, "lsd_data.84f2a6c01d3e5b.00000001.0000abcdef", "an image from before");
}

#[test]
fn only_an_image_s_own_names_are_taken_for_segments() {
    let found = Some((Epoch(1), SegmentNo(0xabcdef)));
    assert_eq!(names::parse_segment("g70o8lph14", "lsd_data.g70o8lph14.00000001.00abcdefgs"), found);
    assert_eq!(names::parse_segment("84f2a6c01d3e5b", "lsd_data.84f2a6c01d3e5b.00000001.0000abcdef"), found);
    for other in ["00000001.00abcdefgt", "00000001.00abcdef", "00000001.0000abcdef", "00000001.gs", "1.abcdefgs"] {
        assert_eq!(names::parse_segment("g70o8lph14", &format!("lsd_data.g70o8lph14.{other}")), None, "{other}");
    }
}

/// However many placement groups there are, up to 32, and whichever of the segments are left: none has many more than the
/// others. By chance the fullest of 16 would have 9 or 10 of 72.
#[test]
fn segments_are_spread_evenly() {
    for image in ["g70o8lph14", "0000000000", "zzzzzzzzzz"] {
        for groups in [4, 8, 16, 32] {
            for (step, count) in [(1, 72), (2, 72), (3, 500)] {
                let mut of_group = vec![0; groups];
                for number in (0..count).map(|index| 5 + index * step) {
                    let name = names::segment(image, Epoch(1), SegmentNo(number));
                    of_group[hash(name.as_bytes()) as usize % groups] += 1;
                }
                let fullest = of_group.iter().max().unwrap();
                let even = count as usize / groups;
                assert!(*fullest <= even + even / 4 + 3, "{image}, every {step}: {of_group:?}");
            }
        }
    }
}
