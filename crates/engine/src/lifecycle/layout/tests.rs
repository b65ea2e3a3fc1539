use super::*;

fn options(features: u64, order: u8, stripe_unit: u64, stripe_count: u64) -> CreateOptions {
    CreateOptions { features, order, stripe_unit, stripe_count, ..CreateOptions::default() }
}

fn refused(options: &CreateOptions) -> (ErrorKind, String) {
    let error = of(options, false).unwrap_err();
    (error.kind, error.to_string())
}

#[test]
fn features_that_need_others_are_refused_without_them() {
    for (features, kind, words) in [
        (Features::OBJECT_MAP, ErrorKind::Invalid, "object map without exclusive lock"),
        (Features::JOURNALING, ErrorKind::Invalid, "journaling without exclusive lock"),
        (1 << 40, ErrorKind::Unimplemented, "not support"),
    ] {
        let (found, text) = refused(&options(features, 22, 0, 0));
        assert!(found == kind && text.contains(words), "{features}: {text}");
    }
}

/// As librbd 16.2 gives them.
#[test]
fn what_follows_from_other_features_is_not_asked_for() {
    for (asked, given) in [
        (12, 28),
        (13, 29),
        (16, 0),
        (20, 4),
        (21, 5),
        (29, 29),
        (61, 61),
        (77, 93),
        (130, 0),
        (256, 0),
        (1024, 0),
        (2048, 0),
    ] {
        assert_eq!(of(&options(asked, 22, 0, 0), false).unwrap().features, given, "{asked}");
    }
}

#[test]
fn orders_and_stripes_are_librbds() {
    for order in [0, 11, 26, 255] {
        assert_eq!(refused(&options(0, order, 0, 0)).0, ErrorKind::Domain);
    }
    for (unit, count) in [(65536, 0), (0, 4), (3 << 10, 2), (8 << 20, 2), (256, 2)] {
        assert_eq!(refused(&options(0, 22, unit, count)).0, ErrorKind::Invalid, "{unit} x {count}");
    }
    let plain = of(&options(Features::STRIPINGV2, 22, 4 << 20, 1), false).unwrap();
    assert_eq!(plain, Layout { order: 22, features: 0, stripe_unit: 4 << 20, stripe_count: 1 });
    let striped = of(&options(0, 22, 65536, 16), true).unwrap();
    assert_eq!(striped.features, Features::STRIPINGV2 | Features::DATA_POOL);
    assert_eq!((striped.stripe_unit, striped.stripe_count), (65536, 16));
}

#[test]
fn defaults_are_the_settings() {
    let get = |key: &str| {
        let value = match key {
            "rbd_default_order" => "23",
            "rbd_default_features" => "layering,exclusive-lock",
            "rbd_default_stripe_unit" => "64K",
            "rbd_default_stripe_count" => "4",
            _ => return None,
        };
        Some(value.to_owned())
    };
    let found = CreateOptions::from_settings(&get).unwrap();
    assert_eq!((found.order, found.features, found.stripe_unit, found.stripe_count), (23, 5, 65536, 4));
    let one = |name: &'static str, text: &'static str| {
        CreateOptions::from_settings(&move |key| (key == name).then(|| text.to_owned()))
    };
    assert_eq!(refused(&one("rbd_default_order", "0").unwrap()).0, ErrorKind::Domain);
    let unset = one("lsd_none", "").unwrap();
    assert_eq!((unset.order, unset.features), (22, Features::DEFAULT));
    for name in ["rbd_default_order", "rbd_default_features", "rbd_default_stripe_unit", "rbd_default_stripe_count"] {
        let error = one(name, "nonsense").unwrap_err();
        assert!(error.kind == ErrorKind::Invalid && error.to_string().contains(name), "{error}");
    }
}
