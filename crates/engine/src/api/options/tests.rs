use super::*;
use crate::ErrorKind;

fn read(pairs: &[(&str, &str)]) -> Result<Options> {
    Options::read(&|name| pairs.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned()))
}

#[test]
fn sizes_are_in_cephs_notation() {
    for (text, bytes) in [
        ("4096", 4096),
        ("1K", 1024),
        ("1KB", 1024),
        ("2Ki", 2048),
        ("1M", 1 << 20),
        ("3GiB", 3 << 30),
        ("1T", 1 << 40),
        ("7B", 7),
    ] {
        assert_eq!(parse_size(text), Some(bytes), "{text}");
    }
    for text in ["", "M", "x", "-1", "1.5M", "1X", "1IB", "1MM", "16E"] {
        assert_eq!(parse_size(text), None, "{text}");
    }
}

#[test]
fn text_that_is_not_understood_is_refused_with_the_options_name() {
    for (name, text) in [
        ("lsd_ack", "jornal"),
        ("lsd_gc", "maybe"),
        ("lsd_segment_bytes", "99"),
        ("lsd_segment_bytes", "64M"),
        ("lsd_max_age_ms", "0"),
        ("lsd_max_age_ms", "1s"),
        ("lsd_watch_timeout_ms", "10"),
        ("lsd_gc_limit_percent", "1.5"),
        ("rbd_cache", "nonsense"),
        ("rbd_cache", ""),
        ("rbd_cache_policy", "write-through"),
        ("rbd_cache_size", "-1"),
        ("rbd_cache_max_dirty_age", "soon"),
        ("rbd_cache_max_dirty_age", "inf"),
        ("rbd_discard_granularity_bytes", "4097"),
    ] {
        let error = read(&[(name, text)]).unwrap_err();
        assert!(error.kind == ErrorKind::Invalid && error.to_string().contains(name), "{name} = {text}: {error}");
    }
    assert!(read(&[("lsd_ack", " journal "), ("rbd_cache", "FALSE"), ("lsd_segment_bytes", "1M")]).is_ok());
}

#[test]
fn names_that_nobody_knows_are_found_among_lsds_own() {
    let names = ["lsd_gc", "lsd_gcc", "rbd_anything", "lsd_ack", "lsd_"];
    assert_eq!(unknown_options(names), ["lsd_gcc", "lsd_"]);
}

/// librbd 16.2 gives the same, apart from `yes`.
#[test]
fn metadata_is_checked_only_where_it_overrides() {
    for (key, value) in [
        ("conf_rbd_cache", "0"),
        ("conf_rbd_qos_iops_limit", "100"),
        ("conf_rbd_cache_policy", "writeback"),
        ("conf_lsd_ack", "journal"),
        ("conf_", "x"),
        ("anything", "nonsense"),
    ] {
        assert!(check_metadata(key, value, Level::Image).is_ok(), "{key} = {value}");
    }
    for (key, value) in [
        ("conf_rbd_cache", "nonsense"),
        ("conf_rbd_qos_iops_limit", "many"),
        ("conf_nothing", "1"),
        ("conf_rbd_default_order", "22"),
        ("conf_osd_pool_default_size", "3"),
        ("conf_lsd_ack", "x"),
    ] {
        assert_eq!(
            check_metadata(key, value, Level::Image).map_err(|error| error.kind),
            Err(ErrorKind::Invalid),
            "{key} = {value}"
        );
    }
}

/// An image keeps opening; what may have been meant to make its writes durable does.
#[test]
fn metadata_that_is_not_understood_is_told_and_weakens_nothing() {
    let of = |key: &str, value: &str| Options::of_metadata(&BTreeMap::from([(key.to_owned(), value.to_owned())]));
    let (options, faults) = of("conf_rbd_cache", "nonsense");
    assert!(options.ack() == Some(AckMode::Journal) && faults.len() == 1, "{options:?}");
    let (options, faults) = of("conf_lsd_gc", "nonsense");
    assert!(options.is_empty() && faults.len() == 1, "{options:?}");
    let (options, faults) = of("conf_of_another_program", "1");
    assert!(options.is_empty() && faults.len() == 1, "{options:?}");
    let (options, faults) = of("conf_rbd_balance_snap_reads", "true");
    assert!(options.is_empty() && faults.is_empty(), "{options:?}");
}

#[test]
fn what_is_made_in_a_pool_is_for_the_pool_to_say() {
    assert!(check_metadata("conf_rbd_default_order", "23", Level::Pool).is_ok());
    assert!(check_metadata("conf_rbd_default_order", "23", Level::Image).is_err());
    assert!(check_metadata("conf_rbd_default_features", "layering", Level::Pool).is_ok());
    assert!(check_metadata("conf_rbd_default_features", "nonsense", Level::Pool).is_err());
    assert!(check_metadata("conf_lsd_default_format", "rbd", Level::Pool).is_ok());
    assert!(check_metadata("conf_lsd_default_format", "qcow2", Level::Pool).is_err());
    assert!(check_metadata("conf_lsd_default_format", "rbd", Level::Image).is_err());
    assert!(check_metadata("conf_lsd_stock_librbd", "/librbd.so.1", Level::Pool).is_err());
}

#[test]
fn the_defaults_that_are_listed_are_understood_and_in_order() {
    for (name, text) in DEFAULTS {
        assert!(is_understood(name, text), "{name} = {text:?}");
    }
    assert!(DEFAULTS.is_sorted_by_key(|(name, _)| name));
    let of_images = DEFAULTS.iter().filter(|(name, _)| level_of(name) == Some(Level::Image));
    assert_eq!(of_images.filter(|(name, _)| name.starts_with("rbd_")).count(), 77, "as librbd 16.2 lists them");
}
