use super::*;

/// (pool, namespace, image, snapshot), as rbd 16.2 takes the same text apart.
fn parts(text: &str, strictness: Strictness) -> Option<(String, String, String, String)> {
    let spec = Spec::parse(text, strictness).ok()?;
    let Place::Pool { pool, namespace } = spec.place else { panic!("{text} is in a directory") };
    Some((pool.unwrap_or_default(), namespace, spec.image.unwrap_or_default(), spec.snap.unwrap_or_default()))
}

fn expect(text: &str, strictness: Strictness, pool: &str, namespace: &str, image: &str, snap: &str) {
    let wanted = (pool.to_owned(), namespace.to_owned(), image.to_owned(), snap.to_owned());
    assert_eq!(parts(text, strictness), Some(wanted), "{text}");
}

#[test]
fn every_part_may_be_given() {
    for strictness in [Strictness::Lenient, Strictness::Strict] {
        expect("img", strictness, "", "", "img", "");
        expect("img@s", strictness, "", "", "img", "s");
        expect("p/img", strictness, "p", "", "img", "");
        expect("p/ns/img@s", strictness, "p", "ns", "img", "s");
    }
}

#[test]
fn existing_names_are_read_generously() {
    expect("rbd//foo", Strictness::Lenient, "rbd", "", "/foo", "");
    expect("rbd/", Strictness::Lenient, "", "", "rbd/", "");
    expect("/foo", Strictness::Lenient, "", "", "/foo", "");
    expect("foo@s2@s1", Strictness::Lenient, "", "", "foo", "s2@s1");
    expect("a/b/c/d", Strictness::Lenient, "a", "b", "c/d", "");
    expect("a@b/c", Strictness::Lenient, "a@b", "", "c", "");
}

#[test]
fn new_names_have_no_separators_in_them() {
    for text in ["a/b/c/d", "rbd/", "/foo", "foo@s@t", "rbd//foo", "foo@a/b"] {
        assert_eq!(parts(text, Strictness::Strict), None, "{text}");
    }
}

#[test]
fn nonsense_is_refused() {
    for text in ["", "@", "foo@", "@s"] {
        let failure = Spec::parse(text, Strictness::Lenient).unwrap_err();
        assert_eq!((failure.code, failure.message), (22, format!("invalid spec '{text}'")));
    }
}

#[test]
fn a_path_is_told_how_to_be_a_specification() {
    let words = |text: &str| Spec::parse(text, Strictness::Strict).unwrap_err().message;
    for path in ["/var/disks/one", "./one/a/b/c", "var/lib/disks/one"] {
        assert_eq!(words(path), format!("invalid spec '{path}' (an image in a directory is dir:{path})"));
    }
    assert_eq!(words("dir:one"), "invalid spec 'dir:one' (an image in a directory is dir:./one)");
    for other in ["pool/ns/a@b/c", "pool/", "dir:/a/@", "a@b@c"] {
        assert_eq!(words(other), format!("invalid spec '{other}'"));
    }
}

#[test]
fn directories_are_paths() {
    let spec = Spec::parse("dir:/var/lib/disks/vm1@s", Strictness::Strict).unwrap();
    assert_eq!(spec.place, Place::Directory("/var/lib/disks".into()));
    assert_eq!((spec.image.as_deref(), spec.snap.as_deref()), (Some("vm1"), Some("s")));
    let spec = Spec::parse("dir:/vm1", Strictness::Strict).unwrap();
    assert_eq!(spec.place, Place::Directory("/".into()));
    let spec = Spec::parse("dir:./vm1", Strictness::Strict).unwrap();
    assert_eq!(spec.place, Place::Directory(".".into()));
    assert!(Spec::parse("dir:vm1", Strictness::Strict).is_err());
}

#[test]
fn pools_have_a_namespace_after_the_last_slash() {
    let pool = |pool: &str, namespace: &str| Place::Pool { pool: Some(pool.into()), namespace: namespace.into() };
    assert_eq!(parse_pool_spec("p").unwrap(), pool("p", ""));
    assert_eq!(parse_pool_spec("p/ns").unwrap(), pool("p", "ns"));
    assert_eq!(parse_pool_spec("a/b/c").unwrap(), pool("a/b", "c"));
    assert_eq!(parse_pool_spec("dir:/a/b/").unwrap(), Place::Directory("/a/b".into()));
    assert!(parse_pool_spec("dir:").is_err());
}
