//! `lsd-bench` with `apart`, and its figures against earlier ones.
//!
//! A program of its own: it binds this process, and with it all that other tests would start, to a part of the processors.
#[macro_use]
mod common;
use common::{built, scratch_dir};
use lsd_bench::Options;

#[test]
fn clients_and_cluster_have_processors_of_their_own() {
    let ceph = requires_ceph!();
    let dir = scratch_dir();
    let json = dir.path().join("figures.json");
    let options = Options {
        rows: vec!["rand4k".into()],
        long: false,
        rounds: 1,
        size: 8,
        osds: 1,
        ec: false,
        apart: true,
        json: Some(json.clone()),
        chart: None,
        against: None,
        lsd_conf: Vec::new(),
        build: built("lsd").parent().unwrap().to_owned(),
        ceph_conf: Some(ceph.conf.clone()),
        hurry: true,
    };
    assert_eq!(lsd_bench::run(&options).unwrap().rows.len(), 1);
    let rows = vec!["rand4k".into(), "nbd-rand4k".into()];
    let again = Options { rows, against: Some(json), json: None, ..options };
    assert_eq!(lsd_bench::run(&again).unwrap().rows.len(), 2);
    let left = ceph.stock("rbd").args(["ls", "rbd"]).ok().text();
    let ours = format!("bench-{}-", std::process::id());
    assert!(!left.contains(&ours), "images are left: {left}");
}
