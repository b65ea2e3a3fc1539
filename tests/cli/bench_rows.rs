//! `lsd-bench` runs: every row of the matrix, once and tiny, on both sides. What it measures there means nothing.
use crate::common::{Cmd, built, scratch_dir};
use lsd_bench::{Options, matrix::ROWS, report::Report};

/// MiB; the rows that write ten times the image should not take long.
const SIZE: u64 = 8;

#[test]
fn every_row_is_measured_stored_and_drawn() {
    let ceph = requires_ceph!();
    let dir = scratch_dir();
    let (json, chart) = (dir.path().join("figures.json"), dir.path().join("chart.svg"));
    let options = Options {
        rows: Vec::new(),
        long: true,
        rounds: 1,
        size: SIZE,
        osds: 1,
        ec: false,
        apart: false,
        json: Some(json.clone()),
        chart: Some(chart.clone()),
        against: None,
        lsd_conf: vec!["lsd_gc = true".into()],
        build: built("lsd").parent().unwrap().to_owned(),
        ceph_conf: Some(ceph.conf.clone()),
        hurry: true,
    };
    lsd_bench::run(&options).unwrap();

    let report = Report::load(&json).unwrap();
    let measured: Vec<&str> = report.rows.iter().map(|row| row.id.as_str()).collect();
    let wanted: Vec<&str> = ROWS.iter().map(|row| row.id).collect();
    assert_eq!(measured, wanted);
    for row in &report.rows {
        assert_eq!((row.stock.len(), row.lsd.len()), (1, 1), "{}", row.id);
        assert!(row.ratio.median.is_finite() && row.ratio.median > 0.0, "{}: {:?}", row.id, row.ratio);
    }
    // The cluster of the run is on this machine, so what its OSDs did must be known; and both sides wrote to it.
    for sample in report.rows.iter().filter(|row| row.id == "rand4k").flat_map(|row| row.stock.iter().chain(&row.lsd)) {
        assert!(sample.osd.is_some_and(|osd| osd.writes > 0.0) && sample.p99_ms.is_some(), "{sample:?}");
    }
    let svg = std::fs::read_to_string(&chart).unwrap();
    for id in wanted {
        assert!(svg.contains(&format!("data-row=\"{id}\"")), "{id} is not in the chart");
    }
    Cmd::stock("/usr/bin/python3")
        .args(["-c", "import sys, xml.dom.minidom as m; m.parse(sys.argv[1])"])
        .arg(&chart)
        .ok();

    let left = ceph.stock("rbd").args(["ls", "rbd"]).ok().text();
    let ours = format!("bench-{}-", std::process::id());
    assert!(!left.contains(&ours), "images are left: {left}");
}

#[test]
fn rows_that_do_not_exist_are_refused() {
    let error = lsd_bench::matrix::select(&["rand4k".into(), "nothing".into()], false).unwrap_err().to_string();
    assert!(error.contains("no row nothing") && error.contains("seqwrite"), "{error}");
}
