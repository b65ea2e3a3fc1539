use super::{decode, encode};
use crate::StoreErrorKind;

#[test]
fn names_go_there_and_back() {
    let names = ["lsd_header.12ab", "a/b", ".", "..", ".x", "x.", "%", "%41", "a b", "ü", "A", "a", "\0", "~"];
    for name in names {
        let file = encode(name).expect("short enough");
        assert!(!file.contains('/') && !file.starts_with('.') && file.is_ascii(), "{file}");
        assert_eq!(decode(&file).as_deref(), Some(name));
    }
    assert_eq!(encode("lsd_data.1.2.3").expect("encodes"), "lsd_data.1.2.3");
    assert_eq!(encode(".a/ü").expect("encodes"), "%2Ea%2F%C3%BC");
}

#[test]
fn foreign_file_names_are_not_objects() {
    for file in ["", ".hidden", "a b", "%4", "%", "%zz", "%41", "%2f", "%FF", "%+1", "a~"] {
        assert_eq!(decode(file), None, "{file}");
    }
}

#[test]
fn names_have_a_limit() {
    assert!(encode(&"x".repeat(255)).is_ok());
    for name in ["x".repeat(256), "/".repeat(86), String::new()] {
        assert_eq!(encode(&name).expect_err("too long or empty").kind, StoreErrorKind::Invalid);
    }
}
