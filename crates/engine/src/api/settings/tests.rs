use super::*;
use std::collections::BTreeMap;

fn options(pairs: &[(&str, &str)]) -> Options {
    Options::read(&|name| pairs.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned())).unwrap()
}

fn settings(pairs: &[(&str, &str)]) -> Settings {
    Settings::default().with(&[&options(pairs)])
}

fn overridden(global: &[(&str, &str)], pool: &[(&str, &str)], image: &[(&str, &str)]) -> Settings {
    settings(global).with(&[&options(pool), &options(image)])
}

/// How a write is acknowledged where these are set.
#[test]
fn librbds_cache_options_say_when_a_write_is_acknowledged() {
    for pairs in [
        [("rbd_cache", "false")],
        [("rbd_cache_max_dirty", "0")],
        [("rbd_cache_policy", "writethrough")],
        [("lsd_ack", "journal")],
    ] {
        assert_eq!(settings(&pairs).ack, AckMode::Journal, "{pairs:?}");
    }
    for pairs in [[("rbd_cache", "true")], [("rbd_cache_policy", "writeback")], [("lsd_ack", "writeback")]] {
        assert_eq!(settings(&pairs).ack, AckMode::Writeback, "{pairs:?}");
    }
    assert_eq!(settings(&[("rbd_cache", "false"), ("rbd_cache_size", "1M")]).cache_bytes, 0);
    assert_eq!(settings(&[("rbd_cache_size", "1M")]).cache_bytes, 1 << 20);
    assert_eq!(settings(&[("rbd_cache_max_dirty", "0")]).max_dirty_bytes, Settings::default().max_dirty_bytes);
    assert_eq!(settings(&[("rbd_cache", "false"), ("lsd_ack", "writeback")]).ack, AckMode::Writeback);
}

#[test]
fn an_image_counts_more_than_its_pool_and_that_more_than_the_rest() {
    let (on, off) = ([("rbd_cache", "true")], [("rbd_cache", "false")]);
    for (global, pool, image, ack) in [
        (&on, &on, &off, AckMode::Journal),
        (&on, &off, &on, AckMode::Writeback),
        (&off, &on, &on, AckMode::Writeback),
        (&off, &off, &on, AckMode::Writeback),
    ] {
        assert_eq!(overridden(global, pool, image).ack, ack, "{global:?} {pool:?} {image:?}");
    }
    assert_eq!(overridden(&on, &off, &[]).ack, AckMode::Journal);
    // The cache comes back with it.
    assert_eq!(overridden(&off, &[], &on).cache_bytes, Settings::default().cache_bytes);
    assert!(overridden(&[("lsd_gc", "false")], &[("lsd_gc", "true")], &[]).gc);
}

/// Who asks for write-through in librbd's words gets it, also where lsd's own option says otherwise for everybody.
#[test]
fn a_higher_level_is_never_less_durable_than_it_asks_for() {
    let journal = [("lsd_ack", "journal")];
    let writeback = [("lsd_ack", "writeback")];
    assert_eq!(overridden(&writeback, &[], &[("rbd_cache", "false")]).ack, AckMode::Journal);
    assert_eq!(overridden(&journal, &[], &[("rbd_cache", "true")]).ack, AckMode::Journal);
    assert_eq!(overridden(&journal, &[], &writeback).ack, AckMode::Writeback);
    assert_eq!(overridden(&[("rbd_cache_max_dirty", "0")], &[], &[("rbd_cache", "true")]).ack, AckMode::Journal);
}

#[test]
fn data_grows_as_old_as_the_shorter_of_two_options_says() {
    let age = |pairs: &[(&str, &str)]| settings(pairs).max_age.as_millis();
    let librados = ("rbd_cache_max_dirty_age", "1.000000");
    assert_eq!(age(&[librados]), 1000);
    assert_eq!(age(&[librados, ("lsd_max_age_ms", "5000")]), 5000);
    assert_eq!(age(&[("rbd_cache_max_dirty_age", "0.25"), ("lsd_max_age_ms", "5000")]), 250);
    assert_eq!(age(&[("rbd_cache_max_dirty_age", "0.25"), ("lsd_max_age_ms", "100")]), 100);
    assert_eq!(age(&[("rbd_cache_max_dirty_age", "0")]), 1);
    let image = overridden(&[("rbd_cache_max_dirty_age", "0.25")], &[], &[librados]);
    assert_eq!(image.max_age.as_millis(), 1000);
}

/// The file for people has every option that counts, and its default.
#[test]
fn the_documented_defaults_are_the_defaults() {
    let text = include_str!("../../../../../ceph-conf/ceph.conf");
    let lines = text.lines().filter_map(|line| line.split_once(" = "));
    let file: BTreeMap<&str, &str> = lines.filter(|(name, _)| !name.starts_with('#')).collect();
    let read = Options::read(&|name| Some(file.get(name).unwrap_or_else(|| panic!("{name} is missing")).to_string()));
    let documented = Settings::default().with(&[&read.unwrap()]);
    let plain = Settings { given: documented.given.clone(), ..Settings::default() };
    assert_eq!(format!("{documented:?}"), format!("{plain:?}"));
    let names: Vec<&str> = file.keys().copied().filter(|name| name.starts_with("lsd_")).collect();
    assert_eq!(crate::unknown_options(names), Vec::<String>::new());
}
