use super::*;

fn report(error: u32) -> String {
    let side = |ios: u64, bins: &str| {
        format!(r#"{{"total_ios": {ios}, "io_bytes": {}, "clat_ns": {{"bins": {bins}}}}}"#, ios * 4096)
    };
    let job = |runtime: u32| {
        format!(
            r#"{{"jobname": "j", "error": {error}, "read": {}, "write": {}, "job_runtime": {runtime},
                "sync": {{"lat_ns": {{"bins": {{"500000": 7}}}}}}}}"#,
            side(100, r#"{"1000": 99, "8000": 1}"#),
            side(300, r#"{"2000": 295, "4000000": 5}"#)
        )
    };
    format!("a library's {{words}}\n{{\"jobs\": [{}, {}]}}\nand more\n", job(2000), job(1500))
}

#[test]
fn jobs_are_added_and_the_longest_one_counts() {
    let sum = parse(&report(0)).unwrap();
    assert_eq!((sum.reads, sum.writes, sum.seconds), (200.0, 600.0, 2.0));
    assert_eq!(sum.write_bytes, 600.0 * 4096.0);
    // 8 of 800 operations may be slower than the 99th percentile; 10 took 4 ms.
    assert_eq!(sum.operations.p99_ms(), Some(4.0));
    assert_eq!(sum.syncs.p99_ms(), Some(0.5));
}

#[test]
fn failures_are_not_taken_for_figures() {
    assert!(parse(&report(5)).is_err());
    for text in ["", "no json", "{}", "{\"jobs\": []}", "{\"jobs\": [{\"error\": 0}]}"] {
        assert!(parse(text).is_err(), "{text}");
    }
}

#[test]
fn nothing_counted_has_no_percentile() {
    assert_eq!(Histogram::default().p99_ms(), None);
}

#[test]
fn every_image_has_a_job_with_all_options() {
    let target = Target::Librbd { pool: "p".into(), images: vec!["a".into(), "b".into()] };
    let args = arguments(&target, 64, 32, &["--rw=read"]);
    for word in ["--name=a", "--name=b", "--rbdname=a", "--rbdname=b"] {
        assert_eq!(args.iter().filter(|arg| *arg == word).count(), 1, "{word}");
    }
    for word in ["--pool=p", "--size=64", "--io_size=32", "--rw=read", "--ioengine=rbd"] {
        assert_eq!(args.iter().filter(|arg| *arg == word).count(), 2, "{word}");
    }
}
